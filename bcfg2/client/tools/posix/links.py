"""``<Path type="symlink">`` and ``<Path type="hardlink">``."""

import os
import stat
from typing import Any, ClassVar

from bcfg2.client.files import Node, Unfinished, opened_folder
from bcfg2.client.tools.base import InstallError, State
from bcfg2.client.tools.posix.pathtype import PathType
from bcfg2.xml import Element


class Symlink(PathType):
    """A symbolic link with exactly this text, wherever that leads."""

    required: ClassVar = ("to",)
    kind: ClassVar[int] = stat.S_IFLNK
    remade_for: ClassVar[frozenset[str]] = frozenset({"exists", "type", "to"})

    def own_expected(self, entry: Element, path: str) -> dict[str, Any]:
        return {"to": entry.get("to")}

    def own_found(self, entry: Element, path: str, node: Node) -> dict[str, Any]:
        return {"to": node.link_text() if node.kind == stat.S_IFLNK else None}

    def make(self, new: Unfinished, name: str, expected: State) -> None:
        os.symlink(expected["to"], new.name, dir_fd=new.folder)
        self.apply_to(new, expected)


class Hardlink(PathType):
    """Another name of the thing that the attribute ``to`` names."""

    required: ClassVar = ("to",)
    remade_for: ClassVar[frozenset[str]] = frozenset({"exists", "same_as"})

    def own_expected(self, entry: Element, path: str) -> dict[str, Any]:
        return {"same_as": entry.get("to")}

    def own_found(self, entry: Element, path: str, node: Node) -> dict[str, Any]:
        to = entry.get("to", "")
        return {"same_as": to if _is_at(to, node.status) else None}

    def make(self, new: Unfinished, name: str, expected: State) -> None:
        to = expected["same_as"]
        folder_path, original = os.path.split(os.path.normpath(to))
        try:
            with opened_folder(folder_path) as folder:
                os.link(original, new.name, src_dir_fd=folder, dst_dir_fd=new.folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            raise InstallError(f"there is no {to}") from None
        self.apply_to(new, expected)


def _is_at(path: str, status: os.stat_result) -> bool:
    """Whether the thing at PATH, not what a link there leads to, has STATUS."""
    folder_path, name = os.path.split(os.path.normpath(path))
    try:
        with opened_folder(folder_path) as folder, Node(folder, name) as node:
            return os.path.samestat(node.status, status)
    except (FileNotFoundError, NotADirectoryError):
        return False
