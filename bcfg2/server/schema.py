"""What is wrong with the XML files of a repository, in plain words: file, line, fault, and what to do.

.. code-block:: text

    bcfg2/schemas/KIND.xsd    what a file of the KIND may hold; editors use the same files
    Schema                    one of them, compiled at its first use
    Problem                   one thing that is not as the schema has it

:func:`validate` is all that others need.  Templates are validated as they are written, before any rendering.  Elements
of Genshi are looked through: what is in them has to be right for the place where it will be.
"""

import difflib
import re
import threading
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from lxml import etree

from bcfg2 import xml
from bcfg2.log import bounded

#: The folder of our schemas.
SCHEMAS = Path(__file__).parent.parent / "schemas"

#: Which files of a repository are of which kind: a pattern of :meth:`pathlib.Path.glob`, and the kind.
KINDS: tuple[tuple[str, str], ...] = (
    ("ACL/ip.xml", "acl-ip"),
    ("ACL/metadata.xml", "acl-metadata"),
    ("AWSTags/config.xml", "awstags"),
    ("Bundler/**/*.genshi", "bundle"),
    ("Bundler/**/*.xml", "bundle"),
    ("Cfg/**/authorized_keys.xml", "authorizedkeys"),
    ("Cfg/**/authorizedkeys.xml", "authorizedkeys"),
    ("Cfg/**/info.xml", "info"),
    ("Cfg/**/privkey.xml", "privkey"),
    ("Cfg/**/pubkey.xml", "pubkey"),
    ("Cfg/**/sslcert.xml", "sslca-cert"),
    ("Cfg/**/sslkey.xml", "sslca-key"),
    ("Decisions/**/*.xml", "decisions"),
    ("Defaults/**/*.xml", "defaults"),
    ("Deps/**/*.xml", "deps"),
    ("FileProbes/config.xml", "fileprobes"),
    ("GroupLogic/groups.xml", "grouplogic"),
    ("GroupPatterns/config.xml", "grouppatterns"),
    ("Metadata/clients.xml", "clients"),
    ("Metadata/groups.xml", "metadata"),
    ("NagiosGen/config.xml", "nagiosgen"),
    ("Packages/sources.xml", "packages"),
    ("Pkgmgr/**/*.xml", "pkglist"),
    ("Rules/**/*.xml", "rules"),
    ("SEModules/**/info.xml", "info"),
    ("SSHbase/**/info.xml", "info"),
    ("etc/report-configuration.xml", "report-configuration"),
)

#: How many problems of one document are told, and how often it is looked at again without what does not belong there.
MAX_PROBLEMS = 100
_MAX_ROUNDS = 20

#: What XML Schema cannot say: kind -> tag -> attributes of which an element needs one.
_ONE_OF: dict[str, dict[str, tuple[str, ...]]] = {
    "bundle": {"Path": ("name", "glob"), "Package": ("name", "group")},
    "pkglist": {"Package": ("name", "file", "simplefile")},
}

_XSD = "{http://www.w3.org/2001/XMLSchema}"
_PY = f"{{{xml.PY_NAMESPACE}}}"
#: Elements and attributes of Genshi that mark what will not be, or not stay, where it is written.
_ELSEWHERE = frozenset(_PY + name for name in ("def", "match"))
_MATCH = _PY + "match"
_REPLACE = _PY + "replace"
_ATTRIBUTES = _PY + "attrs"

#: How alike a name must be to one that exists, to be taken for a misspelling of it.
_LIKENESS = 0.75
#: How much of a value is shown.
_SHOWN = 60


class SchemaError(Exception):
    """A schema cannot be used; the text names it and says why."""


