"""The tool IPS: packages of Solaris 11 and illumos."""

import re
from collections.abc import Sequence
from typing import ClassVar

from bcfg2.client.tools.base import names_of
from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.packages import Installed, PackageTool, is_exact
from bcfg2.xml import Element

PKG = "/usr/bin/pkg"

_PACKAGE = re.compile(r"(\S+)(?: \(\S+\))?\s+(\S+)\s+\S{3}\s*")


class IPS(PackageTool):
    """Packages of type ips."""

    handles: ClassVar = (("Package", "ips"),)
    required: ClassVar = {("Package", "ips"): ("name", "version")}
    needs: ClassVar = (PKG,)
    conflicts: ClassVar = ("SYSV",)

    _newest: Installed | None = None

    def list_installed(self) -> Installed:
        """``pkg list``."""
        self._newest = None
        return parse_list(text_of(self.run_or_fail([PKG, "list", "-H"])))

    def newest(self, name: str) -> str | None:
        """The newest version that publishers have; all packages are asked about at once."""
        if self._newest is None:
            names = sorted(set(names_of([entry for entry in self.packages if entry.get("version") == "auto"])))
            self._newest = parse_list(text_of(self.run([PKG, "list", "-H", "-n", *names]))) if names else {}
        versions = self._newest.get(name)
        return versions[-1] if versions else None

    def install_word(self, entry: Element) -> str:
        """The name, bound to the version where that is given."""
        name = entry.get("name", "")
        return f"{name}@{entry.get('version')}" if is_exact(entry) else name

    def install_command(self, words: Sequence[str]) -> list[str]:
        """``pkg install``."""
        return [PKG, "install", "--no-refresh", *words]

    def remove(self, entries: Sequence[Element]) -> None:
        """Remove nothing: an image has hundreds of packages that nobody names."""


def parse_list(output: str) -> Installed:
    """Name -> versions, by the OUTPUT of ``pkg list -H``.

    >>> parse_list("archiver/gnu-tar          1.34-151046.0   i--\\nnetwork/ssh (omnios)    9.3-151046.0    i--\\n")
    {'archiver/gnu-tar': ['1.34-151046.0'], 'network/ssh': ['9.3-151046.0']}
    """
    matches = (_PACKAGE.fullmatch(line) for line in output.splitlines())
    return {match[1]: [match[2]] for match in matches if match}
