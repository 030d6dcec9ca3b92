"""The tool SMF: services of Solaris and illumos."""

from pathlib import Path
from typing import ClassVar

from bcfg2.client.tools.base import Context, InstallError
from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.services import ServiceTool
from bcfg2.xml import Element

SVCADM = "/usr/sbin/svcadm"
SVCS = "/usr/bin/svcs"

#: How the name of a script of System V begins among services, and what is put in front of a script that is off.
_LEGACY = "lrc:"
_DISABLED = "DISABLED."
_VERBS = {"start": ["enable", "-r"], "stop": ["disable"]}


class SMF(ServiceTool):
    """Services of type smf."""

    handles: ClassVar = (("Service", "smf"),)
    required: ClassVar = {("Service", "smf"): ("name", "status", "FMRI")}
    needs: ClassVar = (SVCADM, SVCS)
    has_boot: ClassVar = False
    removes: ClassVar = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._states: dict[str, str] = {}

    def refresh(self) -> None:
        """List all services at once."""
        self._states = parse_svcs(text_of(self.run([SVCS, "-a", "-H", "-o", "FMRI,STA"])))

    def _state(self, entry: Element) -> str:
        """The state of the service, which may be named in a short form."""
        fmri = entry.get("FMRI", "")
        if fmri not in self._states:
            self._states[fmri] = text_of(self.run([SVCS, "-H", "-o", "STA", fmri])).strip().rstrip("*")
        return self._states[fmri]

    def runs(self, entry: Element) -> bool:
        """Whether the service is online; a script of System V, whether it is there to be run."""
        if entry.get("FMRI", "").startswith(_LEGACY):
            return legacy_script(entry.get("FMRI", "")).exists()
        return self._state(entry) == "ON"

    def do(self, verb: str, entry: Element) -> None:
        """As of every service, but scripts of System V are renamed, and run with the verbs that are not for SMF."""
        fmri = entry.get("FMRI", "")
        if not fmri.startswith(_LEGACY):
            super().do(verb, entry)
            return
        script = legacy_script(fmri)
        disabled = script.with_name(_DISABLED + script.name)
        if verb == "start":
            disabled.rename(script)
        elif verb == "stop":
            script.rename(disabled)
        else:
            self.run_or_fail([str(script), verb])

    def command(self, verb: str, entry: Element) -> list[str]:
        """``svcadm enable|disable|restart FMRI``; what is in maintenance is cleared."""
        words = _VERBS.get(verb, [verb])
        if verb == "start" and self._state(entry) == "MNT":
            words = ["clear", "-r"]
        return [SVCADM, *words, entry.get("FMRI", "")]

    def find_extra(self) -> list[Element]:
        """The services that are not disabled and have no entry."""
        named = {entry.get("FMRI") for entry in self.entries}
        names = sorted(fmri for fmri, state in self._states.items() if state != "DIS" and fmri not in named)
        return self.extra_elements("Service", ((name, {"type": "smf", "FMRI": name}) for name in names))


def parse_svcs(output: str) -> dict[str, str]:
    """FMRI -> short state, by the OUTPUT of ``svcs -H -o FMRI,STA``; a star says that the state is changing.

    >>> parse_svcs("svc:/network/ssh:default                           ON\\nlrc:/etc/rc2_d/S47pppd   LRC\\n")
    {'svc:/network/ssh:default': 'ON', 'lrc:/etc/rc2_d/S47pppd': 'LRC'}
    """
    lines = (line.split() for line in output.splitlines())
    return {words[0]: words[1].rstrip("*") for words in lines if len(words) == 2}


def legacy_script(fmri: str) -> Path:
    """The script that a legacy FMRI stands for.

    >>> legacy_script("lrc:/etc/rc2_d/S47pppd").as_posix()
    '/etc/rc2.d/S47pppd'
    """
    folder, slash, name = fmri.removeprefix(_LEGACY).rpartition("/")
    if not slash or not folder.startswith("/") or not name:
        raise InstallError(f"{fmri} names no script")
    return Path(folder[:-2] + ".d" if folder.endswith("_d") else folder) / name
