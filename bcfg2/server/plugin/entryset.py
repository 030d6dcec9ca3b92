"""Folders of files of which each client gets one, with an ``info.xml`` for their attributes; trees of such folders.

.. code-block:: text

    GroupSpool          a plugin: the tree, whose folders name the entries
      EntrySet          a folder: everything that serves one entry
        SpecificData    a file
        FolderInfo      the folder's info.xml

What a folder holds is versioned, and a changed file is a new object, so requests see a batch of changes as one.
"""

import logging
import os
import re
from collections.abc import Callable
from typing import Any, ClassVar

from bcfg2.log import Debuggable
from bcfg2.options import ChoiceOption, Option, Options
from bcfg2.server.filemonitor.monitor import Event
from bcfg2.server.plugin.base import Plugin
from bcfg2.server.plugin.exceptions import PluginExecutionError, SpecificityError
from bcfg2.server.plugin.interfaces import Generator
from bcfg2.server.plugin.services import CoreInterface, current_core
from bcfg2.server.plugin.specific import BestMatch, SpecificData, Specificity, parse_specific, split_specific
from bcfg2.server.plugin.structfile import InfoXML
from bcfg2.server.versioned import Versioned, before_publish, private_copy, request_memo, writing
from bcfg2.xml import Element

#: The attributes that files have where no info.xml says otherwise.
MDATA_OPTIONS: list[Option] = [
    Option("mdata", "owner", default="root", help="Owner of files"),
    Option("mdata", "group", default="root", help="Group of files"),
    Option("mdata", "mode", default="644", help="Mode of files"),
    Option("mdata", "secontext", default="__default__", help="SELinux context of files"),
    ChoiceOption("mdata", "important", default="false", choices=("true", "false"), help="Whether files come first"),
    ChoiceOption("mdata", "paranoid", default="true", choices=("true", "false"), help="Whether clients keep copies"),
    Option("mdata", "sensitive", default="false", help="Whether contents are kept out of reports"),
]

_IGNORED = re.compile(r"\.#.*|.*~|\..*\.sw[px]|.*\.genshi_include", re.DOTALL)


def default_file_attributes(options: Options) -> dict[str, str]:
    """The attributes that every file starts with, from section ``[mdata]``."""
    return {option.key: getattr(options, option.dest) for option in MDATA_OPTIONS}


class FolderInfo:
    """The ``info.xml`` of a folder."""

    #: See :attr:`SpecificData.persistent`.
    persistent = True
    encrypted = False
    problem: str | None = None

    def __init__(self, name: str) -> None:
        self.infoxml = InfoXML(name)

    def handle_event(self, event: Any = None) -> None:
        """Read the file again if it has changed."""
        self.infoxml.HandleEvent(event)

    def bind_info_to_entry(self, entry: Element, metadata: Any) -> None:
        """Set the attributes that apply; PluginExecutionError if the file has none for this client."""
        self.infoxml.BindEntry(entry, metadata)


