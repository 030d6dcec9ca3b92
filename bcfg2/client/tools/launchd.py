"""The tool launchd: services of macOS."""

import plistlib
from functools import cached_property
from pathlib import Path
from typing import ClassVar
from xml.parsers.expat import ExpatError

from bcfg2.client.tools.base import Context, InstallError
from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.services import ServiceTool
from bcfg2.xml import Element

LAUNCHCTL = "/bin/launchctl"
FOLDERS = (Path("/Library/LaunchDaemons"), Path("/System/Library/LaunchDaemons"))


class launchd(ServiceTool):
    """Services of type launchd, which are named by their labels."""

    handles: ClassVar = (("Service", "launchd"),)
    required: ClassVar = {("Service", "launchd"): ("name", "status")}
    needs: ClassVar = (LAUNCHCTL, "/usr/bin/defaults")
    has_boot: ClassVar = False
    removes: ClassVar = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._loaded: set[str] = set()

    def refresh(self) -> None:
        """List what is loaded."""
        self._loaded = parse_list(text_of(self.run([LAUNCHCTL, "list"])))

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Label -> the file that describes the service; a site's own files come before the system's."""
        files: dict[str, Path] = {}
        for path in (path for folder in FOLDERS for path in sorted(folder.glob("*.plist"))):
            label = _label(path)
            if label:
                files.setdefault(label, path)
        return files

    def runs(self, entry: Element) -> bool:
        """Whether the service is loaded."""
        return entry.get("name") in self._loaded

    def do(self, verb: str, entry: Element) -> None:
        """Load and start the service, stop and unload it, or both of stop and start."""
        name = entry.get("name", "")
        path = self._files.get(name)
        if path is None:
            raise InstallError(f"no file in {' or '.join(map(str, FOLDERS))} has this label")
        steps = {
            "start": [["load", "-w", str(path)], ["start", name]],
            "stop": [["stop", name], ["unload", "-w", str(path)]],
            "restart": [["stop", name], ["start", name]],
        }
        for words in steps.get(verb, [[verb, name]]):
            self.run_or_fail([LAUNCHCTL, *words])

    def find_extra(self) -> list[Element]:
        """The loaded services without an entry."""
        return self.extra_elements("Service", ((name, {"type": "launchd"}) for name in sorted(self._loaded)))


def parse_list(output: str) -> set[str]:
    """The labels in the OUTPUT of ``launchctl list``.

    >>> sorted(parse_list("PID\\tStatus\\tLabel\\n-\\t0\\tcom.apple.smbd\\n312\\t0\\torg.ntp.ntpd\\n"))
    ['com.apple.smbd', 'org.ntp.ntpd']
    """
    lines = (line.split(None, 2) for line in output.splitlines()[1:])
    return {words[2] for words in lines if len(words) == 3}


def _label(path: Path) -> str | None:
    """The label that the property list PATH gives; None if it cannot be read."""
    try:
        label = plistlib.loads(path.read_bytes()).get("Label")
    except (OSError, ValueError, ExpatError, plistlib.InvalidFileException, AttributeError):
        return None
    return label if isinstance(label, str) else None
