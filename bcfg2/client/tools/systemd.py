"""The tool Systemd: units of systemd as services."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from bcfg2.client.tools.base import Context
from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.services import ServiceTool
from bcfg2.xml import Element

SYSTEMCTL = "/bin/systemctl"
#: Where units are enabled: a link in a folder ``TARGET.wants``.
UNITS = Path("/etc/systemd/system")

_SUFFIXES = (
    ".service",
    ".socket",
    ".device",
    ".mount",
    ".automount",
    ".swap",
    ".target",
    ".path",
    ".timer",
    ".snapshot",
    ".slice",
    ".scope",
)
_RUNNING = ("active", "activating", "reloading")
#: States of unit files that need no further question; of others (scripts of System V, unknown ones) is-enabled knows.
_BOOTS = {
    "enabled": True,
    "enabled-runtime": True,
    "static": True,
    "alias": True,
    "indirect": True,
    "disabled": False,
    "masked": False,
    "masked-runtime": False,
    "linked": False,
    "linked-runtime": False,
}


class Systemd(ServiceTool):
    """Services of type systemd."""

    handles: ClassVar = (("Service", "systemd"),)
    required: ClassVar = {("Service", "systemd"): ("name", "status")}
    needs: ClassVar = (SYSTEMCTL,)
    sets_all: ClassVar = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._units: dict[str, Mapping[str, str]] = {}

    def refresh(self) -> None:
        """Ask about all units of the configuration at once."""
        own = (entry for structure in self.configuration.structures for entry in self.own_entries(structure))
        self._units = self._ask(dict.fromkeys(unit_name(entry) for entry in own))

    def _ask(self, units: Iterable[str]) -> dict[str, Mapping[str, str]]:
        asked = list(units)
        if not asked:
            return {}
        done = self.run([SYSTEMCTL, "show", "-p", "ActiveState,UnitFileState,Names", "--", *asked])
        answers = parse_show(text_of(done))
        if len(answers) == len(asked):
            return dict(zip(asked, answers, strict=True))
        if len(asked) == 1:
            return {asked[0]: {}}
        # A name that systemd does not accept ends the answer: one by one it harms no other.
        return {unit: self._ask([unit])[unit] for unit in asked}

    def _unit(self, entry: Element) -> Mapping[str, str]:
        unit = unit_name(entry)
        if unit not in self._units:
            self._units.update(self._ask([unit]))
        return self._units[unit]

    def boots(self, entry: Element) -> bool:
        """Whether the unit is enabled."""
        known = _BOOTS.get(self._unit(entry).get("UnitFileState", ""))
        if known is not None:
            return known
        return self.run(self.command("is-enabled", entry)).status == 0

    def runs(self, entry: Element) -> bool:
        """Whether the unit is active, or on the way to that."""
        return self._unit(entry).get("ActiveState") in _RUNNING

    def set_boot(self, entry: Element, on: bool) -> None:
        """Enable or disable the unit."""
        self.run_or_fail(self.command("enable" if on else "disable", entry))

    def command(self, verb: str, entry: Element) -> list[str]:
        """``systemctl VERB UNIT``."""
        return [SYSTEMCTL, verb, unit_name(entry)]

    def find_extra(self) -> list[Element]:
        """The enabled units without an entry, with their suffixes."""
        named = {unit_name(entry) for entry in self.entries}
        named.update(name for unit in self._units.values() for name in unit.get("Names", "").split())
        listed = self.run([SYSTEMCTL, "list-unit-files", "--state=enabled", "--no-legend", "--no-pager", "--plain"])
        enabled = {path.name for path in UNITS.glob("*.wants/*")} | set(
            parse_unit_files(listed.stdout.decode("utf-8", "replace"))
        )
        return self.extra_elements("Service", ((name, {"type": "systemd"}) for name in sorted(enabled - named)))


def unit_name(entry: Element) -> str:
    """The unit that ENTRY is about: its name, of a service if it does not say of what."""
    name = entry.get("name", "")
    return name if name.endswith(_SUFFIXES) else f"{name}.service"


def parse_show(output: str) -> list[dict[str, str]]:
    """The properties of each unit in the OUTPUT of ``systemctl show``, in the order in which the units were named.

    A line is empty, or has a property that the unit already has, where the next unit begins.

    >>> parse_show("ActiveState=active\\nUnitFileState=enabled\\n\\nActiveState=inactive\\nUnitFileState=\\n")
    [{'ActiveState': 'active', 'UnitFileState': 'enabled'}, {'ActiveState': 'inactive', 'UnitFileState': ''}]
    """
    units: list[dict[str, str]] = [{}]
    for line in output.splitlines():
        key, equals, value = line.partition("=")
        if not equals or key in units[-1]:
            units.append({})
        if equals:
            units[-1][key] = value
    return [unit for unit in units if unit]


def parse_unit_files(output: str) -> list[str]:
    """The units in the OUTPUT of ``systemctl list-unit-files --no-legend``, without templates, which are never started.

    >>> parse_unit_files("cron.service enabled enabled\\ngetty@.service enabled enabled\\n")
    ['cron.service']
    """
    names = (line.split()[0] for line in output.splitlines() if line.strip())
    return [name for name in names if "@." not in name]
