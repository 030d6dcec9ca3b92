"""XML files of which an immutable snapshot is kept in memory, and which the server may write itself.

The states of all files that a document is made of are remembered, so that an event for what is known already, such as
the server's own writing, costs nothing.
"""

import itertools
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from bcfg2 import xml
from bcfg2.server.plugin import XMLFileBacked

#: What tells one state of a file from another; of a folder, the names in it; None if there is nothing.
State = tuple[Any, ...] | None

#: The state of a file that may have changed while it was read; equal to no state.
_UNSURE: State = ("unsure",)

#: Nanoseconds by which the clocks of file systems may differ from ours.
_SKEW = 2_000_000_000

#: How many faults of a document are logged each time that it is read.
_MAX_FAULTS = 50

#: Finds faults in files, (path, root element): (place, what is wrong) for each.
Check = Callable[[Sequence[tuple[str, xml.Element]]], Iterable[tuple[str, str]]]


def state_of(path: str) -> State:
    """The present state of PATH."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            return tuple(sorted(name for name in os.listdir(path) if not name.startswith(".")))
    except OSError:
        return None
    return file_state(status)


def file_state(status: os.stat_result) -> State:
    """The state of a file that has this STATUS."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def state_read(path: str, began: int) -> State:
    """The state in which PATH was read by somebody who BEGAN to read at that time, in nanoseconds of the wall clock."""
    state = state_of(path)
    try:
        changed = os.stat(path).st_ctime_ns > began - _SKEW
    except OSError:
        changed = state is not None
    return _UNSURE if changed else state


class SnapshotFile(XMLFileBacked):
    """An XML file with its includes, read again only if one of them differs from what was read or written.

    A subclass overrides :meth:`Index`, which makes the snapshot of `xdata`, and `root_tag`.  `busy` is held while files
    are read or written.
    """

    __identifier__ = None
    root_tag: ClassVar[str]
    #: Whether the file is made if it is missing.
    is_required: ClassVar[bool] = True

    def __init__(self, name: str) -> None:
        self.busy = threading.RLock()
        #: Whether the last reading failed, so that what is in force is older than the files.
        self.broken = False
        self._states: dict[str, State] = {}
        super().__init__(name, should_monitor=True, create=self.root_tag if self.is_required else None)

    def HandleEvent(self, event: Any = None) -> None:
        if event is not None and event.code2str() == "endExist":
            return
        with self.busy:
            if not self.is_current() and os.path.exists(self.name):
                self.reload()

    def is_current(self) -> bool:
        """Whether no file has changed since it was read or written."""
        return bool(self._states) and all(state_of(path) == state for path, state in self._states.items())

    def known_state(self, path: str) -> State:
        """The state in which PATH was read or written."""
        return self._states.get(path, _UNSURE)

    def wrote(self, path: str, state: State) -> None:
        """Note that PATH was written, in STATE."""
        self._states[path] = state

    def reload(self) -> bool:
        self.broken = not super().reload()
        return not self.broken

    def read(self) -> None:
        began = time.time_ns()
        before = {path: state_of(path) for path in (self.name, *self._states)}
        paths: tuple[str, ...] = (self.name,)
        try:
            document = xml.load(self.name)
            paths = (*document.files, *document.watch)
            if document.root.tag != self.root_tag:
                raise xml.XMLError(f"the root element is {document.root.tag}, not {self.root_tag}")
        except xml.XMLError as err:
            paths = tuple(dict.fromkeys((*paths, *err.watch)))
            raise
        finally:
            self._states = {path: before[path] if path in before else state_read(path, began) for path in paths}
            for path in paths:
                self.add_monitor(path)
        for problem in document.problems:
            self.logger.error("%s", problem)
        self.examine(document)
        self.xdata = document.root
        self.extras = list(document.files[1:])

    def forget_document(self) -> None:
        """Give back the memory of the element tree."""
        self.xdata = None

    def log_faults(self, check: Check) -> None:
        """Log what CHECK finds in the files of the document."""
        if next(iter(check([(self.name, self.xdata)])), None) is None:
            return
        try:  # an element that was included does not tell its file
            sources = [(path, xml.parse_file(path)) for path in (self.name, *self.extras)]
        except (OSError, xml.XMLError):
            return  # one has changed since it was read, there will be an event
        found = iter(check(sources))
        told = set()
        for place, text in itertools.islice(found, _MAX_FAULTS):
            self.logger.error("%s: %s", place, text)
            told.add(place)
        if more := sum(1 for _ in found):
            self.logger.error("%s: %d faults more", self.name, more)
        self._problems = [item for item in self._problems if f"{item.file}:{item.line}" not in told]
