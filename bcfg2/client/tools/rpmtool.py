"""What YUM and RPM have in common: RPM's database is compared with entries that ask for instances of packages.

.. code-block:: text

    entry -> wanted instances (rpmentries) --+
                                             +--> what is wrong with each: missing, version, files; further instances
    rpm -qa -> installed instances (rpmdb) --+

A tool decides how the missing, the wrong and the broken are installed (:meth:`RPMTool.install`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from bcfg2.client.configuration import title
from bcfg2.client.tools.base import Context, Difference, InstallError, State, Tool
from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.rpmdb import (
    LINKS_FORMAT,
    RPM_FORMAT,
    Instance,
    Problem,
    newer,
    parse_instances,
    parse_links,
    parse_verification,
)
from bcfg2.client.tools.rpmentries import Wanted, instance_elements, wanted_instances
from bcfg2.options import BooleanOption, Declaration, ListOption
from bcfg2.xml import Element

RPM = "/bin/rpm"
KEY = "gpg-pubkey"

OK = "as wanted"
MISSING = "not installed"


@dataclass(frozen=True)
class Finding:
    """A wanted instance with what there is of it: the installed instances of its architecture, the right one, files."""

    wanted: Wanted
    present: Sequence[Instance]
    right: Instance | None
    broken: Sequence[Problem]

    @property
    def says(self) -> str:
        """What is wrong, in words; :data:`OK` if nothing is."""
        if not self.present:
            return MISSING
        if self.right is None:
            return f"version {self.present[-1].evr} is installed, should be {self.wanted.evr}"
        if self.broken:
            return f"changed: {', '.join(problem.path for problem in self.broken)}"
        return OK


def switches(section: str) -> list[Declaration]:
    """The options that YUM and RPM have both, in their own sections."""
    return [
        BooleanOption(section, "pkg_checks", default=True, help="Verify versions of packages"),
        BooleanOption(section, "pkg_verify", default=True, help="Verify the files of packages"),
        BooleanOption(section, "install_missing", default=True, help="Install packages that are missing"),
        BooleanOption(section, "fix_version", default=True, help="Install other versions than those installed"),
        BooleanOption(section, "reinstall_broken", default=True, help="Install packages again whose files changed"),
        ListOption(section, "erase_flags", default=("allmatches",), help="How packages are removed"),
        ListOption(section, "verify_flags", help="Changes of files that do not count, such as nomd5"),
    ]


class RPMTool(Tool):
    """A tool for packages that are in RPM's database.

    `section`: that of its options, in lower case.  `install_only`: packages of which several versions belong side by
    side.
    """

    section: ClassVar[str]

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._installed: dict[str, list[Instance]] | None = None
        self._providers: dict[str, list[Instance]] = {}
        self._problems: dict[Instance, list[Problem]] = {}
        self.findings: dict[Element, list[Finding]] = {}
        self._wanted: dict[Element, list[Wanted]] = {}

    # What a subclass says

    def update(self, wanted: Wanted, present: Sequence[Instance]) -> list[Wanted]:
        """WANTED with ``auto`` turned into versions, given the instances PRESENT."""
        return [wanted]

    def is_install_only(self, name: str) -> bool:
        """Whether several versions of the package NAME belong side by side."""
        return name == KEY

    def is_name(self, name: str) -> bool:
        """Whether NAME is that of a package, rather than of a group or a capability."""
        return bool(name) and name in self.installed

    # Looking

    def missing_attributes(self, entry: Element) -> list[str]:
        """A package needs a version, or instances."""
        missing = super().missing_attributes(entry)
        return [name for name in missing if name != "version" or not instance_elements(entry)]

    @property
    def installed(self) -> dict[str, list[Instance]]:
        """Name -> installed instances, the newest last; :exc:`InstallError` if that could not be read."""
        if self._installed is None:
            raise InstallError("the list of installed packages could not be read")
        return self._installed

    def refresh(self) -> None:
        """Read RPM's database."""
        self._providers.clear()
        self._problems.clear()
        try:
            listed = self.run_or_fail([RPM, "-qa", "--qf", RPM_FORMAT])
        except InstallError as err:
            self._installed = None
            self.logger.error("The list of installed packages cannot be read: %s", err)
            return
        self._installed = by_name(parse_instances(text_of(listed)))

    def instances_of(self, name: str) -> list[Instance]:
        """The installed instances of the package NAME, or if there is none of the packages that provide NAME."""
        if name in self.installed or name == KEY:
            return self.installed.get(name, [])
        if name not in self._providers:
            done = self.run([RPM, "-q", "--whatprovides", "--qf", RPM_FORMAT, "--", name])
            self._providers[name] = parse_instances(text_of(done))
        return self._providers[name]

    def wanted(self, entry: Element) -> list[Wanted]:
        """What ENTRY asks for, as the configuration has it."""
        if entry not in self._wanted:
            self._wanted[entry] = wanted_instances(entry, self.section, self.settings)
        return self._wanted[entry]

    def expected_state(self, entry: Element) -> State:
        """That each wanted instance is as wanted, and that there are no further ones."""
        if entry.tag != "Package":
            return {}
        return {f"instance {number}": OK for number in range(len(self.findings[entry]))} | {"further": ""}

    def actual_state(self, entry: Element) -> State | None:
        """What is wrong with each wanted instance, and the further ones."""
        if entry.tag != "Package":
            return {}
        findings = self.findings[entry] = self.look_at(entry)
        if not any(finding.present for finding in findings):
            return None
        further = ", ".join(instance.full for instance in self.further(entry))
        return {f"instance {number}": finding.says for number, finding in enumerate(findings)} | {"further": further}

    def look_at(self, entry: Element) -> list[Finding]:
        """What there is of each instance that ENTRY asks for."""
        findings: list[Finding] = []
        for wanted in self.wanted(entry):
            present = self.instances_of(wanted.name)
            findings.extend(self._find(one, present) for one in self.update(wanted, present))
        return findings

    def _find(self, wanted: Wanted, instances: Sequence[Instance]) -> Finding:
        present = [instance for instance in instances if wanted.is_arch_of(instance)]
        is_package = wanted.name in self.installed
        right = [one for one in present if not wanted.pkg_checks or not is_package or wanted.is_version_of(one)]
        if not right:
            return Finding(wanted, present, None, ())
        broken: Sequence[Problem] = ()
        if wanted.pkg_verify and wanted.name != KEY:
            broken = self._counting(wanted, [self._verification(instance) for instance in right])
        return Finding(wanted, present, right[-1], broken)

    def _verification(self, instance: Instance) -> list[Problem]:
        if instance not in self._problems:
            done = self.run([RPM, "--verify", "--nodeps", "--noscripts", *self.verify_flags(), "--", instance.label])
            problems = parse_verification(text_of(done))
            self._problems[instance] = self._without_links(instance, problems)
        return self._problems[instance]

    def _without_links(self, instance: Instance, problems: list[Problem]) -> list[Problem]:
        """PROBLEMS without missing links, which packages often leave to others."""
        if not any("missing" in problem.kinds for problem in problems):
            return problems
        links = parse_links(text_of(self.run([RPM, "-q", "--qf", LINKS_FORMAT, "--", instance.label])))
        return [problem for problem in problems if "missing" not in problem.kinds or problem.path not in links]

    def verify_flags(self) -> list[str]:
        """Further options of ``rpm --verify``."""
        return []

    def _counting(self, wanted: Wanted, verifications: Sequence[Sequence[Problem]]) -> list[Problem]:
        """Those problems that count, and that all architectures of a package have."""
        paths = set.intersection(*({problem.path for problem in problems} for problems in verifications))
        managed = self.configuration.path_names | wanted.ignored
        counting = {}
        for problem in (problem for problems in verifications for problem in problems if problem.path in paths):
            kinds = {kind for kind in problem.kinds if f"no{kind}" not in wanted.flags}
            if kinds and problem.path not in managed and problem.marker != "g":
                counting[problem.path] = replace(problem, kinds=frozenset(kinds))
        return list(counting.values())

    def further(self, entry: Element) -> list[Instance]:
        """The installed instances that ENTRY does not ask for, where that makes it bad."""
        name = entry.get("name", "")
        if not self.is_name(name) or (self.is_install_only(name) and not self.settings.kevlar):
            return []
        findings = self.findings[entry]
        if any(finding.right is None for finding in findings if finding.present):
            return []  # what is there is about to be replaced
        asked = [finding.wanted for finding in findings]
        return [
            one
            for one in self.installed[name]
            if not any(w.is_arch_of(one) and (w.is_version_of(one) or not w.pkg_checks) for w in asked)
        ]

    def report(self, entry: Element, actual: State | None, difference: Difference) -> None:
        """Tell of each instance what was found and what is to be done."""
        super().report(entry, actual, difference)
        if entry.tag != "Package":
            return
        for finding in self.findings[entry]:
            _report(finding)
            if finding.present and finding.right is None:
                entry.set("current_version", finding.present[-1].evr)

    def describe(self, entry: Element) -> list[str]:
        """What is wrong with each instance."""
        lines = [finding.says for finding in self.findings.get(entry, ()) if finding.says != OK]
        further = self.differences.get(entry, {}).get("further")
        return lines + ([f"installed as well: {further.found}"] if further and further.found else [])

    def question(self, entry: Element) -> str:
        """Name what is wrong, which has the versions."""
        name = entry.get("name") or entry.get("group")
        return f"Install Package: {name} ({'; '.join(self.describe(entry))})? (y/N): "

    def find_extra(self) -> list[Element]:
        """The installed packages without an entry, with all their instances."""
        if self._installed is None:
            return []
        named = self.named()
        extra = []
        for name, instances in sorted(self._installed.items()):
            if name not in named:
                about = {"type": str(self.handles[0][1]), "current_version": instances[-1].evr}
                extra.extend(self.extra_elements("Package", [(name, about)]))
                for instance in instances:
                    _add_instance(extra[-1], instance)
        return extra

    def named(self) -> set[str]:
        """The packages that entries are about, by their names or by what they provide."""
        names = {entry.get("name") or "" for entry in self.entries if entry.tag == "Package"}
        return names | {instance.name for name in names for instance in self._providers.get(name, ())}

    # Changing

    def succeeds(self, command: Sequence[str]) -> bool:
        """Whether COMMAND ends well; if not, the log has the reason."""
        try:
            self.run_or_fail(command)
        except InstallError as err:
            self.logger.error("%s", err)
            return False
        return True

    def settle(self, entries: Sequence[Element]) -> dict[Element, bool]:
        """Whether each of ENTRIES is right now, after a new look; what is becomes modified."""
        self.refresh()
        results = {entry: self._is_right(entry) for entry in entries}
        for entry in (entry for entry, good in results.items() if not good):
            self.logger.error("%s is not as it should be after its installation", title(entry))
        self.modified.extend(entry for entry, good in results.items() if good)
        return results

    def _is_right(self, entry: Element) -> bool:
        try:
            actual = self.actual_state(entry)
            return not self.difference(self.expected_state(entry), actual)
        except InstallError:
            return False

    def removed(self, entries: Sequence[Element]) -> None:
        """Note after a new look which of the extra ENTRIES are gone: they are modified, and not extra any more."""
        self.refresh()
        if self._installed is not None:
            gone = [entry for entry in entries if entry.get("name") not in self._installed]
            self.modified.extend(gone)
            self.extra = [entry for entry in self.extra if entry not in gone]