class Fault(Enum):
    """What is wrong with an element."""

    ROOT = "it is the root and has another name"
    ELEMENT = "it does not belong where it is"
    ATTRIBUTE = "it has an attribute that it cannot have"
    MISSING = "it lacks an attribute"
    VALUE = "an attribute has a value that it cannot have"
    TEXT = "it holds text"
    OTHER = "something else"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an element.

    `text`: a sentence that says what it is and what to do.  `attribute`: the one that it is about, if any.  `meant`:
    the name that exists and that an unknown element or attribute is probably a misspelling of.  `is_parent`: whether
    the element holds others.
    """

    file: str
    line: int
    text: str
    fault: Fault
    attribute: str = ""
    meant: str = ""
    is_parent: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def validate(document: xml.Document, kind: str) -> list[Problem]:
    """What is wrong with DOCUMENT, a file of KIND with all that it includes, sorted by file and line.

    KIND is the name of one of our schemas, or the full path of another.  Raises :exc:`SchemaError` for one that cannot
    be used.
    """
    return schema_of(kind).problems(document)


@cache
def schema_of(kind: str) -> "Schema":
    """The schema for KIND, see :func:`validate`."""
    return Schema(SCHEMAS / (kind if kind.endswith(".xsd") else f"{kind}.xsd"))


class Schema:
    """The schema in the file PATH.  Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._one_of = _ONE_OF.get(path.stem, {}) if path.parent == SCHEMAS else {}
        self._busy = threading.Lock()  # the validator keeps the errors of the last document

    def problems(self, document: xml.Document) -> list[Problem]:
        """What is wrong with DOCUMENT, sorted by file and line; at most :data:`MAX_PROBLEMS`."""
        if not xml.is_template(document.root) and not self.errors(document.root):
            return []
        return _Examination(self, document).problems()

    def errors(self, root: xml.Element) -> "list[tuple[xml.Element, str]]":
        """(element, message of the validator) for what is wrong below ROOT and with it."""
        with self._busy:
            valid = self._validator.validate(root)
            log: Any = [] if valid else self._validator.error_log  # Any: the stubs do not know that it is iterable
            entries = [(entry.path, entry.message) for entry in log]
        found = [(_element_at(root, path), message) for path, message in entries[:MAX_PROBLEMS]]
        for element in self._incomplete(root):
            names = " or ".join(self._one_of[element.tag])
            found.append((element, f"The attribute '{names}' is required but missing."))
        return found

    @cached_property
    def _incomplete(self) -> Callable[[xml.Element], Any]:
        """Finds the elements of a document that have none of the attributes of which they need one."""
        paths = [f"//{tag}[not({' or '.join(f'@{name}' for name in names)})]" for tag, names in self._one_of.items()]
        return etree.XPath(" | ".join(paths)) if paths else lambda root: ()

    @cached_property
    def _validator(self) -> etree.XMLSchema:
        try:
            return etree.XMLSchema(etree.parse(str(self.path), xml.parser()))
        except (OSError, etree.XMLSyntaxError, etree.XMLSchemaParseError) as err:
            raise SchemaError(f"the schema {self.path} cannot be used: {err}") from None

    @cached_property
    def root(self) -> str:
        """The name of the root element."""
        declared = etree.parse(str(self.path), xml.parser()).find(f"{_XSD}element")
        return "" if declared is None else declared.get("name", "")

    @cached_property
    def elements(self) -> frozenset[str]:
        """The names of all elements that are declared."""
        return self._declared("element")

    @cached_property
    def attributes(self) -> frozenset[str]:
        """The names of all attributes that are declared."""
        return self._declared("attribute")

    @cached_property
    def values(self) -> dict[str, str]:
        """Name of a type -> what its values are, in words."""
        path = f"{_XSD}annotation/{_XSD}documentation"
        return {
            declared.get("name", ""): " ".join(declared.findtext(path, "").split())
            for part in self._parts()
            for declared in part.iter(f"{_XSD}simpleType")
        }

    def _declared(self, what: str) -> frozenset[str]:
        names = (item.get("name") for part in self._parts() for item in part.iter(_XSD + what))
        return frozenset(name for name in names if name)

    def _parts(self) -> list[xml.Element]:
        """The root elements of this file and of those that it includes, of the same namespace."""
        parts: dict[Path, xml.Element] = {}
        todo = [self.path]
        while todo:
            path = todo.pop()
            if path not in parts:
                root = parts[path] = etree.parse(str(path), xml.parser()).getroot()
                todo += [path.parent / item.get("schemaLocation", "") for item in root.iterfind(f"{_XSD}include")]
        return list(parts.values())


