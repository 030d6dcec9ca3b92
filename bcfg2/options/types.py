"""Texts of bcfg2.conf, of the environment and of the command line turned into values.

Every function here takes a text and gives a value, or raises :exc:`ValueError` whose text continues a sentence that
begins with the setting: ``[server] umask = 9z: not an octal number``.
"""

import ast
import grp
import math
import os
import pwd
import re
from dataclasses import dataclass
from typing import Any

REPOSITORY_MACRO = "<repository>"

_TRUE = frozenset({"1", "yes", "true", "on"})
_FALSE = frozenset({"0", "no", "false", "off"})
_SIZE = re.compile(r"(\d+)([kmgt]?)", re.ASCII | re.IGNORECASE)
_SIZE_BITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_GLOBAL_FLAGS = re.compile(r"\(\?[aiLmsux]+\)")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What paths are relative to: the working folder, the folder that ``~`` means, and the repository (if known)."""

    folder: str
    home: str
    repository: str | None = None


def boolean(text: str) -> bool:
    """``1 yes true on`` or ``0 no false off``, in any case."""
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("not a boolean, say yes or no")


def integer(text: str) -> int:
    """A whole number, decimal."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("not a whole number") from None


def number(text: str) -> float:
    """A finite number, decimal."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError("not a number") from None
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def timeout(text: str) -> float | None:
    """Seconds; ``None``, no timeout, where they are zero or less."""
    value = number(text)
    return value if value > 0 else None


def octal(text: str) -> int:
    """A number in octal digits such as ``0077``, as file modes have it."""
    try:
        value = int(text, 8)
    except ValueError:
        raise ValueError("not an octal number") from None
    if value < 0:
        raise ValueError("not an octal number")
    return value


def size(text: str) -> int:
    """Bytes: digits and perhaps one of ``k m g t``, in any case, for powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError("not a size such as 512k or 1m")
    return int(match[1]) << _SIZE_BITS[match[2].lower()]


def user(text: str) -> int:
    """The number of a user given by name or number."""
    try:
        return int(text) if text.isdecimal() else pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):  # ValueError: a name with a null byte
        raise ValueError("no such user") from None


def group(text: str) -> int:
    """The number of a group given by name or number."""
    try:
        return int(text) if text.isdecimal() else grp.getgrnam(text).gr_gid
    except (KeyError, ValueError):
        raise ValueError("no such group") from None


def comma_list(text: str) -> tuple[str, ...]:
    """Words separated by commas, with white space around them that does not count; none in an empty text."""
    return tuple(re.split(r"\s*,\s*", text.strip())) if text.strip() else ()


def colon_list(text: str) -> tuple[str, ...]:
    """Words separated by colons, white space and all; none in an empty text."""
    return tuple(text.split(":")) if text else ()


def regex_list(text: str) -> tuple[re.Pattern[str], ...]:
    """Regular expressions separated by white space, each of which has to match a whole text."""
    return tuple(_anchored(pattern) for pattern in text.split())


def _anchored(pattern: str) -> re.Pattern[str]:
    flags = match[0] if (match := _GLOBAL_FLAGS.match(pattern)) else ""
    try:
        return re.compile(rf"{flags}\A(?:{pattern[len(flags) :]})\Z")
    except re.error as err:
        raise ValueError(f"{pattern} is not a regular expression ({err})") from None


def dict_literal(text: str) -> dict[Any, Any]:
    """A dictionary in Python's notation that holds nothing but literals."""
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError("not a Python dictionary of literals")
    return value


def with_macros(text: str, around: Surroundings) -> str:
    """TEXT with ``<repository>`` replaced by the repository's path and ``~`` or ``~user`` at its beginning expanded."""
    if around.repository is not None:
        text = text.replace(REPOSITORY_MACRO, around.repository)
    if text == "~" or text.startswith("~/"):
        return around.home + text[1:]
    return os.path.expanduser(text)


def path(text: str, around: Surroundings) -> str:
    """TEXT with macros replaced, as an absolute path without ``..`` and double slashes.  Nothing need exist there."""
    return os.path.normpath(os.path.join(around.folder, with_macros(text, around)))
