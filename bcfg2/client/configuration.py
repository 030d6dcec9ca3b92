"""The configuration document as the agent works on it: structures, and entries in them."""

import os
import sys
import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from bcfg2.client.errors import FatalError
from bcfg2.xml import Element, XMLError, parse_string


class Configuration:
    """One parsed ``<Configuration>``.

    `root`: the document.  Its elements stay the same objects as long as this one lives, so they may be keys of
    dictionaries.
    """

    def __init__(self, root: Element) -> None:
        self.root = root
        # lxml makes a new object whenever an element is looked at that nobody holds: hold them all.
        self._held = list(root.iter())

    @property
    def revision(self) -> str:
        """The revision of the repository that the document was made from, ``-1`` if it has none."""
        return self.root.get("revision") or "-1"

    @property
    def structures(self) -> list[Element]:
        """The bundles and independent structures, in document order."""
        return _elements(self.root)

    @property
    def bundles(self) -> list[Element]:
        """The structures that are bundles."""
        return [structure for structure in self.structures if structure.tag == "Bundle"]

    @property
    def independent(self) -> list[Element]:
        """The structures that are no bundles."""
        return [structure for structure in self.structures if structure.tag != "Bundle"]

    @property
    def entries(self) -> Iterator[Element]:
        """The entries of all structures, in document order."""
        for structure in self.structures:
            yield from entries_of(structure)

    def add(self, structure: Element, entry: Element) -> None:
        """Put ENTRY, which a tool needs, at the end of STRUCTURE."""
        structure.append(entry)
        self._held.append(entry)

    def keep_only(self, structures: list[Element]) -> None:
        """Drop all structures but STRUCTURES."""
        for structure in self.structures:
            if structure not in structures:
                self.root.remove(structure)
        self.__dict__.pop("path_names", None)

    @cached_property
    def path_names(self) -> frozenset[str]:
        """The names of all Path entries, without slashes at their ends."""
        names = (entry.get("name") or "" for entry in self.entries if entry.tag == "Path")
        return frozenset(name.rstrip("/") or name for name in names)


def entries_of(structure: Element) -> list[Element]:
    """The entries of STRUCTURE, in document order, comments passed over."""
    return _elements(structure)


def _elements(parent: Element) -> list[Element]:
    return [child for child in parent if isinstance(child.tag, str)]


def title(entry: Element) -> str:
    """What the log calls ENTRY: ``Path:file:/etc/motd``, or ``Action:reload`` where there is no type."""
    kind = entry.get("type")
    return f"{entry.tag}:{kind}:{entry.get('name')}" if kind else f"{entry.tag}:{entry.get('name')}"


def parse(document: str | bytes, origin: str) -> Configuration:
    """The configuration in DOCUMENT, which came from ORIGIN; :exc:`FatalError` if there is none in it."""
    try:
        root = parse_string(document, origin, large=True)
    except XMLError as err:
        raise FatalError(f"The configuration cannot be used: {err}") from None
    if root.tag == "error":
        raise FatalError(f"The server has no configuration for this machine: {(root.text or '').strip()}")
    return Configuration(root)


def keep(document: str, path: str) -> None:
    """Write DOCUMENT to PATH (``-``: standard output), for the owner alone, whole or not at all."""
    if path == "-":
        sys.stdout.write(document)
        return
    try:
        _write_private(Path(path).absolute(), document.encode("utf-8", "surrogateescape"))
    except OSError as err:
        raise FatalError(f"The configuration cannot be kept in {path}: {err.strerror}") from None


def _write_private(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
