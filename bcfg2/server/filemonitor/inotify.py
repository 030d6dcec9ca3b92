"""The monitor that hears of changes from the kernel (through the library watchdog)."""

import os
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

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


class Inotify(FileMonitor, FileSystemEventHandler):
    """Follows the whole repository with one recursive watch, and folders elsewhere with one watch each.

    A monitored path depends on the folders that hold it, its symbolic links and their targets; a change in one of them
    is a change of the path.
    """

    __rmi__: ClassVar[list[str]] = [*FileMonitor.__rmi__, "list_watches", "list_paths"]
    options: ClassVar[list[Option]] = FileMonitor.options

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._repository: str = options.server_repository
        self._observer = InotifyObserver()
        self._started = False
        self._watches: dict[str, Any] = {}  # folder -> the observer's watch
        self._dependents: dict[str, set[str]] = {}  # folder -> monitored paths
        self._followed: dict[str, tuple[str, ...]] = {}  # monitored path -> folders
        self._guard = threading.RLock()

    def start(self) -> None:
        self._observer.start()
        with self._guard:
            self._started = True
            for folder in list(self._dependents):
                self._watch(folder)

    def shutdown(self) -> None:
        super().shutdown()
        if self._started:
            self._started = False
            self._observer.stop()
            self._observer.join(2)

    def follow(self, path: str, links: list[str]) -> None:
        folders = tuple(dict.fromkeys(folder for item in (path, *links) for folder in _folders_of(item)))
        with self._guard:
            known = self._followed.get(path, ())
            if not links and set(folders) <= set(known) and all(map(self._covered, folders)):
                return
            for folder in known:
                self._dependents[folder].discard(path)
            self._followed[path] = folders
            for folder in folders:
                self._dependents.setdefault(folder, set()).add(path)
                if self._started:
                    self._watch(folder)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog, in a thread of its own."""
        self.heard()
        for where in (event.src_path, event.dest_path):
            if not where:
                continue
            path = os.fsdecode(where)
            if event.is_directory and path in self._watches and not os.path.isdir(path):
                self._forget(path)
            with self._guard:
                concerned = self._dependents.get(os.path.dirname(path), set()) | self._dependents.get(path, set())
                if event.is_directory:  # with all that is, or was, below it
                    below = path + "/"
                    concerned = concerned.union(*(p for f, p in self._dependents.items() if f.startswith(below)))
            for monitored in concerned:
                self.notice(monitored)

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

    def _covered(self, folder: str) -> bool:
        if folder in self._watches:
            return True
        root = self._root()
        return root in self._watches and f"{folder}/".startswith(f"{root}/")

    def _watch(self, folder: str) -> None:
        if self._covered(folder):
            return
        root = self._root()
        recursive = f"{folder}/".startswith(f"{root}/")
        target = root if recursive else folder
        try:
            self._watches[target] = self._observer.schedule(self, target, recursive=recursive, event_filter=_KINDS)
        except OSError as err:
            self.logger.error("Changes in %s will not be noticed: %s (see fs.inotify.max_user_watches)", target, err)

    def _forget(self, folder: str) -> None:
        """FOLDER is gone: it is watched anew when it is back."""
        with self._guard:
            watch = self._watches.pop(folder, None)
        if watch is not None:
            self._observer.unschedule(watch)


def _folders_of(path: str) -> Iterator[str]:
    """The real folders in which a change may concern PATH: those of each link on the way, and where it ends.

    Where PATH, or a folder that leads there, does not exist: the nearest folder that does.
    """
    for _ in range(40):  # as many links as the kernel follows
        real = "/"
        rest = [part for part in path.split("/") if part]
        while rest:
            step = os.path.join(real, rest[0])
            if os.path.islink(step):
                yield real
                target = os.path.join(real, os.readlink(step))
                path = os.path.normpath(os.path.join(target, *rest[1:]))
                break
            if not os.path.lexists(step):
                yield real
                return
            rest.pop(0)
            real = step
        else:
            yield real if os.path.isdir(real) else os.path.dirname(real)
            if real != "/":
                yield os.path.dirname(real)
            return
