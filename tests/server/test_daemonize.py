"""The pid file: whose it is, and when it is taken over."""

import os
import subprocess
import sys

import pytest

from bcfg2.server import daemonize
from bcfg2.server.daemonize import DaemonError, break_stale_lock


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("content", ["", "no number\n", "dead", "own"])
def test_a_pid_file_of_no_other_living_process_is_removed(tmp_path, content):
    """A container starts the server under the same number again and again, so our own number may be an old one."""
    path = tmp_path / "server.pid"
    number = {"dead": ended_process(), "own": os.getpid()}.get(content)
    path.write_text(content if number is None else f"{number}\n")
    break_stale_lock(str(path))
    assert not path.exists()


def test_a_pid_file_of_a_living_process_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(daemonize, "PID_FILE_PATIENCE", 0.2)
    path = tmp_path / "server.pid"
    path.write_text(f"{os.getppid()}\n")
    with pytest.raises(DaemonError, match=f"process {os.getppid()} is running"):
        break_stale_lock(str(path))
    assert path.read_text() == f"{os.getppid()}\n"


def test_without_a_pid_file_there_is_nothing_to_do(tmp_path):
    break_stale_lock(str(tmp_path / "server.pid"))
