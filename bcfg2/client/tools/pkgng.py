"""The tool Pkgng: packages of FreeBSD."""

import re
import shutil
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

from bcfg2.client.tools.base import Context, InstallError, MissingPrerequisite, names_of
from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.packages import Installed, PackageTool
from bcfg2.options import PathOption
from bcfg2.xml import Element

_CHANGED = re.compile(r".*: (?:checksum mismatch for|missing file) (/.*?)\s*")


class Pkgng(PackageTool):
    """Packages of type pkgng."""

    handles: ClassVar = (("Package", "pkgng"), ("Path", "ignore"))
    required: ClassVar = {("Package", "pkgng"): ("name", "version")}
    checks_content: ClassVar = True
    options: ClassVar = [PathOption("Pkgng", "path", default="/usr/sbin/pkg", help="The program pkg")]

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.pkg: str = self.settings.pkgng_path
        if shutil.which(self.pkg) is None:
            raise MissingPrerequisite(f"there is no program {self.pkg}")

    def list_installed(self) -> Installed:
        """``pkg query``."""
        return parse_list(text_of(self.run_or_fail([self.pkg, "query", "-a", "%n %v"])))

    @cached_property
    def _available(self) -> Installed:
        """What the repositories have of the packages of the configuration."""
        names = sorted(set(names_of(self.packages)))
        return parse_list(text_of(self.run([self.pkg, "rquery", "%n %v", *names]))) if names else {}

    def newest(self, name: str) -> str | None:
        """The newest version in the repositories, if it is newer than the installed one."""
        have = self.installed.get(name)
        newest = have[-1] if have else None
        for version in self._available.get(name, ()):
            if newest is None or self._is_older(newest, version):
                newest = version
        return newest

    def _is_older(self, one: str, other: str) -> bool:
        return text_of(self.run([self.pkg, "version", "-t", one, other])).strip() == "<"

    def changed_files(self, name: str, version: str) -> list[str]:
        """``pkg check -s``."""
        done = self.run([self.pkg, "check", "-s", name])
        return parse_check(f"{text_of(done)}\n{done.stderr.decode('utf-8', 'replace')}")

    def install_word(self, entry: Element) -> str:
        """The name with the version; ``any`` is what is installed, or else whatever there is."""
        name = entry.get("name", "")
        version = self.wanted_version(entry)
        available = self._available.get(name, ())
        if not available:
            raise InstallError("no repository has it")
        if version and version not in available:
            raise InstallError(f"no repository has version {version}, but {', '.join(available)}")
        return f"{name}-{version}" if version else name

    def install_command(self, words: Sequence[str]) -> list[str]:
        """``pkg install``."""
        return [self.pkg, "install", "-fy", *([] if self.settings.logging_debug else ["-q"]), *words]

    def remove_command(self, names: Sequence[str]) -> list[str]:
        """``pkg delete``."""
        return [self.pkg, "delete", "-y", *names]


def parse_list(output: str) -> Installed:
    """Name -> versions, by the OUTPUT of ``pkg query`` or ``pkg rquery`` with ``%n %v``.

    >>> parse_list("nginx 1.24.0_13,3\\npkg 1.20.9\\n")
    {'nginx': ['1.24.0_13,3'], 'pkg': ['1.20.9']}
    """
    packages: dict[str, list[str]] = {}
    for words in (line.split() for line in output.splitlines()):
        if len(words) == 2:
            packages.setdefault(words[0], []).append(words[1])
    return packages


def parse_check(output: str) -> list[str]:
    """The files that are wrong by the OUTPUT of ``pkg check -s``.

    >>> parse_check("Checking nginx: ..\\nnginx-1.24.0: checksum mismatch for /usr/local/sbin/nginx\\n")
    ['/usr/local/sbin/nginx']
    """
    return [match[1] for match in (_CHANGED.fullmatch(line) for line in output.splitlines()) if match]
