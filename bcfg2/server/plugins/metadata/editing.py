"""One file of clients.xml while the server changes it: comments, layout and order are kept."""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from xml.parsers import expat

from lxml import etree

from bcfg2 import xml
from bcfg2.server.plugins.metadata.markup import MarkedUpClients
from bcfg2.server.plugins.metadata.snapshot import State, file_state
from bcfg2.server.storage import atomic_replace
from bcfg2.xml import Element

#: Seconds to wait for another process that is changing the files.
LOCK_PATIENCE = 10.0


class Overtaken(Exception):
    """Somebody else has changed the file since it was read."""


class EditableFile:
    """The file PATH, read without its includes; raises :exc:`OSError` or :exc:`~bcfg2.xml.XMLError`.

    It can be changed and written again and again, as long as nobody else changes the file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._status = os.stat(path)
        self._clients = _marked_up(Path(path).read_bytes(), path)
        self._changed = False

    @property
    def state(self) -> State:
        """The state of the file when it was read or written."""
        return file_state(self._status)

    def __contains__(self, name: str) -> bool:
        """Whether the file has a client NAME."""
        return name in self._clients

    def add(self, attributes: Mapping[str, str]) -> None:
        """Append a client, as last child of the root element."""
        self._clients.add(attributes)
        self._changed = True

    def update(self, name: str, attributes: Mapping[str, str]) -> None:
        """Set ATTRIBUTES on the client NAME."""
        self._changed |= self._clients.update(name, attributes)

    def remove(self, name: str) -> None:
        """Remove the client NAME."""
        self._changed |= self._clients.remove(name)

    def write(self) -> State:
        """Write the file if something was changed; the state in which it was written.

        Raises :exc:`Overtaken` if somebody else has changed it, and :exc:`OSError`; then nothing was written.
        """
        if self._changed:
            status = atomic_replace(self.path, bytes(self._clients), self._status)
            if status is None:
                raise Overtaken(self.path)
            self._status = status
            self._changed = False
        return self.state


def _marked_up(data: bytes, path: str) -> MarkedUpClients:
    """The text DATA of the file PATH; its XML declaration goes, and any encoding but UTF-8."""
    root = xml.parse_bytes(data, path, comments=True)
    if not data.startswith(b"<") or data.startswith(b"<?xml") or b"\0" in data:
        data = _serialised(root)
    try:
        return MarkedUpClients(data)
    except expat.ExpatError as err:
        raise xml.XMLError(f"{path}: {err}") from None


def _serialised(root: Element) -> bytes:
    """The document that ROOT is the root of, in UTF-8, what stands in front of it and behind it on lines of its own."""
    whole = etree.tostring(root.getroottree(), encoding="UTF-8", xml_declaration=False)
    nodes = [*reversed(list(root.itersiblings(preceding=True))), root, *root.itersiblings()]
    if len(nodes) > 1:
        pieces = [etree.tostring(node, encoding="UTF-8", xml_declaration=False, with_tail=False) for node in nodes]
        joined = b"".join(pieces)
        if whole.endswith(joined):  # in front of that is a document type, if there is one
            whole = whole.removesuffix(joined) + b"\n".join(pieces)
    return whole


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Let no other process change files of FOLDER, as far as it uses this too; the lock dies with its holder.

    Raises :exc:`TimeoutError` if another process does not come to an end.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(fd, folder)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, folder: str) -> None:
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has locked {folder} for too long") from None
            time.sleep(0.02)
        except OSError:
            return  # a file system without locks
        else:
            return
