"""The tool APT: packages of Debian and its relatives.

What is installed is asked of dpkg, what may be had of apt-cache, what has been changed of debsums (or, where that is
not installed, of dpkg itself).  apt-get installs, dpkg removes.  How their output reads is in `debian`.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from bcfg2.client.tools.base import Context, InstallError, MissingPrerequisite, names_of
from bcfg2.client.tools.debian import Policy, parse_debsums, parse_dpkg_query, parse_dpkg_verify, parse_policy
from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.packages import Installed, PackageTool
from bcfg2.options import PathOption
from bcfg2.xml import Element

_FORMAT = "${Package}\\t${Architecture}\\t${db:Status-Status}\\t${Version}\\n"


class APT(PackageTool):
    """Packages of type deb.  One of another architecture than the machine's is called ``NAME:ARCHITECTURE``."""

    handles: ClassVar = (("Package", "deb"), ("Path", "ignore"))
    required: ClassVar = {("Package", "deb"): ("name", "version")}
    important: ClassVar = (
        "/etc/apt/apt.conf",
        "/etc/dpkg/dpkg.cfg",
        "/etc/apt/sources.list",
        "/etc/passwd",
        "/etc/group",
        "/var/cache/debconf/config.dat",
        "/var/cache/debconf/templates.dat",
    )
    environment: ClassVar = {"DEBIAN_FRONTEND": "noninteractive"}
    checks_content: ClassVar = True
    options: ClassVar = [
        PathOption("APT", "install_path", default="/usr", help="Where the programs of APT and dpkg are"),
        PathOption("APT", "var_path", default="/var", help="Where APT and dpkg keep their data"),
        PathOption("APT", "etc_path", default="/etc", help="Where the settings of APT are"),
    ]

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        programs = Path(self.settings.apt_install_path) / "bin"
        self.apt_get, self.apt_cache, self.dpkg, self.dpkg_query, self.debsums = (
            str(programs / name) for name in ("apt-get", "apt-cache", "dpkg", "dpkg-query", "debsums")
        )
        for program in (self.apt_get, self.apt_cache, self.dpkg, self.dpkg_query):
            if shutil.which(program) is None:
                raise MissingPrerequisite(f"there is no program {program}")
        self._places = _places(self.settings.apt_var_path, self.settings.apt_etc_path)
        self._database = f"--admindir={self.settings.apt_var_path}/lib/dpkg"
        self._native = ""
        self._policies: dict[str, Policy] | None = None

    # Looking

    def prepare(self) -> None:
        """With ``-k``, have dpkg finish what it has begun, and the lists of packages fetched anew."""
        if not self.settings.kevlar or self.settings.dry_run:
            return
        for command in (
            [self.dpkg, self._database, "--force-confold", "--configure", "--pending"],
            [self.apt_get, *self._places, "clean"],
            [self.apt_get, *self._places, "-q=2", "update"],
        ):
            self._succeeds(command)

    def list_installed(self) -> Installed:
        """Ask dpkg."""
        self._policies = None
        if not self._native:
            self._native = text_of(self.run_or_fail([self.dpkg, "--print-architecture"])).strip()
        listed = self.run_or_fail([self.dpkg_query, self._database, "-W", "-f", _FORMAT])
        return parse_dpkg_query(text_of(listed), self._native)

    def canonical(self, name: str) -> str:
        """NAME without the machine's own architecture."""
        return name.removesuffix(f":{self._native}").removesuffix(":all")

    def _policy(self, name: str) -> Policy | None:
        """What APT knows of NAME; None: there is no such package.  All packages are asked about at once."""
        if self._policies is None:
            names = sorted({self.canonical(name) for name in names_of(self.packages) if not name.startswith("-")})
            asked = self.run_or_fail([self.apt_cache, *self._places, "policy", *names]) if names else None
            self._policies = parse_policy(text_of(asked)) if asked else {}
        return self._policies.get(self.canonical(name))

    def newest(self, name: str) -> str | None:
        """The candidate, if it is newer than what is installed."""
        policy = self._policy(name)
        if policy is None or policy.candidate is None:
            return None
        have = self.installed.get(name)
        if have and have[-1] != policy.candidate and not self._is_older(have[-1], policy.candidate):
            return None
        return policy.candidate

    def _is_older(self, one: str, other: str) -> bool:
        return self.run([self.dpkg, "--compare-versions", one, "lt", other]).status == 0

    def changed_files(self, name: str, version: str) -> list[str]:
        """Ask debsums, or dpkg."""
        if shutil.which(self.debsums) is None:
            verified = self.run([self.dpkg, self._database, "--verify", name])
            return parse_dpkg_verify(text_of(verified))
        done = self.run([self.debsums, "-as", name])
        report = parse_debsums(done.stderr.decode("utf-8", "replace"))
        if report.without_sums:
            raise InstallError("the package has no checksums")
        if done.status and not report.changed:
            raise InstallError(f"debsums cannot check it: {done.how}")
        return report.changed

    # Changing

    def install_word(self, entry: Element) -> str:
        """``NAME=VERSION``, of a version that a source has."""
        name, version = entry.get("name", ""), entry.get("version", "")
        policy = self._policy(name)
        if policy is None:
            raise InstallError("there is no such package")
        if version in ("auto", "any"):
            if policy.candidate is None:
                raise InstallError("no source has it")
            version = policy.candidate
        elif version not in policy.available:
            raise InstallError(f"version {version} is not available, but {', '.join(policy.available) or 'none'}")
        return f"{name}={version}"

    def install_command(self, words: Sequence[str]) -> list[str]:
        """``apt-get install``, which keeps changed settings and makes missing ones."""
        allowed = ("--reinstall", "--allow-downgrades", "--allow-change-held-packages")
        settings = ("-o", "DPkg::Options::=--force-confold", "-o", "DPkg::Options::=--force-confmiss")
        return [self.apt_get, *self._places, *settings, *allowed, *self._quiet(), "-y", "install", *words]

    def remove_command(self, names: Sequence[str]) -> list[str]:
        """``dpkg --purge``: where apt-get would remove what needs a package as well, this refuses."""
        return [self.dpkg, self._database, "--purge", *names]

    def _quiet(self) -> list[str]:
        return [] if self.settings.logging_debug else ["-q=2"]


def _places(var: str, etc: str) -> list[str]:
    """The words that tell APT where its data and settings are, if they are not where they always are."""
    if (os.path.normpath(var), os.path.normpath(etc)) == ("/var", "/etc"):
        return []
    places = {
        "Dir::State": f"{var}/lib/apt",
        "Dir::State::status": f"{var}/lib/dpkg/status",
        "Dir::Cache": f"{var}/cache/apt",
        "Dir::Etc": f"{etc}/apt",
    }
    return [word for place, path in places.items() for word in ("-o", f"{place}={path}")]
