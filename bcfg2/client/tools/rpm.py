"""The tool RPM: packages installed from URLs, without a resolver of dependencies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bcfg2.client.configuration import title
from bcfg2.client.tools.base import InstallError
from bcfg2.client.tools.rpmkeys import Key, import_key
from bcfg2.client.tools.rpmtool import KEY, Finding, RPMTool, instances_in, is_key, switches
from bcfg2.client.tools.rpmtool import RPM as RPM_PROGRAM
from bcfg2.options import ListOption
from bcfg2.xml import Element

_INSTALL_ONLY = (
    "kernel",
    "kernel-bigmem",
    "kernel-enterprise",
    "kernel-smp",
    "kernel-modules",
    "kernel-debug",
    "kernel-unsupported",
    "kernel-devel",
    "kernel-source",
    "kernel-default",
    "kernel-largesmp-devel",
    "kernel-largesmp",
    "kernel-xen",
    "gpg-pubkey",
)
#: What `erase_flags` may say.
_ERASE_FLAGS = ("noscripts", "notriggers", "repackage", "allmatches", "nodeps")


@dataclass(frozen=True)
class _File:
    """A file to be installed for an entry."""

    entry: Element
    source: str
    keep_others: bool


class RPM(RPMTool):
    """Packages of type rpm.

    An entry has a ``url`` and a version with the release; or a ``uri`` and instances, each with a ``simplefile`` in it.
    """

    section: ClassVar = "rpm"
    handles: ClassVar = (("Package", "rpm"), ("Path", "ignore"))
    required: ClassVar = {("Package", "rpm"): ("name", "version")}
    needs: ClassVar = (RPM_PROGRAM,)
    options: ClassVar = [
        *switches("RPM"),
        ListOption(
            "RPM", "installonlypackages", default=_INSTALL_ONLY, help="Packages of which several versions are installed"
        ),
    ]

    def is_install_only(self, name: str) -> bool:
        """Whether the option names it."""
        return name in self.settings.rpm_installonlypackages or name == KEY

    def verify_flags(self) -> list[str]:
        """A quick run leaves out checksums; signatures are another matter."""
        return ["--nosignature", *(["--nofiledigest"] if self.settings.quick else [])]

    def install(self, entries: Sequence[Element]) -> dict[Element, bool]:
        """Import keys, then install all files at once, and if that fails one by one."""
        files: list[_File] = []
        for entry in entries:
            try:
                self.logger.info("Installing %s", title(entry))
                if entry not in self.findings:
                    self.verify(entry)
                for finding in self.findings[entry]:
                    files.extend(self._prepare(entry, finding))
            except InstallError as err:
                self.logger.error("%s cannot be installed: %s", title(entry), err)
        for keep_others in (True, False):
            self._install([file.source for file in files if file.keep_others == keep_others], keep_others)
        return self.settle(entries)

    def _prepare(self, entry: Element, finding: Finding) -> list[_File]:
        """The file that mends FINDING; a key is imported at once."""
        wanted = finding.wanted
        if wanted.name == KEY:
            if finding.right is None:
                import_key(self, _source(entry, finding), Key(wanted.version, wanted.release))
            return []
        if finding.right is None:
            switch = wanted.fix_version if finding.present else wanted.install_missing
        else:
            # A new installation would leave configuration files as they are.
            switch = wanted.reinstall_broken and any(problem.marker != "c" for problem in finding.broken)
        return [_File(entry, _source(entry, finding), self.is_install_only(wanted.name))] if switch else []

    def _install(self, sources: Sequence[str], keep_others: bool) -> None:
        verb = "--install" if keep_others else "--upgrade"
        command = [RPM_PROGRAM, verb, "--quiet", "--oldpackage", "--replacepkgs"]
        if sources and not self.succeeds([*command, *sources]) and len(sources) > 1:
            for source in sources:
                self.succeeds([*command, source])

    def remove(self, entries: Sequence[Element]) -> None:
        """Erase packages; keys are only named in the log."""
        packages = [entry for entry in entries if not is_key(entry)]
        for entry in entries:
            if is_key(entry):
                self.logger.info("The keys %s are not removed", ", ".join(one.label for one in instances_in(entry)))
        flags = [f"--{flag}" for flag in self.settings.rpm_erase_flags if flag in _ERASE_FLAGS]
        command = [RPM_PROGRAM, "--erase", *flags]
        labels = [instance.label for entry in packages for instance in instances_in(entry)]
        if labels and not self.succeeds([*command, *labels]) and len(labels) > 1:
            for label in labels:
                self.succeeds([*command, label])
        self.removed(packages)


def _source(entry: Element, finding: Finding) -> str:
    """Where the package is; :exc:`InstallError` if the entry does not say."""
    element = finding.wanted.element
    file, uri = element.get("simplefile") or entry.get("simplefile"), element.get("uri") or entry.get("uri")
    if file and uri:
        return f"{uri.rstrip('/')}/{file}"
    source = entry.get("url") or file
    if not source:
        raise InstallError("neither url nor uri and simplefile say where it is")
    return source
