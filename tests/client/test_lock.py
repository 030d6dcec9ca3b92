"""One agent at a time."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bcfg2.client.errors import FatalError
from bcfg2.client.lock import locked

#: What holds the lock file in its argument until its input ends.
HOLD = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bcfg2.run"


def test_the_file_is_there_while_the_lock_is_held_and_gone_afterwards(path: Path) -> None:
    with locked(str(path)):
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


def test_the_lock_of_another_process_ends_the_run(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdin
        other.stdout.readline()
        with pytest.raises(FatalError, match="-O"), locked(str(path)):
            pass
        other.stdin.close()
    with locked(str(path)):
        pass


def test_a_link_in_the_place_of_the_file_is_not_followed(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.symlink_to(victim)
    with locked(str(path)):
        pass
    assert victim.read_text() == "precious"
    assert path.is_symlink()
    assert str(path) in caplog.text


def test_an_existing_file_is_not_emptied(path: Path) -> None:
    path.write_text("1234\n")
    with locked(str(path)):
        assert path.read_text() == "1234\n"


def test_a_fifo_does_not_block_the_run(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(path)
    with locked(str(path)):
        pass
    assert "no regular file" in caplog.text


def test_a_file_that_cannot_be_made_is_an_error_line_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with locked(str(tmp_path / "missing" / "lock")):
        done = True
    assert done
    assert "cannot be used as lock file" in caplog.text


def test_a_file_that_was_replaced_while_it_was_locked_does_not_count(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another agent, which held the lock, removes the file between our opening and locking it."""
    real, calls = fcntl.lockf, []

    def remove_first(descriptor: int, operation: int) -> None:
        if not calls:
            path.unlink()
        calls.append(descriptor)
        real(descriptor, operation)

    monkeypatch.setattr("bcfg2.client.lock.fcntl.lockf", remove_first)
    with locked(str(path)):
        assert path.exists()
    assert len(calls) == 2
