"""``<Path type="device">``: block and character devices, and named pipes."""

import os
import stat
from typing import Any, ClassVar

from bcfg2.client.files import Node, Unfinished
from bcfg2.client.tools.base import InstallError, State
from bcfg2.client.tools.posix.pathtype import KINDS, PathType
from bcfg2.xml import Element

_TYPES = {"block": stat.S_IFBLK, "char": stat.S_IFCHR, "fifo": stat.S_IFIFO}


class Device(PathType):
    """A device or a fifo."""

    required: ClassVar = ("dev_type", "owner", "group", "mode")
    remade_for: ClassVar[frozenset[str]] = frozenset({"exists", "type", "device"})

    def missing(self, entry: Element) -> list[str]:
        numbers = ("major", "minor") if entry.get("dev_type") in ("block", "char") else ()
        return super().missing(entry) + [name for name in numbers if not entry.get(name)]

    def own_expected(self, entry: Element, path: str) -> dict[str, Any]:
        """`device`: major and minor number, None for a fifo."""
        kind = _TYPES.get(entry.get("dev_type", ""))
        if kind is None:
            raise InstallError(f'the dev_type "{entry.get("dev_type")}" is none of {", ".join(_TYPES)}')
        if kind == stat.S_IFIFO:
            return {"type": KINDS[kind], "device": None}
        return {"type": KINDS[kind], "device": (_number(entry, "major"), _number(entry, "minor"))}

    def own_found(self, entry: Element, path: str, node: Node) -> dict[str, Any]:
        if node.kind not in (stat.S_IFBLK, stat.S_IFCHR):
            return {"device": None}
        return {"device": (os.major(node.status.st_rdev), os.minor(node.status.st_rdev))}

    def make(self, new: Unfinished, name: str, expected: State) -> None:
        kind = next(kind for kind, word in KINDS.items() if word == expected["type"])
        numbers = expected["device"]
        os.mknod(new.name, kind | 0o600, os.makedev(*numbers) if numbers else 0, dir_fd=new.folder)
        self.apply_to(new, expected)


def _number(entry: Element, name: str) -> int:
    text = entry.get(name, "")
    if not (text.isascii() and text.isdecimal()):
        raise InstallError(f'the {name} number "{text}" is not a number')
    return int(text)
