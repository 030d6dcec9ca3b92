"""Files and folders of the repository, kept in memory and followed as they change.

.. code-block:: text

    FileBacked            one file's text
      XMLFileBacked       one XML file with its includes
    DirectoryBacked       a folder tree of such objects
      XMLDirectoryBacked  of XML files

What is read from a file is held in versioned attributes (see :mod:`bcfg2.server.versioned`), so requests see a batch of
changes as one.  A file that cannot be used leaves its previous content in service and says so in one error line.
"""

import errno
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from lxml import etree

from bcfg2 import xml
from bcfg2.log import Debuggable
from bcfg2.server.plugin.exceptions import PluginExecutionError
from bcfg2.server.plugin.services import current_core
from bcfg2.server.plugin.specific import read_file
from bcfg2.server.schema import Problem, SchemaError, validate
from bcfg2.server.storage import is_read_only
from bcfg2.server.versioned import Versioned, all_or_nothing, before_publish, private_copy, writing

_READ_AT = frozenset({"exists", "created", "changed"})


class FileBacked(Debuggable):
    """The text of one file.

    `name` is its full path.  A subclass overrides :meth:`Index`, which is called after each reading and may raise
    :exc:`PluginExecutionError` or :exc:`ValueError` to refuse the content.
    """

    #: The text of the file.
    data: Versioned[str] = Versioned("")
    #: Whether the file has been read with success at least once.
    loaded: Versioned[bool] = Versioned(False)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.core = current_core()
        self.fam = self.core.fam
        self.logger = logging.getLogger(f"bcfg2.{type(self).__name__}")
        self.name = name
        #: Called after each reading that succeeded; set by the folder that the file belongs to.
        self.on_load: Callable[[FileBacked], None] | None = None

    def HandleEvent(self, event: Any = None) -> None:
        """Read the file again if EVENT says that it is there; None: read it."""
        if event is None or event.code2str() in _READ_AT:
            self.reload()

    def reload(self) -> bool:
        """Read the file; on an error log it, keep what there was and return False."""
        try:
            with all_or_nothing():
                self.read()
                self.Index()
                self.loaded = True
        except (OSError, ValueError, xml.XMLError, PluginExecutionError) as err:
            self.logger.error("Cannot use %s, keeping what was read before: %s", self.name, err)
            return False
        if self.on_load is not None:
            self.on_load(self)
        return True

    def read(self) -> None:
        """Put the content of the file into `data`."""
        self.data = read_file(self.name).decode(self.core.options.components_encoding)

    def Index(self) -> None:
        """Work out what depends on `data`."""

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.name}"