def by_name(instances: Iterable[Instance]) -> dict[str, list[Instance]]:
    """Name -> INSTANCES of it, the newest last."""
    named: dict[str, list[Instance]] = {}
    for instance in instances:
        others = named.setdefault(instance.name, [])
        place = next((place for place, other in enumerate(others) if newer(other, instance)), len(others))
        others.insert(place, instance)
    return named


def instances_in(extra: Element) -> list[Instance]:
    """The instances that an extra package lists."""
    name = extra.get("name", "")
    keys = ("epoch", "version", "release", "arch")
    return [Instance(name, *(child.get(key, "") for key in keys)) for child in extra if child.tag == "Instance"]


def is_key(extra: Element) -> bool:
    """Whether EXTRA stands for the keys that signatures are checked with."""
    return extra.get("name") == KEY


def wants_removal(option: str | None) -> bool:
    """Whether the option ``-r`` has packages removed."""
    return option in ("all", "packages")


def _add_instance(package: Element, instance: Instance) -> None:
    child = package.makeelement("Instance", {})
    for key in ("epoch", "version", "release", "arch"):
        if getattr(instance, key):
            child.set(key, getattr(instance, key))
    package.append(child)


def _report(finding: Finding) -> None:
    element = finding.wanted.element
    if "package_fail_action" in element.attrib:
        del element.attrib["package_fail_action"]
    if not finding.present:
        element.set("current_exists", "false")
    elif finding.right is None:
        have = finding.present[-1]
        element.set("current_version", have.evr)
        element.set("version", finding.wanted.evr)  # of auto, what it means today
        element.set("package_fail_action", "update" if finding.wanted.is_newer_than(have) else "downgrade")
