"""Rules: entries get their attributes from XML files, by name or by pattern, by group and by priority."""

import re
from typing import Any, ClassVar

from bcfg2 import xml
from bcfg2.options import BooleanOption, Option
from bcfg2.server.plugin import Candidate, Dependencies, PrioDir

_NAME = re.compile(r"%(%|\{name\}|name)")


class Rules(PrioDir):
    """The generator for everything that is described by attributes: packages, services, actions, users, paths."""

    options: ClassVar[list[Option]] = [
        BooleanOption("rules", "regex", default=False, help="Names in Rules are regular expressions"),
        BooleanOption(
            "rules", "replace_name", default=False, help="Replace %{name} in attributes of rules by the entry's name"
        ),
    ]

    @property
    def use_patterns(self) -> bool:
        return bool(self.settings.rules_regex)

    @property
    def replaces_name(self) -> bool:
        """Whether ``%{name}`` in attributes stands for the entry's name."""
        return bool(self.settings.rules_replace_name)

    def depends_on(self, entry: xml.Element) -> Dependencies | None:
        return self.conditions_for(entry)

    def _apply(self, entry: xml.Element, candidate: Candidate, metadata: Any) -> None:
        before = set(entry.attrib) if self.replaces_name else None
        super()._apply(entry, candidate, metadata)
        if before is not None:
            name = entry.get("name", "")
            for key in set(entry.attrib) - before:
                entry.set(key, with_name(entry.get(key, ""), name))


def with_name(text: str, name: str) -> str:
    """TEXT with ``%{name}`` and ``%name`` replaced by NAME and ``%%`` by one percent sign."""
    return _NAME.sub(lambda match: "%" if match[1] == "%" else name, text)
