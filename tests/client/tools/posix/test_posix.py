"""Each type of path: what is found wrong, what is reported, what is changed."""

import base64
import os
import socket
import stat
from pathlib import Path

import pytest

from bcfg2.client.files import acl
from bcfg2.client.tools.base import InstallError
from bcfg2.client.tools.posix import metadata
from bcfg2.client.tools.posix.managed import Managed
from tests.client.tools.posix.support import IS_ROOT, MINE, installed, only, posix, tree

needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can change owners, make devices and read everything")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# file


def test_file_is_made_with_its_parents(tmp_path: Path) -> None:
    tool = posix(f'<Path type="file" name="{tmp_path}/a/b/c" {MINE} mode="600">text\n</Path>')
    assert installed(tool)
    assert (tmp_path / "a/b/c").read_bytes() == b"text\n"
    assert (mode(tmp_path / "a/b/c"), mode(tmp_path / "a")) == (0o600, 0o755)
    assert only(tool).get("mode") == "0600"


def test_only_the_mode_is_set_where_only_the_mode_differs(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("x")
    path.chmod(0o600)
    before = path.stat()
    assert installed(posix(f'<Path type="file" name="{path}" {MINE} mode="0640">x</Path>'))
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert mode(path) == 0o640


def test_good_file_is_left_alone_altogether(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "f").chmod(0o644)
    before = tree(tmp_path)
    tool = posix(f'<Path type="file" name="{tmp_path}/f" {MINE} mode="0644">x</Path>')
    assert tool.verify(only(tool))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("digits", [pytest.param("0000", marks=needs_root), "4755", "2750", "1777"])
def test_all_digits_of_a_mode_count(tmp_path: Path, digits: str) -> None:
    tool = posix(f'<Path type="file" name="{tmp_path}/f" {MINE} mode="{digits}">x</Path>')
    assert installed(tool)
    assert f"{mode(tmp_path / 'f'):04o}" == digits


def test_content_is_reported_as_a_diff(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("one\ntwo\n")
    tool = posix(f'<Path type="file" name="{tmp_path}/f" {MINE} mode="0644">one\nthree\n</Path>')
    assert not tool.verify(only(tool))
    diff = base64.b64decode(only(tool).get("current_bdiff", "")).decode().split("\n")
    assert diff[:2] == [f"--- {tmp_path}/f (on disk)", f"+++ {tmp_path}/f (from bcfg2)"]
    assert "-two" in diff and "+three" in diff


def test_binary_content_on_disk_is_reported_whole(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\x00\xff")
    tool = posix(f'<Path type="file" name="{tmp_path}/f" {MINE} mode="0644">x</Path>')
    assert not tool.verify(only(tool))
    assert base64.b64decode(only(tool).get("current_bfile", "")) == b"\x00\xff"
    assert "current_bdiff" not in only(tool).attrib


def test_sensitive_content_is_asked_about_but_never_reported(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old secret")
    tool = posix(f'<Path type="file" name="{tmp_path}/f" {MINE} mode="0644" sensitive="true">new secret</Path>')
    entry = only(tool)
    assert not tool.verify(entry)
    assert not any("secret" in value for value in tool.describe(entry))
    assert not {"current_bdiff", "current_bfile"} & set(entry.attrib)
    assert "-old secret\n+new secret\n" in tool.question(entry)
    assert tool.question(entry).endswith(f"\nInstall file {tmp_path}/f: (y/N) ")


def test_content_beyond_the_limit_is_not_read_for_the_report(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 2000)
    entries = f'<Path type="file" name="{tmp_path}/f" {MINE} mode="0644">y</Path>'
    tool = posix(entries, conf="[POSIX]\ndiff_size = 1k\n", folder=tmp_path)
    assert not tool.verify(only(tool))
    assert not {"current_bdiff", "current_bfile"} & set(only(tool).attrib)
    assert "too large to be shown" in tool.describe(only(tool))[-1]
    assert installed(tool)


def test_file_larger_than_the_limit_can_be_good(tmp_path: Path) -> None:
    entries = f'<Path type="file" name="{tmp_path}/f" {MINE} mode="0644">{"y" * 2000}</Path>'
    assert installed(posix(entries, conf="[POSIX]\ndiff_size = 1k\n", folder=tmp_path))


@pytest.mark.parametrize("kind", ["symlink", "fifo", "socket", "empty directory"])
def test_file_takes_the_place_of_something_else(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, other = tmp_path / "f", tmp_path / "other"
    other.write_text("x")
    if kind == "symlink":
        place.symlink_to(other)
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            monkeypatch.chdir(tmp_path)  # the path of a socket has to be short
            listener.bind("f")
    else:
        place.mkdir()
    tool = posix(f'<Path type="file" name="{place}" {MINE} mode="0644">x</Path>')
    assert not tool.verify(only(tool))
    assert installed(tool)
    assert stat.S_ISREG(place.lstat().st_mode)
    assert other.read_text() == "x"


def test_directory_with_content_is_not_replaced_by_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "f/inside").mkdir(parents=True)
    assert not installed(posix(f'<Path type="file" name="{tmp_path}/f" {MINE} mode="0644">x</Path>'))
    assert (tmp_path / "f/inside").is_dir()
    assert f"Path:file:{tmp_path}/f" in caplog.text and "a directory that is not empty is in its place" in caplog.text
    assert os.listdir(tmp_path) == ["f"]


def test_file_without_content_is_incomplete(tmp_path: Path) -> None:
    tool = posix(f'<Path type="file" name="{tmp_path}/f" {MINE} mode="0644"/>')
    assert tool.missing_attributes(only(tool)) == ['content (or empty="true")']


@pytest.mark.parametrize("text", ["%%%%", "YQ=a", "YQ"])
def test_undecodable_content_names_the_reason(text: str) -> None:
    tool = posix(f'<Path type="file" name="/f" {MINE} mode="0644" encoding="base64">{text}</Path>')
    with pytest.raises(InstallError, match="its content cannot be decoded"):
        tool.expected_state(only(tool))


def test_unknown_owner_is_bad_until_somebody_makes_him(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tool = posix(f'<Path type="file" name="{tmp_path}/f" owner="no-such-user" group="0" mode="0644">x</Path>')
    assert not installed(tool)
    assert "there is no user no-such-user" in caplog.text
    assert os.listdir(tmp_path) == []


@needs_root
def test_owner_is_set_and_setuid_survives(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "f").chmod(0o4755)
    assert installed(posix(f'<Path type="file" name="{tmp_path}/f" owner="12" group="34" mode="4755">x</Path>'))
    status = (tmp_path / "f").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12, 34, 0o4755)


@needs_root
def test_made_parents_belong_to_the_owner_of_the_entry(tmp_path: Path) -> None:
    assert installed(posix(f'<Path type="file" name="{tmp_path}/a/f" owner="12" group="34" mode="0600">x</Path>'))
    status = (tmp_path / "a").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12, 34, 0o755)


def test_other_user_than_root_sets_no_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata.os, "geteuid", lambda: 1234)
    tool = posix(f'<Path type="file" name="{tmp_path}/f" owner="12" group="34" mode="0600">x</Path>')
    assert tool.verify(only(tool)) is False
    assert tool.install([only(tool)]) == {only(tool): True}
    assert (tmp_path / "f").stat().st_uid == os.getuid()


def test_time_of_change_is_set_in_seconds(tmp_path: Path) -> None:
    tool = posix(f'<Path type="file" name="{tmp_path}/f" {MINE} mode="0600" mtime="1700000000">x</Path>')
    assert installed(tool)
    assert (tmp_path / "f").stat().st_mtime == 1700000000


def test_extended_attributes_survive_a_new_content(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    try:
        os.setxattr(path, "user.origin", b"here")
    except OSError as err:
        pytest.skip(f"this file system keeps no attributes: {err}")
    assert installed(posix(f'<Path type="file" name="{path}" {MINE} mode="0644">new</Path>'))
    assert os.getxattr(path, "user.origin") == b"here"


# directory and permissions


def test_directory_takes_the_place_of_a_link_but_not_of_its_target(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "d").symlink_to("real")
    assert installed(posix(f'<Path type="directory" name="{tmp_path}/d/" {MINE} mode="0755"/>'))
    assert (tmp_path / "d").is_dir() and not (tmp_path / "d").is_symlink() and (tmp_path / "real").is_dir()


def test_pruning_spares_entries_and_what_is_above_them(tmp_path: Path) -> None:
    top = tmp_path / "d"
    for name in ("wanted", "above/wanted", "above/other", "extra/deep/file"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("x")
    tool = posix(
        f'<Path type="directory" name="{top}/" {MINE} mode="0755" prune="true"/>'
        f'<Path type="file" name="{top}/wanted" {MINE} mode="0644">x</Path>'
        f'<Path type="file" name="{top}/above/wanted" {MINE} mode="0644">x</Path>'
    )
    directory = tool.entries[0]
    assert not tool.verify(directory)
    assert [child.get("name") for child in directory.findall("Prune")] == [f"{top}/extra"]
    assert installed(tool)
    assert sorted(os.listdir(top)) == ["above", "wanted"] and (top / "above/other").exists()


def test_pruning_removes_only_what_was_found_when_it_was_decided(tmp_path: Path) -> None:
    (tmp_path / "d/extra").mkdir(parents=True)
    tool = posix(f'<Path type="directory" name="{tmp_path}/d" {MINE} mode="0755" prune="true"/>')
    assert not tool.verify(only(tool))
    (tmp_path / "d/new").mkdir()
    tool.install([only(tool)])
    assert os.listdir(tmp_path / "d") == ["new"]


@pytest.mark.parametrize("kind", ["permissions", "directory"])
def test_recursion_neither_follows_links_nor_touches_their_modes(tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o600)
    (tmp_path / "d/sub").mkdir(parents=True)
    (tmp_path / "d/sub/file").write_text("x")
    (tmp_path / "d/link").symlink_to(outside)
    tool = posix(f'<Path type="{kind}" name="{tmp_path}/d" {MINE} mode="0750" recursive="true"/>')
    assert installed(tool)
    assert [mode(tmp_path / name) for name in ("d", "d/sub", "d/sub/file", "outside")] == [0o750, 0o750, 0o750, 0o600]


def test_permissions_of_nothing_cannot_be_installed(tmp_path: Path) -> None:
    tool = posix(f'<Path type="permissions" name="{tmp_path}/f" {MINE} mode="0750"/>')
    assert not installed(tool)
    assert only(tool).get("current_exists") == "false"
    assert os.listdir(tmp_path) == []


# links and devices


@pytest.mark.parametrize("obstacle", ["file", "tree", "other link", "nothing"])
def test_symlink_takes_the_place_of_anything(tmp_path: Path, obstacle: str) -> None:
    place = tmp_path / "l"
    if obstacle == "file":
        place.write_text("x")
    elif obstacle == "tree":
        (place / "sub").mkdir(parents=True)
        (place / "sub/file").write_text("x")
    elif obstacle == "other link":
        place.symlink_to("elsewhere")
    tool = posix(f'<Path type="symlink" name="{place}" to="nowhere/at/all"/>')
    assert not tool.verify(only(tool))
    assert only(tool).get("current_to") == ("elsewhere" if obstacle == "other link" else None)
    assert only(tool).get("current_exists") == ("false" if obstacle == "nothing" else None)
    assert installed(tool)
    assert os.readlink(place) == "nowhere/at/all"


def test_links_make_no_parents(tmp_path: Path) -> None:
    assert not installed(posix(f'<Path type="symlink" name="{tmp_path}/a/l" to="x"/>'))
    assert os.listdir(tmp_path) == []


def test_hardlink_is_the_same_file_and_no_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "l").symlink_to("f")
    tool = posix(f'<Path type="hardlink" name="{tmp_path}/l" to="{tmp_path}/f"/>')
    assert not tool.verify(only(tool))
    assert installed(tool)
    assert os.path.samestat((tmp_path / "l").lstat(), (tmp_path / "f").lstat())


def test_hardlink_to_nothing_leaves_what_is_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "l").write_text("x")
    assert not installed(posix(f'<Path type="hardlink" name="{tmp_path}/l" to="{tmp_path}/f"/>'))
    assert f"there is no {tmp_path}/f" in caplog.text
    assert (tmp_path / "l").read_text() == "x"


def test_fifo_takes_the_place_of_a_file_with_the_right_mode(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("x")
    (tmp_path / "p").chmod(0o600)
    assert installed(posix(f'<Path type="device" dev_type="fifo" name="{tmp_path}/p" {MINE} mode="0600"/>'))
    assert stat.S_ISFIFO((tmp_path / "p").stat().st_mode)


def test_device_needs_its_numbers(tmp_path: Path) -> None:
    tool = posix(f'<Path type="device" dev_type="char" name="{tmp_path}/p" {MINE} mode="0600"/>')
    assert tool.missing_attributes(only(tool)) == ["major", "minor"]


@needs_root
def test_device_with_other_numbers_is_made_anew(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "n", stat.S_IFCHR | 0o600, os.makedev(1, 7))
    except PermissionError as err:
        pytest.skip(f"no devices can be made here: {err}")
    entry = (
        f'<Path type="device" dev_type="char" major="1" minor="3" name="{tmp_path}/n" owner="0" group="0" mode="0666"/>'
    )
    assert installed(posix(entry))
    assert (tmp_path / "n").stat().st_rdev == os.makedev(1, 3)


# nonexistent


def test_nonexistent_removes_a_tree_only_if_told_so(tmp_path: Path) -> None:
    (tmp_path / "d/sub").mkdir(parents=True)
    assert not installed(posix(f'<Path type="nonexistent" name="{tmp_path}/d"/>'))
    assert (tmp_path / "d/sub").is_dir()
    assert installed(posix(f'<Path type="nonexistent" name="{tmp_path}/d" recursive="true"/>'))
    assert os.listdir(tmp_path) == []


def test_nonexistent_removes_no_tree_with_an_entry_in_it(tmp_path: Path) -> None:
    (tmp_path / "foo/sub").mkdir(parents=True)
    (tmp_path / "foobar").mkdir()
    inside = f'<Path type="directory" name="{tmp_path}/foo/sub" {MINE} mode="0755"/>'
    beside = f'<Path type="directory" name="{tmp_path}/foobar" {MINE} mode="0755"/>'
    gone = f'<Path type="nonexistent" name="{tmp_path}/foo" recursive="true"/>'
    assert not installed(posix(gone + inside))
    assert (tmp_path / "foo/sub").is_dir()
    assert installed(posix(gone + beside))
    assert os.listdir(tmp_path) == ["foobar"]


def test_nonexistent_removes_links_and_not_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("x")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/link").symlink_to(tmp_path / "kept")
    (tmp_path / "dangling").symlink_to("nowhere")
    entries = "".join(
        f'<Path type="nonexistent" name="{tmp_path}/{name}" recursive="true"/>' for name in ("d", "dangling")
    )
    assert installed(posix(entries))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "kept"]


# access control lists


ACL = '<ACL type="access" scope="user" user="12" perms="rx"/>'


def needs_acls(folder: Path) -> None:
    """Skip the test if the file system of FOLDER keeps no access control lists."""
    probe = folder / "probe"
    probe.write_text("")
    base: acl.Acl = {(acl.OWNER, None): 6, (acl.OWNING_GROUP, None): 4, (acl.OTHER, None): 0}
    try:
        os.setxattr(probe, "system.posix_acl_access", acl.dump(acl.with_mask({**base, (acl.USER, 12): 4})))
    except (OSError, AttributeError) as err:
        pytest.skip(f"no access control lists here: {err}")


def test_acl_is_set_and_taken_away_again(tmp_path: Path) -> None:
    needs_acls(tmp_path)
    with_acl = f'<Path type="file" name="{tmp_path}/f" {MINE} mode="0654">x{ACL}</Path>'
    assert installed(posix(with_acl))
    assert mode(tmp_path / "f") == 0o654
    assert "system.posix_acl_access" in os.listxattr(tmp_path / "f")
    assert installed(posix(f'<Path type="file" name="{tmp_path}/f" {MINE} mode="0654">x</Path>'))
    assert os.listxattr(tmp_path / "f") == []
    assert mode(tmp_path / "f") == 0o654


def test_default_acl_of_a_folder_does_not_stick_to_files_in_it(tmp_path: Path) -> None:
    needs_acls(tmp_path)
    base = "".join(f'<ACL type="default" scope="{scope}" perms="5"/>' for scope in ("user", "group", "other"))
    named = '<ACL type="default" scope="group" group="34" perms="r"/>'
    folder = f'<Path type="directory" name="{tmp_path}/d" {MINE} mode="0755">{base}{named}</Path>'
    file = f'<Path type="file" name="{tmp_path}/d/f" {MINE} mode="0640">x</Path>'
    assert installed(posix(folder + file))
    assert os.listxattr(tmp_path / "d/f") == []


def test_default_acl_without_its_base_is_refused_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    needs_acls(tmp_path)
    named = '<ACL type="default" scope="group" group="34" perms="r"/>'
    assert not installed(posix(f'<Path type="directory" name="{tmp_path}/d" {MINE} mode="0755">{named}</Path>'))
    assert "its default ACL needs an entry for user, group, other" in caplog.text


def test_acl_for_somebody_unknown_is_bad(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    unknown = '<ACL type="access" scope="user" user="no-such-user" perms="r"/>'
    assert not installed(posix(f'<Path type="file" name="{tmp_path}/f" {MINE} mode="0644">x{unknown}</Path>'))
    assert "there is no user no-such-user" in caplog.text


# labels


class FakePolicy:
    """A machine on which labels count, with a policy of its own."""

    enabled = True

    def default(self, path: str, kind: int) -> str | None:
        return "system_u:object_r:etc_t:s0" if path.startswith("/") else None


@pytest.mark.parametrize(
    ("wanted", "found", "differs"),
    [
        ("__default__", "system_u:object_r:etc_t:s0", False),
        ("__default__", "unconfined_u:object_r:etc_t:s0", False),
        ("__default__", "system_u:object_r:tmp_t:s0", True),
        ("system_u:object_r:shadow_t:s0", "system_u:object_r:etc_t:s0", True),
        ("system_u:object_r:shadow_t:s0", "system_u:object_r:nfs_t:s0", False),
        ("system_u:object_r:shadow_t:s0", None, True),
    ],
)
def test_type_of_a_label_counts_unless_the_file_system_has_none(wanted: str, found: str | None, differs: bool) -> None:
    keeper = metadata.MetadataKeeper(policy=FakePolicy(), unlabelled={"nfs_t"})  # type: ignore[arg-type]
    entry = only(posix(f'<Path type="file" name="/f" secontext="{wanted}">x</Path>'))
    label = keeper.wanted(entry, "/f", stat.S_IFREG)["secontext"]
    assert keeper.differs("secontext", label, found) is differs


# backups


def test_copies_are_kept_as_many_as_the_settings_say(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    (backups / "unrelated").write_text("")
    path = tmp_path / "f"
    prefix = str(path).replace("/", "_") + "_"
    (backups / f"{prefix}2020-01-01T00:00:00").write_text("ancient")
    conf = f"[client]\nparanoid = yes\n[paranoid]\npath = {backups}\nmax_copies = 2\n"
    for content in ("one", "two", "three"):
        path.write_text(content)
        path.chmod(0o600)
        entry = f'<Path type="file" name="{path}" {MINE} mode="0644" paranoid="true">wanted</Path>'
        assert installed(posix(entry, conf=conf, folder=tmp_path))
    copies = sorted(backups.glob(f"{prefix}*"))
    assert [copy.read_text() for copy in copies] == ["two", "three"]
    assert [mode(copy) for copy in copies] == [0o600, 0o600]
    assert (backups / "unrelated").exists()


def test_file_behind_a_link_is_copied(tmp_path: Path) -> None:
    for folder in ("backups", "d"):
        (tmp_path / folder).mkdir()
    (tmp_path / "target").write_text("old")
    (tmp_path / "d/link").symlink_to("../target")
    (tmp_path / "d/dangling").symlink_to("nowhere")
    entries = "".join(
        f'<Path type="file" name="{tmp_path}/d/{name}" {MINE} mode="0644" paranoid="true">new</Path>'
        for name in ("link", "dangling")
    )
    conf = f"[client]\nparanoid = yes\n[paranoid]\npath = {tmp_path}/backups\n"
    assert installed(posix(entries, conf=conf, folder=tmp_path))
    (of_dangling,) = (tmp_path / "backups").glob("*_d_dangling_*")
    (of_link,) = (tmp_path / "backups").glob("*_d_link_*")
    assert os.readlink(of_dangling) == "nowhere"
    assert of_link.read_text() == "old" and not of_link.is_symlink()
    assert (tmp_path / "target").read_text() == "old"


def test_entry_is_installed_without_a_copy_if_there_is_no_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "f").write_text("old")
    conf = f"[client]\nparanoid = yes\n[paranoid]\npath = {tmp_path}/nowhere\n"
    entry = f'<Path type="file" name="{tmp_path}/f" {MINE} mode="0644" paranoid="true">wanted</Path>'
    assert installed(posix(entry, conf=conf, folder=tmp_path))
    assert f"no copy could be made in {tmp_path}/nowhere" in caplog.text


# the root


def test_root_folder_can_be_looked_at_and_never_be_removed() -> None:
    status = os.stat("/")
    metadata = f'owner="{status.st_uid}" group="{status.st_gid}" mode="{stat.S_IMODE(status.st_mode):04o}"'
    tool = posix(f'<Path type="permissions" name="/" {metadata}/>')
    assert tool.verify(only(tool))
    assert Managed(["/"]).is_above_entry("/")  # which keeps it from being removed; nobody wants to see this tried
