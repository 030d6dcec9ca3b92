"""The tool APK: packages of Alpine Linux."""

import re
from collections.abc import Sequence
from typing import ClassVar

from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.packages import Installed, PackageTool, is_exact
from bcfg2.xml import Element

PROGRAM = "/sbin/apk"

_PACKAGE = re.compile(r"(\S+)-(\d[^-\s]*-r\d+)\s*")


class APK(PackageTool):
    """Packages of type apk.  The repositories hold one version of each, so ``auto`` is what is installed."""

    handles: ClassVar = (("Package", "apk"),)
    required: ClassVar = {("Package", "apk"): ("name", "version")}
    needs: ClassVar = (PROGRAM,)

    def list_installed(self) -> Installed:
        """``apk info -v``."""
        return parse_list(text_of(self.run_or_fail([PROGRAM, "info", "-v"])))

    def install_word(self, entry: Element) -> str:
        """The name, bound to the version where that is given: apk would keep another one that is installed."""
        name = entry.get("name", "")
        return f"{name}={entry.get('version')}" if is_exact(entry) else name

    def install_command(self, words: Sequence[str]) -> list[str]:
        """``apk add``."""
        return [PROGRAM, "add", *words]

    def remove_command(self, names: Sequence[str]) -> list[str]:
        """``apk del``."""
        return [PROGRAM, "del", *names]


def parse_list(output: str) -> Installed:
    """Name -> versions, by the OUTPUT of ``apk info -v``.

    >>> parse_list("WARNING: opening index: No such file\\nmusl-1.2.3-r4\\nlibcrypto1.1-1.1.1t-r2\\n")
    {'musl': ['1.2.3-r4'], 'libcrypto1.1': ['1.1.1t-r2']}
    """
    matches = (_PACKAGE.fullmatch(line) for line in output.splitlines())
    return {match[1]: [match[2]] for match in matches if match}
