"""The tool YUM: packages of Fedora, Red Hat and their relatives, installed by dnf."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from bcfg2.client.configuration import title
from bcfg2.client.tools.base import Context, InstallError, MissingPrerequisite
from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.rpmdb import DNF_FORMAT, RPM_FORMAT, Instance, newer, parse_instances
from bcfg2.client.tools.rpmentries import Wanted, wanted_instances
from bcfg2.client.tools.rpmkeys import Key, import_key
from bcfg2.client.tools.rpmtool import KEY, RPM, RPMTool, by_name, instances_in, is_key, switches, wants_removal
from bcfg2.options import ListOption
from bcfg2.xml import Element

PROGRAMS = ("/usr/bin/dnf", "/usr/bin/dnf5")

#: What packages provide of which several versions belong side by side.
_INSTALL_ONLY = ("installonlypkg(kernel)", "installonlypkg(kernel-module)", "installonlypkg(vm)")
#: The kinds of packages in a group that an entry's `choose` means.
_CHOICES = {
    "mandatory": ("mandatory",),
    "default": ("mandatory", "default"),
    "optional": ("mandatory", "default", "optional"),
    "all": ("mandatory", "default", "optional", "conditional"),
}
_GROUP_KIND = re.compile(r"\s*(mandatory|default|optional|conditional) packages\s*:\s*(\S*)\s*", re.IGNORECASE)
_GROUP_MEMBER = re.compile(r"\s+:?\s*(\S+)\s*")


class YUM(RPMTool):
    """Packages of type yum (or rpm), by name, or all those of a ``group``."""

    section: ClassVar = "yum"
    handles: ClassVar = (("Package", "yum"), ("Package", "rpm"), ("Path", "ignore"))
    required: ClassVar = {("Package", kind): ("name", "version") for kind in ("yum", "rpm")}
    needs: ClassVar = (RPM,)
    conflicts: ClassVar = ("RPM",)
    important: ClassVar = ("/etc/yum.d", "/etc/yum.repos.d", "/etc/yum.conf", "/etc/dnf/dnf.conf")
    options: ClassVar = [
        *switches("YUM"),
        ListOption("YUM", "disabled_plugins", help="Plugins of dnf that are not used"),
        ListOption("YUM", "enabled_plugins", help="Plugins of dnf that are used though they are disabled"),
    ]

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        program = next((program for program in PROGRAMS if shutil.which(program)), None)
        if program is None:
            raise MissingPrerequisite(f"there is no program {PROGRAMS[0]}")
        plugins = {"disable": self.settings.yum_disabled_plugins, "enable": self.settings.yum_enabled_plugins}
        self._dnf = [program, *(f"--{word}plugin={','.join(names)}" for word, names in plugins.items() if names)]
        self._available: dict[str, list[Instance]] | None = None
        self._install_only: set[str] | None = None
        self._members: dict[tuple[str, str], list[str]] = {}

    # Looking

    def missing_attributes(self, entry: Element) -> list[str]:
        """A group needs nothing else."""
        return [] if entry.get("group") else super().missing_attributes(entry)

    def refresh(self) -> None:
        """Forget what repositories had, too."""
        self._available = None
        self._install_only = None
        super().refresh()

    def wanted(self, entry: Element) -> list[Wanted]:
        """What ENTRY asks for; of a group any version of each member."""
        if not entry.get("group"):
            return super().wanted(entry)
        if entry not in self._wanted:
            (pattern,) = wanted_instances(entry, self.section, self.settings)
            self._wanted[entry] = [replace(pattern, name=name, version="any") for name in self._group(entry)]
        return self._wanted[entry]

    def _group(self, entry: Element) -> list[str]:
        """The packages of the group that ENTRY chooses; :exc:`InstallError` if there is no such group."""
        key = (entry.get("group", ""), entry.get("choose") or "default")
        if key[1] not in _CHOICES:
            raise InstallError(f'choose="{key[1]}" is not one of {", ".join(_CHOICES)}')
        if key not in self._members:
            group = parse_group(text_of(self.run_or_fail([*self._dnf, "-q", "group", "info", key[0]])))
            self._members[key] = [name for kind in _CHOICES[key[1]] for name in group.get(kind, ())]
        if not self._members[key]:
            raise InstallError(f"the group {key[0]} has no packages")
        return self._members[key]

    def update(self, wanted: Wanted, present: Sequence[Instance]) -> list[Wanted]:
        """``auto`` is the newest version for each installed architecture, and any if none is installed."""
        if wanted.version != "auto":
            return [wanted]
        newest: dict[str, Instance] = {}
        for instance in (*present, *self.available(wanted.name)):
            if wanted.is_arch_of(instance) and any(instance.arch == other.arch for other in present):
                best = newest.get(instance.arch)
                newest[instance.arch] = instance if best is None or newer(instance, best) else best
        if not newest:
            return [replace(wanted, version="any", epoch="", release="")]
        return [
            replace(wanted, epoch=one.epoch, version=one.version, release=one.release, arch=one.arch)
            for one in newest.values()
        ]

    def available(self, name: str) -> list[Instance]:
        """The newest instances of NAME in the repositories; all packages are asked about at once."""
        if self._available is None:
            names = sorted({wanted.name for wanted in self._auto()})
            query = [*self._dnf, "-q", "repoquery", "--latest-limit=1", "--qf", DNF_FORMAT, *names]
            found = text_of(self.run(query)) if names else ""
            self._available = by_name(parse_instances(found))
        return self._available.get(name, [])

    def _auto(self) -> list[Wanted]:
        entries = (entry for entry in self.entries if entry.tag == "Package" and not entry.get("group"))
        return [wanted for entry in entries for wanted in self.wanted(entry) if wanted.version == "auto"]

    def is_install_only(self, name: str) -> bool:
        """Keys, kernels and what goes with them."""
        if self._install_only is None:
            done = self.run([RPM, "-q", "--whatprovides", "--qf", RPM_FORMAT, *_INSTALL_ONLY])
            self._install_only = {instance.name for instance in parse_instances(text_of(done))} | {KEY}
        return name in self._install_only

    def named(self) -> set[str]:
        """The members of groups as well."""
        return super().named() | {name for members in self._members.values() for name in members}

    # Changing

    def install(self, entries: Sequence[Element]) -> dict[Element, bool]:
        """Install what is missing or of another version with one command, what is broken with one more."""
        plan = _Plan()
        for entry in entries:
            try:
                self.logger.info("Installing %s", title(entry))
                if entry not in self.findings:
                    self.verify(entry)
                self._add_to(plan, entry)
            except InstallError as err:
                self.logger.error("%s cannot be installed: %s", title(entry), err)
        for wanted in plan.keys:
            self._import(wanted)
        self._transaction("install", plan.install)
        self._transaction("reinstall", plan.reinstall)
        if wants_removal(self.settings.remove):
            self._transaction("remove", plan.remove)
        return self.settle(entries)

    def _add_to(self, plan: "_Plan", entry: Element) -> None:
        for finding in self.findings[entry]:
            wanted = finding.wanted
            if wanted.name == KEY:
                if finding.right is None:
                    plan.keys.append(wanted)
            elif finding.right is None:
                if wanted.fix_version if finding.present else wanted.install_missing:
                    plan.install.append(wanted.spec)
            elif finding.broken and wanted.reinstall_broken:
                plan.reinstall.append(finding.right.full)
        plan.remove.extend(instance.full for instance in self.further(entry) if instance.name != KEY)

    def _transaction(self, verb: str, specs: Sequence[str]) -> None:
        command = [*self._dnf, "-y", verb]
        if specs and not self.succeeds([*command, *specs]) and verb != "remove":
            self.succeeds([*command, "--skip-broken", *specs])

    def _import(self, wanted: Wanted) -> None:
        element = wanted.element
        uri, file = element.get("uri"), element.get("simplefile")
        parent = element.getparent()
        uri = uri or (parent.get("uri") if parent is not None else None)
        source = f"{uri.rstrip('/')}/{file}" if uri and file else uri or file
        try:
            if not source:
                raise InstallError("neither uri nor simplefile says where the key is")
            import_key(self, source, Key(wanted.version, wanted.release))
        except InstallError as err:
            self.logger.error("%s cannot be imported: %s", wanted.spec, err)

    def remove(self, entries: Sequence[Element]) -> None:
        """Remove packages, but no keys."""
        packages = [entry for entry in entries if not is_key(entry)]
        self._transaction("remove", [instance.full for entry in packages for instance in instances_in(entry)])
        self.removed(packages)


@dataclass
class _Plan:
    """What an installation consists of, in the words of dnf."""

    install: list[str] = field(default_factory=list)
    reinstall: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    keys: list[Wanted] = field(default_factory=list)


def parse_group(output: str) -> dict[str, list[str]]:
    """Kind -> packages, by the OUTPUT of ``dnf group info``, of release 4 or 5 of dnf.

    >>> parse_group("Group: Tools\\n Mandatory Packages:\\n   make\\n   gcc\\n Optional Packages:\\n   cmake\\n")
    {'mandatory': ['make', 'gcc'], 'optional': ['cmake']}
    >>> parse_group("Id                   : tools\\nDefault packages     : gcc\\n                     : make\\n")
    {'default': ['gcc', 'make']}
    """
    group: dict[str, list[str]] = {}
    members: list[str] | None = None
    for line in output.splitlines():
        if match := _GROUP_KIND.fullmatch(line):
            members = group.setdefault(match[1].lower(), [])
            members.extend([match[2]] if match[2] else [])
        elif members is not None and (match := _GROUP_MEMBER.fullmatch(line)):
            members.append(match[1])
        else:
            members = None
    return group
