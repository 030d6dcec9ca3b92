"""Running a program that is given data, for a limited time and with limited output."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

#: Bytes that are kept of each output; the rest is read and dropped.
MAX_OUTPUT = 16384

_PIECE = 65536
#: Seconds after which a silent program is looked at: it may have ended, leaving children that hold its pipes open.
_TICK = 0.2


class OutOfTime(Exception):
    """The program did not end in time and was killed."""


class Finished(NamedTuple):
    """How a program ended: its exit status (negative: the signal), and the beginning of what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes


def run(argv: Sequence[str], stdin: bytes, seconds: float) -> Finished:
    """Run ARGV with STDIN as its input, which it need not read.

    Raises :exc:`OSError` if it cannot be started, and after SECONDS, when it is killed with its whole process group,
    :exc:`OutOfTime`.
    """
    deadline = time.monotonic() + seconds
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = _converse(process, stdin, deadline)
            status = process.wait(max(0.0, deadline - time.monotonic()))
        except (OutOfTime, subprocess.TimeoutExpired):
            raise OutOfTime(f"no result within {seconds:g} seconds") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return Finished(status, stdout, stderr)


def _converse(process: subprocess.Popen[bytes], data: bytes, deadline: float) -> tuple[bytes, bytes]:
    """Give DATA to the program and take what it writes, until it has closed its pipes or has ended."""
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    stdout, stderr = bytearray(), bytearray()
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as selector:
        # the data of each pipe: what to do when it is ready, which tells whether it stays open
        selector.register(process.stdin, selectors.EVENT_WRITE, _Giver(process.stdin.fileno(), data).give)
        selector.register(process.stdout, selectors.EVENT_READ, _taker(process.stdout.fileno(), stdout))
        selector.register(process.stderr, selectors.EVENT_READ, _taker(process.stderr.fileno(), stderr))
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise OutOfTime
            ready = selector.select(min(left, _TICK))
            if not ready and process.poll() is not None:
                break
            for key, _ in ready:
                if not key.data():
                    selector.unregister(key.fileobj)
                    if key.fileobj is process.stdin:
                        process.stdin.close()
    return bytes(stdout), bytes(stderr)


class _Giver:
    """Writes data to a pipe piece by piece."""

    def __init__(self, fd: int, data: bytes) -> None:
        self._fd = fd
        self._left = memoryview(data)

    def give(self) -> bool:
        """Write what the pipe takes now; return whether there is more."""
        try:
            self._left = self._left[os.write(self._fd, self._left[:_PIECE]) :]
        except BrokenPipeError:
            return False
        return bool(self._left)


def _taker(fd: int, into: bytearray) -> Callable[[], bool]:
    """A function that reads from a pipe, keeps the beginning and returns whether there may be more."""

    def take() -> bool:
        piece = os.read(fd, _PIECE)
        into.extend(piece[: MAX_OUTPUT - len(into)])
        return bool(piece)

    return take
