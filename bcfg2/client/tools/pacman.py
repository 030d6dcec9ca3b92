"""The tool Pacman: packages of Arch Linux."""

from collections.abc import Sequence
from typing import ClassVar

from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.packages import Installed, PackageTool

PACMAN = "/usr/bin/pacman"


class Pacman(PackageTool):
    """Packages of type pacman.  The repositories hold one version of each, so ``auto`` is what is installed."""

    handles: ClassVar = (("Package", "pacman"),)
    required: ClassVar = {("Package", "pacman"): ("name", "version")}
    needs: ClassVar = (PACMAN,)

    def list_installed(self) -> Installed:
        """``pacman -Q``."""
        return parse_list(text_of(self.run_or_fail([PACMAN, "-Q"])))

    def install_command(self, words: Sequence[str]) -> list[str]:
        """``pacman -S``."""
        return [PACMAN, "--needed", "--noconfirm", "--noprogressbar", "-S", *words]

    def remove_command(self, names: Sequence[str]) -> list[str]:
        """``pacman -R``."""
        return [PACMAN, "--noconfirm", "--noprogressbar", "-R", *names]


def parse_list(output: str) -> Installed:
    """Name -> versions, by the OUTPUT of ``pacman -Q``.

    >>> parse_list("acl 2.3.1-3\\nbash 5.1.016-4\\n")
    {'acl': ['2.3.1-3'], 'bash': ['5.1.016-4']}
    """
    lines = (line.split() for line in output.splitlines())
    return {words[0]: [words[1]] for words in lines if len(words) == 2}
