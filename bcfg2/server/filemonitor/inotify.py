"""The monitor that hears of changes from the kernel (through the library watchdog)."""

import os
import stat
import threading
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

from bcfg2.options import Option, Options
from bcfg2.server.filemonitor.monitor import FileMonitor

try:
    from watchdog.events import (
        DirCreatedEvent,
        DirDeletedEvent,
        DirMovedEvent,
        FileClosedEvent,
        FileCreatedEvent,
        FileDeletedEvent,
        FileModifiedEvent,
        FileMovedEvent,
        FileSystemEvent,
        FileSystemEventHandler,
    )
    from watchdog.observers.inotify import InotifyObserver
except ImportError as err:
    raise ImportError(f"the file monitor inotify needs watchdog, install bcfg2[inotify] ({err})") from err

#: What is heard of: not the opening and reading of files, which we do ourselves.
_KINDS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]


class _Watch(NamedTuple):
    """The observer's watch of a folder, and which folder that was: another one may get its name."""

    handle: Any
    identity: tuple[int, int] | None


class Inotify(FileMonitor, FileSystemEventHandler):
    """Follows the whole repository with one recursive watch, and folders elsewhere with one watch each.

    The folder that the repository is in is watched as well, so that another repository put in its place is noticed.

    A monitored path depends on the folders that hold it, its symbolic links and their targets; a change in one of them
    is a change of the path.
    """

    __rmi__: ClassVar[list[str]] = [*FileMonitor.__rmi__, "list_watches", "list_paths"]
    options: ClassVar[list[Option]] = FileMonitor.options

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._repository: str = options.server_repository
        self._observer: Any = None  # made at the start: a thread made before a daemon's fork cannot be started after it
        self._watches: dict[str, _Watch] = {}  # by folder
        self._dependents: dict[str, frozenset[str]] = {}  # real path -> monitored paths that depend on it
        self._followed: dict[str, tuple[str, ...]] = {}  # the other way round
        # Held by those who watch more.  Not by on_any_event(): the observer calls it holding a lock that they need.
        self._guard = threading.RLock()

    def start(self) -> None:
        observer = InotifyObserver()
        observer.start()
        with self._guard:
            self._observer = observer
            for place in list(self._dependents):
                for folder in _folders_of(place):
                    self._watch(folder)

    def shutdown(self) -> None:
        super().shutdown()
        with self._guard:
            observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join(2)

    def follow(self, path: str, links: list[str]) -> None:
        places = tuple(dict.fromkeys(place for item in (path, *links) for place in _places_of(item)))
        folders = dict.fromkeys(folder for place in places for folder in _folders_of(place))
        with self._guard:
            known = self._followed.get(path, ())
            if not links and set(places) <= set(known) and all(map(self._covered, folders)):
                return
            self._followed[path] = places
            for place in places:
                self._dependents[place] = self._dependents.get(place, frozenset()) | {path}
            if self._observer is not None:
                for folder in folders:
                    self._watch(folder)
            for place in set(known).difference(places):
                left = self._dependents[place] - {path}
                if left:
                    self._dependents[place] = left
                else:
                    del self._dependents[place]

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog, in a thread of its own."""
        for where in (event.src_path, event.dest_path):
            if not where:
                continue
            path = os.fsdecode(where)
            if self._below_root(path):
                self.heard()
            if event.is_directory:
                self._forget_if_replaced(path)
            for monitored in self._concerned(path, event.is_directory):
                self.notice(monitored)

    def _concerned(self, path: str, is_directory: bool) -> frozenset[str]:
        """The monitored paths that a change of PATH may be a change of."""
        nothing: frozenset[str] = frozenset()
        concerned = self._dependents.get(os.path.dirname(path), nothing) | self._dependents.get(path, nothing)
        if is_directory:  # with all that is, or was, below it
            below = path + "/"
            concerned = concerned.union(*(p for d, p in list(self._dependents.items()) if d.startswith(below)))
        return concerned

    def list_watches(self) -> list[str]:
        """The folders that the kernel reports on, besides what lies below the repository."""
        with self._guard:
            return sorted(self._watches)

    def list_paths(self) -> list[str]:
        """The paths that plugins asked for."""
        with self._lock:
            return sorted(self._watched)

    def _root(self) -> str:
        return os.path.realpath(self._repository)

    def _below_root(self, path: str) -> bool:
        return f"{path}/".startswith(f"{self._root()}/")

    def _covered(self, folder: str) -> bool:
        return folder in self._watches or (self._root() in self._watches and self._below_root(folder))

    def _watch(self, folder: str) -> None:
        if self._covered(folder):
            return
        if not self._below_root(folder):
            self._schedule(folder, recursive=False)
            return
        root = self._root()
        if os.path.dirname(root) not in self._watches:
            self._schedule(os.path.dirname(root), recursive=False)
        self._schedule(root, recursive=True)

    def _schedule(self, folder: str, *, recursive: bool) -> None:
        identity = _identity(folder)
        try:
            handle = self._observer.schedule(self, folder, recursive=recursive, event_filter=_KINDS)
        except OSError as err:
            self.logger.error("Changes in %s will not be noticed: %s (see fs.inotify.max_user_watches)", folder, err)
        else:
            self._watches[folder] = _Watch(handle, identity)

    def _forget_if_replaced(self, folder: str) -> None:
        """If what was watched as FOLDER is gone: what has, or gets, its name is watched anew when it is looked at."""
        watch = self._watches.get(folder)
        if watch is not None and watch.identity != _identity(folder):
            del self._watches[folder]
            if self._observer is not None:
                self._observer.unschedule(watch.handle)


def _identity(folder: str) -> tuple[int, int] | None:
    """What tells FOLDER from another of its name; None if there is none."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _folders_of(place: str) -> Iterator[str]:
    """The folders that report what happens to PLACE, a real path, or in it."""
    if os.path.isdir(place):
        yield place
    if place != "/":
        yield os.path.dirname(place)


def _places_of(path: str) -> Iterator[str]:
    """The real paths on which PATH depends: each link on the way, and where it ends.

    Where PATH, or a folder that leads there, does not exist: what is missing.
    """
    for _ in range(40):  # as many links as the kernel follows
        real = "/"
        rest = [part for part in path.split("/") if part]
        while rest:
            step = os.path.join(real, rest[0])
            if os.path.islink(step):
                yield step
                target = os.path.join(real, os.readlink(step))
                path = os.path.normpath(os.path.join(target, *rest[1:]))
                break
            if not os.path.lexists(step):
                yield step
                return
            rest.pop(0)
            real = step
        else:
            yield real
            return
