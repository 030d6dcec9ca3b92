"""What all file monitors have in common: owners of paths, comparing, and the handling of batches."""

import errno
import fnmatch
import hashlib
import importlib
import itertools
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, NamedTuple

from bcfg2.log import Debuggable
from bcfg2.options import FloatOption, ListOption, Option, Options
from bcfg2.server.metrics import Counter
from bcfg2.server.versioned import Versioned, assigned, before_publish, follow, writing

IGNORED = ["*~", "*#", ".#*", "*.swp", "*.swpx", ".*.swx", "SCCS", ".svn", "4913", ".gitignore"]

_DIRECTORY = "directory"

#: What the system answers where there is nothing, as opposed to something that cannot be looked at just now.
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})

#: How long a file on a file system that counts whole seconds, maybe in twos, may keep its times although it is written
#: again.  Others have a finer clock than what :meth:`FileMonitor.wait` waits.
_COARSE_TICK_NS = 2_000_000_000


class Event(NamedTuple):
    """A change of a monitored path, or of something directly inside of a monitored folder.

    `requestID`: what :meth:`FileMonitor.AddMonitor` returned.  `filename`: the full path for the monitored path itself,
    else the bare name.  `action`: ``exists`` (at registration), ``endExist`` (the end of these), ``created``,
    ``changed`` or ``deleted``.
    """

    requestID: int
    filename: str
    action: str

    def code2str(self) -> str:
        """The action."""
        return self.action

    def __str__(self) -> str:
        return f"Event: {self.filename} {self.action}"


class _Watched:
    """A path, who asked for it, and what was there when it was last looked at.

    `state` tells one state of a file from another and is None where there is nothing; of a folder, `names` has the
    state of everything in it.
    """

    __slots__ = ("names", "owners", "state")

    def __init__(self) -> None:
        self.owners: dict[int, Any] = {}
        self.state: Any = None
        self.names: dict[str, Any] = {}


class _Own(threading.local):
    """How many of the batches that are in force this thread has made by :meth:`FileMonitor.announce`."""

    batches = 0


