"""The tool Chkconfig: scripts of System V on Red Hat's systems, and services that xinetd starts."""

import re
from typing import ClassVar

from bcfg2.client.tools.base import Context, Difference, State
from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.services import ServiceTool
from bcfg2.xml import Element

CHKCONFIG = "/sbin/chkconfig"
SERVICE = "/sbin/service"

_LEVELS = re.compile(r"(\S+)((?:\s+[0-6]:(?:on|off))+)\s*")
_XINETD = re.compile(r"\s*(\S+?):?\s+(on|off)\s*")


class Chkconfig(ServiceTool):
    """Services of type chkconfig."""

    handles: ClassVar = (("Service", "chkconfig"),)
    required: ClassVar = {("Service", "chkconfig"): ("name", "status")}
    needs: ClassVar = (CHKCONFIG,)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._listed: dict[str, bool] = {}
        self._xinetd: set[str] = set()

    def refresh(self) -> None:
        """List all services at once."""
        output = text_of(self.run([CHKCONFIG, "--list"]))
        self._listed = parse_list(output)
        self._xinetd = parse_xinetd(output)

    def boots(self, entry: Element) -> bool:
        """Whether the service is on in any runlevel."""
        return self._listed.get(entry.get("name", ""), False)

    def runs(self, entry: Element) -> bool:
        """Whether the script says that the service runs; what xinetd starts runs when it is on."""
        if entry.get("name") in self._xinetd:
            return self.boots(entry)
        return self.run(self.command("status", entry)).status == 0

    def report(self, entry: Element, actual: State | None, difference: Difference) -> None:
        """Tell also that chkconfig does not know the service."""
        super().report(entry, actual, difference)
        entry.attrib.pop("current_bootstatus", "")
        if "boot" in difference and entry.get("name") not in self._listed:
            entry.set("current_bootstatus", "service not installed")

    def set_boot(self, entry: Element, on: bool) -> None:
        """Make the service known to chkconfig and switch it on or off."""
        name = entry.get("name", "")
        if name not in self._xinetd:
            self.run_or_fail([CHKCONFIG, "--add", name])
        self.run_or_fail([CHKCONFIG, name, "on" if on else "off"])

    def command(self, verb: str, entry: Element) -> list[str]:
        """``service NAME VERB``."""
        return [SERVICE, entry.get("name", ""), verb]

    def find_extra(self) -> list[Element]:
        """The services that are on without an entry."""
        names = sorted(name for name, on in self._listed.items() if on)
        return self.extra_elements("Service", ((name, {"type": "chkconfig"}) for name in names))


def parse_list(output: str) -> dict[str, bool]:
    """Whether each service in the OUTPUT of ``chkconfig --list`` is on in any runlevel, or for xinetd.

    >>> parse_list("crond  0:off 1:off 2:on 3:on 4:on 5:on 6:off\\nxinetd based services:\\n        rsync:  off\\n")
    {'crond': True, 'rsync': False}
    """
    services = {}
    for line in output.splitlines():
        if match := _LEVELS.fullmatch(line):
            services[match[1]] = ":on" in match[2]
        elif match := _XINETD.fullmatch(line):
            services[match[1]] = match[2] == "on"
    return services


def parse_xinetd(output: str) -> set[str]:
    """The services in the OUTPUT of ``chkconfig --list`` that xinetd starts."""
    return {match[1] for line in output.splitlines() if (match := _XINETD.fullmatch(line))}
