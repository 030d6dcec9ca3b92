"""Locks for making a file once: among the threads of all processes that use one repository."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from bcfg2.server.storage import refuse_if_read_only, unfinished_name


@contextmanager
def file_lock(path: str) -> Iterator[None]:
    """Hold the lock for making the file PATH, whose folder must be there; wait while somebody else holds it.

    The system takes the lock from a process that dies.  May not be nested for one PATH.  Raises :exc:`OSError`.
    """
    refuse_if_read_only(path)
    name = unfinished_name(path, "lock")
    fd = _acquired(name)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        fcntl.flock(fd, fcntl.LOCK_UN)  # closing would not do if a child process has inherited the descriptor
        os.close(fd)


def _acquired(name: str) -> int:
    """The descriptor of the lock file NAME, locked."""
    while True:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if _is_at(fd, name):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _is_at(fd: int, name: str) -> bool:
    """Whether the open file FD is the one called NAME: its last holder may have removed it while we waited."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(name))
    except FileNotFoundError:
        return False
