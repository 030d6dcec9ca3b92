"""Decisions: lists of entries that clients may, or may not, change."""

import re
from typing import Any

from bcfg2.server.plugin import (
    Decision,
    Plugin,
    PluginExecutionError,
    Selection,
    StructFile,
    XMLDirectoryBacked,
)
from bcfg2.server.plugin.services import CoreInterface


class DecisionFile(StructFile):
    """One list; its ``Decision`` elements may stand at any depth, also in nested ``Decisions``."""

    schema = "decisions"

    def decisions(self, metadata: Any) -> list[tuple[str, str]]:
        """(tag, name) of each decision for the client: unconditional ones first, then those that conditions give."""
        document = self.document
        if self.template is None and document is not None:
            shared: list[tuple[str, str]] = document.once("decisions", document.outcome(metadata), self._decisions)
            return list(shared)
        return self._decisions(self.select(metadata))

    def _decisions(self, selection: Selection) -> list[tuple[str, str]]:
        found = []
        for node in selection.filtered().iter("Decision"):
            tag, name = node.get("type"), node.get("name")
            if tag is not None and name is not None:
                found.append((tag, name))
            else:
                where = f"{self.name}:{node.sourceline}" if node.sourceline else self.name
                self.logger.error("%s: a Decision needs a type and a name, this one is ignored", where)
        return found


class Decisions(Plugin, Decision, XMLDirectoryBacked):
    """The files ``whitelist.xml`` and ``blacklist.xml``; a missing one is an empty list."""

    __child__ = DecisionFile
    patterns = re.compile(r"^(whitelist|blacklist)\.xml$")

    def __init__(self, core: CoreInterface) -> None:
        Plugin.__init__(self, core)
        XMLDirectoryBacked.__init__(self, self.data)

    def GetDecisions(self, metadata: Any, mode: str) -> list[tuple[str, str]]:
        file: DecisionFile | None = self.entries.get(f"{mode}.xml")
        if file is None:
            return []
        try:
            return file.decisions(metadata)
        except PluginExecutionError as err:
            self.logger.error("The %s of %s is left empty: %s", mode, metadata.hostname, err)
            return []
