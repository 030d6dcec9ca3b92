"""The tool MacPorts: ports of macOS."""

import re
from collections.abc import Sequence
from typing import ClassVar

from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.packages import Installed, PackageTool

PORT = "/opt/local/bin/port"

_PORT = re.compile(r"\s+(\S+) @([^\s+_]+)(_\d+)?((?:\+\S+)?)( \(active\))?.*")


class MacPorts(PackageTool):
    """Packages of type macport.  ``auto`` is what is installed."""

    handles: ClassVar = (("Package", "macport"),)
    required: ClassVar = {("Package", "macport"): ("name", "version")}
    needs: ClassVar = (PORT,)

    def list_installed(self) -> Installed:
        """``port installed``."""
        return parse_list(text_of(self.run_or_fail([PORT, "installed"])))

    def install_command(self, words: Sequence[str]) -> list[str]:
        """``port install``."""
        return [PORT, "-N", "install", *words]

    def remove_command(self, names: Sequence[str]) -> list[str]:
        """``port uninstall``."""
        return [PORT, "-N", "uninstall", *names]


def parse_list(output: str) -> Installed:
    """Name -> versions, by the OUTPUT of ``port installed``: the active one last, with revision and variants.

    An entry may leave out variants, and the revision too, so these shorter versions are listed before it.

    >>> parse_list("The following ports are currently installed:\\n  zlib @1.2.13_0+universal (active)\\n")
    {'zlib': ['1.2.13', '1.2.13_0', '1.2.13_0+universal']}
    """
    installed: dict[str, list[str]] = {}
    for match in (_PORT.fullmatch(line) for line in output.splitlines()):
        if match:
            version, revision, variants = match[2], match[3] or "", match[4]
            spellings = list(dict.fromkeys([version, version + revision, version + revision + variants]))
            others = installed.get(match[1], [])
            installed[match[1]] = others + spellings if match[5] else spellings + others
    return installed
