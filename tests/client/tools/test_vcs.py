"""VCS: working copies of Git and Subversion."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from bcfg2.client.tools.base import InstallError
from bcfg2.client.tools.vcs import VCS, commit_of
from tests.client.support import context

LISTING = "1111\trefs/heads/old/v1\n2222\trefs/tags/v1\n3333\trefs/tags/v1^{}\n4444\trefs/heads/v1\n5555\tHEAD\n"
IDENTITY = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com",
}


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program}")


def sh(folder: Path, command: str) -> str:
    done = subprocess.run(
        ["/bin/sh", "-ec", command], cwd=folder, env=os.environ | IDENTITY, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A repository with two commits, the first tagged ``v1``, and the branch ``main``."""
    need("git")
    folder = tmp_path / "origin"
    folder.mkdir()
    sh(folder, "git init -q -b main; echo one > file; echo gone > early; ln -s file link; git add -A; git commit -qm 1")
    sh(folder, "git tag -am t v1; echo two > file; git rm -q early; git add -A; git commit -qm 2")
    return folder


def tool(place: Path, url: Path | str, revision: str, kind: str = "git") -> VCS:
    entry = f'<Path type="vcs" name="{place}" vcstype="{kind}" sourceurl="{url}" revision="{revision}"/>'
    return VCS(context(f'<Bundle name="b">{entry}</Bundle>'))


def install(made: VCS) -> None:
    (entry,) = made.entries
    assert not made.verify(entry)
    assert made.install([entry]) == {entry: True}
    assert made.verify(entry)


def test_a_branch_a_tag_and_a_commit_are_checked_out(origin: Path, tmp_path: Path) -> None:
    first = sh(origin, "git rev-parse v1^{commit}")
    for revision, text in (("v1", "one"), ("main", "two"), (first, "one")):
        place = tmp_path / "srv" / "app"
        install(tool(place, origin, revision))
        assert (place / "file").read_text() == f"{text}\n"
        assert (place / "early").exists() == (text == "one")
    assert os.readlink(place / "link") == "file"
    assert [path.name for path in place.parent.iterdir()] == ["app"]


def test_a_branch_that_has_moved_is_noticed(origin: Path, tmp_path: Path) -> None:
    made = tool(tmp_path / "app", origin, "main")
    install(made)
    sh(origin, "git commit -q --allow-empty -m 3")
    assert not made.verify(made.entries[0])


def test_whatever_the_umask_is_files_can_be_read(origin: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        install(tool(tmp_path / "app", origin, "main"))
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("app", "app/file")] == [0o755, 0o644]


def test_what_is_there_stays_when_nothing_can_be_fetched(
    origin: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "app"
    place.mkdir()
    (place / "precious").write_text("x")
    made = tool(place, tmp_path / "nosuch", "0" * 40)
    (entry,) = made.entries
    assert not made.verify(entry)
    assert made.install([entry]) == {entry: False}
    assert (place / "precious").exists()
    assert "git fetch" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app", "origin"]


def test_a_link_at_the_place_is_replaced_and_its_target_left_alone(origin: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "file").write_text("precious")
    (tmp_path / "app").symlink_to("victim")
    install(tool(tmp_path / "app", origin, "main"))
    assert (tmp_path / "victim" / "file").read_text() == "precious"
    assert not (tmp_path / "app").is_symlink()


def test_a_folder_inside_another_repository_is_none_itself(origin: Path) -> None:
    made = tool(origin / "sub", origin, "main")
    (origin / "sub").mkdir()
    assert made.actual_state(made.entries[0]) is None


def test_a_revision_that_does_not_exist_cannot_be_verified(origin: Path, tmp_path: Path) -> None:
    made = tool(tmp_path / "app", origin, "nosuch")
    with pytest.raises(InstallError, match="no branch or tag nosuch"):
        made.verify(made.entries[0])


def test_hooks_that_somebody_put_there_are_not_run(origin: Path, tmp_path: Path) -> None:
    templates = tmp_path / "templates" / "hooks"
    templates.mkdir(parents=True)
    (templates / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/run\n")
    (templates / "post-checkout").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_TEMPLATE_DIR", str(templates.parent))
        install(tool(tmp_path / "app", origin, "main"))
    assert not (tmp_path / "run").exists()


def test_an_unknown_kind_is_named(tmp_path: Path) -> None:
    made = tool(tmp_path / "app", "x", "1", kind="cvs")
    with pytest.raises(InstallError, match="no vcstype cvs"):
        made.verify(made.entries[0])


def test_subversion_is_checked_out_and_followed(tmp_path: Path) -> None:
    need("svn")
    url = f"file://{tmp_path}/repository"
    sh(tmp_path, f"svnadmin create repository; svn mkdir -q -m 1 {url}/trunk")
    install(tool(tmp_path / "app", f"{url}/trunk", "1", kind="svn"))
    sh(tmp_path, f"svn mkdir -q -m 2 {url}/trunk/later")
    made = tool(tmp_path / "app", f"{url}/trunk", "latest", kind="svn")
    install(made)
    assert (tmp_path / "app" / "later").is_dir()


@pytest.mark.parametrize(
    ("name", "commit"),
    [
        ("v1", "3333"),
        ("heads/v1", "4444"),
        ("refs/heads/v1", "4444"),
        ("old/v1", "1111"),
        ("HEAD", "5555"),
        ("1", None),
    ],
)
def test_names_of_commits_are_looked_up_as_git_does(name: str, commit: str | None) -> None:
    assert commit_of(name, LISTING) == commit
