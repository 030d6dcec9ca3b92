"""GroupPatterns: groups by the client's host name."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from bcfg2.server.plugin import Connector, Plugin, XMLFileBacked
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.versioned import Versioned
from bcfg2.xml import Element

_RANGE = re.compile(r"\[\[([\d\-,]+)\]\]", re.ASCII)
_REFERENCE = re.compile(r"\$(\d+)", re.ASCII)


class Span(NamedTuple):
    """Numbers from `first` to `last`, both included; without `last` all from `first` on."""

    first: int
    last: int | None


class Pattern:
    """A regular expression that is searched in the host name; ``$1`` in group names is what its first group caught."""

    def __init__(self, text: str) -> None:
        self._search = re.compile(text).search

    def groups(self, hostname: str, names: Iterable[str]) -> list[str]:
        """NAMES as they are for the client, none if it does not match."""
        match = self._search(hostname)
        if match is None:
            return []
        caught = match.groups()
        return [_REFERENCE.sub(lambda found: _caught(found, caught), name) for name in names]


def _caught(reference: re.Match[str], caught: tuple[str | None, ...]) -> str:
    """What REFERENCE stands for; beyond the groups of the pattern it stays as it is."""
    number = int(reference[1])
    return (caught[number - 1] or "") if 1 <= number <= len(caught) else reference[0]


class Range:
    """Text with number ranges such as ``node[[1-16,20-]]``, compared with the beginning of the host name."""

    def __init__(self, text: str) -> None:
        if "\\" in text:
            raise ValueError("a backslash is not allowed in a NameRange")
        parts = _RANGE.split(text)
        plain, ranges = parts[::2], parts[1::2]
        if any("[[" in part for part in plain):
            raise ValueError("[[...]] may hold numbers and ranges only, such as [[1-16,20-]]")
        self._spans = [[parse_span(item) for item in items.split(",")] for items in ranges]
        expression = re.compile(r"(\d+)".join(plain), re.ASCII)
        if expression.groups != len(ranges):
            raise ValueError("round brackets are not allowed in a NameRange")
        self._match = expression.match

    def groups(self, hostname: str, names: Iterable[str]) -> list[str]:
        """NAMES if the client is in the range, else none."""
        match = self._match(hostname)
        if match is None:
            return []
        numbers = map(int, match.groups())
        inside = all(_within(number, spans) for number, spans in zip(numbers, self._spans, strict=True))
        return list(names) if inside else []


def parse_span(text: str) -> Span:
    """``5``, ``5-7`` or ``5-``; :exc:`ValueError` for anything else."""
    first, dash, last = text.partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        raise ValueError(f"{text!r} is no number and no range of numbers")
    if not dash:
        return Span(int(first), int(first))
    return Span(int(first), int(last) if last else None)


def _within(number: int, spans: Iterable[Span]) -> bool:
    return any(first <= number and (last is None or number <= last) for first, last in spans)


class Rule(NamedTuple):
    """Clients that `test` matches are members of `groups`."""

    test: Pattern | Range
    groups: tuple[str, ...]


class PatternFile(XMLFileBacked):
    """The plugin's configuration file."""

    schema = "grouppatterns"
    __identifier__ = None
    create = "GroupPatterns"

    rules: Versioned[tuple[Rule, ...]] = Versioned(())

    def Index(self) -> None:
        super().Index()
        self.rules = tuple(rule for element in self.xdata.iter("GroupPattern") for rule in self._rules(element))
        self.core.metadata_cache.expire()

    def _rules(self, element: Element) -> Iterable[Rule]:
        groups = tuple(name for node in element.findall("Group") if (name := (node.text or "").strip()))
        for node in element:
            if node.tag not in ("NamePattern", "NameRange"):
                continue
            text = (node.text or "").strip()
            try:
                yield Rule((Pattern if node.tag == "NamePattern" else Range)(text), groups)
            except (ValueError, re.error) as err:
                self.logger.error("%s:%s: the %s %r is ignored: %s", self.name, node.sourceline, node.tag, text, err)


class GroupPatterns(Plugin, Connector):
    """Adds the groups whose patterns match the client's name (file ``GroupPatterns/config.xml``)."""

    announces_groups = True

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        self.config = PatternFile(f"{self.data}/config.xml", should_monitor=True)

    def get_additional_groups(self, metadata: Any) -> list[str]:
        return [name for test, names in self.config.rules for name in test.groups(metadata.hostname, names)]
