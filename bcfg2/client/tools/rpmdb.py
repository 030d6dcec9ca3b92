"""How RPM names, orders and verifies packages, and how the output of its commands reads."""

import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

#: A format for ``rpm -q`` whose lines :func:`parse_instances` reads, and the same for repoquery of dnf.
RPM_FORMAT = r"%{NAME}\t%|EPOCH?{%{EPOCH}}:{0}|\t%{VERSION}\t%{RELEASE}\t%|ARCH?{%{ARCH}}:{}|\n"
DNF_FORMAT = r"%{name}\t%{epoch}\t%{version}\t%{release}\t%{arch}\n"
#: The files of a package and where they point, if they are links; for :func:`parse_links`.
LINKS_FORMAT = r"[%{FILENAMES}\t%{FILELINKTOS}\n]"

_SEGMENT = re.compile(r"[0-9]+|[a-zA-Z]+|~|\^")
_EVR = re.compile(r"(?:(\d+):)?([^-:]+)(?:-([^-:]+))?")
_PROBLEM = re.compile(r"(\S{8,9}|missing) +(?:([a-z]) )? *(/.*?)(?: \([A-Z].*\))?")
#: The letters of ``rpm --verify`` and what a verify flag ``noKIND`` calls them.
_KINDS = {
    "S": "size",
    "M": "mode",
    "5": "md5",
    "D": "rdev",
    "L": "linkto",
    "U": "user",
    "G": "group",
    "T": "mtime",
    "P": "caps",
}


class Instance(NamedTuple):
    """One package with everything that tells it from others; of keys the architecture is empty."""

    name: str
    epoch: str
    version: str
    release: str
    arch: str

    @property
    def evr(self) -> str:
        """``EPOCH:VERSION-RELEASE``."""
        return f"{self.epoch}:{self.version}-{self.release}"

    @property
    def full(self) -> str:
        """The name that means this instance alone, for dnf."""
        return f"{self.name}-{self.evr}" + (f".{self.arch}" if self.arch else "")

    @property
    def label(self) -> str:
        """The name that means this instance alone, for rpm, of which not every release knows epochs there."""
        return f"{self.name}-{self.version}-{self.release}" + (f".{self.arch}" if self.arch else "")


@dataclass(frozen=True)
class Problem:
    """A file of a package that is not as it was installed.

    `kinds`: what of it, in the words of verify flags (``size``, ``md5`` ...); ``missing`` if it is not there.
    `marker`: the letter of its kind: ``c`` is configuration, ``g`` ghost.
    """

    path: str
    kinds: frozenset[str]
    marker: str = ""


def parse_instances(output: str) -> list[Instance]:
    """The packages in OUTPUT, of :data:`RPM_FORMAT` or :data:`DNF_FORMAT`.

    >>> parse_instances("bash\\t0\\t5.1.8\\t6.el9\\tx86_64\\nno package provides mta\\n")
    [Instance(name='bash', epoch='0', version='5.1.8', release='6.el9', arch='x86_64')]
    """
    lines = (line.split("\t") for line in output.splitlines())
    fields = ([field.replace("(none)", "") for field in line] for line in lines if len(line) == 5)
    return [Instance(name, epoch or "0", version, release, arch) for name, epoch, version, release, arch in fields]


def parse_verification(output: str) -> list[Problem]:
    """The files in the OUTPUT of ``rpm --verify``.

    >>> parse_verification("S.5....T.  c /etc/sudoers\\n")[0].path
    '/etc/sudoers'
    """
    matches = (_PROBLEM.fullmatch(line) for line in output.splitlines())
    return [Problem(match[3], _kinds(match[1]), match[2] or "") for match in matches if match]


def parse_links(output: str) -> set[str]:
    """The files that are symbolic links, by OUTPUT of the format :data:`LINKS_FORMAT`.

    >>> parse_links("/usr/bin/sh\\tbash\\n/usr/bin/bash\\t\\n")
    {'/usr/bin/sh'}
    """
    lines = (line.split("\t") for line in output.splitlines())
    return {line[0] for line in lines if len(line) == 2 and line[1]}


def _kinds(letters: str) -> frozenset[str]:
    if letters == "missing":
        return frozenset({letters})
    return frozenset(_KINDS[letter] for letter in letters if letter in _KINDS)


def parse_evr(text: str) -> tuple[str, str, str]:
    """Epoch, version and release of ``[EPOCH:]VERSION[-RELEASE]``, empty where they are not said.

    >>> parse_evr("2:9.0-1.el9"), parse_evr("9.0")
    (('2', '9.0', '1.el9'), ('', '9.0', ''))
    """
    match = _EVR.fullmatch(text)
    return (match[1] or "", match[2], match[3] or "") if match else ("", text, "")


def newer(one: Instance, other: Instance) -> bool:
    """Whether ONE is newer than OTHER."""
    return compare((one.epoch, one.version, one.release), (other.epoch, other.version, other.release)) > 0


def compare(one: tuple[str, str, str], other: tuple[str, str, str]) -> int:
    """Below 0, 0 or above 0 as epoch, version and release ONE are older than OTHER, the same or newer."""
    epochs = int(one[0] or 0) - int(other[0] or 0)
    return epochs or compare_versions(one[1], other[1]) or compare_versions(one[2], other[2])


def compare_versions(one: str, other: str) -> int:
    """Below 0, 0 or above 0 as version ONE is older than OTHER, the same or newer, segment by segment.

    >>> compare_versions("1.10", "1.9"), compare_versions("1.0~rc1", "1.0"), compare_versions("1.0^git1", "1.0")
    (1, -1, 1)
    """
    for left, right in zip_longest(_SEGMENT.findall(one), _SEGMENT.findall(other)):
        result = _compare_segments(left, right)
        if result:
            return result
    return 0


def _compare_segments(left: str | None, right: str | None) -> int:
    if left == right:
        return 0
    if "~" in (left, right):  # comes before everything, the end included
        return -1 if left == "~" else 1
    if left is None or right is None:
        return -1 if left is None else 1
    if "^" in (left, right):  # comes after the end only
        return -1 if left == "^" else 1
    if left.isdecimal() and right.isdecimal():
        return (int(left) > int(right)) - (int(left) < int(right))
    if left.isdecimal() != right.isdecimal():  # numbers are newer than letters
        return 1 if left.isdecimal() else -1
    return (left > right) - (left < right)