class EntrySet(Debuggable):
    """All files of one folder, which serve one entry.

    BASENAME: how the files are called, but for what makes them specific; with BASENAME_IS_REGEX a regular expression.
    PATH: the folder.  ENTRY_TYPE makes the object for a file from its full path and its :class:`Specificity`.

    A subclass may override :meth:`make_entry`, :meth:`index`, :meth:`serves` and :meth:`bind_entry`.
    """

    #: Bare names of files that are passed over in silence.
    ignore: ClassVar[re.Pattern[str]] = _IGNORED

    #: Bare file name -> what is in memory of it.
    entries: Versioned[dict[str, Any]] = Versioned({})
    #: Which file each client gets.
    choice: Versioned[BestMatch[Any]] = Versioned(BestMatch())
    #: Where attributes come from, besides the defaults.
    info: Versioned[Any] = Versioned(None)

    def __init__(
        self,
        basename: str,
        path: str,
        entry_type: Callable[[str, Specificity], Any],
        basename_is_regex: bool = False,
    ) -> None:
        super().__init__()
        self.basename = basename
        self.basename_is_regex = basename_is_regex
        self.path = path
        self.entry_type = entry_type
        self.core = current_core()
        self.logger = logging.getLogger(f"bcfg2.{type(self).__name__}")

    # following the files

    def handle_event(self, event: Any) -> None:
        """Take a change of the file whose bare name or path EVENT has."""
        name = os.path.basename(event.filename)
        action = event.code2str()
        if action == "endExist" or self.ignore.fullmatch(name):
            return
        with writing():
            if action != "deleted":
                self._load(name, event)
            elif name in self.entries:
                del private_copy(self, "entries")[name]
            before_publish(self.index)

    def _load(self, name: str, event: Any) -> None:
        """Take a file that is there, new or changed."""
        old = self.entries.get(name)
        if old is not None and old.persistent:
            old.handle_event(event)
            return
        path = os.path.join(self.path, name)
        try:
            new = self.make_entry(name)
        except SpecificityError as err:
            if event.code2str() != "changed":
                self.logger.error("%s is ignored: %s", path, err)
            return
        if new is None:
            return
        try:
            new.handle_event(event)
        except FileNotFoundError:
            return  # gone again: an event will say so
        except Exception as err:  # noqa: BLE001 - what reads a file may be other people's code
            if old is not None:
                self.logger.error("Cannot use %s, keeping what was read before: %s", path, err)
                return
            self.logger.error("Cannot use %s: %s", path, err)
            new.problem = f"{path} cannot be used: {err}"
        if new.encrypted:
            self.core.passphrase_users.add(self)
        private_copy(self, "entries")[name] = new

    def reload(self) -> None:
        """Read the encrypted files again: passphrases have changed."""
        with writing():
            for name in [name for name, file in self.entries.items() if file.encrypted]:
                self._load(name, Event(0, name, "changed"))
            before_publish(self.index)

    def make_entry(self, name: str) -> Any:
        """The object for the file NAME, not read yet; None passes over the file in silence.

        Raises :exc:`SpecificityError` for a file that does not belong here.
        """
        path = os.path.join(self.path, name)
        if name == "info.xml":
            return FolderInfo(path)
        if self.basename_is_regex:
            specific = split_specific(self.basename, name)[1]
        else:
            specific = parse_specific(self.basename, name)
        return self.entry_type(path, specific)

    def index(self) -> None:
        """Called before a batch of changes of `entries` is published: work out what depends on them."""
        files = list(self.entries.values())
        info = next((file for file in files if isinstance(file, FolderInfo)), None)
        if info is not self.info:
            self.info = info
        self.choice = BestMatch(file for file in files if not isinstance(file, FolderInfo))

    def serves(self) -> bool:
        """Whether there is, besides attributes, something for any client."""
        return any(not isinstance(file, FolderInfo) for file in self.entries.values())

    # binding

    def get_matching(self, metadata: Any) -> list[Any]:
        """All files for the client, the most specific first."""
        return self.choice.matching(metadata)

    def best_matching(self, metadata: Any) -> Any:
        """The file that the client gets; PluginExecutionError if there is none that can be used."""
        best = self.choice.best(metadata)
        if best is None:
            raise PluginExecutionError(f"No matching entries in {self.path} for {metadata.hostname}")
        if best.problem is not None:
            raise PluginExecutionError(best.problem)
        return best

    def bind_info_to_entry(self, entry: Element, metadata: Any) -> None:
        """Give ENTRY the default attributes, and those of info.xml in their place."""
        memo = request_memo()
        key = ("file attributes", self.core)
        if key not in memo:
            memo[key] = default_file_attributes(self.core.options)
        entry.attrib.update(memo[key])
        info = self.info
        if info is not None:
            if info.problem is not None:
                raise PluginExecutionError(info.problem)
            info.bind_info_to_entry(entry, metadata)

    def bind_entry(self, entry: Element, metadata: Any) -> None:
        """Give ENTRY its attributes and have the file that the client gets put its content into it."""
        self.bind_info_to_entry(entry, metadata)
        self.best_matching(metadata).bind_entry(entry, metadata)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"


