"""The tool SYSV: packages of System V on Solaris and illumos."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from bcfg2.client.configuration import title
from bcfg2.client.tools.base import InstallError
from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.packages import Installed, PackageTool
from bcfg2.xml import Element

PKGADD = "/usr/sbin/pkgadd"
PKGRM = "/usr/sbin/pkgrm"
PKGCHK = "/usr/sbin/pkgchk"
PKGINFO = "/usr/bin/pkginfo"
#: Seconds to wait for a datastream.
TIMEOUT = 60.0

#: Answers to all that pkgadd and pkgrm would ask.
ADMIN = """\
mail=
instance=overwrite
partial=nocheck
runlevel=nocheck
idepend=nocheck
rdepend=nocheck
space=ask
setuid=nocheck
conflict=nocheck
action=nocheck
basedir=default
"""

_PACKAGE = re.compile(r"(\S+)\s+.*")
_VERSION = re.compile(r"\s+\(\S+\)\s+(\S+)\s*")
_CHANGED = re.compile(r"ERROR: (/.*?)\s*")


class SYSV(PackageTool):
    """Packages of type sysv.  ``auto`` is what is installed; a package comes from the ``url`` of its entry."""

    handles: ClassVar = (("Package", "sysv"), ("Path", "ignore"))
    required: ClassVar = {("Package", "sysv"): ("name", "version")}
    needs: ClassVar = (PKGADD, PKGINFO)
    checks_content: ClassVar = True

    def list_installed(self) -> Installed:
        """``pkginfo -x``."""
        return parse_list(text_of(self.run_or_fail([PKGINFO, "-x"])))

    def changed_files(self, name: str, version: str) -> list[str]:
        """``pkgchk -n``, which leaves out files that are meant to be edited."""
        return parse_check(self.run([PKGCHK, "-n", name]).stderr.decode("utf-8", "replace"))

    def install(self, entries: Sequence[Element]) -> dict[Element, bool]:
        """Install one by one: each has a datastream of its own."""
        results = {}
        for entry in entries:
            self.logger.info("Installing %s", title(entry))
            try:
                with tempfile.TemporaryDirectory(prefix="bcfg2-pkgadd-") as folder:
                    self._add(entry, Path(folder))
            except (InstallError, OSError) as err:
                self.logger.error("%s cannot be installed: %s", title(entry), err)
                results[entry] = False
            else:
                results[entry] = True
        self.look_again()
        results = {entry: good and self._is_right(entry) for entry, good in results.items()}
        self.modified.extend(entry for entry, good in results.items() if good)
        return results

    def _add(self, entry: Element, folder: Path) -> None:
        source, file = entry.get("url"), entry.get("simplefile")
        if not source:
            raise InstallError("no url says where it is")
        if file:
            source = str(_downloaded(f"{source.rstrip('/')}/{file}", folder / "datastream"))
        self.run_or_fail([PKGADD, "-a", _admin(folder), "-n", "-d", source, entry.get("name", "")])

    def remove(self, entries: Sequence[Element]) -> None:
        """``pkgrm``, with the answers that pkgadd gets."""
        with tempfile.TemporaryDirectory(prefix="bcfg2-pkgrm-") as folder:
            self._answers = _admin(Path(folder))
            super().remove(entries)

    _answers = ""

    def remove_command(self, names: Sequence[str]) -> list[str]:
        """``pkgrm``."""
        return [PKGRM, "-a", self._answers, "-n", *names]


def parse_list(output: str) -> Installed:
    """Name -> versions, by the OUTPUT of ``pkginfo -x``, which has two lines for each package.

    >>> parse_list("SUNWcsr       Core Solaris, (Root)\\n              (i386) 11.11,REV=2009.11.11\\n")
    {'SUNWcsr': ['11.11,REV=2009.11.11']}
    """
    installed: dict[str, list[str]] = {}
    name = ""
    for line in output.splitlines():
        if match := _VERSION.fullmatch(line):
            installed[name] = [match[1]]
        elif match := _PACKAGE.fullmatch(line):
            name = match[1]
    return installed


def parse_check(errors: str) -> list[str]:
    """The files that are wrong by what ``pkgchk -n`` writes to standard error.

    >>> parse_check("ERROR: /usr/bin/x\\n    file size <10> expected <12> actual\\n")
    ['/usr/bin/x']
    """
    return [match[1] for match in (_CHANGED.fullmatch(line) for line in errors.splitlines()) if match]


def _admin(folder: Path) -> str:
    """The path of a file in FOLDER with the answers."""
    path = folder / "admin"
    path.write_text(ADMIN)
    return str(path)


def _downloaded(url: str, path: Path) -> Path:
    """PATH, with what is at URL, a URL or a path."""
    from shutil import copyfileobj
    from urllib.request import urlopen  # only where a datastream is fetched: it is slow to load

    try:
        with (
            urlopen(url if urlsplit(url).scheme else f"file://{url}", timeout=TIMEOUT) as answer,
            path.open("wb") as to,
        ):
            copyfileobj(answer, to)
    except (OSError, ValueError) as err:
        raise InstallError(f"{url} cannot be fetched: {err}") from err
    return path
