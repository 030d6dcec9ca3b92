"""``<Path type="directory">`` and ``<Path type="permissions">``: what may hold for everything below, too."""

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Any, ClassVar

from bcfg2.client.files import Node, Unfinished, remove
from bcfg2.client.tools.base import Difference, InstallError, State
from bcfg2.client.tools.posix.pathtype import PathType, kind_of
from bcfg2.xml import Element, is_true


class Permissions(PathType):
    """Metadata of something that has to be there already."""

    def own_expected(self, entry: Element, path: str) -> dict[str, Any]:
        return {"below": ()} if is_true(entry.get("recursive")) else {}

    def own_found(self, entry: Element, path: str, node: Node) -> dict[str, Any]:
        """With ``recursive``, `below`: the paths below whose owner, group or mode differ."""
        if not is_true(entry.get("recursive")) or node.kind != stat.S_IFDIR:
            return {"below": ()}
        with _listable(node) as folder:
            below = self.metadata.wrong_below(folder, self.metadata.wanted(entry, path, self.kind))
        return {"below": tuple(os.path.join(path, name) for name in sorted(below))}

    def settle(self, node: Node, path: str, expected: State, difference: Difference) -> None:
        super().settle(node, path, expected, difference)
        if "below" in difference and node.kind == stat.S_IFDIR:
            with _listable(node) as folder:
                self.metadata.apply_below(folder, expected)

    def make(self, new: Unfinished, name: str, expected: State) -> None:
        raise InstallError("there is nothing whose permissions could be set")


class Directory(Permissions):
    """A directory, with ``prune`` one that contains only what has an entry."""

    kind: ClassVar[int] = stat.S_IFDIR
    makes_parents: ClassVar[bool] = True

    def own_expected(self, entry: Element, path: str) -> dict[str, Any]:
        prune = {"children": ()} if is_true(entry.get("prune")) else {}
        return {**super().own_expected(entry, path), **prune}

    def own_found(self, entry: Element, path: str, node: Node) -> dict[str, Any]:
        """With ``prune``, `children`: the full paths of those that have no entry, neither themselves nor below."""
        found = super().own_found(entry, path, node)
        if not is_true(entry.get("prune")) or node.kind != stat.S_IFDIR:
            return {**found, "children": ()}
        with _listable(node) as folder:
            children = sorted(os.path.join(path, name) for name in os.listdir(folder))
        extra = tuple(child for child in children if not self.surroundings.managed.is_wanted(child))
        return {**found, "children": extra}

    def settle(self, node: Node, path: str, expected: State, difference: Difference) -> None:
        if "children" in difference:
            with _listable(node) as folder:
                for child in difference["children"].found:
                    with contextlib.suppress(FileNotFoundError):
                        remove(folder, os.path.basename(child))
        super().settle(node, path, expected, difference)

    def make(self, new: Unfinished, name: str, expected: State) -> None:
        os.mkdir(new.name, 0o700, dir_fd=new.folder)
        self.apply_to(new, expected)

    def clear(self, folder: int, name: str) -> None:
        if kind_of(folder, name) not in (0, stat.S_IFDIR):
            os.unlink(name, dir_fd=folder)


@contextlib.contextmanager
def _listable(node: Node) -> Iterator[int]:
    """A descriptor of the directory NODE with which it can be listed."""
    folder = node.open_folder()
    try:
        yield folder
    finally:
        os.close(folder)