class _Examination:
    """A closer look at a document, in a copy from which what was found is taken out: it may hide what follows."""

    def __init__(self, schema: Schema, document: xml.Document) -> None:
        self._schema = schema
        self._root = deepcopy(document.root)
        self._is_template = xml.is_template(document.root)
        origins = {}
        if document.origins:
            both = zip(document.root.iter(), self._root.iter(), strict=True)
            origins = {copy: document.origins[node] for node, copy in both if node in document.origins}
        self._document = xml.Document(document.path, self._root, origins=origins)
        self._found: dict[tuple[xml.Element, str], Problem] = {}
        self._matched: frozenset[str] = frozenset()

    def problems(self) -> list[Problem]:
        """What is wrong, sorted by file and line."""
        if self._is_template:
            self._matched = _matched_names(self._root)
            _look_through(self._root)
        for _ in range(_MAX_ROUNDS):
            if not self._look() or len(self._found) >= MAX_PROBLEMS:
                break
        found = sorted(self._found.values(), key=lambda problem: (problem.file, problem.line))
        return found[:MAX_PROBLEMS]

    def _look(self) -> bool:
        """Validate the copy and note what is found; whether something was taken out, so that one must look again."""
        again = False
        misplaced = []
        for element, message in self._schema.errors(self._root):
            if (element, message) in self._found:
                continue
            problem = self._problem(element, message)
            if problem.fault is Fault.ROOT:
                self._root.tag, again = self._schema.root, True
            elif problem.fault is Fault.ELEMENT:
                misplaced.append(element)
            if not self._is_made_up(problem, element):
                self._found[element, message] = problem
        for element in misplaced:
            parent = element.getparent()
            if parent is not None:
                parent.remove(element)
                again = True
        return again

    def _is_made_up(self, problem: Problem, element: xml.Element) -> bool:
        """Whether the template will see to it that this is no problem, as far as one can tell."""
        if not self._is_template:
            return False
        if problem.fault is Fault.ELEMENT:
            return element.tag in self._matched
        if problem.fault is Fault.MISSING:
            return _ATTRIBUTES in element.attrib
        return problem.fault is Fault.TEXT and any("$" in text for text in _texts(element))

    def _problem(self, element: xml.Element, message: str) -> Problem:
        """What the MESSAGE about ELEMENT says, in plain words."""
        fault, attribute, meant, text = self._explain(element, message)
        line: Any = element.sourceline  # Any: a number, since all was read from files
        return Problem(self._document.file_of(element), line, text, fault, attribute, meant, len(element) > 0)

    def _explain(self, element: xml.Element, message: str) -> tuple[Fault, str, str, str]:
        """(fault, attribute, meant, text), see :class:`Problem`."""
        tag = _shown(element.tag)
        if "for the validation root" in message:
            return Fault.ROOT, "", "", f"the root element is <{tag}>, call it <{self._schema.root}>"
        if found := re.search(r"The attribute '([^']+)' is not allowed", message):
            name = found[1]
            meant = _similar(name, self._schema.attributes)
            return Fault.ATTRIBUTE, name, meant, f"<{tag}> has no attribute {_shown(name)}, {_advice(meant)}"
        if found := re.search(r"The attribute '([^']+)' is required but missing", message):
            return Fault.MISSING, found[1], "", f"<{tag}> lacks the attribute {found[1]}, add it"
        if found := re.search(r"attribute '([^']+)': .* is not a valid value of the \w+ type '([^']+)'", message, re.S):
            name, value = found[1], element.get(found[1], "")
            words = self._schema.values.get(found[2]) or f"a value of the type {found[2]}"
            return Fault.VALUE, name, "", f"{name}={bounded(value, _SHOWN)!r} of <{tag}> is not valid, write {words}"
        if "element is not expected" in message or "No matching global element" in message:
            return Fault.ELEMENT, "", *self._misplaced(element, tag)
        if "Character content" in message:
            return Fault.TEXT, "", "", f"there is text in <{tag}>, which holds only elements or nothing: remove it"
        return Fault.OTHER, "", "", f"<{tag}> is not valid: {message.partition(': ')[2] or message}"

    def _misplaced(self, element: xml.Element, tag: str) -> tuple[str, str]:
        """(meant, text) for an ELEMENT that is not known, or not known here."""
        parent = element.getparent()
        place = _shown(parent.tag) if parent is not None else "the document"
        if tag in self._schema.elements:
            return "", f"<{tag}> does not belong in <{place}>, move or remove it"
        meant = _similar(tag, self._schema.elements)
        return meant, f"<{tag}> is not known in <{place}>, {_advice(meant and f'<{meant}>')}"


def _advice(meant: str) -> str:
    return f"did you mean {meant}?" if meant else "correct or remove it"


@lru_cache(maxsize=1000)  # repositories repeat their words, and comparing is slow
def _similar(name: str, known: frozenset[str]) -> str:
    """The one of the KNOWN names that NAME is most like; the empty string if it is one itself, or like none."""
    if name in known:
        return ""
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, _LIKENESS)), "")


def _shown(name: str) -> str:
    """The NAME of an element or attribute without its namespace."""
    return bounded(name.rpartition("}")[2], _SHOWN)


def _element_at(root: xml.Element, path: str) -> xml.Element:
    """The element below ROOT that PATH, an XPath of the validator, leads to."""
    prefixes: dict[str, str] = {}
    if ":" in path:
        prefixes = {prefix: uri for node in root.iter(etree.Element) for prefix, uri in node.nsmap.items() if prefix}
    found: Any = root.xpath(path, namespaces=prefixes)
    result: xml.Element = found[0] if found else root
    return result


def _texts(element: xml.Element) -> list[str]:
    """The pieces of text directly in ELEMENT."""
    return [text for text in (element.text, *(child.tail for child in element)) if text]


def _matched_names(root: xml.Element) -> frozenset[str]:
    """The names of elements that the template replaces by something else (``py:match``)."""
    paths = [node.get("path", "") for node in root.iter(_MATCH)]
    paths += [node.get(_MATCH, "") for node in root.iter(etree.Element)]
    return frozenset(name for path in paths for name in re.findall(r"[\w-]+", path))


def _look_through(root: xml.Element) -> None:
    """Put what elements of Genshi hold in their place; take out what will be elsewhere, or nowhere."""
    for node in list(root.iter(etree.Element)):
        parent = node.getparent()
        if parent is None:
            continue
        if node.tag in _ELSEWHERE or node.tag == _REPLACE or not _ELSEWHERE.isdisjoint(node.attrib):
            parent.remove(node)
        elif node.tag.startswith(_PY):
            for child in list(node):
                node.addprevious(child)
            parent.remove(node)
