"""The tool HomeBrew: packages of Homebrew on macOS."""

import os
import shutil
from collections.abc import Sequence
from typing import ClassVar

from bcfg2.client.tools.base import Context, MissingPrerequisite
from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.packages import Installed, PackageTool

#: Where the program is: on Intel's processors and on Apple's.
PLACES = ("/usr/local/bin/brew", "/opt/homebrew/bin/brew")
SUDO = "/usr/bin/sudo"


class HomeBrew(PackageTool):
    """Packages of type homebrew.  ``auto`` is what is installed.

    Homebrew refuses to work for root, so root runs it as the user to whom it belongs.
    """

    handles: ClassVar = (("Package", "homebrew"),)
    required: ClassVar = {("Package", "homebrew"): ("name", "version")}

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        brew = next((place for place in PLACES if shutil.which(place)), None)
        if brew is None:
            raise MissingPrerequisite(f"there is no {' or '.join(PLACES)}")
        owner = os.stat(brew).st_uid
        self.brew = [SUDO, "-H", "-u", f"#{owner}", "--", brew] if os.geteuid() == 0 and owner else [brew]

    def list_installed(self) -> Installed:
        """``brew list``."""
        return parse_list(text_of(self.run_or_fail([*self.brew, "list", "--versions"])))

    def install_command(self, words: Sequence[str]) -> list[str]:
        """``brew install``."""
        return [*self.brew, "install", *words]

    def remove_command(self, names: Sequence[str]) -> list[str]:
        """``brew uninstall``."""
        return [*self.brew, "uninstall", *names]


def parse_list(output: str) -> Installed:
    """Name -> versions, by the OUTPUT of ``brew list --versions``.

    >>> parse_list("wget 1.21.3\\npython@3.11 3.11.6 3.11.6_1\\n")
    {'wget': ['1.21.3'], 'python@3.11': ['3.11.6', '3.11.6_1']}
    """
    lines = (line.split() for line in output.splitlines())
    return {words[0]: words[1:] for words in lines if len(words) > 1}
