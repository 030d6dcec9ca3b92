"""Bundler: which entries belong together, and to which clients."""

import fnmatch
import os
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

from bcfg2 import xml
from bcfg2.server.plugin import (
    Generator,
    Plugin,
    PluginExecutionError,
    Selection,
    StructFile,
    Structure,
    StructureValidator,
    XMLDirectoryBacked,
)
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.versioned import Versioned
from bcfg2.version import parse_version

#: The first client version that understands a bundle as an entry of another bundle.
_INHERITS_SINCE = parse_version("1.4.0pre2")


class Required(NamedTuple):
    """A bundle that another one asks for."""

    name: str
    inherit: bool


class Content(NamedTuple):
    """A bundle as some clients get it: the element without what is not meant for clients, and what it asks for."""

    element: xml.Element
    required: tuple[Required, ...]


class BundleFile(StructFile):
    """One bundle; its name is the file's name."""

    schema = "bundle"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.bundle_name = os.path.splitext(os.path.basename(name))[0]

    def is_template(self) -> bool:
        return self.name.endswith(".genshi") or super().is_template()

    def Index(self) -> None:
        super().Index()
        if self.name.endswith(".genshi"):
            self.logger.warning("%s: the suffix .genshi is deprecated, call it %s.xml", self.name, self.bundle_name)
        explicit = self.xdata.get("name")
        if explicit is not None:
            self.logger.warning("%s: the attribute name=%r is ignored, the file's name counts", self.name, explicit)

    def content(self, metadata: Any) -> Content:
        """The bundle for this client, shared with others: not to be changed."""
        document = self.document
        if self.template is None and document is not None:
            result: Content = document.once("content", document.outcome(metadata), self._content)
            return result
        return self._content(self.select(metadata))

    def _content(self, selection: Selection) -> Content:
        element = selection.filtered()
        independent = xml.is_true(element.get("independent"))
        element.tag = "Independent" if independent else "Bundle"
        if independent:
            del element.attrib["independent"]
        element.set("name", self.bundle_name)
        self._flatten(element)
        required = []
        for node in element.findall("RequiredBundle"):
            element.remove(node)
            if node.get("name"):
                required.append(Required(node.get("name", ""), node.get("inherit_modification") == "true"))
            else:
                self.logger.warning("%s: RequiredBundle without a name, ignored", self.name)
        return Content(element, tuple(required))

    def _flatten(self, element: xml.Element) -> None:
        """Move what included bundles hold into this one."""
        while (nested := element.find("Bundle")) is not None:
            if len(nested) == 0:
                self.logger.warning("%s: empty Bundle element %s, dropped", self.name, nested.get("name", ""))
            element.extend(nested)
            element.remove(nested)


class Bundler(Plugin, Structure, StructureValidator, XMLDirectoryBacked):
    """The bundles of each client, as its groups ask for them and as bundles ask for each other."""

    __child__ = BundleFile
    patterns = re.compile(r"\.(xml|genshi)$")

    #: bundle name -> file
    bundles: Versioned[dict[str, BundleFile]] = Versioned({})

    def __init__(self, core: CoreInterface) -> None:
        Plugin.__init__(self, core)
        XMLDirectoryBacked.__init__(self, self.data)
        self._clashes: set[tuple[str, str]] = set()

    def on_change(self) -> None:
        bundles: dict[str, BundleFile] = {}
        files: list[BundleFile] = list(self.entries.values())
        for file in sorted(files, key=lambda item: (item.name.count("/"), item.name.endswith(".genshi"), item.name)):
            first = bundles.setdefault(file.bundle_name, file)
            if first is not file and (first.name, file.name) not in self._clashes:
                self._clashes.add((first.name, file.name))
                self.logger.warning("%s: the bundle is defined in %s already, ignored", file.name, first.name)
        self.bundles = bundles

    def BuildStructures(self, metadata: Any) -> list[xml.Element]:
        bundles = self.bundles
        todo = [(name, "") for name in sorted(metadata.bundles)]
        seen = set(metadata.bundles)
        structures = []
        while todo:
            name, required_by = todo.pop(0)
            file = bundles.get(name)
            if file is None:
                if required_by:  # of those that the client has itself, the core tells
                    self.logger.error("Bundle %s requires the bundle %s, which does not exist", required_by, name)
                continue
            try:
                content = file.content(metadata)
            except PluginExecutionError as err:
                self.logger.error("Bundle %s is left out for %s: %s", name, metadata.hostname, err)
                continue
            element = deepcopy(content.element)
            for required in content.required:
                if required.name not in seen:
                    seen.add(required.name)
                    todo.append((required.name, name))
                if required.inherit:
                    self._inherit(element, required.name, metadata)
            structures.append(element)
        return structures

    def has_bundle(self, name: str) -> bool:
        return name in self.bundles

    def _inherit(self, element: xml.Element, name: str, metadata: Any) -> None:
        """Have the client treat a modification of the bundle NAME as one of this bundle."""
        version = metadata.version_info
        if version is not None and version >= _INHERITS_SINCE:
            element.append(element.makeelement("BoundBundle", {"name": name}))
        else:
            self.logger.warning(
                "%s is too old, or has not said its version, to inherit modifications of bundle %s",
                metadata.hostname,
                name,
            )

    def validate_structures(self, metadata: Any, structures: list[xml.Element]) -> None:
        """Replace each ``<Path glob="..."/>`` by the literal paths that generators list."""
        names: list[str] | None = None
        for structure in structures:
            for entry in structure.findall("Path[@glob]"):
                if names is None:
                    names = self._listed_paths()
                self._expand(structure, entry, names)

    def _listed_paths(self) -> list[str]:
        listed: set[str] = set()
        for plugin in self.core.plugins_by_type(Generator):
            listed.update(plugin.Entries.get("Path", ()))
        return sorted(listed)

    @staticmethod
    def _expand(structure: xml.Element, entry: xml.Element, names: list[str]) -> None:
        matches: Callable[[str], Any] = re.compile(fnmatch.translate(entry.get("glob", ""))).match
        present = {path.get("name") for path in structure.findall("Path")}
        position = structure.index(entry)
        structure.remove(entry)
        for name in names:
            if matches(name) and name not in present:
                structure.insert(position, structure.makeelement("Path", {"name": name}))
                position += 1
