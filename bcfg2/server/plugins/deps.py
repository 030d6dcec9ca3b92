"""Deps: entries that other entries need, added to the configurations that lack them.

.. code-block:: text

    a file      -> stated    entry -> what it needs, as the file says for a client
    all files   -> required  the same of the file of the highest priority that lists the entry
    structures  -> one more structure: what is needed, directly or indirectly, and not there
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from lxml import etree

from bcfg2 import xml
from bcfg2.server.plugin import (
    Plugin,
    PluginExecutionError,
    PriorityStructFile,
    Selection,
    StructureValidator,
    XMLDirectoryBacked,
)
from bcfg2.server.plugin.conditions import MAX_OUTCOMES
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.versioned import Versioned

#: The tag (without ``Bound``) and the name of an entry.
Key = tuple[str, str]
Stated = dict[Key, tuple[Key, ...]]

#: Element that an included file brings along; it means nothing.
_NESTED = "Dependencies"


class Requirement(NamedTuple):
    """What an entry needs, each once, and the file that says so; RIVAL: another of the same priority that does."""

    needs: tuple[Key, ...]
    file: "DepsFile"
    rival: "DepsFile | None" = None


class DepsFile(PriorityStructFile):
    """One file: elements for entries, whose children are the entries that they need."""

    schema = "deps"

    def Index(self) -> None:
        super().Index()
        if self.template is None:
            self._check(self.xdata, above=None)

    def _check(self, parent: xml.Element, above: str | None) -> None:
        """Tell of what has no effect below PARENT; ABOVE: the entry whose needs stand there, None for the root."""
        for node in parent:
            if not xml.is_element(node):
                continue
            if node.tag in self._include_tests or node.tag == _NESTED:
                self._check(node, above)
            elif above is None:
                self._check(node, node.get("name", ""))
            elif len(node):
                self.logger.warning(
                    "%s:%s: what stands in <%s> inside of another entry is ignored, list %s below the root for it",
                    self.name, node.sourceline, node.tag, node.get("name"),
                )  # fmt: skip

    def stated(self, metadata: Any) -> Stated:
        """What entries need on this client; PluginExecutionError for a template that cannot be rendered."""
        document = self.document
        if self.template is None and document is not None:
            shared: Stated = document.once("needs", document.outcome(metadata), _stated)
            return shared
        return _stated(self.select(metadata))


def _stated(selection: Selection) -> Stated:
    found: dict[Key, dict[Key, None]] = {}
    for node in _named(selection, selection.root):
        found.setdefault(_key(node), {}).update((_key(child), None) for child in _named(selection, node))
    return {key: tuple(needs) for key, needs in found.items()}


def _named(selection: Selection, parent: xml.Element) -> Iterator[xml.Element]:
    """The children of PARENT that apply and have a name."""
    for node in selection.applying(parent):
        if node.tag == _NESTED:
            yield from _named(selection, node)
        elif node.get("name"):
            yield node


def _key(entry: xml.Element) -> Key:
    return entry.tag.removeprefix("Bound"), entry.get("name", "")


def _merged(sources: Iterable[tuple[DepsFile, Stated]]) -> dict[Key, Requirement]:
    """What entries need according to all SOURCES, which come by descending priority."""
    merged: dict[Key, Requirement] = {}
    for file, stated in sources:
        for key, needs in stated.items():
            first = merged.setdefault(key, Requirement(needs, file))
            if first.file is not file and first.file.priority == file.priority and first.rival is None:
                merged[key] = first._replace(rival=file)
    return merged


class Deps(Plugin, StructureValidator, XMLDirectoryBacked):
    """Adds the structure ``Deps`` with the entries that others need; generators bind them as any others."""

    sort_order = 750  # after the plugins that add entries
    __child__ = DepsFile

    #: All files, by descending priority.
    _files: Versioned[list[DepsFile]] = Versioned([])
    #: What the files' conditions came to -> what entries need then.
    _required: Versioned[dict[Any, dict[Key, Requirement]]] = Versioned({})

    def __init__(self, core: CoreInterface) -> None:
        Plugin.__init__(self, core)
        XMLDirectoryBacked.__init__(self, self.data)

    def on_change(self) -> None:
        files: list[DepsFile] = [child for _, child in sorted(self.entries.items())]
        self._files = sorted(files, key=lambda file: -file.priority)
        self._required = {}

    def validate_structures(self, metadata: Any, structures: list[xml.Element]) -> None:
        present = dict.fromkeys(
            _key(entry)
            for structure in structures
            for entry in structure
            if xml.is_element(entry) and entry.get("name")
        )
        added = etree.Element("Independent", {"name": self.name})
        try:
            for tag, name in self._missing(present, self.required(metadata)):
                etree.SubElement(added, tag, {"name": name})
        except PluginExecutionError as err:
            self.logger.error("Nothing is added to the configuration of %s: %s", metadata.hostname, err)
        structures.append(added)

    @staticmethod
    def _missing(present: Iterable[Key], required: dict[Key, Requirement]) -> list[Key]:
        """What the entries PRESENT need, directly or indirectly, besides themselves; an error for a conflict."""
        known = set(present)
        missing: list[Key] = []
        todo = list(present)
        while todo:
            key = todo.pop()
            requirement = required.get(key)
            if requirement is None:
                continue
            if requirement.rival is not None:
                raise PluginExecutionError(
                    f"{requirement.file.name} and {requirement.rival.name} both list {key[0]} {key[1]}, "
                    f"with the same priority {requirement.file.priority}"
                )
            new = [need for need in requirement.needs if need not in known]
            known.update(new)
            missing += new
            todo += new
        return missing

    def required(self, metadata: Any) -> dict[Key, Requirement]:
        """What entries need on this client, shared by clients for which the files' conditions come to the same."""
        files = self._files
        if any(file.template is not None for file in files):
            return _merged((file, self._stated(file, metadata)) for file in files)
        outcome = tuple([file.document.outcome(metadata) for file in files])
        required = self._required.get(outcome)
        if required is None:
            if len(self._required) >= MAX_OUTCOMES:
                self._required.clear()
            required = self._required[outcome] = _merged((file, file.stated(metadata)) for file in files)
        return required

    def _stated(self, file: DepsFile, metadata: Any) -> Stated:
        """What FILE says; nothing if it cannot be rendered."""
        try:
            return file.stated(metadata)
        except PluginExecutionError as err:
            self.logger.error("%s for %s, the file is left out", err, metadata.hostname)
            return {}
