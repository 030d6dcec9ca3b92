"""Files of the server's own: written whole or not at all, and by many threads together."""

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

import pytest

from bcfg2.server import storage
from bcfg2.server.filelock import file_lock
from bcfg2.server.filemonitor.monitor import IGNORED
from bcfg2.server.storage import SharedWriter, atomic_replace, atomic_write, remove_leftovers


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new"
    atomic_write(path, b"data")
    assert (path.read_bytes(), mode_of(path)) == (b"data", 0o600)


def test_an_existing_file_keeps_its_mode_unless_one_is_given(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_bytes(b"old")
    path.chmod(0o640)
    atomic_write(path, b"new")
    assert (path.read_bytes(), mode_of(path)) == (b"new", 0o640)
    atomic_write(path, b"newer", mode=0o604)
    assert mode_of(path) == 0o604


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_an_existing_file_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_bytes(b"old")
    os.chown(path, 12345, 23456)
    atomic_write(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to(target)
    atomic_write(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_who_has_the_old_file_open_goes_on_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as stream:
        atomic_write(path, b"new")
        assert stream.read() == b"old"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_and_folder_are_on_disk_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    synced: list[tuple[str, bytes | None]] = []
    fsync = os.fsync

    def watch(fd: int) -> None:
        target = Path(os.readlink(f"/proc/self/fd/{fd}"))
        synced.append((target.name, None if target.is_dir() else target.read_bytes()))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watch)
    atomic_write(path, b"data")
    (name, content), folder = synced
    assert name.startswith(".#file.")  # the temporary file, complete
    assert content == b"data"
    assert folder == (tmp_path.name, None)


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic_write(tmp_path / "none" / "file", b"data")


WRITER_THAT_NEVER_STOPS = """
import sys
from bcfg2.server.storage import atomic_write
number = 0
while True:
    number += 1
    atomic_write(sys.argv[1], b"%d\\n" % number * 20000)
    print(number, flush=True)
"""


# a file that people edit too


@pytest.fixture(params=[True, False], ids=["exchanged", "renamed"])
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A file in a file system that can, or cannot, let two files change places."""
    if not request.param:
        monkeypatch.setattr(storage, "exchange", lambda first, second: False)
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    return path


def test_a_known_file_is_replaced_and_keeps_its_mode(edited: Path) -> None:
    assert atomic_replace(edited, b"new", edited.stat())
    assert (edited.read_bytes(), mode_of(edited)) == (b"new", 0o640)
    assert os.listdir(edited.parent) == ["file"]


@pytest.mark.parametrize(
    "change", [lambda path: path.write_bytes(b"other"), lambda path: path.chmod(0o600), Path.unlink]
)
def test_a_file_that_was_changed_is_not_replaced(edited: Path, change: Callable[[Path], object]) -> None:
    known = edited.stat()
    change(edited)
    before = sorted((path.name, path.read_bytes()) for path in edited.parent.iterdir())
    assert not atomic_replace(edited, b"new", known)
    assert sorted((path.name, path.read_bytes()) for path in edited.parent.iterdir()) == before


def test_a_file_that_is_removed_at_the_last_moment_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    exchange = storage.exchange
    monkeypatch.setattr(storage, "exchange", lambda *paths: path.unlink() or exchange(*paths))
    assert not atomic_replace(path, b"new", path.stat())
    assert os.listdir(tmp_path) == []


def test_what_was_acknowledged_survives_a_kill_and_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for acknowledged in (1, 3, 10):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER_THAT_NEVER_STOPS, path], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with process.stdout:
            for _ in range(acknowledged):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            process.wait()
        lines = path.read_text().splitlines()
        assert len(lines) == 20000
        assert len(set(lines)) == 1
        assert int(lines[0]) >= acknowledged


WRITER_THAT_IS_KILLED = """
import os, signal, sys
from bcfg2.server.storage import atomic_write
os.rename = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
atomic_write(sys.argv[1], b"<Clients/>")
"""


def test_what_a_killed_writer_left_is_removed_when_it_is_old(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WRITER_THAT_IS_KILLED, tmp_path / "clients.xml"], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = os.listdir(tmp_path)
    assert any(fnmatch(left, pattern) for pattern in IGNORED)
    foreign = [tmp_path / name for name in (".#clients.xml", "clients.xml.bcfg2-new", ".#x.12345678")]
    for path in foreign:
        path.touch()
        os.utime(path, (1, 1))
    assert remove_leftovers(tmp_path) == []  # somebody may be writing it
    os.utime(tmp_path / left, (1, 1))
    assert remove_leftovers(tmp_path) == [str(tmp_path / left)]
    assert sorted(os.listdir(tmp_path)) == sorted(path.name for path in foreign)


# SharedWriter


class Recorder:
    """A slow disk: writes take until `go_on` is set; `batches` are what was written."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def write(self, changes: list[str]) -> None:
        self.begun.set()
        assert self.go_on.wait(10)
        self.batches.append(list(changes))
        if "bad" in changes:
            raise OSError("disk full")


def wait_for_pending(writer: SharedWriter[str], count: int) -> None:
    """Return when COUNT changes wait for the next write."""
    for _ in range(10_000):
        if len(writer._pending.changes) == count:
            return
        threading.Event().wait(0.001)
    raise AssertionError(f"{len(writer._pending.changes)} changes are waiting, not {count}")


def test_those_who_come_during_a_write_share_the_next_one() -> None:
    recorder = Recorder()
    writer = SharedWriter(recorder.write)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(writer.submit, "first")
        assert recorder.begun.wait(10)
        later = []
        for number, change in enumerate(["b", "c", "d"], 1):
            later.append(pool.submit(writer.submit, change))
            wait_for_pending(writer, number)
        assert not first.done()
        recorder.go_on.set()
        for submission in [first, *later]:
            assert submission.result(10) is None
    assert recorder.batches == [["first"], ["b", "c", "d"]]


def test_an_error_is_raised_for_each_change_of_its_write_and_for_no_other() -> None:
    recorder = Recorder()
    writer = SharedWriter(recorder.write)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(writer.submit, "first")
        assert recorder.begun.wait(10)
        together = []
        for number, change in enumerate(["good", "bad"], 1):
            together.append(pool.submit(writer.submit, change))
            wait_for_pending(writer, number)
        recorder.go_on.set()
        assert first.exception(10) is None
        assert [str(submission.exception(10)) for submission in together] == ["disk full", "disk full"]
    writer.submit("later")
    assert recorder.batches[-1] == ["later"]


def test_nothing_returns_before_it_is_written_and_nothing_is_written_twice() -> None:
    written: list[int] = []
    writer: SharedWriter[int] = SharedWriter(written.extend)

    def work(number: int) -> None:
        for change in range(number * 1000, number * 1000 + 200):
            writer.submit(change)
            assert change in written[-2000:]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(written) == sorted(number * 1000 + change for number in range(8) for change in range(200))
    for number in range(8):  # each thread's changes in the order of their submission
        own = [change for change in written if change // 1000 == number]
        assert own == sorted(own)


def test_nothing_is_written_while_the_repository_is_only_looked_at(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / ".#x.abc.bcfg2-new").touch()
    os.utime(tmp_path / ".#x.abc.bcfg2-new", (1, 1))

    def state() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    before = state()
    known = (tmp_path / "there").stat()
    attempts: list[Callable[[], object]] = [
        lambda: atomic_write(tmp_path / "there", b"new"),
        lambda: atomic_replace(tmp_path / "there", b"new", known),
        lambda: storage.make_file(tmp_path / "folder" / "new"),
        lambda: file_lock(str(tmp_path / "there")).__enter__(),
    ]
    with storage.read_only():
        with storage.read_only():
            pass
        for attempt in attempts:
            with pytest.raises(OSError, match="only looked at"):
                attempt()
        storage.make_file(tmp_path / "there")
        assert remove_leftovers(tmp_path) == []
    assert state() == before
    atomic_write(tmp_path / "there", b"new")
    assert (tmp_path / "there").read_bytes() == b"new"
