"""The suite's own version, and versions as clients declare them: ``1.4.0``, ``1.4.0pre2``, ``1.4.0rc1``."""

import re
from typing import NamedTuple

__version__ = "2.0.0pre1"

_FORM = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})(?:([A-Za-z]+)([0-9]{1,9}))?", re.ASCII)

#: What is said of a release, from the least finished on; any other word is below all of them.
_LEVELS = {"pre": 1, "rc": 2, "final": 3}


class VersionInfo(NamedTuple):
    """A parsed version; also the tuple (major, minor, micro, releaselevel, serial).

    It compares with another one, with a sequence of five, and with a text: by the numbers, then by the level (``final``
    > ``rc`` > ``pre`` > any other, so ``(1, 3, 0, '', 0)`` is below every 1.3.0), then by the serial number.  It is
    greater than None, and than a text that is no version.
    """

    major: int
    minor: int
    micro: int
    releaselevel: str = "final"
    serial: int = 0

    def __str__(self) -> str:
        level = "" if self.releaselevel == "final" else f"{self.releaselevel}{self.serial}"
        return f"{self.major}.{self.minor}.{self.micro}{level}"

    def __eq__(self, other: object) -> bool:
        return _five(other) == tuple(self)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __lt__(self, other: object) -> bool:
        right = _five(other)
        return right is not None and _key(tuple(self)) < _key(right)

    def __gt__(self, other: object) -> bool:
        right = _five(other)
        return right is None or _key(tuple(self)) > _key(right)

    def __le__(self, other: object) -> bool:
        return not self > other

    def __ge__(self, other: object) -> bool:
        return not self < other


def parse_version(text: str | None) -> VersionInfo | None:
    """The version that TEXT tells, None if it is none.

    Three numbers with dots between them; the last may be followed by a word, the level, and a serial number.
    """
    found = _FORM.fullmatch(text or "")
    if found is None:
        return None
    major, minor, micro, level, serial = found.groups()
    return VersionInfo(int(major), int(minor), int(micro), level or "final", int(serial or 0))


def _five(other: object) -> tuple[object, ...] | None:
    """OTHER as a tuple of five; None for no version.  Raises :exc:`TypeError` for what cannot be compared."""
    if isinstance(other, str):
        parsed = parse_version(other)
        return None if parsed is None else tuple(parsed)
    if other is None:
        return None
    if isinstance(other, tuple | list) and len(other) == 5:
        return tuple(other)
    raise TypeError(f"cannot compare a version with {other!r}")


def _key(five: tuple[object, ...]) -> tuple[object, ...]:
    """By what versions are ordered."""
    return (*five[:3], _LEVELS.get(str(five[3]), 0), five[4])
