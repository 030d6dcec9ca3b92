"""Locks for making a file once."""

import os
import signal
import threading
from multiprocessing import get_context
from pathlib import Path

import pytest

from bcfg2.server.filelock import file_lock
from bcfg2.server.filemonitor.monitor import IGNORED
from tests.support import await_condition

FORK = get_context("fork")


def make_once(path: Path, made: Path) -> None:
    """Make PATH if it is not there, and note in MADE who did."""
    with file_lock(str(path)):
        if not path.exists():
            with made.open("a") as stream:
                stream.write(f"{os.getpid()}\n")
            path.write_text("done")


def test_one_of_many_threads_and_processes_makes_the_file(tmp_path: Path) -> None:
    path, made = tmp_path / "key", tmp_path / "made"

    def many_threads() -> None:
        threads = [threading.Thread(target=make_once, args=(path, made)) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    processes = [FORK.Process(target=many_threads) for _ in range(4)]
    for process in processes:
        process.start()
    many_threads()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert len(made.read_text().split()) == 1
    assert sorted(os.listdir(tmp_path)) == ["key", "made"]


def hold(path: Path, held: Path) -> None:
    with file_lock(str(path)):
        held.touch()
        signal.pause()


def test_the_lock_of_a_process_that_is_killed_is_free(tmp_path: Path) -> None:
    path, held = tmp_path / "key", tmp_path / "held"
    process = FORK.Process(target=hold, args=(path, held))
    process.start()
    await_condition(held.exists)
    process.kill()
    process.join(20)
    make_once(path, tmp_path / "made")
    assert path.exists()


def test_locks_of_different_files_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with file_lock(str(tmp_path / "one")), file_lock(str(tmp_path / "other")):
        assert len(os.listdir(tmp_path)) == 2


def test_the_file_monitor_passes_over_the_lock(tmp_path: Path) -> None:
    with file_lock(str(tmp_path / "one")):
        (name,) = os.listdir(tmp_path)
    assert any(Path(name).match(pattern) for pattern in IGNORED)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), file_lock(str(tmp_path / "nowhere" / "one")):
        pass