class FileMonitor(Debuggable):
    """Tells owners of paths what is there, and what changes.

    A subclass that hears of changes overrides :meth:`start`, :meth:`shutdown` and :meth:`follow`, and calls
    :meth:`notice`.  Any number of objects may ask for one path.
    """

    __rmi__: ClassVar[list[str]] = [*Debuggable.__rmi__, "list_event_handlers"]

    options: ClassVar[list[Option]] = [
        ListOption(
            "server", "ignore_files", default=IGNORED, help="Names and paths (globs) that the server passes over"
        ),
        FloatOption(
            "server", "settle_time", default=0.2, help="Seconds without further changes before changes on disk are read"
        ),
        FloatOption(
            "server", "settle_limit", default=5.0, help="Seconds after which changes are read even if more keep coming"
        ),
    ]

    #: Another number whenever a batch of file events has changed what is in memory.
    content_version: Versioned[int] = Versioned(0)

    #: After so many reports since the last batch everything is compared: the kernel may have dropped some.
    max_notices = 1000

    #: Seconds after which a path that could not be looked at is looked at again.
    retry_time = 10.0

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.logger = logging.getLogger("bcfg2.FileMonitor")
        self.settle_time: float = options.server_settle_time
        self.settle_limit: float = options.server_settle_limit
        globs = [fnmatch.translate(pattern) for pattern in options.server_ignore_files]
        self._ignored = re.compile("|".join(globs) if globs else r"(?!)")
        self._ids = itertools.count(1)
        self._watched: dict[str, _Watched] = {}
        self._new: list[tuple[str, int]] = []  # registrations whose first events are due
        self._noticed: set[str] = set()
        self._notices = 0
        self._first_notice = self._last_notice = 0.0
        self._own = _Own()
        self._lock = threading.RLock()
        self._something = threading.Condition(self._lock)
        self._stopped = False
        self._loops: set[str] = set()
        #: Told of each path that nobody has asked for before.
        self.on_registration: Callable[[str], None] | None = None
        self._unreadable: set[str] = set()  # what could not be looked at, and has been said so
        self.batches = Counter("bcfg2_file_event_batches_total", "Batches of file events that were applied.")
        self.events = Counter("bcfg2_file_events_total", "File events that were handled.")
        self.failures = Counter("bcfg2_file_event_failures_total", "File events whose handlers raised an exception.")

    # what owners call

    def AddMonitor(self, path: str | os.PathLike[str], obj: Any) -> int:
        """Have OBJ.HandleEvent told what is at PATH now and what changes there; the answer marks the events.

        PATH is a file or a folder (then: what is directly inside of it), and need not exist yet.
        """
        path = os.path.abspath(path)
        with self._lock:
            if path not in self._watched and self.on_registration is not None:
                self.on_registration(path)
            watched = self._watched.setdefault(path, _Watched())
            handle = next((number for number, owner in watched.owners.items() if owner is obj), None)
            if handle is None:
                handle = next(self._ids)
                watched.owners[handle] = obj
            self._new.append((path, handle))
            self._something.notify_all()
        return handle

    @contextmanager
    def registering(self) -> Iterator[list[int]]:
        """Registrations made inside are taken back if that ends with an exception; gives the list of their numbers.

        The list is complete at the end.  For what is made in one thread, such as a plugin.
        """
        made: list[int] = []
        with self._lock:
            first = next(self._ids)
        try:
            yield made
        except BaseException:
            self.forget(self._registered_since(first))
            raise
        made += self._registered_since(first)

    def _registered_since(self, first: int) -> list[int]:
        with self._lock:
            return [number for watched in self._watched.values() for number in watched.owners if number > first]

    def forget(self, numbers: Iterable[int]) -> None:
        """Tell the owners of these registrations nothing more."""
        gone = set(numbers)
        with self._lock:
            for path, watched in list(self._watched.items()):
                for number in gone & watched.owners.keys():
                    del watched.owners[number]
                if not watched.owners:
                    del self._watched[path]
                    self._noticed.discard(path)
            self._new = [(path, number) for path, number in self._new if number not in gone]

    def should_ignore(self, path: str) -> bool:
        """Whether the path, or its last component, is one that the server passes over."""
        return bool(self._ignored.match(path) or self._ignored.match(os.path.basename(path)))

    # what the core calls

    def start(self) -> None:
        """Begin to hear of changes."""

    def shutdown(self) -> None:
        """Hear of no more changes, and let :meth:`wait` return."""
        with self._lock:
            self._stopped = True
            self._something.notify_all()

    def pending(self) -> bool:
        """Whether there are events to be handled."""
        return self.queue_length() > 0

    def queue_length(self) -> int:
        """How many paths are to be looked at."""
        with self._lock:
            return len(self._new) + len(self._noticed)

    def wait(self) -> bool:
        """Wait for a batch: until something happened and nothing more has happened for a while.

        False after :meth:`shutdown`.
        """
        with self._lock:
            while not self._stopped:
                if self._new:
                    return True
                if not self._noticed:
                    if not self._something.wait(self.retry_time if self._unreadable else None):
                        self._noticed.update(self._unreadable & self._watched.keys())
                    continue
                left = self._unsettled()
                if left <= 0:
                    return True
                self._something.wait(left)
            return False

    def _unsettled(self) -> float:
        """For how many seconds what was noticed is still to be left alone; zero or less if it can be looked at."""
        return min(self._last_notice + self.settle_time, self._first_notice + self.settle_limit) - time.monotonic()

    def handle_event_set(self, lock: AbstractContextManager[Any] | None = None, *, at_once: bool = False) -> int:
        """Handle all events as one change, holding LOCK; return how many there were.

        What was noticed a moment ago is left for the next batch, as :meth:`wait` says, unless AT_ONCE.
        """
        with lock or nullcontext():
            return self.look_at(self.take_noticed(at_once))

    def take_noticed(self, at_once: bool = False) -> list[str]:
        """The paths that are due to be looked at, which :meth:`look_at` is to be given now."""
        with self._lock:
            if self._unsettled() > 0 and not at_once:
                return []
            paths = sorted(self._noticed)
            self._noticed.clear()
            self._notices = 0
        return paths

    def look_at(self, paths: Iterable[str]) -> int:
        """Handle what has changed at PATHS, and what was registered, as one change; how many events that were."""
        handled = 0
        with writing():
            before = assigned()
            for event, owner in self._events([path for path in paths if path in self._watched]):
                self._handle(event, owner)
                handled += 1
            before_publish(lambda: self._count_version(before))  # the last step
        if handled:
            self.batches.add()
            self.events.add(amount=handled)
        return handled

    def announce(self, paths: Collection[str], lock: AbstractContextManager[Any]) -> None:
        """Have the owners of PATHS, files that the server itself has just written, take them before this returns.

        Nothing else that may have changed meanwhile is looked at, so half of somebody's change never comes into force.
        LOCK is the one that file events are handled under.
        """
        with lock:
            follow()  # what is changed is the newest state, not that of the request that has written the files
            version = self.content_version
            with writing():
                before = assigned()
                for path in paths:
                    for event, owner in self._written(os.path.abspath(path)):
                        self._handle(event, owner)
                for event, owner in self._events([]):
                    self._handle(event, owner)
                before_publish(lambda: self._count_version(before))

            self._own.batches += self.content_version - version

    @property
    def foreign_version(self) -> int:
        """A number that stays the same for a request until a batch comes into force for it that it has not made itself.

        That may be when it has made one: :meth:`announce` has it see the newest state.
        """
        return self.content_version - self._own.batches

    def _written(self, path: str) -> list[tuple[Event, Any]]:
        """The events of PATH by itself, if it is monitored, else as part of the nearest monitored folder above it."""
        with self._lock:
            if (own := self._watched.get(path)) is not None:
                return [
                    (Event(handle, name, action), owner)
                    for name, action in self._changes(path, own)
                    for handle, owner in list(own.owners.items())
                ]
            folder, name = os.path.split(path)
            while (watched := self._watched.get(folder)) is None and name:
                folder, name = os.path.split(folder)
            if watched is None or self.should_ignore(os.path.join(folder, name)):
                return []
            state = _state(os.stat(os.path.join(folder, name)))
            before = watched.names.get(name)
            if state == before:
                return []
            watched.names[name] = state
            action = "created" if _replaced(state, before) else "changed"
            return [(Event(handle, name, action), owner) for handle, owner in list(watched.owners.items())]

    def _count_version(self, before: int) -> None:
        """Let `content_version` change if anything was assigned since there were BEFORE assignments."""
        if assigned() > before:
            self.content_version += 1

    def rescan(self) -> None:
        """Compare everything with what is on disk."""
        with self._lock:
            self._noticed.update(self._watched)
            self._something.notify_all()

    def paths(self) -> set[str]:
        """The paths that somebody asked for."""
        with self._lock:
            return set(self._watched)

    def digests(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Path -> what tells the state that was seen of it from any other, in this process or another."""
        with self._lock:
            found = {path: self._watched[path] for path in paths if path in self._watched}
            return {path: _digest(watched) for path, watched in found.items()}

    # what subclasses call and override

    def notice(self, path: str) -> None:
        """The monitored PATH, or something inside of it, may have changed."""
        with self._lock:
            if path not in self._watched:
                return
            self._last_notice = time.monotonic()
            if not self._noticed:
                self._first_notice = self._last_notice
                self._something.notify_all()
            self._noticed.add(path)

    def heard(self) -> None:
        """Something happened, whatever it concerns.  After many of these anything may have changed."""
        with self._lock:
            self._notices += 1
            if self._notices > self.max_notices:
                self._last_notice = time.monotonic()
                self.rescan()

    def follow(self, path: str, links: list[str]) -> None:
        """Called when PATH is looked at, with the symbolic links in it: hear of its changes from now on."""

    # remote methods

    def list_event_handlers(self) -> dict[str, str]:
        """Path -> the objects that are told of its changes."""
        with self._lock:
            return {
                path: ", ".join(str(owner) for owner in watched.owners.values())
                for path, watched in sorted(self._watched.items())
            }

    # comparing

    def _events(self, paths: list[str]) -> Iterator[tuple[Event, Any]]:
        """The events of PATHS, then those of new registrations, including any made while these are handled."""
        for path in paths:
            watched = self._watched.get(path)
            if watched is None:
                continue  # an owner has just forgotten it
            for filename, action in self._changes(path, watched):
                for handle, owner in list(watched.owners.items()):
                    yield Event(handle, filename, action), owner
        while True:
            with self._lock:
                new, self._new = self._new, []
            if not new:
                return
            for path, handle in new:
                watched = self._watched.get(path)
                if watched is None or handle not in watched.owners:
                    continue
                others = {number: owner for number, owner in watched.owners.items() if number != handle}
                for filename, action in self._changes(path, watched):
                    for number, owner in others.items():
                        yield Event(number, filename, action), owner
                owner = watched.owners[handle]
                if watched.state is not None:
                    yield Event(handle, path, "exists"), owner
                for name in sorted(watched.names):
                    yield Event(handle, name, "exists"), owner
                yield Event(handle, path, "endExist"), owner

    def _changes(self, path: str, watched: _Watched) -> list[tuple[str, str]]:
        """What has changed at PATH since it was last looked at: (file name, action)."""
        old_state, old_names = watched.state, watched.names
        links: list[str] = []
        self.follow(path, links)  # before looking, so that nothing falls in between
        watched.state, watched.names = self._look(path, links, watched)
        if links:
            self.follow(path, links)
        gone = [(name, "deleted") for name in sorted(old_names) if _replaced(old_names[name], watched.names.get(name))]
        changes = gone
        if old_state is not None and _replaced(old_state, watched.state):
            changes = [*gone, (path, "deleted")]
        if watched.state is not None and _replaced(watched.state, old_state):
            changes.append((path, "created"))
        elif watched.state != old_state and watched.state is not None and watched.state[0] != _DIRECTORY:
            changes.append((path, "changed"))
        for name, state in sorted(watched.names.items()):
            before = old_names.get(name)
            if _replaced(state, before):
                changes.append((name, "created"))
            elif state != before:
                changes.append((name, "changed"))
        return changes

    def _look(self, path: str, links: list[str], before: _Watched) -> tuple[Any, dict[str, Any]]:
        """The state of PATH and, if it is a folder, of all that is in it; LINKS gets the symbolic links among these.

        What is there but cannot be looked at just now (no permission, no free descriptor) counts as it did BEFORE.
        """
        if self.should_ignore(path):
            return None, {}
        try:
            state = _state(os.stat(path))
            if state[0] != _DIRECTORY:
                return state, {}
            with os.scandir(path) as listing:
                found = [entry for entry in listing if not self.should_ignore(entry.path)]
        except OSError as err:
            if err.errno in _GONE:
                return None, {}
            self._cannot_look(path, path, err)
            return before.state, before.names
        names = {}
        readable = True
        for entry in found:
            if entry.is_symlink():
                links.append(entry.path)
            try:
                names[entry.name] = _state(entry.stat())
            except OSError as err:
                if err.errno in _GONE:
                    continue  # gone again, or a link to nothing
                readable = False
                self._cannot_look(path, entry.path, err)
                if entry.name not in before.names:
                    continue
                names[entry.name] = before.names[entry.name]
            if entry.is_symlink() and names[entry.name][0] == _DIRECTORY and self._is_loop(entry.path):
                del names[entry.name]
        if readable:
            self._unreadable.discard(path)
        return state, names

    def _cannot_look(self, monitored: str, path: str, err: OSError) -> None:
        """PATH, at or in the MONITORED one, stays as it was; try again later."""
        if monitored not in self._unreadable:
            self._unreadable.add(monitored)
            self.logger.error("Cannot look at %s, keeping what was read before: %s", path, err.strerror)

    def _is_loop(self, link: str) -> bool:
        """Whether the symbolic LINK leads to a folder that it is in."""
        target = os.path.realpath(link)
        loop = f"{os.path.realpath(os.path.dirname(link))}/".startswith(f"{target}/")
        if loop and link not in self._loops:
            self._loops.add(link)
            self.logger.error("%s leads back to %s, ignored: remove the link", link, target)
        return loop

    def _handle(self, event: Event, owner: Any) -> None:
        self.debug_log(f"Handling {event} for {owner}")
        try:
            owner.HandleEvent(event)
        except (Exception, SystemExit):  # SystemExit: of other people's modules, which owners may load
            self.failures.add()
            self.logger.exception("Error in handling of event %s for %s", event, owner)


def _state(status: os.stat_result) -> tuple[Any, ...]:
    """What tells one state of a file from another; a folder is the same as long as it was not made anew.

    A file that may still be written without a difference in its times is in a state of its own, equal to no other.
    """
    if stat.S_ISDIR(status.st_mode):
        return (_DIRECTORY, status.st_dev, status.st_ino)
    coarse = status.st_mtime_ns % 1_000_000_000 == 0
    return (
        stat.S_IFMT(status.st_mode),
        object() if coarse and abs(time.time_ns() - status.st_mtime_ns) < _COARSE_TICK_NS else None,
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _digest(watched: _Watched) -> bytes:
    """What tells what was seen of a path from anything else."""
    states = [(name, _plain(state)) for name, state in sorted(watched.names.items())]
    return hashlib.blake2b(repr((_plain(watched.state), states)).encode(), digest_size=16).digest()


def _plain(state: Any) -> Any:
    """A state, without what stands for a file that may still be written, which no two processes have in common."""
    return state and [item for item in state if item is None or isinstance(item, str | int)]


def _replaced(one: Any, other: Any) -> bool:
    """Whether ONE, which exists, is nothing that OTHER could have become by writing or renaming."""
    if other is None or one[0] != other[0]:
        return True
    return bool(one[0] == _DIRECTORY and one != other)


def find_monitor(name: str) -> type[FileMonitor]:
    """The monitor that an option names: ``inotify``, ``pseudo`` or ``default``, the best that is available.

    ``gamin``, which is no more, stands for ``default``.

    Raises :exc:`LookupError` for any other name, :exc:`ImportError` where a library is missing.
    """
    name = name.lower()
    if name in ("default", "gamin"):
        try:
            return find_monitor("inotify")
        except ImportError:
            return find_monitor("pseudo")
    if name not in ("inotify", "pseudo"):
        raise LookupError("use default, inotify or pseudo")
    module = importlib.import_module(f"bcfg2.server.filemonitor.{name}")
    found: type[FileMonitor] = getattr(module, name.title())
    return found
