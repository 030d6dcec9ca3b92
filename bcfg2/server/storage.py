"""Files that the server itself writes: whole or not at all, and shared by those who write at the same time."""

import contextlib
import errno
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from bcfg2.server.exchange import exchange
from bcfg2.server.metrics import Gauge

T = TypeVar("T")

#: The changes of all shared writers that are not yet durable.
PENDING = Gauge("bcfg2_pending_writes", "Changes by clients that are being written to the repository, or wait for it.")


#: What the names of unfinished files begin and end with; the file monitor passes over them, as over those of editors.
_PREFIX, _SUFFIX = ".#", ".bcfg2-new"

#: How many are inside of :func:`read_only`.
_looking = 0

#: Seconds after which an unfinished file is one that nobody is going to finish.
_ABANDONED_AFTER = 60.0


@contextlib.contextmanager
def read_only() -> Iterator[None]:
    """For tools that look at a repository and change nothing: inside of this the process cannot write it.

    What is missing is not begun, and whoever writes a file through this module gets an :exc:`OSError`.
    """
    global _looking
    _looking += 1
    try:
        yield
    finally:
        _looking -= 1


def is_read_only() -> bool:
    """Whether this process is inside of :func:`read_only`."""
    return _looking > 0


def refuse_if_read_only(path: str | os.PathLike[str]) -> None:
    """:exc:`OSError` if this process may not write PATH."""
    if is_read_only():
        raise OSError(errno.EROFS, "not written, the repository is only looked at", os.fspath(path))


def atomic_write(path: str | os.PathLike[str], data: bytes, *, mode: int | None = None) -> None:
    """Put DATA in the place of the file PATH so that it survives a crash right after the return.

    A symbolic link is followed: its target is replaced.  An existing file keeps its mode and its owner; a new one gets
    MODE, by default 0600.  Raises :exc:`OSError`; then PATH is what it was.
    """
    target = os.path.realpath(path)
    with _unfinished(target, data, mode) as (temporary, _fd):
        os.rename(temporary, target)
    _sync_folder(os.path.dirname(target))


def atomic_replace(path: str | os.PathLike[str], data: bytes, known: os.stat_result) -> os.stat_result | None:
    """Like :func:`atomic_write`, but only if PATH is still as it was KNOWN to be; None if somebody else changed it.

    Returns the status of the new file.  For files that people edit too: one that somebody saves at the last moment
    comes out when the new one goes in, and is put back.  What is still lost: what an editor that has opened the old
    file writes into that same file after it was replaced; and where files cannot change places (see :mod:`.exchange`),
    what is saved between a look at the file and its replacement.
    """
    target = os.path.realpath(path)
    with _unfinished(target, data, None) as (temporary, fd):
        if not _is_still(target, known):
            return None
        try:
            if not exchange(temporary, target):
                os.rename(temporary, target)
            elif not _came_out(temporary, target, _content(known), _content(os.fstat(fd))):
                return None
        except FileNotFoundError:  # somebody has just removed it
            return None
        status = os.fstat(fd)
    _sync_folder(os.path.dirname(target))
    return status


def _is_still(path: str, known: os.stat_result) -> bool:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    return status.st_ctime_ns == known.st_ctime_ns and _content(status) == _content(known)


def _content(status: os.stat_result) -> tuple[int, int, int, int]:
    """What tells one state of a file's content from another, under whatever name."""
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _came_out(temporary: str, target: str, expected: object, put_in: object) -> bool:
    """Whether TEMPORARY, which has changed places with TARGET, is now the file of which EXPECTED is the content.

    If it is another one, somebody has saved TARGET meanwhile: that goes back to its place, and if then something else
    than the PUT_IN comes out, so does that.
    """
    replaced = True
    while (came_out := _content(os.stat(temporary))) != expected:
        replaced = False
        exchange(temporary, target)
        expected, put_in = put_in, came_out
    return replaced


@contextlib.contextmanager
def _unfinished(target: str, data: bytes, mode: int | None) -> Iterator[tuple[str, int]]:
    """Path and descriptor of a file with DATA, on disk and with mode and owner of TARGET; at the end it is gone."""
    fd, temporary = create_unfinished(*os.path.split(target))
    try:
        with os.fdopen(fd, "wb") as stream:
            _take_over(target, fd, mode)
            stream.write(data)
            stream.flush()
            os.fsync(fd)
            yield temporary, fd
    finally:
        with contextlib.suppress(FileNotFoundError):  # it has got its name
            os.unlink(temporary)


