"""What entries for packages of RPM ask for: one or more instances, each with its own settings."""

from collections.abc import Sequence
from dataclasses import dataclass

from bcfg2.client.tools.rpmdb import Instance, compare, parse_evr
from bcfg2.options import Options
from bcfg2.xml import Element, is_true

_INSTANCES = ("Instance", "Package")
#: What settings and instances can switch off.
_SWITCHES = ("pkg_checks", "pkg_verify", "install_missing", "fix_version", "reinstall_broken")


@dataclass(frozen=True)
class Wanted:
    """An instance that an entry asks for; what is empty may be anything.

    `element`: the Instance, or the entry itself.  `version`: may be ``any`` or ``auto``.  `ignored`: paths whose
    changes do not count, `flags`: kinds of changes that do not (``nomd5`` ...).
    """

    element: Element
    name: str
    epoch: str
    version: str
    release: str
    arch: str
    ignored: frozenset[str]
    flags: frozenset[str]
    pkg_checks: bool
    pkg_verify: bool
    install_missing: bool
    fix_version: bool
    reinstall_broken: bool

    def is_arch_of(self, instance: Instance) -> bool:
        """Whether INSTANCE has the architecture."""
        return not self.arch or self.arch == instance.arch

    def is_version_of(self, instance: Instance) -> bool:
        """Whether INSTANCE has the version, the release and the epoch."""
        return (
            self.version in ("any", "auto", "", instance.version)
            and (not self.release or self.release == instance.release)
            and (not self.epoch or self.epoch == instance.epoch)
        )

    @property
    def evr(self) -> str:
        """The version, with epoch and release as far as they are given."""
        epoch, release = (f"{self.epoch}:" if self.epoch else ""), (f"-{self.release}" if self.release else "")
        return f"{epoch}{self.version}{release}"

    @property
    def spec(self) -> str:
        """What a package manager is told to install."""
        version = "" if self.version in ("any", "auto", "") else f"-{self.evr}"
        return f"{self.name}{version}" + (f".{self.arch}" if self.arch else "")

    def is_newer_than(self, instance: Instance) -> bool:
        """Whether INSTANCE would have to be updated, not downgraded."""
        epoch = self.epoch or instance.epoch
        release = self.release or instance.release
        return compare((epoch, self.version, release), (instance.epoch, instance.version, instance.release)) > 0


def wanted_instances(entry: Element, section: str, options: Options) -> list[Wanted]:
    """The instances that ENTRY asks for; switches that it does not set are those of SECTION in OPTIONS."""
    children = instance_elements(entry)
    return [_wanted(entry, element, section, options) for element in children or [entry]]


def instance_elements(entry: Element) -> list[Element]:
    """The children of ENTRY that are instances."""
    return [child for child in entry if child.tag in _INSTANCES]


def _wanted(entry: Element, element: Element, section: str, options: Options) -> Wanted:
    epoch, version, release = parse_evr(element.get("version") or "any")
    switches = {
        name: bool(getattr(options, f"{section}_{name}")) and _switch(entry, name) and _switch(element, name)
        for name in _SWITCHES
    }
    switches["pkg_verify"] = switches["pkg_verify"] and _switch(entry, "verify") and not options.quick
    flags: Sequence[str] = getattr(options, f"{section}_verify_flags")
    own = element.get("verify_flags") or entry.get("verify_flags")
    return Wanted(
        element=element,
        name=entry.get("name", ""),
        epoch=element.get("epoch") or epoch,
        version=version,
        release=element.get("release") or release,
        arch=element.get("arch") or "",
        ignored=frozenset(
            child.get("name", "") for parent in {entry, element} for child in parent if child.tag == "Ignore"
        ),
        flags=frozenset(word.strip() for word in own.split(",")) if own else frozenset(flags),
        **switches,
    )


def _switch(element: Element, attribute: str) -> bool:
    """The boolean that ATTRIBUTE of ELEMENT says; true if it says nothing."""
    value = element.get(attribute)
    return value is None or is_true(value)
