"""XML as the suite reads and writes it: hardened parsing, XInclude with globs, canonical sorting.

Every parser here refuses entity expansion and network access.  Errors are :exc:`XMLError`; its text names the file, the
line, the reason and the files through which the file was included.
"""

import glob
import itertools
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from lxml import etree

Element: TypeAlias = etree._Element

#: Characters from which on a text is large.
_LARGE_TEXT = 1_000_000

XI_NAMESPACE = "{http://www.w3.org/2001/XInclude}"
PY_NAMESPACE = "http://genshi.edgewall.org/"
_XML_BASE = "{http://www.w3.org/XML/1998/namespace}base"
_INCLUDE = XI_NAMESPACE + "include"
_FALLBACK = XI_NAMESPACE + "fallback"
_GLOB = frozenset("*?[")


class XMLError(Exception):
    """A document that cannot be used; the text names file, line and reason.

    `watch`: the paths of which one must change before the document can be used.
    """

    watch: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A file as it reads with everything that it includes.

    `files`: every file that was read, the file itself first.  `watch`: further paths whose appearance or change alters
    the document: missing included files and the folders that wildcards look into.  `problems`: what was passed over,
    one line each.  `origins`: root element of an included file -> that file.
    """

    path: str
    root: Element
    files: tuple[str, ...] = ()
    watch: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    origins: Mapping[Element, str] = field(default_factory=dict)

    def file_of(self, element: Element) -> str:
        """The file that ELEMENT, which is part of the document, was read from."""
        node: Element | None = element if self.origins else None
        while node is not None:
            if node in self.origins:
                return self.origins[node]
            node = node.getparent()
        return self.path


def parser(*, comments: bool = False) -> etree.XMLParser:
    """A parser that expands no entities and reads nothing but what it is given."""
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=not comments,
        remove_pis=not comments,
        strip_cdata=True,
    )


def parse_string(text: str | bytes, what: str, *, large: bool = False) -> Element:
    """Parse TEXT, which came from WHAT (a description for errors), without expanding anything.

    With LARGE the parser's own limits do not hold: it comes from somebody who may send large documents.
    """
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
        encoding = "utf-8"
    else:
        encoding = None
    reader = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=large,
        remove_comments=True,
        remove_pis=True,
        encoding=encoding,
    )
    try:
        root = etree.fromstring(text, reader)
    except (etree.XMLSyntaxError, ValueError) as err:
        raise XMLError(f"{what}: {_reason(err)}") from None
    _refuse_entities(root, what)
    return root


def parse_file(path: str, *, comments: bool = False) -> Element:
    """Parse the file PATH alone, without includes.  An unreadable file raises :exc:`OSError`."""
    return parse_bytes(Path(path).read_bytes(), path, comments=comments)


def parse_bytes(data: bytes, path: str, *, comments: bool = False) -> Element:
    """Parse DATA, the content of the file PATH, alone, without includes."""
    try:
        root = etree.fromstring(data, parser(comments=comments), base_url=path)
    except (etree.XMLSyntaxError, ValueError) as err:
        raise XMLError(f"{path}: {_reason(err)}") from None
    _refuse_entities(root, path)
    return root


def load(path: str, *, xinclude: bool = True, comments: bool = False) -> Document:
    """Read PATH and all that it includes.

    An included root element takes the place of its ``xi:include``; includes of PATH itself go to the end of their
    parent element, those of included files stay where they are.  ``href`` is a path, absolute or relative to the
    including file, and may hold wildcards (matches are sorted).  Where nothing is found, the content of ``xi:fallback``
    is used; without one the include is passed over and noted in `problems`.

    Raises :exc:`XMLError` for a file that does not parse, :exc:`OSError` for PATH itself if it cannot be read.
    """
    root = parse_file(path, comments=comments)
    if not xinclude:
        return Document(path, tidy(root), (path,))
    loader = _Loader(comments)
    loader.files.append(path)
    try:
        loader.expand(root, path, (os.path.realpath(path),), last=True)
    except XMLError as err:
        err.watch = tuple(dict.fromkeys([*loader.files, *loader.watch]))
        raise
    return Document(
        path,
        tidy(root),
        tuple(dict.fromkeys(loader.files)),
        tuple(dict.fromkeys(loader.watch)),
        tuple(loader.problems),
        loader.origins,
    )


@dataclass(slots=True)
class _Loader:
    """One reading of a file and of what it includes."""

    comments: bool
    files: list[str] = field(default_factory=list)
    watch: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    origins: dict[Element, str] = field(default_factory=dict)

    def expand(self, root: Element, path: str, chain: tuple[str, ...], *, last: bool) -> None:
        """Replace the includes below ROOT, which was read from PATH; CHAIN: the files on the way here."""
        if root.tag == _INCLUDE:
            raise XMLError(f"{path}:{root.sourceline}: the root element cannot be an xi:include")
        moved: dict[Element, list[Element]] = {}
        for include in list(root.iter(_INCLUDE)):
            parent = include.getparent()
            if parent is None or not _attached(include, root) or "$" in include.get("href", ""):
                continue  # part of a fallback that may not be used, or a name that only a template can tell
            text, elements = self._included(include, path, chain)
            if last:
                moved.setdefault(parent, []).extend(elements)
                elements = []
            _replace(include, text, elements)
        for parent, elements in moved.items():
            parent.extend(elements)

    def _included(self, include: Element, path: str, chain: tuple[str, ...]) -> tuple[str, list[Element]]:
        """The text and the elements that take the place of INCLUDE."""
        where = f"{path}:{include.sourceline}"
        href = include.get("href")
        if not href or include.get("xpointer"):
            raise XMLError(f"{where}: xi:include needs an href (and xpointer is not supported)")
        matches = self._matches(href, path)
        found = [name for name in matches if os.path.realpath(name) not in chain]
        if not found:
            fallback = include.find(_FALLBACK)
            if fallback is None:
                missing = (
                    f"{matches[0]} would include itself by this, passed over"
                    if matches
                    else f"nothing to include for {href}"
                )
                self.problems.append(f"{where}: {missing}")
                return "", []
            self.expand(fallback, path, chain, last=False)
            return fallback.text or "", list(fallback)
        if include.get("parse", "xml") == "text":
            self.files.extend(found)
            return "".join(_read_text(name, include.get("encoding", "utf-8"), where) for name in found), []
        return "", [self._include_file(name, where, chain) for name in found]

    def _matches(self, href: str, path: str) -> list[str]:
        """The existing files that HREF in the file PATH stands for, and note what to watch."""
        name = os.path.normpath(os.path.join(os.path.dirname(path), href))
        if _GLOB.isdisjoint(name):
            if Path(name).is_file():
                return [name]
            self.watch.append(name)
            return []
        self.watch.extend(_glob_folders(name))
        return sorted(match for match in glob.glob(name) if Path(match).is_file())

    def _include_file(self, name: str, where: str, chain: tuple[str, ...]) -> Element:
        self.files.append(name)
        try:
            root = parse_file(name, comments=self.comments)
            self.expand(root, name, (*chain, os.path.realpath(name)), last=False)
        except (XMLError, OSError) as err:
            raise XMLError(f"{err} (included from {where})") from None
        if _XML_BASE in root.attrib:
            del root.attrib[_XML_BASE]
        self.origins[root] = name
        return root


def _attached(node: Element, root: Element) -> bool:
    """Whether NODE is still below ROOT, and not in a fallback."""
    while node is not root:
        above = node.getparent()
        if above is None or above.tag == _FALLBACK:
            return above is root
        node = above
    return True


def _replace(node: Element, text: str, elements: list[Element]) -> None:
    """Put TEXT and ELEMENTS where NODE is; what follows NODE stays."""
    parent = node.getparent()
    assert parent is not None
    tail, node.tail = node.tail or "", None
    position = parent.index(node)
    parent.remove(node)
    _append_text(parent, position, text)
    for offset, element in enumerate(elements):
        parent.insert(position + offset, element)
    if tail.strip():
        _append_text(parent, position + len(elements), tail)


def _append_text(parent: Element, position: int, text: str) -> None:
    """Add TEXT to the character data in front of child POSITION of PARENT."""
    if not text:
        return
    if position == 0:
        parent.text = (parent.text or "") + text
    else:
        before = parent[position - 1]
        before.tail = (before.tail or "") + text


def _read_text(name: str, encoding: str, where: str) -> str:
    try:
        return Path(name).read_text(encoding)
    except (OSError, UnicodeError, LookupError) as err:
        raise XMLError(f"{name}: {err} (included from {where})") from None


def _glob_folders(pattern: str) -> Iterator[str]:
    """The folders whose listing decides what PATTERN matches."""
    parts = pattern.split(os.sep)
    for number, part in enumerate(parts):
        if not _GLOB.isdisjoint(part):
            head = os.sep.join(parts[:number]) or os.sep
            yield from sorted(folder for folder in glob.glob(head) if Path(folder).is_dir())
            if _GLOB.isdisjoint(head):
                yield head


def tidy(root: Element) -> Element:
    """Drop white space between elements; the text of an element without children is kept exactly."""
    for node in root.iter(etree.Element):
        if len(node) and any(map(is_element, node)):
            if node.text and not node.text.strip():
                node.text = None
            for child in node:
                if child.tail and not child.tail.strip():
                    child.tail = None
    return root


def _refuse_entities(root: Element, what: str) -> None:
    for entity in root.iter(etree.Entity):
        raise XMLError(f"{what}:{entity.sourceline}: the entity {entity.text} is not expanded, write its text instead")
    dtd = root.getroottree().docinfo.internalDTD
    declared = dtd.entities() if dtd is not None else []  # type: ignore[attr-defined]  # the stubs of lxml lack it
    if declared:  # an attribute may use it, and nothing shows that: it is expanded whenever the attribute is read
        raise XMLError(f"{what}: the document type declares the entity {declared[0].name}, write its text instead")


def _reason(err: Exception) -> str:
    """What is wrong, with the line first where the parser tells it."""
    if isinstance(err, etree.XMLSyntaxError) and err.lineno:
        text = (err.msg or "not well-formed").split(", line ")[0]
        return f"line {err.lineno}: {text}"
    return str(err) or "the document is empty"


def attributes(element: Element) -> dict[str, str]:
    """A copy of the attributes of ELEMENT."""
    return {str(name): str(value) for name, value in element.attrib.items()}


def whole_text(element: Element) -> str:
    """The text of ELEMENT with that of all elements in it, comments left out."""
    return str(etree.XPath("string()")(element))


def is_element(node: Any) -> bool:
    """Whether NODE is an element, not a comment or a processing instruction."""
    return isinstance(node.tag, str)


def is_template(root: Element) -> bool:
    """Whether the root element binds the prefix ``py`` to Genshi's namespace."""
    return root.nsmap.get("py") == PY_NAMESPACE


