"""Letting two files change places in one step, so that the one who replaces a file sees which one was replaced."""

import ctypes
import errno
import os

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})

_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def exchange(first: str, second: str) -> bool:
    """Let the files FIRST and SECOND change places; False where the system or the file system cannot do that.

    Raises :exc:`OSError`, for example if there is no such file.
    """
    if _renameat2 is None:
        return False
    if _renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), first, None, second)