class XMLFileBacked(FileBacked):
    """One XML file with all that it includes.

    CREATE (or the class attribute): the tag of the root element, or an element, with which a missing file is made.
    SHOULD_MONITOR: ask the file monitor for the file; otherwise the folder object that owns it passes the events on.
    """

    #: Attribute of the root element that becomes `label`; None: no label.
    __identifier__: ClassVar[str | None] = "name"
    create: ClassVar[Any] = None
    #: Whether comments are kept (for files that are written back).
    keep_comments: ClassVar[bool] = False
    #: The kind of file (see :func:`bcfg2.server.schema.validate`), whose schema it is held against; None: any XML does.
    schema: ClassVar[str | None] = None

    #: The root element; must not be changed.
    xdata: Versioned[Any] = Versioned(None)
    #: The children of the root element.
    entries: Versioned[list[Any]] = Versioned([])
    #: The files that it includes.
    extras: Versioned[list[str]] = Versioned([])
    label: Versioned[str] = Versioned("")

    def __init__(self, name: str, should_monitor: bool = False, create: Any = None) -> None:
        super().__init__(name)
        self._watched: dict[str, int] = {}  # path -> what AddMonitor returned
        self._stamps: dict[str, Any] = {}  # of all that the last reading has looked at
        self._begun = 0  # when that was
        self._problems: list[Problem] = []  # what the schema had against what was read last
        template = create if create is not None else self.create
        if template is not None and not os.path.exists(name) and not is_read_only():
            self._create(template)
        if should_monitor:
            self.add_monitor(name)

    @property
    def data(self) -> str:  # type: ignore[override]  # not kept beside the tree: it is large, and asked for rarely
        """The document as text, with what it includes."""
        return "" if self.xdata is None else xml.tostring(self.xdata)

    def _create(self, template: Any) -> None:
        root = etree.Element(template) if isinstance(template, str) else template
        self.logger.warning("%s does not exist, creating it", self.name)
        os.makedirs(os.path.dirname(self.name), exist_ok=True)
        with open(self.name, "x", encoding="utf-8") as stream:
            stream.write(xml.tostring(root) + "\n")

    def add_monitor(self, path: str) -> None:
        """Read the file again whenever PATH changes."""
        if path not in self._watched:
            self._watched[path] = self.fam.AddMonitor(path, self)

    def forget(self) -> None:
        """Follow no file any more: this object has left the folder that it belonged to."""
        self.fam.forget(self._watched.values())
        self._watched = {}

    def HandleEvent(self, event: Any = None) -> None:
        action = "changed" if event is None else event.code2str()
        if action == "endExist":
            return
        if event is not None and self._stamps and self._stamps == {path: _stamp(path) for path in self._stamps}:
            return  # nothing is new: it was read because of another event, or just before this path was reported first
        if os.path.exists(self.name):
            self.reload()

    def read(self) -> None:
        self._begun = time.time_ns()
        self._stamps = {self.name: _stamp(self.name, self._begun)}
        if not stat.S_ISREG(os.stat(self.name).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", self.name)
        try:
            document = xml.load(self.name, comments=self.keep_comments)
        except xml.XMLError as err:
            self._follow(err.watch)
            raise
        self._follow((*document.files, *document.watch))
        for problem in document.problems:
            self.logger.error("%s", problem)
        self.examine(document)
        self.xdata = document.root
        self.extras = list(document.files[1:])

    def reload(self) -> bool:
        loaded = super().reload()
        if loaded:
            self.report()
        return loaded

    def examine(self, document: xml.Document) -> None:
        """Hold DOCUMENT, which was just read, against the schema; PluginExecutionError if it is not to be used."""
        self._problems = []
        if self.schema is None:
            return
        try:
            self._problems = validate(document, self.schema)
        except SchemaError as err:
            self.logger.error("%s is not checked: %s", self.name, err)
        refused = next(filter(self.refuses, self._problems), None)
        if refused is not None:
            raise PluginExecutionError(str(refused))

    def refuses(self, problem: Problem) -> bool:
        """Whether it would be dangerous to use a file in spite of PROBLEM.  To be overridden."""
        return False

    def report(self) -> None:
        """Log, in one line, what the schema has against the content that is in use from now on."""
        if self._problems:
            first, *others = self._problems
            more = f" (more in {_places(first.file, others)})" if others else ""
            self.logger.warning("%s; the file is used as it is%s", first, more)

    @property
    def has_includes(self) -> bool:
        """Whether what was read last included something, or would have, had it been there."""
        return len(self._stamps) > 1

    def _follow(self, paths: tuple[str, ...]) -> None:
        """Notice changes of PATHS: what this file includes or would include."""
        self._stamps |= {path: _stamp(path, self._begun) for path in paths if path not in self._stamps}
        for path in paths:
            if path != self.name:
                self.add_monitor(path)

    def Index(self) -> None:
        self.entries = list(self.xdata)
        if self.__identifier__ is not None:
            label = self.xdata.get(self.__identifier__)
            if label is None:
                raise PluginExecutionError(f"the root element has no attribute {self.__identifier__}")
            self.label = label

    def __iter__(self) -> Iterator[Any]:
        return iter(self.entries)


#: How many places are named in a warning.
_PLACES = 10


def _places(file: str, problems: list[Problem]) -> str:
    """Where PROBLEMS are: lines of FILE, and places in other files."""
    places = [f"line {item.line}" if item.file == file else f"{item.file}:{item.line}" for item in problems]
    places = list(dict.fromkeys(places))
    left = len(places) - _PLACES
    return ", ".join(places[:_PLACES]) + (f" and {left} other places" if left > 0 else "")


#: For how many nanoseconds the clock of a file system may stand still: one that counts whole seconds, and others.
_COARSE_TICK, _FINE_TICK = 2_000_000_000, 10_000_000


def _stamp(path: str, begun: int | None = None) -> Any:
    """What tells one state of a file, or of a folder's listing, from another; None if it is not there.

    If the state may be newer than BEGUN (in nanoseconds), when it was read, the answer is equal to no other.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    tick = _FINE_TICK if status.st_ctime_ns % 1_000_000_000 else _COARSE_TICK
    if begun is not None and status.st_ctime_ns > begun - tick:
        return object()
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


class DirectoryBacked(Debuggable):
    """A folder tree of objects, one for each file.

    The object can be indexed by the path relative to the folder; iterating gives (path, child) pairs.
    """

    #: Makes the object for a file from its full path.
    __child__: ClassVar[Any] = FileBacked
    #: Searched in the bare name: which files belong here.
    patterns: ClassVar[re.Pattern[str]] = re.compile(".*")
    #: Files that are passed over in silence.
    ignore: ClassVar[re.Pattern[str] | None] = None

    #: relative path -> child
    entries: Versioned[dict[str, Any]] = Versioned({})

    def __init__(self, data: str) -> None:
        if not hasattr(self, "logger"):  # a plugin has these already
            super().__init__()
            self.logger = logging.getLogger(f"bcfg2.{type(self).__name__}")
        self.core = current_core()
        self.fam = self.core.fam
        #: The full path of the folder.
        self.data = os.path.normpath(data)
        self._folders: dict[Any, str] = {}  # what AddMonitor returned -> relative path, "" for the folder itself
        self._unusable: dict[str, Any] = {}  # relative path -> child that could not be read yet
        self._warned: set[str] = set()
        if not os.path.exists(self.data) and not is_read_only():
            self.logger.warning("%s does not exist, creating it", self.data)
            os.makedirs(self.data)
        self.add_directory_monitor("")

    def __getitem__(self, key: str) -> Any:
        return self.entries[key]

    def __len__(self) -> int:
        return len(self.entries)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(list(self.entries.items()))

    def set_debug(self, debug: Any) -> bool:
        state = super().set_debug(debug)
        for child in self.entries.values():
            if isinstance(child, Debuggable):
                child.set_debug(state)
        return state

    def add_directory_monitor(self, relative: str) -> None:
        """Follow the sub-folder RELATIVE ("": the folder itself)."""
        if relative not in self._folders.values():
            self._folders[self.fam.AddMonitor(os.path.join(self.data, relative).rstrip("/"), self)] = relative

    def HandleEvent(self, event: Any) -> None:
        """Take a change of the folder or of what is in it."""
        folder = self._folders.get(event.requestID)
        action = event.code2str()
        if folder is None or action == "endExist":
            return
        if os.path.isabs(event.filename):
            return  # the folder itself: what happens to what is in it is reported for each
        relative = os.path.join(folder, event.filename)
        with writing():
            if action == "deleted":
                self._remove(relative)
            elif os.path.isdir(os.path.join(self.data, relative)):
                self.add_directory_monitor(relative)
            else:
                self._update(relative, event)

    def on_change(self) -> None:
        """Called once, before a batch of changes is published, if one of them was below this folder."""

    def _update(self, relative: str, event: Any) -> None:
        """A file is there, new or changed."""
        child = self.entries.get(relative)
        if child is not None:
            child.HandleEvent(event)
            before_publish(self.on_change)
            return
        name = os.path.basename(relative)
        if self.ignore is not None and self.ignore.search(name):
            return
        if not self.patterns.search(name):
            if relative not in self._warned:
                self._warned.add(relative)
                self.logger.warning("%s: not a file that belongs here, ignored", os.path.join(self.data, relative))
            return
        child = self._unusable.get(relative)
        if child is None:
            child = self._unusable[relative] = type(self).__child__(os.path.join(self.data, relative))
            if isinstance(child, FileBacked):
                child.on_load = lambda loaded: self._loaded(relative, loaded)
        child.HandleEvent(event)
        if not isinstance(child, FileBacked):
            self._loaded(relative, child)

    def _loaded(self, relative: str, child: Any) -> None:
        """CHILD has been read: from now on it counts (unless its file is gone or has another child by now)."""
        with writing():
            if self._unusable.get(relative) is child:
                del self._unusable[relative]
                private_copy(self, "entries")[relative] = child
            before_publish(self.on_change)

    def _remove(self, relative: str) -> None:
        """A file is gone, or a folder with all that was below it."""
        below = relative + os.sep if relative else ""
        gone = [path for path in self.entries if path == relative or path.startswith(below)]
        for handle, folder in list(self._folders.items()):
            if relative and (folder == relative or folder.startswith(below)):
                del self._folders[handle]
        for path in list(self._unusable):
            if path == relative or path.startswith(below):
                _forget(self._unusable.pop(path))
        if gone:
            entries = private_copy(self, "entries")
            for path in gone:
                _forget(entries.pop(path))
            before_publish(self.on_change)


def _forget(child: Any) -> None:
    """Have CHILD, whose file is gone, told nothing of what that included."""
    if isinstance(child, XMLFileBacked):
        child.forget()


class XMLDirectoryBacked(DirectoryBacked):
    """A folder tree of XML files."""

    patterns = re.compile(r"\.xml$")
    __child__: ClassVar[Any] = XMLFileBacked
