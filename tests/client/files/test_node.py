"""One thing in a folder, looked at and changed without following links."""

import os
import stat
from pathlib import Path

import pytest

from bcfg2.client.files import Node, node, opened_folder


@pytest.fixture(params=["held", "by name"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The way of Linux, and that of systems that cannot hold a thing."""
    if request.param == "by name":
        monkeypatch.setattr(node, "_CAN_HOLD", False)
    elif not node._CAN_HOLD:
        pytest.skip("this system cannot hold things")
    return str(request.param)


def test_link_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("x")
    (tmp_path / "link").symlink_to("target")
    before = (tmp_path / "target").stat()
    with opened_folder(str(tmp_path)) as folder, Node(folder, "link") as link:
        assert link.kind == stat.S_IFLNK
        assert link.link_text() == "target"
        link.set_mode(0o600)
        link.set_owner(os.getuid(), os.getgid())
        link.set_mtime(1700000000)
    assert (tmp_path / "target").stat().st_ctime_ns == before.st_ctime_ns
    assert (tmp_path / "link").lstat().st_mtime == 1700000000


def test_file_is_read_and_dated(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x00content")
    with opened_folder(str(tmp_path)) as folder, Node(folder, "file") as file:
        assert file.read() == b"\x00content"
        file.set_mtime(1700000000.5)
    assert (tmp_path / "file").stat().st_mtime_ns == 1700000000_500_000_000


def test_folder_is_listed(tmp_path: Path) -> None:
    (tmp_path / "folder/inside").mkdir(parents=True)
    with opened_folder(str(tmp_path)) as top, Node(top, "folder") as folder:
        fd = folder.open_folder()
        try:
            assert os.listdir(fd) == ["inside"]
        finally:
            os.close(fd)


def test_fifo_is_looked_at_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with opened_folder(str(tmp_path)) as folder, Node(folder, "fifo") as fifo:
        assert fifo.kind == stat.S_IFIFO


def test_what_is_done_is_done_to_the_thing_that_was_looked_at(tmp_path: Path, way: str) -> None:
    if way != "held":
        pytest.skip("only where things can be held")
    (tmp_path / "file").write_text("first")
    with opened_folder(str(tmp_path)) as folder, Node(folder, "file") as file:
        os.rename(tmp_path / "file", tmp_path / "moved")
        (tmp_path / "file").write_text("second")
        file.set_mode(0o640)
        assert file.read() == b"first"
    assert stat.S_IMODE((tmp_path / "moved").stat().st_mode) == 0o640


def test_attribute_that_is_not_set_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with opened_folder(str(tmp_path)) as folder, Node(folder, "file") as file:
        assert file.attribute("user.none") is None
