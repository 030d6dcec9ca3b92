"""Which entries are good and which are bad, as the tools find them."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from bcfg2.client.configuration import Configuration, entries_of, title
from bcfg2.client.tools.base import InstallError, Tool
from bcfg2.xml import Element, is_true

logger = logging.getLogger("bcfg2.client")


class States:
    """The state of every entry of CONFIGURATION: bad, until a tool of TOOLS finds it good.

    An entry belongs to the first tool that is for it.  `progress` is told how many entries of how many were looked at.
    """

    def __init__(
        self, configuration: Configuration, tools: Sequence[Tool], progress: Callable[[int, int], None]
    ) -> None:
        self.tools = tools
        self._configuration = configuration
        self._progress = progress
        self._good: set[Element] = set()
        self._tool_of: dict[Element, Tool] = {}
        self._find_tools()

    # What is known

    def tool_of(self, entry: Element) -> Tool | None:
        """The tool that verifies and installs ENTRY; None if there is none, or if the entry is not complete."""
        return self._tool_of.get(entry)

    def is_good(self, entry: Element) -> bool:
        """Whether ENTRY is as it should be."""
        return entry in self._good

    def update(self, results: dict[Element, bool]) -> None:
        """Take over the states that a tool tells."""
        for entry, good in results.items():
            (self._good.add if good else self._good.discard)(entry)

    @property
    def good(self) -> list[Element]:
        """The good entries, in document order."""
        return [entry for entry in self._configuration.entries if entry in self._good]

    @property
    def bad(self) -> list[Element]:
        """The bad entries, in document order."""
        return [entry for entry in self._configuration.entries if entry not in self._good]

    @property
    def modified(self) -> list[Element]:
        """What was changed, each entry once, in the order of the tools."""
        return list(dict.fromkeys(entry for tool in self.tools for entry in tool.modified))

    @property
    def extra(self) -> list[Element]:
        """What is there without an entry, in the order of the tools."""
        return [entry for tool in self.tools for entry in tool.extra]

    def changed(self, structures: Iterable[Element]) -> list[Element]:
        """Those of STRUCTURES in which an entry was changed."""
        modified = set(self.modified)
        return [structure for structure in structures if not modified.isdisjoint(entries_of(structure))]

    # Looking

    def take_inventory(self) -> None:
        """Look at all entries, and for what is there without one."""
        self._verify(list(self._configuration.entries))
        for tool in self.tools:
            try:
                tool.extra = tool.find_extra()
            except Exception:
                logger.exception("%s cannot tell what there is without an entry", tool.name)

    def look_again(self, structures: Iterable[Element]) -> None:
        """Look again at the entries of STRUCTURES."""
        self._verify([entry for structure in structures for entry in entries_of(structure)])

    def verify(self, entry: Element) -> bool:
        """Look at ENTRY alone; whether it is good.  A failure is logged and makes it bad."""
        tool = self._tool_of.get(entry)
        good = tool is not None and _verified(tool, entry)
        self.update({entry: good})
        return good

    def _verify(self, entries: Sequence[Element]) -> None:
        for tool in self.tools:
            try:
                tool.refresh()
            except Exception:
                logger.exception("%s cannot read the state of this machine", tool.name)
        for position, entry in enumerate(entries, 1):
            self.verify(entry)
            self._progress(position, len(entries))

    def _find_tools(self) -> None:
        """Find out which tool each entry belongs to; tell of entries that none can work on."""
        unhandled = []
        names: Counter[tuple[str, str | None]] = Counter()
        for entry in self._configuration.entries:
            tool = next((tool for tool in self.tools if tool.handles_entry(entry)), None)
            if tool is None:
                unhandled.append(title(entry))
            elif is_complete(tool, entry):
                self._tool_of[entry] = tool
            names[str(entry.tag), entry.get("name")] += 1
        if unhandled:
            logger.error("No tool handles these entries: %s", ", ".join(unhandled))
        twice = [f"{tag}:{name}" for (tag, name), count in names.items() if count > 1]
        if twice:
            logger.debug("These entries occur more than once: %s", ", ".join(twice))


def is_complete(tool: Tool, entry: Element) -> bool:
    """Whether ENTRY holds all that TOOL needs; if not, the log has what is missing."""
    if failure := entry.get("failure"):
        logger.error("%s is left alone: the server could not bind it: %s", title(entry), failure)
        return False
    if missing := tool.missing_attributes(entry):
        logger.error("%s is left alone: it has no %s", title(entry), " and no ".join(missing))
        return False
    return True


def is_important(tools: Iterable[Tool], entry: Element) -> bool:
    """Whether ENTRY is a file that is installed before everything else."""
    if entry.tag != "Path" or entry.get("type") != "file":
        return False
    name = entry.get("name") or ""
    return is_true(entry.get("important")) or any(name.startswith(tuple(tool.important)) for tool in tools)


def _verified(tool: Tool, entry: Element) -> bool:
    try:
        return tool.verify(entry)
    except (InstallError, OSError) as err:
        logger.error("%s cannot be verified: %s", title(entry), err)
    except Exception:
        logger.exception("%s cannot be verified", title(entry))
    return False
