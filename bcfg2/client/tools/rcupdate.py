"""The tool RcUpdate: services of OpenRC (Gentoo, Alpine)."""

import re
from typing import ClassVar

from bcfg2.client.tools.base import Context
from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.services import ServiceTool
from bcfg2.xml import Element

RC_UPDATE = "/sbin/rc-update"
RC_STATUS = "/bin/rc-status"
SCRIPTS = "/etc/init.d"
RUNLEVEL = "default"

_STATUS = re.compile(r"\s*(\S+)\s.*\[\s*(\w+)[^\]]*\]\s*")


class RcUpdate(ServiceTool):
    """Services of type rc-update, in the default runlevel."""

    handles: ClassVar = (("Service", "rc-update"),)
    required: ClassVar = {("Service", "rc-update"): ("name", "status")}
    needs: ClassVar = (RC_UPDATE, RC_STATUS)
    reported_if_wrong: ClassVar = {"boot": "current_bootstatus"}

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._at_boot: set[str] = set()

    def refresh(self) -> None:
        """List what is in the runlevel."""
        self._at_boot = parse_show(text_of(self.run([RC_UPDATE, "show"])), RUNLEVEL)

    def boots(self, entry: Element) -> bool:
        """Whether the service is in the runlevel."""
        return entry.get("name") in self._at_boot

    def runs(self, entry: Element) -> bool:
        """Whether the script says that the service runs."""
        return self.run(self.command("status", entry)).status == 0

    def set_boot(self, entry: Element, on: bool) -> None:
        """Put the service into the runlevel, or take it out."""
        if on != self.boots(entry):
            self.run_or_fail([RC_UPDATE, "add" if on else "del", entry.get("name", ""), RUNLEVEL])

    def command(self, verb: str, entry: Element) -> list[str]:
        """``/etc/init.d/NAME VERB``."""
        return [f"{SCRIPTS}/{entry.get('name')}", verb]

    def find_extra(self) -> list[Element]:
        """The services that run without an entry."""
        started = sorted(parse_status(text_of(self.run([RC_STATUS, "-s"]))))
        return self.extra_elements("Service", ((name, {"type": "rc-update"}) for name in started))


def parse_show(output: str, runlevel: str) -> set[str]:
    """The services that are in RUNLEVEL by the OUTPUT of ``rc-update show``.

    >>> parse_show("             bootmisc | boot\\n                 sshd |      default nonetwork\\n", "default")
    {'sshd'}
    """
    lines = (line.partition("|") for line in output.splitlines())
    return {name.strip() for name, bar, levels in lines if bar and runlevel in levels.split()}


def parse_status(output: str) -> set[str]:
    """The services that are started by the OUTPUT of ``rc-status -s``.

    >>> parse_status(" sshd                        [  started 1 day(s) 02:11:40 (0) ]\\n ntpd    [  stopped  ]\\n")
    {'sshd'}
    """
    matches = (_STATUS.fullmatch(line) for line in output.splitlines())
    return {match[1] for match in matches if match and match[2] == "started"}
