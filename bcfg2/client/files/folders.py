"""Opening a folder step by step, so that nobody who owns a part of the path can lead the walk astray."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import TypeAlias

#: Makes the folder NAME in the folder that is open as FOLDER.
MakeFolder: TypeAlias = Callable[[int, str], None]

#: Looking at a folder, as far as possible without the right to read it.
FOLDER_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW

_MAX_LINKS = 40


class UnsafePath(OSError):
    """A link in a path belongs to somebody who could make it lead anywhere."""


@contextlib.contextmanager
def opened_folder(path: str, make: MakeFolder | None = None) -> Iterator[int]:
    """A descriptor of the folder PATH (absolute), for the time of the context.

    MAKE is called for each folder that is missing.  Links of root and of this process's user are followed.  One that
    belongs to somebody else is followed only to a folder of the same owner, where he could change everything anyway;
    otherwise :exc:`UnsafePath`.  Raises :exc:`OSError` with the path of the step that failed.
    """
    walk = _Walk(path, make)
    try:
        yield walk.folder()
    finally:
        walk.close()


class _Walk:
    """The walk along one path.

    `_way`: descriptors of the folders from the root to where the walk is, so that ``..`` in a link leads back to where
    it came from, even if that was moved meanwhile.  `_left`: the steps that are left, the next one last; a number is
    no step but the user to whom the folder reached by then has to belong.
    """

    def __init__(self, path: str, make: MakeFolder | None) -> None:
        if not path.startswith("/"):
            raise OSError(errno.EINVAL, "the path does not begin with a slash", path)
        self._path = path
        self._make = make
        self._way = [os.open("/", FOLDER_FLAGS)]
        self._left: list[str | int] = []
        self._links = 0
        self._add(path)

    def close(self) -> None:
        while self._way:
            os.close(self._way.pop())

    def folder(self) -> int:
        """Go to the end; the folder there."""
        while self._left:
            step = self._left.pop()
            if isinstance(step, int):
                self._check_owner(step)
            elif step == "..":
                self._back()
            else:
                self._go(step)
        return self._way[-1]

    def _add(self, path: str) -> None:
        self._left.extend(step for step in reversed(path.split("/")) if step not in ("", "."))

    def _back(self) -> None:
        if len(self._way) > 1:
            os.close(self._way.pop())

    def _go(self, name: str) -> None:
        try:
            self._way.append(self._opened(name))
        except NotADirectoryError:
            self._follow(name)
        except OSError as err:
            if err.errno != errno.ELOOP:  # what some systems say of a link
                raise self._failed(err) from None
            self._follow(name)

    def _opened(self, name: str) -> int:
        here = self._way[-1]
        try:
            return os.open(name, FOLDER_FLAGS, dir_fd=here)
        except FileNotFoundError:
            if self._make is None or self._on_strange_ground:
                raise
        # A folder that somebody else has made at the same time is as good.
        with contextlib.suppress(FileExistsError):
            self._make(here, name)
        return os.open(name, FOLDER_FLAGS, dir_fd=here)

    @property
    def _on_strange_ground(self) -> bool:
        """Whether the walk follows a link of somebody else, whose end is still to be looked at."""
        return any(isinstance(step, int) for step in self._left)

    def _follow(self, name: str) -> None:
        """Put the steps of the link NAME in front of those that are left."""
        try:
            target, owner = _link(self._way[-1], name)
        except OSError:
            raise NotADirectoryError(errno.ENOTDIR, f"{name} is not a folder", self._path) from None
        self._links += 1
        if self._links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._path)
        if owner not in (0, os.geteuid()):
            self._left.append(owner)
        if target.startswith("/"):
            while len(self._way) > 1:
                self._back()
        self._add(target)

    def _check_owner(self, owner: int) -> None:
        if os.fstat(self._way[-1]).st_uid != owner:
            raise UnsafePath(
                errno.EPERM, f"a link of the user {owner} in it leads to a folder of somebody else", self._path
            )

    def _failed(self, err: OSError) -> OSError:
        return OSError(err.errno, err.strerror, self._path)


def _link(folder: int, name: str) -> tuple[str, int]:
    """Target and owner of the link NAME in FOLDER, taken from one and the same link; :exc:`OSError` if it is none."""
    if not hasattr(os, "O_PATH"):
        return os.readlink(name, dir_fd=folder), os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder)
    try:
        return os.readlink("", dir_fd=fd), os.fstat(fd).st_uid
    finally:
        os.close(fd)
