"""``<Path type="file">``: a regular file with a content."""

import errno
import logging
import os
import stat
from typing import Any, ClassVar

from bcfg2.client.files import Node, Unfinished, opened_target
from bcfg2.client.tools.base import InstallError, State
from bcfg2.client.tools.posix.content import wanted_bytes
from bcfg2.client.tools.posix.pathtype import PathType, kind_of
from bcfg2.xml import Element, leading_text

#: Attributes that hold for the content that a file had, or that are set otherwise.
_NOT_KEPT = ("system.", "security.capability", "security.ima", "security.evm")

logger = logging.getLogger("bcfg2.POSIX")


class File(PathType):
    """A regular file."""

    kind: ClassVar[int] = stat.S_IFREG
    remade_for: ClassVar[frozenset[str]] = frozenset({"exists", "type", "content"})
    makes_parents: ClassVar[bool] = True

    def missing(self, entry: Element) -> list[str]:
        has_content = entry.get("empty") == "true" or leading_text(entry)
        return super().missing(entry) + ([] if has_content else ['content (or empty="true")'])

    def own_expected(self, entry: Element, path: str) -> dict[str, Any]:
        return {"content": wanted_bytes(entry, self.surroundings.encoding)}

    def own_found(self, entry: Element, path: str, node: Node) -> dict[str, Any]:
        """`content`: None if it is no file, or is so large that it cannot be right."""
        if node.kind == stat.S_IFLNK:
            with opened_target(node, path) as target:  # its content is not wanted there, but it is reported
                return {"content": self._content(entry, target) if target else None}
        return {"content": self._content(entry, node)}

    def _content(self, entry: Element, node: Node) -> bytes | None:
        if node.kind != stat.S_IFREG:
            return None
        if node.status.st_size > self.surroundings.largest:
            wanted = wanted_bytes(entry, self.surroundings.encoding)
            if len(wanted) != node.status.st_size:
                return None
        return node.read()

    def can_settle(self, node: Node) -> bool:
        return not node.may_be_smuggled

    def make(self, new: Unfinished, name: str, expected: State) -> None:
        fd = new.create()
        try:
            with open(fd, "wb", closefd=False) as stream:
                stream.write(expected["content"])
            with Node(new.folder, new.name, fd) as node:
                _keep_attributes(new.folder, name, node)
                self.metadata.apply(node, expected)
            # Without this a crash could leave an empty file; that the folder still has the old one then does no harm.
            os.fsync(fd)
        finally:
            os.close(fd)

    def clear(self, folder: int, name: str) -> None:
        if kind_of(folder, name) != stat.S_IFDIR:
            return
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as err:
            if err.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise InstallError("a directory that is not empty is in its place") from None


def _keep_attributes(folder: int, name: str, new: Node) -> None:
    """Give NEW the extended attributes of the file NAME that it replaces, but for those that hold for its content."""
    if kind_of(folder, name) != stat.S_IFREG:
        return
    with Node(folder, name) as old:
        for attribute in old.attribute_names():
            if attribute.startswith(_NOT_KEPT):
                continue
            try:
                new.set_attribute(attribute, old.attribute(attribute))
            except OSError as err:  # some may be set by the system alone, above all in containers
                logger.info("%s: its attribute %s could not be kept: %s", name, attribute, err.strerror)
