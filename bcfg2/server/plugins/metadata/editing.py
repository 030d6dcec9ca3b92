"""One file of clients.xml while the server changes it: comments, layout and order are kept."""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lxml import etree

from bcfg2 import xml
from bcfg2.server.plugins.metadata.snapshot import State, file_state, state_of
from bcfg2.server.storage import atomic_write
from bcfg2.xml import Element

#: Seconds to wait for another process that is changing the files.
LOCK_PATIENCE = 10.0


class Overtaken(Exception):
    """Somebody else has changed the file since it was read."""


class EditableFile:
    """The file PATH, read without its includes; raises :exc:`OSError` or :exc:`~bcfg2.xml.XMLError`."""

    def __init__(self, path: str) -> None:
        self.path = path
        #: The state of the file when it was read.
        self.state = state_of(path)
        self._root = xml.parse_file(path, comments=True)
        self._changed = False
        self._by_name: dict[str, list[Element]] = {}
        for element in self._root.iter("Client"):
            self._by_name.setdefault((element.get("name") or "").lower(), []).append(element)

    def names(self) -> Iterator[str]:
        """The names of the clients in the file, in lower case."""
        return iter(self._by_name)

    def add(self, attributes: Mapping[str, str]) -> None:
        """Append a client, as last child of the root element."""
        element = etree.SubElement(self._root, "Client", dict(attributes))
        self._by_name.setdefault(attributes["name"].lower(), []).append(element)
        _lay_out_last(self._root, element)
        self._changed = True

    def update(self, name: str, attributes: Mapping[str, str]) -> None:
        """Set ATTRIBUTES on the client NAME."""
        for element in self._by_name.get(name, ()):
            for key, value in attributes.items():
                if element.get(key) != value:
                    element.set(key, value)
                    self._changed = True

    def remove(self, name: str) -> None:
        """Remove the client NAME."""
        for element in self._by_name.pop(name, ()):
            _take_out(element)
            self._changed = True

    def write(self) -> State:
        """Write the file if something was changed; its new state, or None if somebody else wrote it meanwhile.

        Raises :exc:`Overtaken` where that happened before, and :exc:`OSError`; then nothing was written.
        """
        if not self._changed:
            return self.state
        data = _serialised(self._root)
        if state_of(self.path) != self.state:
            raise Overtaken(self.path)
        atomic_write(self.path, data)
        with open(self.path, "rb") as stream:
            state = file_state(os.fstat(stream.fileno()))
            return state if stream.read() == data else None


def _serialised(root: Element) -> bytes:
    """The document that ROOT is the root of, with what stands in front of it and behind it on lines of their own."""
    whole = etree.tostring(root.getroottree(), encoding="UTF-8", xml_declaration=False)
    nodes = [*reversed(list(root.itersiblings(preceding=True))), root, *root.itersiblings()]
    if len(nodes) > 1:
        pieces = [etree.tostring(node, encoding="UTF-8", xml_declaration=False, with_tail=False) for node in nodes]
        joined = b"".join(pieces)
        if whole.endswith(joined):  # in front of that is a document type, if there is one
            whole = whole.removesuffix(joined) + b"\n".join(pieces)
    return whole.rstrip() + b"\n"


def _lay_out_last(root: Element, element: Element) -> None:
    """Put ELEMENT, just appended to ROOT, on a line of its own, indented like the first child."""
    text = root.text or ""
    before = element.getprevious()
    if before is None:
        root.text = f"{text.rstrip()}\n  "
    else:
        indent = text.rpartition("\n")[2] if "\n" in text and not text.strip() else "  "
        before.tail = f"{(before.tail or '').rstrip()}\n{indent}"
    element.tail = "\n"


def _take_out(element: Element) -> None:
    """Remove ELEMENT with the white space that belongs to it."""
    parent, before, after = element.getparent(), element.getprevious(), element.getnext()
    assert parent is not None
    tail = element.tail or ""
    kept = tail if after is None or tail.strip() else ""  # white space in front of the end of the parent
    element.tail = None
    parent.remove(element)
    if before is None:
        parent.text = f"{(parent.text or '').rstrip()}{kept}" if kept else parent.text
    else:
        before.tail = f"{(before.tail or '').rstrip()}{kept}" if kept else before.tail


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
