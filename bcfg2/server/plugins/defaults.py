"""Defaults: what entries get that nothing else has said, in the format of Rules, after all of them are bound."""

from typing import Any, ClassVar

from bcfg2 import xml
from bcfg2.options import BooleanOption, Option
from bcfg2.server.plugin import Candidate, GoalValidator, PriorityFolder, PriorityStructFile
from bcfg2.server.plugin.priority import conflict
from bcfg2.server.versioned import Versioned

#: How many conflicts are told of between two changes of the files.
_MAX_TOLD = 1000


class DefaultsFile(PriorityStructFile):
    """One file of defaults."""

    schema = "defaults"


class Defaults(PriorityFolder, GoalValidator):
    """Adds attributes, text and children to the entries of a configuration, however these were bound.

    Names in the files are patterns.  No entry fails: one that has no default, or conflicting ones, stays as it is.
    """

    __child__ = DefaultsFile

    options: ClassVar[list[Option]] = [
        BooleanOption(
            "defaults",
            "replace_name",
            default=False,
            help="Replace %{name} in attributes of defaults by the entry's name",
        ),
    ]

    #: The conflicts that have been logged since the files last changed: where the candidates stand.
    _told: Versioned[set[tuple[Any, ...]]] = Versioned(set())

    @property
    def use_patterns(self) -> bool:
        return True

    @property
    def replaces_name(self) -> bool:
        return bool(self.settings.defaults_replace_name)

    def on_change(self) -> None:
        super().on_change()
        self._told = set()

    def concerns(self, metadata: Any) -> bool:
        return bool(self.entries)

    def validate_goals(self, metadata: Any, config: xml.Element) -> None:
        for structure in config:
            for entry in structure:
                if not xml.is_element(entry):
                    continue
                found = self.highest(entry, metadata)
                if len(found) == 1:
                    self.apply(entry, found[0], metadata)
                elif found:
                    self._tell(entry, found)

    def _tell(self, entry: xml.Element, found: list[Candidate]) -> None:
        """Log a conflict, unless the same elements have been told of for another entry or client."""
        places: tuple[Any, ...] = tuple((item.file.name, item.element.sourceline) for item in found)
        if places not in self._told and len(self._told) < _MAX_TOLD:
            self._told.add(places)
            self.logger.error("%s; none of them is used, here and for further entries", conflict(entry, found))
