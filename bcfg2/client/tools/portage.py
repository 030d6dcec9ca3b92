"""The tool Portage: packages of Gentoo."""

import re
from collections.abc import Sequence
from typing import ClassVar

from bcfg2.client.tools.output import lines_of, text_of
from bcfg2.client.tools.packages import Installed, PackageTool, is_exact
from bcfg2.options import BooleanOption
from bcfg2.xml import Element

EMERGE = "/usr/bin/emerge"
EQUERY = "/usr/bin/equery"

#: ``category/name-version``: the version begins with the last dash before a digit but that of a revision.
_PACKAGE = re.compile(r"(\S+/\S+?)-(\d[\d.]*[a-z]?(?:_(?:alpha|beta|pre|rc|p)\d*)*(?:-r\d+)?)\s*")
_CHANGED = re.compile(r"\s*!!!\s+(/.*?)\s+(?:has (?:incorrect|wrong) .*|does not exist.*|is not .*)")


class Portage(PackageTool):
    """Packages of type ebuild, named with their category.  ``auto`` is what is installed."""

    handles: ClassVar = (("Package", "ebuild"), ("Path", "ignore"))
    required: ClassVar = {("Package", "ebuild"): ("name", "version")}
    needs: ClassVar = (EMERGE, EQUERY)
    checks_content: ClassVar = True
    options: ClassVar = [BooleanOption("Portage", "binpkgonly", help="Install binary packages only")]

    def list_installed(self) -> Installed:
        """``equery list``."""
        return parse_list(text_of(self.run_or_fail([EQUERY, "-q", "list", "*"])))

    def changed_files(self, name: str, version: str) -> list[str]:
        """``equery check``."""
        return parse_check("\n".join(lines_of(self.run([EQUERY, "-N", "check", f"={name}-{version}"]))))

    def install_word(self, entry: Element) -> str:
        """The name, bound to the version where that is given."""
        name = entry.get("name", "")
        return f"={name}-{entry.get('version')}" if is_exact(entry) else name

    def install_command(self, words: Sequence[str]) -> list[str]:
        """``emerge``."""
        return [EMERGE, *(["--getbinpkgonly"] if self.settings.portage_binpkgonly else []), *words]

    def remove_command(self, names: Sequence[str]) -> list[str]:
        """``emerge --unmerge``."""
        return [EMERGE, "--unmerge", "--quiet", *names]


def parse_list(output: str) -> Installed:
    """Name -> versions, one for each slot, by the OUTPUT of ``equery -q list '*'``.

    >>> parse_list("app-shells/bash-5.1_p16-r6\\ndev-lang/python-3.10.9\\ndev-lang/python-3.11.1\\n")
    {'app-shells/bash': ['5.1_p16-r6'], 'dev-lang/python': ['3.10.9', '3.11.1']}
    """
    installed: dict[str, list[str]] = {}
    for match in (_PACKAGE.fullmatch(line) for line in output.splitlines()):
        if match:
            installed.setdefault(match[1], []).append(match[2])
    return installed


def parse_check(output: str) -> list[str]:
    """The files that are wrong by the OUTPUT of ``equery -N check``.

    >>> parse_check("* Checking app-shells/bash-5.1_p16 ...\\n!!! /etc/bash/bashrc has incorrect MD5sum\\n")
    ['/etc/bash/bashrc']
    """
    return [match[1] for match in (_CHANGED.fullmatch(line) for line in output.splitlines()) if match]
