"""One agent at a time: the lock file.

The file is opened without following links and without emptying it, because its folder may be anybody's.  It is removed
while it is still locked; whoever has opened it before that finds after locking that it is not the file of that name any
more, and tries again.
"""

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bcfg2.client.errors import FatalError

logger = logging.getLogger("bcfg2.client")

#: How often a lock file is opened that others keep removing.
_TRIES = 100


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock file PATH.

    :exc:`FatalError` if another process holds it.  A file that cannot be made is an error in the log, no more.
    """
    try:
        descriptor = _acquire(path)
    except OSError as err:
        logger.error("%s: cannot be used as lock file: %s; another agent may run at the same time", path, err.strerror)
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(path)
        os.close(descriptor)


def _acquire(path: str) -> int:
    """A descriptor of the file PATH, locked."""
    for _ in range(_TRIES):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            _lock(descriptor, path)
            if _is_file(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise OSError(errno.EAGAIN, "it is removed again and again")


def _lock(descriptor: int, path: str) -> None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise FatalError(f"Another instance of bcfg2 holds the lock {path}; -O runs nevertheless") from None


def _is_file(descriptor: int, path: str) -> bool:
    """Whether DESCRIPTOR is the file that has the name PATH now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
