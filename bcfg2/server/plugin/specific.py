"""Files that are for everybody, for a group or for one host, told by their names.

.. code-block:: text

    motd                 everybody                      Specificity()
    motd.G10_web         members of web, priority 10    Specificity(group="web", prio=10)
    motd.H_db1.example   one host                       Specificity(hostname="db1.example")

:func:`parse_specific` and :func:`split_specific` read names, :class:`BestMatch` answers which of several files a client
gets, and :class:`SpecificData` is such a file in memory.  Whole folders and trees of them are in `entryset`.
"""

import errno
import functools
import logging
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from bcfg2.server.plugin.exceptions import PluginExecutionError, SpecificityError
from bcfg2.server.plugin.services import current_core
from bcfg2.xml import Element

logger = logging.getLogger(__name__)

_SUFFIX = r"(?:\.H_(?P<hostname>\S+)|\.G(?P<prio>[0-9]+)_(?P<group>\S+))?"
_SPECIFIC = re.compile(_SUFFIX)


@dataclass(frozen=True, slots=True)
class Specificity:
    """Which clients a file is for: the one called `hostname`, the members of `group`, or, with neither, all."""

    group: str | None = None
    #: Of files for groups, the one with the highest priority counts.
    prio: int = 0
    hostname: str | None = None

    @property
    def all(self) -> bool:
        """Whether the file is for every client."""
        return self.group is None and self.hostname is None

    @property
    def rank(self) -> tuple[int, int]:
        """Sorts the more specific first: hosts, then groups by falling priority, then what is for all."""
        if self.hostname is not None:
            return 0, 0
        return (2, 0) if self.group is None else (1, -self.prio)

    def file_name(self, basename: str) -> str:
        """The name of the file BASENAME that is for these clients.  PluginExecutionError if it cannot be one."""
        if self.hostname is not None:
            name = f"{basename}.H_{self.hostname}"
        elif self.group is not None:
            name = f"{basename}.G{self.prio:02d}_{self.group}"
        else:
            return basename
        if os.sep in name:
            raise PluginExecutionError(f"{name} cannot be the name of a file")
        return name

    def matches(self, metadata: Any) -> bool:
        """Whether the file is for this client."""
        if self.hostname is not None:
            return bool(self.hostname == metadata.hostname)
        return self.group is None or self.group in metadata.groups


#: For all clients.
EVERYBODY = Specificity()


def parse_specific(basename: str, filename: str) -> Specificity:
    """What FILENAME, which must be BASENAME with or without a specifier behind it, says about its clients.

    Raises :exc:`SpecificityError` if it is another name.
    """
    if filename == basename:
        return EVERYBODY
    if filename.startswith(basename):
        match = _SPECIFIC.fullmatch(filename, len(basename))
        if match is not None:
            return _specificity(match)
    raise SpecificityError(f"the name is neither {basename} nor {basename}.G<priority>_<group> nor {basename}.H_<host>")


def split_specific(pattern: str, filename: str) -> tuple[str, Specificity]:
    """FILENAME as base name, which must match the regular expression PATTERN, and what follows it.

    Raises :exc:`SpecificityError` if it is no such name.
    """
    match = _splitter(pattern).fullmatch(filename)
    if match is None:
        raise SpecificityError(
            f"the name is not BASE, BASE.G<priority>_<group> or BASE.H_<host> with a BASE like {pattern}"
        )
    return match["base"], _specificity(match)


@functools.lru_cache(maxsize=64)
def _splitter(pattern: str) -> re.Pattern[str]:
    return re.compile(f"(?P<base>{pattern}){_SUFFIX}")


def _specificity(match: re.Match[str]) -> Specificity:
    if match["hostname"] is not None:
        return Specificity(hostname=match["hostname"])
    if match["group"] is not None:
        return Specificity(group=match["group"], prio=int(match["prio"]))
    return EVERYBODY


