"""How the output of dpkg, apt-cache and debsums reads."""

import re
from dataclasses import dataclass, field

from bcfg2.client.tools.packages import Installed

#: States of dpkg in which a package works.
_INSTALLED = ("installed", "triggers-awaited", "triggers-pending")

_POLICY_NAME = re.compile(r"(\S+):")
_POLICY_VERSION = re.compile(r"(?: \*\*\*|    ) (\S+)(?: -?\d+)?")
_POLICY_SOURCE = re.compile(r" {8,}(?:-?\d+) (\S.*)")
_STATUS_FILE = re.compile(r"/\S*dpkg/status")

_CHANGED = re.compile(r"changed file (.+?)(?: \(from .*\))?")
_UNREADABLE = re.compile(r"can't open \S+ file (.+?)(?: \(.*\))?")
_MISSING = re.compile(r"missing file (.+?)(?: \(from .*\))?")
_VERIFIED = re.compile(r"(?:\S{9}|missing) +(?:[a-z] )? *(/.*?)(?: \(.*\))?")


def parse_dpkg_query(output: str, native: str) -> Installed:
    """Name -> version, by the OUTPUT of ``dpkg-query``: package, architecture, status, version, separated by tabs.

    Packages of another architecture than NATIVE have that in their names.

    >>> lines = "bash\\tamd64\\tinstalled\\t5.2-1\\nvim\\tamd64\\tconfig-files\\t9\\nlibc6\\ti386\\tinstalled\\t2.36\\n"
    >>> parse_dpkg_query(lines, "amd64")
    {'bash': ['5.2-1'], 'libc6:i386': ['2.36']}
    """
    installed = {}
    for fields in (line.split("\t") for line in output.splitlines()):
        if len(fields) == 4 and fields[2] in _INSTALLED:
            name, architecture, _, version = fields
            installed[name if architecture in (native, "all") else f"{name}:{architecture}"] = [version]
    return installed


@dataclass
class Policy:
    """What APT knows of a package.

    `candidate`: the version that it would install, `available`: those that it could download, newest first.
    """

    candidate: str | None = None
    available: list[str] = field(default_factory=list)


def parse_policy(output: str) -> dict[str, Policy]:
    """Name -> policy, by the OUTPUT of ``apt-cache policy NAME...``, which leaves out what it does not know."""
    policies: dict[str, Policy] = {}
    policy, version = Policy(), ""
    for line in output.splitlines():
        if match := _POLICY_NAME.fullmatch(line):
            policy = policies[match[1]] = Policy()
        elif line.startswith("  Candidate: "):
            candidate = line.removeprefix("  Candidate: ").strip()
            policy.candidate = None if candidate == "(none)" else candidate
        elif match := _POLICY_VERSION.fullmatch(line):
            version = match[1]
        elif (match := _POLICY_SOURCE.fullmatch(line)) and not _STATUS_FILE.fullmatch(match[1]):
            policy.available.append(version)
    for policy in policies.values():
        policy.available = list(dict.fromkeys(policy.available))
    return policies


@dataclass
class Sums:
    """What debsums says of a package: the files that are not as they were, and whether it has no checksums to tell."""

    changed: list[str] = field(default_factory=list)
    without_sums: bool = False


def parse_debsums(errors: str) -> Sums:
    """What ``debsums -as NAME`` has written to standard error.

    >>> parse_debsums("debsums: changed file /bin/gzip (from gzip package)\\ndebsums: missing file /x (from a)\\n")
    Sums(changed=['/bin/gzip', '/x'], without_sums=False)
    """
    sums = Sums()
    for line in (line.removeprefix("debsums: ").rstrip() for line in errors.splitlines()):
        if line.startswith("no md5sums for"):
            sums.without_sums = True
        elif line.startswith("checksum mismatch"):
            sums.changed.append(line.split()[-1])
        elif match := _CHANGED.fullmatch(line) or _UNREADABLE.fullmatch(line) or _MISSING.fullmatch(line):
            sums.changed.append(match[1])
    return sums


def parse_dpkg_verify(output: str) -> list[str]:
    """The files that are wrong by the OUTPUT of ``dpkg --verify``.

    >>> parse_dpkg_verify("??5?????? c /etc/sudoers\\nmissing     /usr/share/doc/x (Permission denied)\\n")
    ['/etc/sudoers', '/usr/share/doc/x']
    """
    return [match[1] for match in (_VERIFIED.fullmatch(line) for line in output.splitlines()) if match]
