"""Running a program for a limited time and with limited output."""

import errno
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

#: Bytes that are kept of each output; the rest is read and dropped.
MAX_OUTPUT = 16384

_PIECE = 65536
#: Seconds after which a silent program is looked at: it may have ended, leaving children that hold its pipes open.
_TICK = 0.2
#: Seconds for which a program that somebody is just writing is tried again, and between two tries.
_BUSY_FOR, _BUSY_TICK = 5.0, 0.05


class Killed(Exception):
    """The program was killed; `stdout` and `stderr` hold the beginning of what it had written."""

    def __init__(self, text: str, stdout: bytes = b"", stderr: bytes = b"") -> None:
        super().__init__(text)
        self.stdout = stdout
        self.stderr = stderr


class OutOfTime(Killed):
    """The program did not end in time and was killed."""


class TooMuchOutput(Killed):
    """The program wrote more than it may and was killed."""


class Finished(NamedTuple):
    """How a program ended: its exit status (negative: the signal), and the beginning of what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def how(self) -> str:
        """The status in words."""
        return f"exit status {self.status}" if self.status >= 0 else f"killed by signal {-self.status}"


def run(
    argv: Sequence[str],
    stdin: bytes | None,
    seconds: float | None,
    max_output: int = MAX_OUTPUT,
    *,
    whole: bool = False,
    folder: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run ARGV with STDIN (None: nothing) as its input, which it need not read.

    FOLDER is its working directory and ENVIRONMENT its environment, both this process's by default.

    A program that somebody is just writing is waited for, for a moment.

    Of each output MAX_OUTPUT bytes are kept.  Raises :exc:`OSError` if the program cannot be started, :exc:`OutOfTime`
    after SECONDS (None: never), and with WHOLE :exc:`TooMuchOutput` if it writes more than is kept; then it is killed
    with its whole process group.
    """
    deadline = float("inf") if seconds is None else time.monotonic() + seconds

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            cwd=folder,
            env=environment,
        )

    with _started(start, deadline) as process:
        assert process.stdout is not None and process.stderr is not None
        stdout = _Taker(process.stdout.fileno(), max_output, whole)
        stderr = _Taker(process.stderr.fileno(), max_output, whole)
        try:
            _converse(process, stdin, deadline, stdout, stderr)
            status = process.wait(None if seconds is None else max(0.0, deadline - time.monotonic()))
        except (OutOfTime, subprocess.TimeoutExpired):
            text = f"no result within {seconds:g} seconds"
            raise OutOfTime(text, bytes(stdout.kept), bytes(stderr.kept)) from None
        except TooMuchOutput as err:
            raise TooMuchOutput(str(err), bytes(stdout.kept), bytes(stderr.kept)) from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return Finished(status, bytes(stdout.kept), bytes(stderr.kept))


def _started(start: Callable[[], subprocess.Popen[bytes]], deadline: float) -> subprocess.Popen[bytes]:
    """What START makes of a program, which somebody may be writing just now."""
    give_up = min(deadline, time.monotonic() + _BUSY_FOR)
    while True:
        try:
            return start()
        except OSError as err:
            if err.errno != errno.ETXTBSY or time.monotonic() > give_up:
                raise
        time.sleep(_BUSY_TICK)


def _converse(
    process: subprocess.Popen[bytes], data: bytes | None, deadline: float, stdout: "_Taker", stderr: "_Taker"
) -> None:
    """Give DATA to the program and have what it writes taken, until it has closed its pipes or has ended."""
    with selectors.DefaultSelector() as selector:
        # the data of each pipe: what to do when it is ready, which tells whether it stays open
        if process.stdin is not None and data is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, _Giver(process.stdin.fileno(), data).give)
        for taker in (stdout, stderr):
            selector.register(taker.fd, selectors.EVENT_READ, taker.take)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise OutOfTime("")
            ready = selector.select(min(left, _TICK))
            if not ready and process.poll() is not None:
                break
            for key, _ in ready:
                if not key.data():
                    selector.unregister(key.fileobj)
                    if process.stdin is not None and key.fileobj is process.stdin:
                        process.stdin.close()


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


class _Taker:
    """Reads from a pipe and keeps the beginning; with WHOLE, more than MAXIMUM is :exc:`TooMuchOutput`."""

    def __init__(self, fd: int, maximum: int, whole: bool) -> None:
        self.fd = fd
        self._maximum = maximum
        self._whole = whole
        self.kept = bytearray()

    def take(self) -> bool:
        """Read what is there; return whether there may be more."""
        piece = os.read(self.fd, _PIECE)
        room = self._maximum - len(self.kept)
        self.kept.extend(piece[:room])
        if self._whole and len(piece) > room:
            raise TooMuchOutput(f"more than {self._maximum} bytes of output")
        return bool(piece)
