"""SEModules: SELinux policy modules, as files for everybody, for groups or for hosts.

.. code-block:: text

    SEModules/foreman.pp/foreman.pp             the module foreman
    SEModules/foreman.pp/foreman.pp.G10_el7     its build for members of el7
    SEModules/foreman.pp/info.xml               owner, mode ... in place of the defaults
"""

import base64
import functools
from collections.abc import Callable
from typing import Any, ClassVar

from bcfg2.server.plugin import Dependencies, EntrySet, GroupSpool, SpecificData, Specificity
from bcfg2.server.plugin.interfaces import union
from bcfg2.xml import Element

_SUFFIX = ".pp"


class ModuleFile(SpecificData):
    """One build of a module."""

    @functools.cached_property
    def encoded(self) -> str:
        """The content as one line of base64."""
        return base64.b64encode(self.raw).decode("ascii")

    def bind_entry(self, entry: Element, metadata: Any) -> None:
        entry.set("encoding", "base64")
        entry.text = self.encoded


class ModuleSet(EntrySet):
    """The builds of one module."""

    def bind_entry(self, entry: Element, metadata: Any) -> None:
        """Complete ENTRY for the client; it is delivered without the suffix of its name."""
        super().bind_entry(entry, metadata)
        entry.set("name", self.basename.removesuffix(_SUFFIX))

    def depends_on(self) -> Dependencies | None:
        """What of a client decides which build it gets, with which attributes; None if anything may."""
        files = list(self.entries.values())
        if any(file.problem is not None for file in files):
            return None
        specific = [file.specific for file in files if file is not self.info]
        which = Dependencies(
            frozenset(item.group for item in specific if item.group is not None),
            frozenset(item.hostname for item in specific if item.hostname is not None),
        )
        if self.info is None:
            return which
        attributes = self.info.infoxml.depends_on()
        return attributes and union([which, attributes])


class SEModules(GroupSpool):
    """The generator of ``SEModule`` entries, whose names may end in ``.pp`` or not."""

    es_child_cls: ClassVar[Callable[[str, Specificity], Any]] = ModuleFile
    es_cls = ModuleSet
    entry_type = "SEModule"

    def entry_name(self, folder: str) -> str:
        return folder

    def make_entry_set(self, folder: str) -> EntrySet:
        if not folder.endswith(_SUFFIX):
            self.logger.error(
                "%s/%s is not used: the folder of a module must have the module's name with %s behind it",
                self.data, folder, _SUFFIX,
            )  # fmt: skip
        return super().make_entry_set(folder)

    def _list_entries(self) -> None:
        """Claim each module under both of its names."""
        super()._list_entries()
        folders = {name: binder for name, binder in self.Entries[self.entry_type].items() if name.endswith(_SUFFIX)}
        modules = {name.removesuffix(_SUFFIX): binder for name, binder in folders.items()}
        self.Entries = {self.entry_type: modules | folders}

    def depends_on(self, entry: Element) -> Dependencies | None:
        if entry.tag != self.entry_type:
            return Dependencies()
        name = entry.get("name", "")
        entry_set = self.entries.get(name) or self.entries.get(name + _SUFFIX)
        return entry_set.depends_on() if isinstance(entry_set, ModuleSet) else Dependencies()
