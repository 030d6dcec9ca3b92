"""The tool FreeBSDInit: services of FreeBSD's rc."""

import re
from pathlib import PurePosixPath
from typing import ClassVar

from bcfg2.client.tools.base import Context, Difference, InstallError
from bcfg2.client.tools.output import lines_of, text_of
from bcfg2.client.tools.services import ServiceTool
from bcfg2.xml import Element

SERVICE = "/usr/sbin/service"
SYSRC = "/usr/sbin/sysrc"

_VARIABLE = re.compile(r"^\s*(\w+)=", re.MULTILINE)


class FreeBSDInit(ServiceTool):
    """Services of type freebsd."""

    handles: ClassVar = (("Service", "freebsd"),)
    required: ClassVar = {("Service", "freebsd"): ("name", "status")}
    needs: ClassVar = (SERVICE, SYSRC)
    stop_verb: ClassVar = "onestop"  # stop does nothing once the service is switched off for boot
    removes: ClassVar = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._known: set[str] = set()

    def refresh(self) -> None:
        """List the services that there are."""
        self._known = {line.strip() for line in lines_of(self.run([SERVICE, "-l"]))}

    def boots(self, entry: Element) -> bool:
        """Whether the service is enabled in rc.conf."""
        return self.run(self.command("enabled", entry)).status == 0

    def runs(self, entry: Element) -> bool:
        """Whether the service runs, enabled or not."""
        return self.run(self.command("onestatus", entry)).status == 0

    def fix(self, entry: Element, difference: Difference) -> None:
        """Set the states of a service that there is."""
        if entry.get("name") not in self._known:
            raise InstallError("service -l does not list it")
        super().fix(entry, difference)

    def set_boot(self, entry: Element, on: bool) -> None:
        """Set the variables of the service in rc.conf."""
        variables = parse_rcvar(text_of(self.run_or_fail(self.command("rcvar", entry))))
        if not variables:
            raise InstallError("service rcvar names no variable")
        for variable in variables:
            self.run_or_fail([SYSRC, f"{variable}={'YES' if on else 'NO'}"])

    def command(self, verb: str, entry: Element) -> list[str]:
        """``service NAME VERB``."""
        return [SERVICE, entry.get("name", ""), verb]

    def find_extra(self) -> list[Element]:
        """The enabled services without an entry."""
        names = parse_enabled(text_of(self.run([SERVICE, "-e"])))
        return self.extra_elements("Service", ((name, {"type": "freebsd"}) for name in names))


def parse_rcvar(output: str) -> list[str]:
    """The variables in the OUTPUT of ``service NAME rcvar``.

    >>> parse_rcvar('# sshd : Secure Shell Daemon\\n#\\nsshd_enable="YES"\\n#   (default: "")\\n')
    ['sshd_enable']
    """
    return _VARIABLE.findall(output)


def parse_enabled(output: str) -> list[str]:
    """The services in the OUTPUT of ``service -e``, which has the paths of their scripts.

    >>> parse_enabled("/etc/rc.d/hostid\\n/usr/local/etc/rc.d/nginx\\n")
    ['hostid', 'nginx']
    """
    return sorted({PurePosixPath(line.strip()).name for line in output.splitlines() if line.strip()})