def tostring(element: Element) -> str:
    """ELEMENT without an XML declaration, everything but ASCII as numeric references."""
    return etree.tostring(element, encoding="us-ascii", xml_declaration=False).decode("ascii")


def written_out(element: Element) -> str:
    """What :func:`tostring` gives of ELEMENT, which loses its large texts on the way: there is never but one copy more.

    (libxml2 would have several copies of the whole document at once.)
    """
    large = [node for node in element.iter(etree.Element) if node.text is not None and len(node.text) >= _LARGE_TEXT]
    if not large:
        return tostring(element)
    mark = f"@{secrets.token_hex(16)}@"
    texts = []
    for node in large:
        texts.append(_escaped(node.text or ""))
        node.text = mark
    pieces = tostring(element).split(mark)
    return "".join(piece for pair in zip(pieces, [*texts, ""], strict=True) for piece in pair)


def _escaped(text: str) -> str:
    """TEXT as it stands in a document; where nothing is to be escaped it is not copied."""
    for character, reference in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")):
        text = text.replace(character, reference)
    return text if text.isascii() else text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def leading_text(node: Element) -> str:
    """The text of NODE in front of its first child element, whatever comments are in it."""
    return "".join([node.text or "", *(child.tail or "" for child in _leading_comments(node))])


def set_leading_text(node: Element, text: str) -> None:
    """Put TEXT in the place of that; comments in it stay, behind the text."""
    node.text = text
    for child in _leading_comments(node):
        child.tail = None


