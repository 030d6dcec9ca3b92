"""What ``bcfg2-admin backup`` puts into an archive."""

import os
import re
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bcfg2 import bcfg2_admin
from bcfg2.server.admin import backup as module
from tests.support import write_files

FILES = {"Metadata/clients.xml": "<Clients/>\n", "Cfg/etc/motd/motd": "hello\n", "20200101.tar.gz": "mine\n"}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    write_files(tmp_path / "repo", FILES)
    (tmp_path / "bcfg2.conf").write_text(f"[server]\nrepository = {tmp_path / 'repo'}\n")
    return tmp_path / "repo"


@pytest.fixture
def backup(repo: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``bcfg2-admin backup WORDS``: (exit status, standard output, standard error)."""

    def run(*words: str) -> tuple[int, str, str]:
        status = bcfg2_admin.main(["-C", str(repo.parent / "bcfg2.conf"), "backup", *words])
        return status, *capsys.readouterr()

    return run


def content(path: Path) -> dict[str, str | None]:
    """Name -> text of the members of the archive PATH; None for those that are no files."""
    with tarfile.open(path, "r:gz") as tar:
        found = {}
        for member in tar.getmembers():
            stream = tar.extractfile(member) if member.isfile() else None
            found[member.name] = stream.read().decode() if stream else None
        return found


WHOLE = {
    **dict.fromkeys(("repo", "repo/Metadata", "repo/Cfg", "repo/Cfg/etc", "repo/Cfg/etc/motd")),
    **{f"repo/{name}": text for name, text in FILES.items()},
}


def test_the_archive_is_in_the_repository_and_only_its_owner_may_read_it(backup: Run, repo: Path) -> None:
    status, output, errors = backup()
    assert (status, errors) == (0, "")
    told = re.fullmatch(rf"Archive ([0-9]{{14}}\.tar\.gz) was stored under {re.escape(str(repo))}\n", output)
    assert told
    assert (repo / told[1]).stat().st_mode & 0o7777 == 0o600
    assert content(repo / told[1]) == WHOLE


def test_earlier_archives_and_unfinished_files_are_left_out(backup: Run, repo: Path) -> None:
    (repo / "20251231235959.tar.gz").write_text("earlier")
    (repo / "Metadata/.#clients.xml.abc.bcfg2-new").write_text("unfinished")
    target = repo / "backup.tgz"
    for _ in range(2):
        assert backup("-o", str(target)) == (0, f"Archive backup.tgz was stored under {repo}\n", "")
        assert content(target) == WHOLE


def test_links_are_kept_but_a_link_to_the_repository_is_followed(backup: Run, repo: Path, tmp_path: Path) -> None:
    (tmp_path / "repo").rename(tmp_path / "elsewhere")
    repo.symlink_to("elsewhere")
    (repo / "Cfg/link").symlink_to("/etc")
    target = tmp_path / "out.tar.gz"
    assert backup("-o", str(target))[0] == 0
    assert content(target) == {**WHOLE, "repo/Cfg/link": None}
    with tarfile.open(target) as tar:
        assert tar.getmember("repo/Cfg/link").linkname == "/etc"


def test_a_file_that_vanishes_meanwhile_is_left_out_and_named(
    backup: Run, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_paths", lambda root: [root, root / "gone", root / "20200101.tar.gz"])
    status, _, errors = backup("-o", str(tmp_path / "out.tgz"))
    assert (status, errors) == (0, f"{repo}/gone vanished while the archive was made\n")
    assert list(content(tmp_path / "out.tgz")) == ["repo", "repo/20200101.tar.gz"]


def test_a_failure_leaves_no_archive_behind(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(os.listdir(repo))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        module.archive(repo, repo / "20260131000000.tar.gz")
    assert sorted(os.listdir(repo)) == before


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-Q", "/nonexistent"], "the repository /nonexistent does not exist"),
        (["-o", "/nonexistent/a.tgz"], "/nonexistent is no folder"),
    ],
)
def test_a_folder_that_does_not_exist_is_named(backup: Run, words: list[str], line: str) -> None:
    status, output, errors = backup(*words)
    assert (status, output, errors.count("\n")) == (1, "", 1)
    assert line in errors


def test_a_database_that_is_in_use_is_archived_whole(backup: Run, repo: Path, tmp_path: Path) -> None:
    (repo / "etc").mkdir()
    connection = sqlite3.connect(repo / "etc/probes.sqlite")
    connection.execute("PRAGMA journal_mode=WAL")
    with connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (1)")  # which is in the log so far
    os.chmod(repo / "etc/probes.sqlite", 0o640)
    assert (repo / "etc/probes.sqlite-wal").exists()
    (repo / "etc/other.sqlite").write_text("no database")
    status, _, errors = backup("-o", str(tmp_path / "archive.tgz"))
    connection.close()
    assert status == 0
    assert "other.sqlite is archived as it stands" in errors
    with tarfile.open(tmp_path / "archive.tgz") as tar:
        assert [name for name in tar.getnames() if name.startswith("repo/etc/")] == [
            "repo/etc/other.sqlite",
            "repo/etc/probes.sqlite",
        ]
        tar.extractall(tmp_path / "restored", filter="data")
    restored = tmp_path / "restored/repo/etc"
    assert (restored / "other.sqlite").read_text() == "no database"
    assert (restored / "probes.sqlite").stat().st_mode & 0o7777 == 0o640
    copy = sqlite3.connect(restored / "probes.sqlite")
    assert copy.execute("SELECT x FROM t").fetchall() == [(1,)]
    copy.close()
