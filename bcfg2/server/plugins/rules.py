"""Rules: entries get their attributes from XML files, by name or by pattern, by group and by priority."""

from typing import ClassVar

from bcfg2 import xml
from bcfg2.options import BooleanOption, Option
from bcfg2.server.plugin import Dependencies, PrioDir, PriorityStructFile


class RulesFile(PriorityStructFile):
    """One file of rules."""

    schema = "rules"


class Rules(PrioDir):
    """The generator for everything that is described by attributes: packages, services, actions, users, paths."""

    __child__ = RulesFile

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
        return bool(self.settings.rules_replace_name)

    def depends_on(self, entry: xml.Element) -> Dependencies | None:
        return self.conditions_for(entry)