def create_unfinished(folder: str | os.PathLike[str], name: str) -> tuple[int, str]:
    """(file descriptor, path) of a new file with the mode 0600 in FOLDER, to be renamed to NAME when it is done.

    Raises :exc:`OSError`.
    """
    refuse_if_read_only(os.path.join(folder, name))
    return tempfile.mkstemp(prefix=f"{_PREFIX}{name}.", suffix=_SUFFIX, dir=folder)


def unfinished_name(path: str, kind: str) -> str:
    """A path beside PATH, with the word KIND in its name, which nobody takes for a file of the repository."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f"{_PREFIX}{name}.{kind}{_SUFFIX}")


def is_unfinished(name: str) -> bool:
    """Whether a file of this NAME comes from :func:`create_unfinished` or :func:`unfinished_name`."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


def make_file(path: str | os.PathLike[str]) -> None:
    """Make the empty file PATH, and its folder, if it is missing, readable by nobody else.

    If root makes it, it belongs to the owner of the folder, who is the one that the server runs as; a folder that has
    to be made, to the owner of the one above it.  Raises :exc:`OSError`.
    """
    if not os.path.lexists(path):
        refuse_if_read_only(path)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        os.makedirs(folder, exist_ok=True)
        _give_to_owner_of(os.path.dirname(folder), folder)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    try:
        _give_to_owner_of(folder, fd)
    finally:
        os.close(fd)
    _sync_folder(folder)


def _give_to_owner_of(folder: str, target: str | int) -> None:
    if os.geteuid() == 0:
        status = os.stat(folder)
        os.chown(target, status.st_uid, status.st_gid)


def remove_leftovers(folder: str | os.PathLike[str]) -> list[str]:
    """Remove the unfinished files in FOLDER that :func:`atomic_write` left when its process was killed; their paths.

    A younger one may be somebody's who is just writing, and stays.  Raises :exc:`OSError`.
    """
    removed: list[str] = []
    if is_read_only():
        return removed
    newest = time.time() - _ABANDONED_AFTER
    with os.scandir(folder) as listing:
        for entry in listing:
            if not is_unfinished(entry.name):
                continue
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and status.st_mtime < newest:
                    os.unlink(entry.path)
                    removed.append(entry.path)
    return removed


def _take_over(target: str, fd: int, mode: int | None) -> None:
    """Give the open file FD the mode and, as far as it is allowed, the owner of TARGET."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        os.fchmod(fd, 0o600 if mode is None else mode)
        return
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        with contextlib.suppress(PermissionError):
            os.fchown(fd, status.st_uid, status.st_gid)
    os.fchmod(fd, status.st_mode & 0o7777 if mode is None else mode)


def _sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class SharedWriter(Generic[T]):
    """Lets many threads share one write.

    WRITE takes a list of changes, in the order of their submission, and makes them durable together.  Whoever submits
    while a write is under way joins the next one:

    .. code-block:: text

        thread A   submit(a) -> write([a]) ......... done
        thread B        submit(b) -> waits ......... write([b, c]) ... done
        thread C           submit(c) -> waits ....................... done
    """

    def __init__(self, write: Callable[[list[T]], None]) -> None:
        self._write = write
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._pending: _Batch[T] = _Batch()

    def submit(self, change: T) -> None:
        """Return when CHANGE is durable; raise what WRITE raised for the batch that it was in."""
        with self._guard:
            batch = self._pending
            batch.changes.append(change)
            is_first = len(batch.changes) == 1
        PENDING.add()
        try:
            if is_first:
                self._write_batch(batch)
            else:
                batch.done.wait()
        finally:
            PENDING.add(amount=-1)
        if batch.error is not None:
            raise batch.error

    def _write_batch(self, batch: "_Batch[T]") -> None:
        """Write BATCH when its turn has come; until then others join it."""
        with self._turn:
            with self._guard:
                self._pending = _Batch()
            try:
                self._write(batch.changes)
            except Exception as err:  # noqa: BLE001 - each thread of the batch raises it
                batch.error = err
            finally:
                batch.done.set()


class _Batch(Generic[T]):
    """Changes that are written together, and how that went."""

    def __init__(self) -> None:
        self.changes: list[T] = []
        self.done = threading.Event()
        self.error: Exception | None = None
