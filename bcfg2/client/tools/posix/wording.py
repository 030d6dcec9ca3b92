"""What is wrong with a path, in words for a person."""

from collections.abc import Iterator
from typing import Any

from bcfg2.client.tools.base import Difference
from bcfg2.client.tools.posix import aclentries
from bcfg2.client.tools.posix.owners import group_name, user_name

#: Paths that are listed; of more their number is told.
_MAX_LISTED = 10


def in_words(difference: Difference) -> Iterator[str]:
    """A line for each key of DIFFERENCE, but the content."""
    if "exists" in difference:
        yield "does not exist"
        return
    for key, (wanted, found) in difference.items():
        if key == "type":
            yield f"is a {found}, should " + (f"be a {wanted}" if wanted else "not exist")
        elif key == "content":
            continue
        elif key == "commands":
            yield f"{found.count(False)} of {len(wanted)} Augeas commands do not hold"
        elif key == "same_as":
            yield f"is not the same as {wanted}"
        elif key == "children":
            yield from _listed("should not contain", found)
        elif key == "below":
            yield from _listed("owner, group or mode are wrong of", found)
        else:
            yield f"{_WORDS.get(key, key)} is {_shown(key, found)}, should be {_shown(key, wanted)}"


_WORDS = {"to": "target", "secontext": "SELinux context", "acl": "ACL"}


def _shown(key: str, value: Any) -> str:
    if isinstance(value, int):
        if key == "owner":
            return user_name(value)
        if key == "group":
            return group_name(value)
    if key == "acl":
        return aclentries.shown(value or {})
    if key == "device":
        return ",".join(map(str, value)) if value else "no device"
    return "none" if value is None else str(value)


def _listed(what: str, paths: tuple[str, ...]) -> Iterator[str]:
    for path in paths[:_MAX_LISTED]:
        yield f"{what} {path}"
    if len(paths) > _MAX_LISTED:
        yield f"{what} {len(paths) - _MAX_LISTED} more"
