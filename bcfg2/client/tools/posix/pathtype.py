"""The base class of the types of paths."""

import errno
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bcfg2.client.files import Node, Unfinished, opened_folder, remove
from bcfg2.client.tools.base import Difference, InstallError, State
from bcfg2.client.tools.posix.managed import Managed
from bcfg2.client.tools.posix.metadata import MetadataKeeper
from bcfg2.xml import Element

#: What things are called, in states and in messages.
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFSOCK: "socket",
}
_PARENT_MODE = "0755"


@dataclass
class Surroundings:
    """What the types share.

    `encoding`: of texts in the configuration.  `largest`: bytes of the largest file on disk that is read although its
    size tells that it is wrong.
    """

    metadata: MetadataKeeper = field(default_factory=MetadataKeeper)
    managed: Managed = field(default_factory=lambda: Managed(()))
    encoding: str = "UTF-8"
    largest: int = 16 << 20


class PathType:
    """How paths of one type are verified and installed.

    A type says what it asks for besides the metadata (:meth:`own_expected`), what is there (:meth:`own_found`), and
    makes a thing beside its place (:meth:`make`), which then takes the place of what is there.  What differs only in
    metadata is set where it is.
    """

    #: Attributes that are needed besides the name.
    required: ClassVar[Sequence[str]] = ("owner", "group", "mode")
    #: What it is, as :func:`stat.S_IFMT` tells; 0: anything.
    kind: ClassVar[int] = 0
    #: The keys for which something new is made; all others are set on what is there.
    remade_for: ClassVar[frozenset[str]] = frozenset({"exists", "type"})
    #: Whether missing folders above it are made.
    makes_parents: ClassVar[bool] = False

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.metadata = surroundings.metadata

    def missing(self, entry: Element) -> list[str]:
        """What ENTRY lacks to be verified and installed."""
        return [name for name in ("name", *self.required) if not entry.get(name)]

    # Looking

    def expected_state(self, entry: Element, path: str) -> dict[str, Any]:
        """What ENTRY asks for at PATH.  Raises :exc:`InstallError` if it makes no sense."""
        kind = {"type": KINDS[self.kind]} if self.kind else {}
        return {**kind, **self.own_expected(entry, path), **self.metadata.wanted(entry, path, self.kind)}

    def actual_state(self, entry: Element, path: str, node: Node) -> dict[str, Any]:
        """What NODE is, which is at PATH: what :meth:`expected_state` can ask for, and all metadata."""
        kind = KINDS.get(node.kind, "thing of an unknown kind")
        return {"type": kind, **self.metadata.found(node), **self.own_found(entry, path, node)}

    def own_expected(self, entry: Element, path: str) -> dict[str, Any]:
        """What ENTRY asks for besides its kind and its metadata."""
        return {}

    def own_found(self, entry: Element, path: str, node: Node) -> dict[str, Any]:
        """What NODE has of that."""
        return {}

    # Changing

    def fix(self, entry: Element, path: str, expected: State, difference: Difference) -> None:
        """Make what is at PATH what ENTRY asks for.  Raises :exc:`InstallError` or :exc:`OSError`."""
        folder_path, name = split(path)
        with opened_folder(folder_path, self._parent_maker(entry, expected)) as folder:
            if not self.remade_for & difference.keys():
                with Node(folder, name) as node:
                    kind = KINDS.get(node.kind)
                    if expected.get("type", kind) != kind:
                        raise InstallError(f"it has become a {kind} since it was looked at")
                    if self.can_settle(node):
                        self.settle(node, path, expected, difference)
                        return
            self.put(folder, name, path, expected)

    def can_settle(self, node: Node) -> bool:
        """Whether what differs may be set on NODE itself, although nothing has to be made anew."""
        return True

    def settle(self, node: Node, path: str, expected: State, difference: Difference) -> None:
        """Set on NODE what differs and can be set on it."""
        self.metadata.apply(node, expected)

    def put(self, folder: int, name: str, path: str, expected: State) -> None:
        """Put something new in the place of what is at NAME."""
        with Unfinished(folder) as new:
            self.make(new, name, expected)
            self.clear(folder, name)
            try:
                new.finish(name)
            except OSError as err:
                if err.errno == errno.EBUSY:
                    raise InstallError("it cannot be replaced, because something is mounted at its place") from None
                raise

    def make(self, new: Unfinished, name: str, expected: State) -> None:
        """Make NEW, which will be NAME, with all its metadata."""
        raise NotImplementedError

    def clear(self, folder: int, name: str) -> None:
        """Remove at NAME what the renaming would not replace: a directory with all that it contains."""
        if kind_of(folder, name) == stat.S_IFDIR:
            remove(folder, name)

    def apply_to(self, new: Unfinished, expected: State) -> None:
        """Give NEW the metadata that are expected."""
        with Node(new.folder, new.name) as node:
            self.metadata.apply(node, expected)

    def _parent_maker(self, entry: Element, expected: State) -> Callable[[int, str], None] | None:
        """Makes missing folders, with the owner, group and label of the entry; None for types that have none made."""
        if not self.makes_parents:
            return None
        metadata = {key: expected[key] for key in ("owner", "group", "secontext") if key in expected}

        def make(folder: int, name: str) -> None:
            make_folder(folder, name, self.metadata, {**metadata, "mode": _PARENT_MODE})

        return make


def split(path: str) -> tuple[str, str]:
    """The folder of PATH and the name in it; the root is ``.`` in itself."""
    folder, name = os.path.split(path)
    return folder, name or "."


def make_folder(folder: int, name: str, keeper: MetadataKeeper, metadata: Mapping[str, Any]) -> None:
    """Make the directory NAME in FOLDER; it is there only when it has its METADATA."""
    with Unfinished(folder) as new:
        os.mkdir(new.name, 0o700, dir_fd=folder)
        with Node(folder, new.name) as node:
            keeper.apply(node, metadata)
        try:
            new.finish(name)
        except OSError as err:
            if err.errno == errno.ENOTEMPTY:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name) from None
            raise


def kind_of(folder: int, name: str) -> int:
    """What NAME in FOLDER is, as :func:`stat.S_IFMT` tells; 0 if there is nothing."""
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return 0
