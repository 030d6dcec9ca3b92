"""An editor on a private copy of an encrypted file.

The copy in plain text lies in a folder that only the user can look into, in memory if the system offers that.  The
folder goes when the editor has ended, whatever happens.  One that was left because the command was killed is removed
when the command is started the next time: as long as a command is at work, it holds a lock on its folder.
"""

import contextlib
import fcntl
import logging
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from bcfg2.server.crypt.keys import CryptError

logger = logging.getLogger("bcfg2.crypt")

_PREFIX = "bcfg2-crypt-"
#: File systems in memory, which leave nothing on a disk.
_IN_MEMORY = ("/run/user/{uid}", "/dev/shm")


def edited(name: str, plaintext: bytes, use: Callable[[bytes], None], stdin: TextIO, stderr: TextIO) -> bool:
    """Have the user edit PLAINTEXT in a file called NAME, and call USE with the new content; whether there is one.

    If USE raises CryptError, the user is asked on STDERR and STDIN whether to edit again; without a terminal, or with
    another answer, the error stands and the new content is gone.
    """
    with _private_folder() as folder:
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(plaintext)
        while True:
            _run_editor(path)
            content = path.read_bytes()
            if content == plaintext:
                return False
            try:
                use(content)
            except CryptError as err:
                if not _again(err, stdin, stderr):
                    raise
            else:
                return True


def remove_leftovers() -> None:
    """Remove the folders of commands of this user that were killed."""
    for base in _bases():
        for folder in base.glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):  # it belongs to another user, or to a command that is at work
                lock = _lock(folder, fcntl.LOCK_NB)
                try:
                    shutil.rmtree(folder)
                    logger.warning("Removed %s, which a killed command had left", folder)
                finally:
                    os.close(lock)


def _run_editor(path: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    before = signal.signal(signal.SIGINT, lambda *_: None)  # a Ctrl-C is meant for the editor
    try:
        status = subprocess.run([*shlex.split(editor), str(path)], check=False).returncode
    except (OSError, ValueError) as err:
        raise CryptError(f"cannot run the editor {editor} (of $VISUAL or $EDITOR): {err}") from None
    finally:
        signal.signal(signal.SIGINT, before)
    if status:
        raise CryptError(f"the editor {editor} failed (exit status {status}), nothing is changed")


def _again(error: CryptError, stdin: TextIO, stderr: TextIO) -> bool:
    if not stdin.isatty():
        return False
    stderr.write(f"{error}\nEdit again? Otherwise what you have written is lost. [Y/n] ")
    stderr.flush()
    answer = stdin.readline()
    return bool(answer) and not answer.strip().lower().startswith("n")


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A new folder for this user only, removed at the end, also when the process is told to terminate."""
    with _terminating_tidily():
        folder, lock = _new_folder(_bases()[0])
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _new_folder(base: Path) -> tuple[Path, int]:
    """A new folder in BASE, and its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        try:
            return folder, _lock(folder)
        except FileNotFoundError:  # in between, another command took it for a leftover
            continue


def _lock(folder: Path, flags: int = 0) -> int:
    """A descriptor that holds the lock of FOLDER; :exc:`OSError` if it is not to be had, or not this user's folder."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | flags)
        status = os.stat(folder, follow_symlinks=False)
        if status.st_uid != os.geteuid() or status.st_ino != os.fstat(fd).st_ino:
            raise FileNotFoundError(folder)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _bases() -> list[Path]:
    """Where private folders may be, the best first."""
    candidates = [*(place.format(uid=os.geteuid()) for place in _IN_MEMORY), tempfile.gettempdir()]
    return [Path(place) for place in candidates if os.access(place, os.W_OK | os.X_OK)]


@contextmanager
def _terminating_tidily() -> Iterator[None]:
    """Have the signals that end a process raise SystemExit."""

    def leave(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
