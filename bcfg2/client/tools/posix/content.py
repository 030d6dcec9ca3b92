"""What files contain: the bytes that an entry asks for, and how they differ from those on disk."""

import base64
import binascii
import difflib
import re

from bcfg2.client.tools.base import InstallError
from bcfg2.xml import Element, leading_text

#: Control characters that no text contains.
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")
#: Lines above which a difference is not looked for but the whole content shown: the search takes too long.
_MAX_LINES = 20_000


def wanted_bytes(entry: Element, encoding: str) -> bytes:
    """The content that ENTRY asks for; :exc:`InstallError` if it cannot be decoded, or encoded in ENCODING."""
    if entry.get("empty") == "true":
        return b""
    text = leading_text(entry)
    try:
        if entry.get("encoding") == "base64":
            return base64.b64decode("".join(text.split()), validate=True)
        return text.encode(encoding)
    except (binascii.Error, ValueError) as err:
        raise InstallError(f"its content cannot be decoded: {err}") from None


def is_text(data: bytes, encoding: str) -> bool:
    """Whether DATA is text in ENCODING."""
    if _BINARY.search(data):
        return False
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def unified_diff(name: str, on_disk: bytes, wanted: bytes, encoding: str) -> str:
    """The lines that lead from ON_DISK to WANTED, with three lines around them.

    Lines end at line feeds only; the end of a file without one shows as a line that is missing or added.
    """
    old = on_disk.decode(encoding, "replace").split("\n") if on_disk else []
    new = wanted.decode(encoding, "replace").split("\n") if wanted else []
    head = (f"{name} (on disk)", f"{name} (from bcfg2)")
    if max(len(old), len(new)) <= _MAX_LINES and old and new:
        return "\n".join(difflib.unified_diff(old, new, *head, lineterm=""))
    lines = [f"--- {head[0]}", f"+++ {head[1]}", f"@@ -{_range(old)} +{_range(new)} @@"]
    return "\n".join([*lines, *(f"-{line}" for line in old), *(f"+{line}" for line in new)])


def _range(lines: list[str]) -> str:
    return f"1,{len(lines)}" if lines else "0,0"