def _leading_comments(node: Element) -> Iterator[Element]:
    return itertools.takewhile(lambda child: not is_element(child), node)


def shown(element: Element, *, text: bool = False) -> str:
    """ELEMENT without its children for people to read, with TEXT also its text: ``<Key name="x"/>``."""
    copy = etree.Element(element.tag, attributes(element))
    copy.text = leading_text(element) if text else None
    return tostring(copy)


_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def legal(text: str) -> str:
    """TEXT with each character that XML cannot carry replaced by U+FFFD."""
    return _ILLEGAL.sub("\ufffd", text)


def is_true(value: str | None) -> bool:
    """The truth of a boolean attribute: the word ``true`` in any letter case."""
    return value is not None and value.lower() == "true"


def sort_xml(node: Any, key: Callable[[Element], Any] | None = None) -> None:
    """Sort the children of NODE and of everything below it in place, so that equal content reads the same.

    KEY defaults to the ``name`` attribute; siblings some of which have no key keep their order.  NODE is an element or
    a tree.
    """
    root: Element = node.getroot() if hasattr(node, "getroot") else node
    _sort_children(root, key or _name)


def _name(element: Element) -> Any:
    return element.get("name")


def _sort_children(node: Element, key: Callable[[Element], Any]) -> None:
    children = list(node)
    for child in children:
        if len(child):
            _sort_children(child, key)
    if len(children) < 2:
        return
    try:
        keys = [key(child) for child in children]
        order = sorted(range(len(children)), key=keys.__getitem__)
    except TypeError:  # a sibling without the key
        return
    if None not in keys and order != list(range(len(children))):
        node[:] = [children[position] for position in order]
