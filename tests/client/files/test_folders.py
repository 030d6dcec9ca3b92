"""Walking a path that others own parts of."""

import os
from pathlib import Path

import pytest

from bcfg2.client.files import UnsafePath, opened_folder

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links of other users")


def is_at(path: Path, wanted: Path) -> bool:
    with opened_folder(str(path)) as folder:
        return os.path.samestat(os.fstat(folder), wanted.stat())


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_own_links_are_followed_wherever_they_lead(tmp_path: Path) -> None:
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "relative").symlink_to("real/../real")
    (tmp_path / "absolute").symlink_to(tmp_path / "relative")
    (tmp_path / "up").symlink_to("real/sub/../../../" + tmp_path.name)
    assert is_at(tmp_path / "relative/sub", tmp_path / "real/sub")
    assert is_at(tmp_path / "absolute/sub", tmp_path / "real/sub")
    assert is_at(tmp_path / "up", tmp_path)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=f"{tmp_path}/a"), opened_folder(f"{tmp_path}/a"):
        pass


def test_file_on_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file is not a folder"), opened_folder(f"{tmp_path}/file/sub"):
        pass


@pytest.mark.parametrize("name", ["missing/sub", "file/sub", "circle"])
def test_nothing_stays_open_after_a_failure(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "circle").symlink_to("circle")
    before = open_descriptors()
    with pytest.raises(OSError), opened_folder(f"{tmp_path}/{name}"):
        pass
    assert open_descriptors() == before


def test_relative_path_is_refused() -> None:
    with pytest.raises(OSError, match="does not begin with a slash"), opened_folder("tmp"):
        pass


@needs_root
def test_link_of_somebody_else_leads_only_to_his_own_folders(tmp_path: Path) -> None:
    his, mine = tmp_path / "his", tmp_path / "mine"
    his.mkdir()
    mine.mkdir()
    os.chown(his, 1234, 1234)
    for target in (his, mine):
        link = tmp_path / f"to-{target.name}"
        link.symlink_to(target)
        os.lchown(link, 1234, 1234)
    assert is_at(tmp_path / "to-his", his)
    with pytest.raises(UnsafePath, match="a link of the user 1234"), opened_folder(f"{tmp_path}/to-mine"):
        pass


@needs_root
def test_nothing_is_made_behind_a_link_of_somebody_else(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "made/deep")
    os.lchown(link, 1234, 1234)
    made: list[str] = []

    def make(folder: int, name: str) -> None:
        made.append(name)
        os.mkdir(name, dir_fd=folder)

    with pytest.raises(FileNotFoundError), opened_folder(f"{link}/sub", make):
        pass
    assert made == []
    with opened_folder(f"{tmp_path}/own/sub", make):
        assert made == ["own", "sub"]