class GroupSpool(Plugin, Generator):
    """A plugin over a folder tree in which each folder that holds files serves the entry that is named by its path.

    A subclass sets the class attributes, and may override :meth:`make_entry_set` and :meth:`entry_name`.
    """

    #: The base name of the files as a regular expression; empty: the name of their folder.
    filename_pattern: ClassVar[str] = ""
    #: Makes the object for a file.
    es_child_cls: ClassVar[Callable[[str, Specificity], Any]] = SpecificData
    #: The class of what a folder becomes.
    es_cls: ClassVar[type[EntrySet]] = EntrySet
    #: The tag of the entries.
    entry_type: ClassVar[str] = "Path"

    Entries: Versioned[dict[str, Any]] = Versioned({})
    #: Folder, relative to the data folder -> its entry set.
    entries: Versioned[dict[str, EntrySet]] = Versioned({})

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        self.fam = core.fam
        self._folders: dict[Any, str] = {}  # what AddMonitor returned -> relative path; what is gone may come back
        self._present: set[str] = set()
        self._changed: set[str] = set()
        self._watch("")

    def set_debug(self, debug: Any) -> bool:
        state = super().set_debug(debug)
        for entry_set in self.entries.values():
            entry_set.set_debug(state)
        return state

    def entry_name(self, folder: str) -> str:
        """The name of the entry that FOLDER, a relative path, serves."""
        return f"/{folder}"

    def make_entry_set(self, folder: str) -> EntrySet:
        """The entry set of FOLDER, a relative path, without any files yet."""
        basename = self.filename_pattern or os.path.basename(folder)
        return self.es_cls(
            basename, os.path.join(self.data, folder), type(self).es_child_cls, bool(self.filename_pattern)
        )

    # following the tree

    def HandleEvent(self, event: Any) -> None:
        """Take a change of a folder or of something in it."""
        folder = self._folders.get(event.requestID)
        action = event.code2str()
        if folder is None or action == "endExist":
            return
        with writing():
            if os.path.isabs(event.filename):  # the folder itself, of whose files other events tell
                return
            relative = os.path.join(folder, event.filename)
            if action == "deleted" and relative in self._present:
                self._remove_folder(relative)
            elif action != "deleted" and os.path.isdir(os.path.join(self.data, relative)):
                self._watch(relative)
            else:
                self._handle_file(folder, event)
            before_publish(self._list_entries)

    def _watch(self, relative: str) -> None:
        """Follow the folder RELATIVE ("": the data folder), which is there."""
        self._present.add(relative)
        self._folders[self.fam.AddMonitor(os.path.join(self.data, relative).rstrip("/"), self)] = relative

    def _remove_folder(self, relative: str) -> None:
        """A folder is gone, with all that was below it."""
        below = relative + os.sep
        self._present = {path for path in self._present if path != relative and not path.startswith(below)}
        gone = [path for path in self.entries if path == relative or path.startswith(below)]
        if gone:
            entries = private_copy(self, "entries")
            for path in gone:
                del entries[path]
            self._changed.update(gone)

    def _handle_file(self, folder: str, event: Any) -> None:
        entry_set = self.entries.get(folder)
        if entry_set is None:
            if event.code2str() == "deleted":
                return
            if not folder:
                self.logger.error("%s is ignored: it belongs to no entry", os.path.join(self.data, event.filename))
                return
            entry_set = private_copy(self, "entries")[folder] = self.make_entry_set(folder)
            entry_set.set_debug(self.debug_flag)
        entry_set.handle_event(event)
        if not entry_set.entries:
            del private_copy(self, "entries")[folder]
        self._changed.add(folder)

    def _list_entries(self) -> None:
        """Claim the entries that can be served, and no others."""
        listed = dict(self.Entries.get(self.entry_type, {}))
        for folder in self._changed:
            name = self.entry_name(folder)
            entry_set = self.entries.get(folder)
            if entry_set is not None and entry_set.serves():
                listed[name] = entry_set.bind_entry
            else:
                listed.pop(name, None)
        self._changed.clear()
        self.Entries = {self.entry_type: listed}
