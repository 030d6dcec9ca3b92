"""Pkgmgr: packages from lists that say which version each group of clients has.

.. code-block:: text

    a list is read      -> PackageList     inherited attributes, file names and URLs worked out: ListedPackages by name
    any list changes    -> Pkgmgr          for each name: the lists that have it, the highest priority first
    an entry is bound   -> one look-up, and the conditions of the few packages found
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from bcfg2 import xml
from bcfg2.server.plugin import (
    ConditionalDocument,
    Dependencies,
    Generator,
    Plugin,
    PluginExecutionError,
    XMLDirectoryBacked,
    XMLFileBacked,
)
from bcfg2.server.plugin.conditions import STANDARD_TESTS, Test, depends_on, holds, test_of
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugin.specific import read_file
from bcfg2.server.versioned import Versioned

#: Attributes of lists and conditions that are about these alone.
_NOT_INHERITED = frozenset({"name", "negate"})

_WORDS = r"[A-Za-z0-9_+.]+(?:-[A-Za-z0-9_+.]+)*"
#: How names of files are taken apart, by the type of the package.
_FILE_NAMES: Mapping[str, re.Pattern[str]] = {
    "rpm": re.compile(
        rf"(?:.*/)?(?P<name>{_WORDS})-(?P<version>[A-Za-z0-9_.]+-[A-Za-z0-9_.]+)\.(?P<arch>[A-Za-z0-9_]+)\.rpm"
    ),
    "encap": re.compile(rf"(?:.*/)?(?P<name>{_WORDS})-(?P<version>[A-Za-z0-9_+.]+)\.encap.*"),
}


@dataclass(frozen=True, slots=True)
class ListedPackage:
    """A package of a list, with the conditions under which a client has it."""

    attributes: Mapping[str, str]
    conditions: tuple[Test, ...]
    #: The element, for what is in it: instances, in conditions perhaps; None if there is nothing.
    content: ConditionalDocument[list[xml.Element]] | None

    def applies(self, metadata: Any) -> bool:
        """Whether the client has the package."""
        return all(holds(test, STANDARD_TESTS, metadata) for test in self.conditions)

    def tests(self) -> Iterable[Test]:
        """All questions that decide whether, and with which content, a client has the package."""
        return (*self.conditions, *(self.content.tests if self.content is not None else ()))

    def bind(self, entry: xml.Element, metadata: Any, architectures: frozenset[str] | None) -> None:
        """Complete ENTRY; of the instances take those for ARCHITECTURES only, or all."""
        for name, value in self.attributes.items():
            entry.set(name, value)
        if self.content is None:
            return
        children = self.content.once("content", self.content.outcome(metadata), lambda selection: selection.matching())
        entry.extend(
            deepcopy(child)
            for child in children
            if architectures is None or child.tag != "Instance" or child.get("arch") in architectures
        )


class PackageList(XMLFileBacked):
    """One list.  It knows conditions, but neither templates nor includes."""

    schema = "pkglist"
    __identifier__ = None

    priority: Versioned[int] = Versioned(0)
    #: Name -> the packages of that name; of those that apply to a client, the last counts.
    packages: Versioned[Mapping[str, list[ListedPackage]]] = Versioned({})

    def read(self) -> None:
        root = xml.tidy(xml.parse_string(read_file(self.name), self.name))
        self.examine(xml.Document(self.name, root))
        self.xdata = root

    def Index(self) -> None:
        super().Index()
        text = self.xdata.get("priority")
        try:
            priority = int(text)
        except (TypeError, ValueError):
            raise PluginExecutionError(
                f"line {self.xdata.sourceline}: <{self.xdata.tag}> needs an integer attribute priority, not {text!r}"
            ) from None
        packages: dict[str, list[ListedPackage]] = {}
        for package in self._listed(self.xdata, {}, ()):
            packages.setdefault(package.attributes["name"], []).append(package)
        self.priority = priority
        self.packages = packages

    def _listed(
        self, parent: xml.Element, inherited: Mapping[str, str], conditions: tuple[Test, ...]
    ) -> Iterator[ListedPackage]:
        """The packages below PARENT, which has got the attributes INHERITED; what is in conditions comes last."""
        inherited = {**inherited, **_handed_down(parent)}
        nested = []
        for child in parent:
            if child.tag == "Package":
                try:
                    yield _listed_package(child, inherited, conditions)
                except ValueError as err:
                    self.logger.error("%s:%s: the package is left out: %s", self.name, child.sourceline, err)
            elif child.tag in STANDARD_TESTS:
                nested.append(child)
        for child in nested:
            yield from self._listed(child, inherited, (*conditions, test_of(child, STANDARD_TESTS)))


class Source(NamedTuple):
    """What one list has of one name."""

    priority: int
    file: str
    packages: list[ListedPackage]

    def best(self, metadata: Any) -> ListedPackage | None:
        """The package that the list gives the client."""
        return next((package for package in reversed(self.packages) if package.applies(metadata)), None)


class Pkgmgr(Plugin, Generator, XMLDirectoryBacked):
    """The generator of ``Package`` entries that are in the lists ``Pkgmgr/**/*.xml``.

    An entry ``NAME:ARCH,ARCH...`` is the package NAME with its instances for these architectures only.
    """

    conflicts: ClassVar[list[str]] = ["Packages"]
    __child__ = PackageList

    Entries: Versioned[dict[str, Any]] = Versioned({})
    #: Name of a package -> what the lists have of it, the highest priority first.
    _sources: Versioned[Mapping[str, list[Source]]] = Versioned({})

    def __init__(self, core: CoreInterface) -> None:
        Plugin.__init__(self, core)
        XMLDirectoryBacked.__init__(self, self.data)

    def on_change(self) -> None:
        sources: dict[str, list[Source]] = {}
        for _, file in sorted(self.entries.items()):
            for name, packages in file.packages.items():
                sources.setdefault(name, []).append(Source(file.priority, file.name, packages))
        for found in sources.values():
            found.sort(key=lambda source: -source.priority)
        self._sources = sources
        self.Entries = {"Package": dict.fromkeys(sources, self.BindEntry)}

    def HandlesEntry(self, entry: xml.Element, metadata: Any) -> bool:
        return entry.tag == "Package" and self._key(entry)[0] in self._sources

    def HandleEntry(self, entry: xml.Element, metadata: Any) -> None:
        self.BindEntry(entry, metadata)

    def depends_on(self, entry: xml.Element) -> Dependencies | None:
        if entry.tag != "Package":
            return Dependencies()
        sources = self._sources.get(self._key(entry)[0], ())
        return depends_on(test for source in sources for package in source.packages for test in package.tests())

    def BindEntry(self, entry: xml.Element, metadata: Any) -> None:
        """Bind ENTRY from the list of the highest priority that has it for the client.

        PluginExecutionError if there is none, or two.
        """
        name, architectures = self._key(entry)
        chosen: tuple[Source, ListedPackage] | None = None
        for source in self._sources.get(name, ()):
            if chosen is not None and source.priority < chosen[0].priority:
                break
            package = source.best(metadata)
            if package is not None and chosen is not None:
                raise PluginExecutionError(
                    f"two lists of priority {source.priority} have the package {name}: {chosen[0].file}, {source.file}"
                )
            if package is not None:
                chosen = source, package
        if chosen is None:
            raise PluginExecutionError(f"no list has the package {name} for {metadata.hostname}")
        chosen[1].bind(entry, metadata, architectures)

    def _key(self, entry: xml.Element) -> tuple[str, frozenset[str] | None]:
        """The name of the package that ENTRY is bound from, and the architectures that it asks for; None: all."""
        name = entry.get("name", "")
        package, colon, architectures = name.rpartition(":")
        if not colon or name in self._sources:
            return name, None
        return package, frozenset(architectures.split(","))


def _handed_down(parent: xml.Element) -> dict[str, str]:
    """The attributes of a list or condition that its content gets; those of a namespace are about the document."""
    attributes = xml.attributes(parent).items()
    return {name: value for name, value in attributes if name not in _NOT_INHERITED and not name.startswith("{")}


def _listed_package(element: xml.Element, inherited: Mapping[str, str], conditions: tuple[Test, ...]) -> ListedPackage:
    """The package that ELEMENT describes.  Raises :exc:`ValueError` with the reason if it does not."""
    attributes = {**inherited, **xml.attributes(element)}
    if "simplefile" not in attributes and "file" in attributes:
        attributes = {**_parsed(attributes), **attributes}
    if not attributes.get("name"):
        raise ValueError("it has no name")
    if (url := _url(attributes)) is not None:
        attributes["url"] = url
    return ListedPackage(attributes, conditions, _content(element))


def _parsed(attributes: Mapping[str, str]) -> dict[str, str]:
    """What the name of the file tells, for the types of which names are taken apart."""
    file, kind = attributes["file"], attributes.get("type", "")
    pattern = _FILE_NAMES.get(kind)
    if pattern is None:
        return {}
    of_several = attributes.get("multiarch", "").split()
    match = pattern.fullmatch(_file_for(file, of_several[0], of_several[0]) if of_several else file)
    if match is None:
        raise ValueError(f"{file!r} is no name of a file of type {kind}")
    return {name: value for name, value in match.groupdict().items() if name != "arch" or not of_several}


def _url(attributes: Mapping[str, str]) -> str | None:
    """Where the package is, for one architecture or for several; None if that is given, or unknown."""
    uri = attributes.get("uri")
    if uri is None:
        return None
    if "simplefile" in attributes:
        return f"{uri}/{attributes['simplefile']}"
    if "file" not in attributes:
        return None
    architectures = attributes.get("multiarch", "").split()
    if not architectures:
        return f"{uri}/{attributes['file']}"
    sources = attributes["srcs"].split() if "srcs" in attributes else architectures
    if len(sources) < len(architectures):
        raise ValueError(f"srcs has {len(sources)} words, multiarch {len(architectures)}")
    files = [_file_for(attributes["file"], *pair) for pair in zip(architectures, sources, strict=False)]
    return " ".join(f"{uri}/{file}" for file in files)


def _file_for(file: str, architecture: str, source: str) -> str:
    """FILE with the marks for architecture and source replaced."""
    return file.replace("%(arch)s", architecture).replace("%(src)s", source)


def _content(element: xml.Element) -> ConditionalDocument[list[xml.Element]] | None:
    """What is in ELEMENT, ready for conditions, with the attributes that these hand down."""
    if not len(element):
        return None
    root = deepcopy(element)
    for condition in root.iter(*STANDARD_TESTS):
        for child in condition:
            for name, value in _handed_down(condition).items():
                if name not in child.attrib:
                    child.set(name, value)
    return ConditionalDocument(root)
