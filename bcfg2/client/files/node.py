"""One thing in a folder, held by a descriptor: what is learnt about it and done to it is about the same thing."""

import errno
import os
import stat
from typing import Any, Self

#: Whether a thing of any kind can be held without opening it (Linux).
_CAN_HOLD = hasattr(os, "O_PATH")

#: What a file system says that keeps no attributes of that kind, and what it says of an attribute that is not set.
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)
_UNSET = (errno.ENODATA,)


class Node:
    """The file, folder, link or device NAME in the folder that is open as FOLDER; a context manager that lets it go.

    FD, if given, is a descriptor of it, which stays the caller's.  Raises :exc:`FileNotFoundError` if there is nothing.
    Nothing here follows a link.  On systems that cannot hold things, each action looks up the name in the folder anew.
    """

    def __init__(self, folder: int, name: str, fd: int | None = None) -> None:
        self._folder = folder
        self._name = name
        self._own: int | None = None
        self._where: dict[str, Any] = {}
        if not _CAN_HOLD:
            self.status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            self._path = name
            self._where = {"dir_fd": folder, "follow_symlinks": False}
            return
        if fd is None:
            fd = self._own = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder)
        #: The way to the thing that is held, whatever is now at its place.
        self._path = f"/proc/self/fd/{fd}"
        self.status = os.fstat(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._own is not None:
            os.close(self._own)
            self._own = None

    @property
    def kind(self) -> int:
        """What it is, as :func:`stat.S_IFMT` tells."""
        return stat.S_IFMT(self.status.st_mode)

    @property
    def may_be_smuggled(self) -> bool:
        """Whether it is a file with several names that somebody may have linked here to have it changed.

        He can, where he may write to the folder and the system does not protect the files of others from being linked.
        """
        if self.kind != stat.S_IFREG or self.status.st_nlink < 2:
            return False
        folder = os.fstat(self._folder)
        is_his = folder.st_uid not in (0, os.geteuid(), self.status.st_uid)
        return is_his or bool(folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH))

    def read(self) -> bytes:
        """The content of a regular file."""
        with open(self._open(os.O_RDONLY), "rb", buffering=0) as stream:
            return stream.readall()

    def link_text(self) -> str:
        """Where a symbolic link leads."""
        if self._own is not None:
            return os.readlink("", dir_fd=self._own)
        return os.readlink(self._name, dir_fd=self._folder)

    def open_folder(self) -> int:
        """A new descriptor of a folder, with which it can be listed."""
        return self._open(os.O_RDONLY | os.O_DIRECTORY)

    def _open(self, flags: int) -> int:
        if _CAN_HOLD:
            return os.open(self._path, flags | os.O_NONBLOCK)
        return os.open(self._name, flags | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=self._folder)

    def set_owner(self, uid: int, gid: int) -> None:
        """Give it to a user and a group; -1 leaves the one that it has."""
        os.chown(self._path, uid, gid, **self._where)

    def set_mode(self, mode: int) -> None:
        """Set the permissions; those of a link mean nothing and are left alone."""
        if self.kind != stat.S_IFLNK:
            os.chmod(self._path, mode, **self._where)

    def set_mtime(self, seconds: float) -> None:
        """Set the time of the last change."""
        os.utime(self._path, ns=(self.status.st_atime_ns, round(seconds * 1_000_000_000)), **self._where)

    # Extended attributes.  They are Linux's; elsewhere there are none.

    def attribute(self, name: str) -> bytes | None:
        """The extended attribute NAME; None if it is not set or the file system has none."""
        if not _CAN_HOLD:
            return None
        try:
            return os.getxattr(self._path, name)
        except OSError as err:
            if err.errno in (*_UNSET, *_UNSUPPORTED):
                return None
            raise

    def set_attribute(self, name: str, value: bytes | None) -> None:
        """Set the extended attribute NAME, or take it away; :exc:`OSError` if the file system has none."""
        if not _CAN_HOLD:
            raise OSError(errno.ENOTSUP, f"this system has no attribute {name}", self._name)
        if value is not None:
            os.setxattr(self._path, name, value)
            return
        try:
            os.removexattr(self._path, name)
        except OSError as err:
            if err.errno not in _UNSET:
                raise

    def attribute_names(self) -> list[str]:
        """The names of its extended attributes."""
        if not _CAN_HOLD:
            return []
        try:
            return os.listxattr(self._path)
        except OSError as err:
            if err.errno in _UNSUPPORTED:
                return []
            raise


def unsupported(err: OSError) -> bool:
    """Whether ERR says that the file system cannot keep that kind of attribute."""
    return err.errno in _UNSUPPORTED
