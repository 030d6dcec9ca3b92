"""The tool DebInit: scripts of System V on Debian's systems."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, NamedTuple

from bcfg2.client.configuration import title
from bcfg2.client.tools.base import Context, Difference, InstallError, State
from bcfg2.client.tools.services import ServiceTool
from bcfg2.xml import Element

UPDATE_RC = "/usr/sbin/update-rc.d"
INVOKE_RC = "/usr/sbin/invoke-rc.d"
SCRIPTS = Path("/etc/init.d")
#: The folders of links are ``rc0.d`` to ``rc6.d`` and ``rcS.d`` in here.
RUNLEVELS = Path("/etc")
VERSION = Path("/etc/debian_version")
LEGACY = SCRIPTS / ".legacy-bootordering"
#: Releases whose boot order comes from the numbers in the names of links.
_NUMBERED = ("etch", "lenny", "5.")

_LINK = re.compile(r"rc(.)\.d/([SK])(\d\d)(.+)")


class Link(NamedTuple):
    """A link of a runlevel: ``rc2.d/S20ssh``."""

    level: str
    kind: str
    order: int
    service: str


class DebInit(ServiceTool):
    """Services of type deb."""

    handles: ClassVar = (("Service", "deb"),)
    required: ClassVar = {("Service", "deb"): ("name", "status")}
    needs: ClassVar = (UPDATE_RC, INVOKE_RC)
    reported_if_wrong: ClassVar = {"boot": "current_bootstatus"}
    removes: ClassVar = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._links: list[Link] = []

    def refresh(self) -> None:
        """Read the links of all runlevels."""
        self._links = parse_links(f"{path.parent.name}/{path.name}" for path in RUNLEVELS.glob("rc?.d/[SK]*"))

    def expected_state(self, entry: Element) -> State:
        """As of every service; and the place in the boot order where that counts."""
        wanted = dict(super().expected_state(entry))
        if entry.get("sequence") and wanted.get("boot") == "on":
            if _numbered():
                wanted["order"] = _sequence(entry)
            else:
                self.logger.warning("%s: sequence is ignored, this system orders services itself", title(entry))
        return wanted

    def actual_state(self, entry: Element) -> State:
        """As of every service, with the place in the boot order."""
        orders = {link.order for link in self._links_of(entry) if link.kind == "S"}
        return {**super().actual_state(entry), "order": orders.pop() if len(orders) == 1 else None}

    def _links_of(self, entry: Element) -> list[Link]:
        return [link for link in self._links if link.service == entry.get("name")]

    def boots(self, entry: Element) -> bool:
        """Whether any runlevel has a link to the script."""
        return bool(self._links_of(entry))

    def runs(self, entry: Element) -> bool:
        """Whether the script says that the service runs."""
        return self.run(self.command("status", entry)).status == 0

    def fix(self, entry: Element, difference: Difference) -> None:
        """Set the states; a wrong place in the boot order asks for new links."""
        if not (SCRIPTS / entry.get("name", "")).exists():
            raise InstallError(f"there is no {SCRIPTS / entry.get('name', '')}")
        if "order" in difference and "boot" not in difference:
            self.set_boot(entry, True)
        super().fix(entry, difference)

    def set_boot(self, entry: Element, on: bool) -> None:
        """Make or remove the links."""
        name = entry.get("name", "")
        if not on:
            self.run_or_fail([UPDATE_RC, "-f", name, "remove"])
            return
        order: list[str] = []
        if entry.get("sequence") and _numbered():
            self.run_or_fail([UPDATE_RC, "-f", name, "remove"])
            order = [str(_sequence(entry)), str(100 - _sequence(entry))]
        self.run_or_fail([UPDATE_RC, name, "defaults", *order])

    def command(self, verb: str, entry: Element) -> list[str]:
        """``invoke-rc.d NAME VERB``."""
        return [INVOKE_RC, entry.get("name", ""), verb]

    def find_extra(self) -> list[Element]:
        """The services that are started in a runlevel without an entry."""
        started = {link.service for link in self._links if link.kind == "S" and link.level in "12345"}
        return self.extra_elements("Service", ((name, {"type": "deb"}) for name in sorted(started)))


def parse_links(names: Iterable[str]) -> list[Link]:
    """The links among NAMES, which are relative to the folder of the runlevels.

    >>> parse_links(["rc2.d/S20ssh", "rc2.d/README"])
    [Link(level='2', kind='S', order=20, service='ssh')]
    """
    matches = (_LINK.fullmatch(name) for name in names)
    return [Link(match[1], match[2], int(match[3]), match[4]) for match in matches if match]


def _sequence(entry: Element) -> int:
    text = entry.get("sequence", "")
    if not text.isdecimal() or int(text) > 99:
        raise InstallError(f'sequence="{text}" is not a number from 0 to 99')
    return int(text)


def _numbered() -> bool:
    """Whether this system starts services by the numbers in the names of links."""
    try:
        version = VERSION.read_text()
    except OSError:
        version = ""
    return LEGACY.exists() or version.startswith(_NUMBERED)
