"""The text of a clients.xml, cut into pieces so that one client can be changed without a look at the others.

.. code-block:: text

    <Clients> | <Client name="a"/> |    | <Client name="b"> | <Alias name="c"/> | </Client> | <!-- d --> || </Clients>
    text        start tag           text  start tag           text                end tag     text          end

A change replaces pieces; the text is what they are together.  So what is not changed stays as it was written, to the
last blank.
"""

import re
from collections.abc import Mapping
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from lxml import etree

_TAG = re.compile(rb"""<(?:[^<>"']++|"[^"]*+"|'[^']*+')*+>""")
_ATTRIBUTE = re.compile(rb"""([^\s=<>"'/]++)\s*+=\s*+("[^"]*+"|'[^']*+')""")
_FIRST_CHILD = re.compile(rb"\s*?(\r?\n)[\r\n]*([ \t]*)<(?!/)")
_OWN_LINE = re.compile(rb"\r?\n[ \t]*\Z")
_LINE_END = re.compile(rb"[ \t]*(?:\r?\n|\Z)")


class MarkedUpClients:
    """TEXT: a well-formed document in UTF-8 without an XML declaration; raises :exc:`expat.ExpatError`."""

    def __init__(self, text: bytes) -> None:
        self._pieces: list[bytes] = []
        #: Name, in lower case -> the numbers of the pieces that are start tags of clients of that name.
        self._starts: dict[str, tuple[int, ...]] = {}
        #: Number of a start tag -> number of the end tag, where there is one.
        self._ends: dict[int, int] = {}
        cut = _Cut(text, self._pieces, self._starts, self._ends)
        layout = _FIRST_CHILD.match(text, cut.content)
        self._newline, self._indent = layout.groups() if layout else (b"\n", b"  ")

    def __bytes__(self) -> bytes:
        return b"".join(self._pieces)

    def __contains__(self, name: str) -> bool:
        return name in self._starts

    def add(self, attributes: Mapping[str, str]) -> None:
        """Append a client as last child of the root element, on a line of its own."""
        tag = " ".join(("<Client", *(f"{key}={quoteattr(value)}" for key, value in attributes.items())))
        before, end = self._pieces[-2:]
        name = attributes["name"].lower()
        self._starts[name] = (*self._starts.get(name, ()), len(self._pieces) - 1)
        self._pieces[-2:] = before.rstrip() + self._newline + self._indent, f"{tag}/>".encode(), self._newline, end

    def update(self, name: str, attributes: Mapping[str, str]) -> bool:
        """Set ATTRIBUTES on each client NAME; whether that changed anything."""
        changed = False
        for number in self._starts.get(name, ()):
            tag = self._pieces[number]
            for key, value in attributes.items():
                tag = _with_attribute(tag, key.encode(), value)
            changed |= tag != self._pieces[number]
            self._pieces[number] = tag
        return changed

    def remove(self, name: str) -> bool:
        """Remove each client NAME, with its line if it stands alone there; whether there was one."""
        starts = self._starts.pop(name, ())
        for start in starts:
            end = self._ends.pop(start, start)
            following = next(filter(None, self._pieces[end + 1 :]), b"")
            if _LINE_END.match(following):
                self._pieces[start - 1] = _OWN_LINE.sub(b"", self._pieces[start - 1])
            self._pieces[start : end + 1] = [b""] * (end + 1 - start)
        return bool(starts)


class _Cut:
    """The cutting of TEXT into PIECES, see :class:`MarkedUpClients`; the last one begins with the end tag of the root.

    `content`: where the content of the root element begins.
    """

    def __init__(
        self, text: bytes, pieces: list[bytes], starts: dict[str, tuple[int, ...]], ends: dict[int, int]
    ) -> None:
        self.content = -1
        self._text, self._pieces, self._starts, self._ends = text, pieces, starts, ends
        self._done = 0  # what stands in front of this is in pieces
        self._open: list[int | None] = []  # of each element around: the number of its start tag, if that is a piece
        self._parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._stop
        parser.Parse(text, True)

    def _start(self, tag: str, attributes: Mapping[str, str]) -> None:
        number = None
        if tag == "Client" or not self._open:
            start = self._parser.CurrentByteIndex
            whole = _TAG.match(self._text, start)
            assert whole is not None
            if not self._open:
                self.content = whole.end()
            else:
                self._take_until(start)
                number = len(self._pieces)
                self._take_until(whole.end())
                name = attributes.get("name", "").lower()
                self._starts[name] = (*self._starts.get(name, ()), number)
        self._open.append(number)

    def _stop(self, tag: str) -> None:
        number = self._open.pop()
        if not self._open:
            self._stop_root()
        elif number is not None and not self._pieces[number].endswith(b"/>"):
            self._take_until(self._parser.CurrentByteIndex)
            self._ends[number] = len(self._pieces)
            self._take_until(self._text.index(b">", self._done) + 1)

    def _stop_root(self) -> None:
        text = self._text
        if text.endswith(b"/>", 0, self.content):
            opened = text[: self.content - 2].rstrip()
            name = opened[opened.rindex(b"<") + 1 :].split(None, 1)[0]
            self._pieces.append(opened + b">")
            end = b"</" + name + b">" + text[self.content :]
        else:
            self._take_until(self._parser.CurrentByteIndex)
            end = text[self._done :]
        self._pieces.append(end.rstrip() + b"\n")

    def _take_until(self, position: int) -> None:
        self._pieces.append(self._text[self._done : position])
        self._done = position


def _with_attribute(tag: bytes, key: bytes, value: str) -> bytes:
    """The start tag TAG with the attribute KEY set to VALUE; a new one comes last."""
    quoted = quoteattr(value).encode()
    last = len(tag)
    for found in _ATTRIBUTE.finditer(tag):
        last = found.end()
        if found[1] == key:
            same = etree.fromstring(b"<a v=%s/>" % found[2]).get("v") == value
            return tag if same else tag[: found.start(2)] + quoted + tag[last:]
    return b"%s %s=%s%s" % (tag[:last], key, quoted, tag[last:])
