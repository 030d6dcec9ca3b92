"""Running programs: input, output, time."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from bcfg2 import command
from bcfg2.command import MAX_OUTPUT, OutOfTime, TooMuchOutput, run


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_program_gets_the_data_and_its_output_and_status_are_told() -> None:
    code = "from sys import *; stdout.buffer.write(stdin.buffer.read()[::-1]); stderr.write('e'); exit(3)"
    assert run(python(code), b"abc\0\xff", 10) == (3, b"\xff\0cba", b"e")


def test_more_than_a_pipe_holds_goes_both_ways() -> None:
    data = os.urandom(1_000_000)
    status, stdout, _ = run(["sh", "-c", "tee /dev/stderr | tail -c 10"], data, 20)
    assert (status, stdout) == (0, data[-10:])


def test_a_program_need_not_read_its_input() -> None:
    assert run(["true"], b"x" * 1_000_000, 10).status == 0
    assert run(["false"], b"", 10).status == 1


def test_a_program_that_closes_its_outputs_still_gets_all_input() -> None:
    code = "import os, sys; os.close(1); os.close(2); sys.exit(len(sys.stdin.buffer.read()) != 1_000_000)"
    assert run(python(code), b"x" * 1_000_000, 20).status == 0


def test_endless_output_is_cut() -> None:
    _, stdout, _ = run(["sh", "-c", "yes | head -c 3000000"], b"", 20)
    assert stdout == b"y\n" * (MAX_OUTPUT // 2)


def test_a_death_by_signal_is_told() -> None:
    assert run(["sh", "-c", "kill -9 $$"], b"", 10).status == -signal.SIGKILL


def test_a_program_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        run([str(tmp_path / "missing")], b"", 10)


@pytest.mark.parametrize("script", ["sleep 60", "exec >&- 2>&-; sleep 60", "yes >/dev/null", "trap '' TERM; sleep 60"])
def test_after_its_time_a_program_is_killed(script: str) -> None:
    begun = time.monotonic()
    with pytest.raises(OutOfTime, match=r"within 0\.5 seconds"):
        run(["sh", "-c", script], b"x" * 1_000_000, 0.5)
    assert time.monotonic() - begun < 10


def test_what_it_has_started_is_killed_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(OutOfTime):
        run(["sh", "-c", f"sleep 60 & echo $! > {pid_file}; wait"], b"", 1)
    child = Path("/proc") / pid_file.read_text().strip() / "stat"
    deadline = time.monotonic() + 10
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline


def test_children_that_hold_the_output_open_do_not_delay_the_result() -> None:
    begun = time.monotonic()
    assert run(["sh", "-c", "sleep 8 & echo done"], b"x" * 1_000_000, 20)[:2] == (0, b"done\n")
    assert time.monotonic() - begun < 5


def test_a_program_that_is_just_being_written_is_waited_for(tmp_path: Path) -> None:
    program = tmp_path / "t"
    program.write_text("#!/bin/sh\nexit 5\n")
    program.chmod(0o755)
    writer = program.open("a")
    threading.Timer(0.3, writer.close).start()
    assert run([str(program)], None, 10).status == 5


def test_a_program_that_stays_open_for_writing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_BUSY_FOR", 0.2)
    program = tmp_path / "t"
    program.write_text("#!/bin/sh\nexit 5\n")
    program.chmod(0o755)
    with program.open("a"), pytest.raises(OSError, match="Text file busy"):
        run([str(program)], None, 10)


@pytest.mark.parametrize("stream", [1, 2])
def test_where_all_output_is_wanted_too_much_of_it_kills_the_program(stream: int) -> None:
    begun = time.monotonic()
    with pytest.raises(TooMuchOutput, match="more than 1000 bytes"):
        run(["sh", "-c", f"head -c 1001 /dev/zero >&{stream}; exec sleep 20"], None, 20, 1000, whole=True)
    assert time.monotonic() - begun < 8
    assert len(run(["sh", "-c", f"head -c 1000 /dev/zero >&{stream}"], None, 20, 1000, whole=True)[stream]) == 1000