class Specific(Protocol):
    """Something for certain clients.  `name`, a path or file name, decides between equals: the smallest is taken."""

    name: str
    specific: Specificity


F = TypeVar("F", bound=Specific)


class _ForGroup(NamedTuple, Generic[F]):
    """A file for a group, sorted by what makes it the better one."""

    falling_priority: int
    name: str
    file: F


class BestMatch(Generic[F]):
    """Which of some files each client gets.  Made when the files change; asking is a look-up."""

    def __init__(self, files: Iterable[F] = ()) -> None:
        self._hosts: dict[str, list[F]] = {}
        self._groups: dict[str, list[_ForGroup[F]]] = {}
        self._all: list[F] = []
        self._told: set[tuple[str, str]] = set()
        for file in sorted(files, key=lambda item: item.name):
            specific = file.specific
            if specific.hostname is not None:
                self._hosts.setdefault(specific.hostname, []).append(file)
            elif specific.group is not None:
                self._groups.setdefault(specific.group, []).append(_ForGroup(-specific.prio, file.name, file))
            else:
                self._all.append(file)
        self._group_names = frozenset(self._groups)

    def best(self, metadata: Any) -> F | None:
        """The most specific file for the client, None if there is none; that others are as good is logged once."""
        found = self._hosts.get(metadata.hostname)
        if found is None:
            if self._group_names and (names := self._group_names.intersection(metadata.groups)):
                return self._best_of_groups(names)
            found = self._all
        if len(found) > 1:
            self._tie(found[0], found[1])
        return found[0] if found else None

    def _best_of_groups(self, names: frozenset[str]) -> F:
        ranked = self._ranked(names)
        if len(ranked) > 1 and ranked[0].falling_priority == ranked[1].falling_priority:
            self._tie(ranked[0].file, ranked[1].file)
        return ranked[0].file

    def _ranked(self, names: Iterable[str]) -> list[_ForGroup[F]]:
        return sorted((item for name in names for item in self._groups[name]), key=lambda item: item[:2])

    def _tie(self, first: F, second: F) -> None:
        pair = (first.name, second.name)
        if pair not in self._told:
            self._told.add(pair)
            logger.warning("%s and %s are for the same clients with the same priority, the first is used", *pair)

    def matching(self, metadata: Any) -> list[F]:
        """All files for the client, the most specific first."""
        return [
            *self._hosts.get(metadata.hostname, ()),
            *(item.file for item in self._ranked(self._group_names.intersection(metadata.groups))),
            *self._all,
        ]


def read_file(path: str) -> bytes:
    """The content of the regular file PATH; of anything else nobody knows whether reading ever ends.

    Raises :exc:`OSError`.
    """
    with open(path, "rb", opener=_open_at_once) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return stream.read()


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


class SpecificData:
    """One file of an entry set, as it was when it was read.

    A subclass overrides :meth:`handle_event`, or uses `data`, and :meth:`bind_entry`.
    """

    #: Whether the object is told of changes of its file; else a change makes a new object.
    persistent: ClassVar[bool] = False
    #: Whether the file is read with passphrases, so that it is read again when these change.
    encrypted: ClassVar[bool] = False

    #: Why the file cannot be used; an entry that would be bound from it fails with this text.
    problem: str | None = None

    def __init__(self, name: str, specific: Specificity) -> None:
        #: The full path.
        self.name = name
        self.specific = specific
        #: The encoding of texts in the repository.
        self.encoding: str = current_core().options.components_encoding
        #: The content.
        self.raw = b""

    def handle_event(self, event: Any = None) -> None:
        """Read the file.  Raises :exc:`OSError`."""
        self.raw = read_file(self.name)

    @functools.cached_property
    def data(self) -> str | bytes:
        """The content as text; as bytes if it does not decode."""
        try:
            return self.raw.decode(self.encoding)
        except UnicodeDecodeError:
            return self.raw

    def bind_entry(self, entry: Element, metadata: Any) -> None:
        """Put the content, and what else is known of it, into ENTRY."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"
