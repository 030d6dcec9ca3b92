"""Folders of XML files with priorities, from which entries get their attributes (Rules, Defaults and the like).

All candidates are indexed by tag and name when files change, so that binding an entry is a look-up; conditions are
evaluated for the few candidates found.  Only templates are rendered, and indexed, for each request.
"""

import logging
import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from bcfg2 import xml
from bcfg2.server.plugin.base import Plugin
from bcfg2.server.plugin.conditions import (
    ConditionalDocument,
    Outcome,
    Question,
    Selection,
    Test,
    depends_on,
    question,
    test_of,
)
from bcfg2.server.plugin.exceptions import PluginExecutionError
from bcfg2.server.plugin.files import XMLDirectoryBacked
from bcfg2.server.plugin.interfaces import Dependencies, Generator
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugin.structfile import StructFile
from bcfg2.server.versioned import Versioned, request_memo

logger = logging.getLogger(__name__)

_META = re.compile(r"[.^$*+?{}\[\]\\|()]")
#: What stands for one character in a pattern whatever it is made of; and then a quantifier that gives nothing back.
_CHARACTER = re.compile(r"\\.|\[\^?\]?[^\]]*\]", re.DOTALL)
_POSSESSIVE = re.compile(r"[*+?}]\+")
_NAME = re.compile(r"%(%|\{name\}|name)")

#: How many entry names an index remembers the candidates of, and for how many outcomes.
_MAX_REMEMBERED = 100_000
_MAX_VIEWS = 256


class PriorityStructFile(StructFile):
    """A :class:`StructFile` whose root element has an integer attribute ``priority``; without one it is refused."""

    priority: Versioned[int] = Versioned(-1)

    def __init__(self, name: str, should_monitor: bool = False, create: Any = None) -> None:
        #: The names in it that something was said about since it was read.
        self.remarked: set[str] = set()
        super().__init__(name, should_monitor, create)

    def Index(self) -> None:
        text = self.xdata.get("priority")
        try:
            self.priority = int(text)
        except (TypeError, ValueError):
            raise PluginExecutionError(
                f"line {self.xdata.sourceline}: <{self.xdata.tag}> needs an integer attribute priority, not {text!r}"
            ) from None
        super().Index()
        self.remarked = set()


class Candidate:
    """An element that entries of its tag may get their attributes from."""

    __slots__ = ("attributes", "children", "conditions", "element", "file", "priority", "text")

    def __init__(self, element: xml.Element, conditions: tuple[Test, ...], file: PriorityStructFile) -> None:
        self.element = element
        self.conditions = conditions
        self.file = file
        self.priority = file.priority
        self.attributes = own_attributes(element)
        self.text = own_text(element)
        self.children = ConditionalDocument[Any](element, file._include_tests) if len(element) else None

    def for_client(self, metadata: Any) -> xml.Element:
        """The element with the conditions inside it resolved.  Not to be changed."""
        document = self.children
        if document is None:
            return self.element
        found: xml.Element = document.once("filtered", document.outcome(metadata), Selection.filtered)
        return found

    @property
    def place(self) -> str:
        """Where the element stands; what a template has made has no line."""
        line = self.element.sourceline
        return f"{self.file.name}:{line}" if line else self.file.name

    def tests(self) -> Iterable[Test]:
        """All questions that decide whether, and with which children, the element is for a client."""
        return (*self.conditions, *(self.children.tests if self.children is not None else ()))


def own_attributes(candidate: xml.Element) -> tuple[tuple[str, str], ...]:
    """What an entry gets of the attributes of CANDIDATE."""
    return tuple((key, value) for key, value in xml.attributes(candidate).items() if key != "name")


def own_text(candidate: xml.Element) -> str | None:
    """What an entry gets of the text of CANDIDATE."""
    return candidate.text if candidate.text and candidate.text.strip() else None


def candidates_of(root: xml.Element, file: PriorityStructFile) -> Iterable[Candidate]:
    """Every element below ROOT that is no condition, at any depth."""
    stack: list[tuple[xml.Element, tuple[Test, ...]]] = [(root, ())]
    while stack:
        node, conditions = stack.pop()
        for child in node:
            if not xml.is_element(child):
                continue
            if child.tag in file._include_tests:
                stack.append((child, (*conditions, test_of(child, file._include_tests))))
            else:
                yield Candidate(child, conditions, file)
                if len(child):
                    stack.append((child, conditions))


def _remark(candidate: Candidate, text: str) -> None:
    """Warn that the name of CANDIDATE is odd; once for each reading of its file."""
    name = candidate.element.get("name", "")
    if name not in candidate.file.remarked:
        candidate.file.remarked.add(name)
        logger.warning("%s: the name %r of <%s> %s", candidate.place, name, candidate.element.tag, text)


def _key(tag: str, name: str) -> tuple[str, str]:
    """Under what an entry is looked up: paths are equal without regard to slashes at their end."""
    return tag, (name.rstrip("/") or "/") if tag == "Path" else name


class CandidateIndex:
    """Candidates by tag and name; with PATTERNS also those whose name is a regular expression for a whole name."""

    def __init__(self, candidates: Iterable[Candidate], *, patterns: bool) -> None:
        self.by_tag: dict[str, list[Candidate]] = {}
        self._by_name: dict[tuple[str, str], list[Candidate]] = {}
        self._patterns: dict[str, list[tuple[re.Pattern[str], Candidate]]] = {}
        self._found: dict[tuple[str, str], list[Candidate]] = {}
        self._tests: dict[Test, Question] = {}
        self._views: dict[Outcome, CandidateView] = {}
        for candidate in candidates:
            for test in candidate.conditions:
                self._tests[test] = question(test, candidate.file._include_tests)
            tag, name = candidate.element.tag, candidate.element.get("name", "")
            self.by_tag.setdefault(tag, []).append(candidate)
            self._by_name.setdefault(_key(tag, name), []).append(candidate)
            if patterns and _META.search(name):
                self._add_pattern(tag, name, candidate)

    def _add_pattern(self, tag: str, name: str, candidate: Candidate) -> None:
        try:
            self._patterns.setdefault(tag, []).append((re.compile(name), candidate))
        except re.error as err:
            _remark(candidate, f"is no regular expression ({err}), it matches only itself")
        else:
            if _POSSESSIVE.search(_CHARACTER.sub("x", name)):
                _remark(candidate, r"has a possessive quantifier: if a plus sign is meant, write \+")

    def find(self, tag: str, name: str) -> list[Candidate]:
        """The candidates for entries of this tag and name, whatever the client."""
        key = (tag, name)
        found = self._found.get(key)
        if found is None:
            found = list(self._by_name.get(_key(tag, name), ()))
            exact = {id(candidate) for candidate in found}
            found += [
                candidate
                for pattern, candidate in self._patterns.get(tag, ())
                if id(candidate) not in exact and pattern.fullmatch(name)
            ]
            if len(self._found) >= _MAX_REMEMBERED:
                self._found.clear()
            self._found[key] = found
        return found

    def view(self, metadata: Any) -> "CandidateView":
        """The candidates that apply to the client, shared by all clients for which the conditions have one outcome."""
        outcome = tuple([ask(subject, metadata) is not negate for (_, subject, negate), ask in self._tests.items()])
        view = self._views.get(outcome)
        if view is None:
            if len(self._views) >= _MAX_VIEWS:
                self._views.clear()
            view = self._views[outcome] = CandidateView(self, dict(zip(self._tests, outcome, strict=True)))
        return view


class CandidateView:
    """An index as clients see it for whom its conditions have the same ANSWERS."""

    def __init__(self, index: CandidateIndex, answers: dict[Test, bool]) -> None:
        self._index = index
        self._answers = answers
        self._found: dict[tuple[str, str], list[Candidate]] = {}

    def _applies(self, candidate: Candidate) -> bool:
        return all(self._answers[test] for test in candidate.conditions)

    def find(self, tag: str, name: str) -> list[Candidate]:
        """The candidates for entries of this tag and name.  Not to be changed."""
        key = (tag, name)
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= _MAX_REMEMBERED:
                self._found.clear()
            found = self._found[key] = [item for item in self._index.find(tag, name) if self._applies(item)]
        return found

    def of_tag(self, tag: str) -> list[Candidate]:
        """All candidates for entries of this tag."""
        return [item for item in self._index.by_tag.get(tag, ()) if self._applies(item)]


class PriorityFolder(Plugin, XMLDirectoryBacked):
    """A plugin over a folder tree of files with priorities.

    What an entry gets comes from the element of its tag and name that applies to the client and stands in the file of
    the highest priority.  Two of the highest priority are a conflict.  Nothing is merged from others.

    A subclass may set `__child__`, override :attr:`use_patterns`, :attr:`replaces_name`, :meth:`_apply`, or
    :meth:`_matches` (then every element of the entry's tag is tried, which is slow).
    """

    __child__ = PriorityStructFile

    _index: Versioned[CandidateIndex] = Versioned(CandidateIndex((), patterns=False))
    _templates: Versioned[list[PriorityStructFile]] = Versioned([])

    def __init__(self, core: CoreInterface) -> None:
        Plugin.__init__(self, core)
        XMLDirectoryBacked.__init__(self, self.data)

    @property
    def use_patterns(self) -> bool:
        """Whether names in the files are regular expressions."""
        return False

    @property
    def replaces_name(self) -> bool:
        """Whether ``%{name}`` in attributes stands for the entry's name."""
        return False

    def _files(self) -> list[PriorityStructFile]:
        """All files, by their paths."""
        return [child for _, child in sorted(self.entries.items())]

    def on_change(self) -> None:
        files = self._files()
        self._templates = [file for file in files if file.template is not None]
        self._index = CandidateIndex(
            (found for file in files if file.template is None for found in candidates_of(file.document.root, file)),
            patterns=self.use_patterns,
        )

    def find(self, entry: xml.Element, metadata: Any) -> list[Candidate]:
        """All candidates for ENTRY that apply to the client.  Not to be changed."""
        views = self._views(metadata)
        if type(self)._matches is not PriorityFolder._matches:
            return [
                found
                for view in views
                for found in view.of_tag(entry.tag)
                if self._matches(entry, metadata, found.element)
            ]
        tag, name = entry.tag, entry.get("name", "")
        if len(views) == 1:
            return views[0].find(tag, name)
        return [found for view in views for found in view.find(tag, name)]

    def _views(self, metadata: Any) -> list[CandidateView]:
        """What applies to the client of the files, and of each template; worked out once per request."""
        memo = request_memo()
        key = ("candidates", self, metadata)
        views: list[CandidateView] | None = memo.get(key)
        if views is None:
            views = [self._index.view(metadata)]
            views += [self._rendered_index(file, metadata).view(metadata) for file in self._templates]
            request_memo()[key] = views
        return views

    def _rendered_index(self, file: PriorityStructFile, metadata: Any) -> CandidateIndex:
        """The candidates of a template for this client; none if it cannot be rendered."""
        try:
            candidates = list(candidates_of(file.rendered(metadata).root, file))
        except PluginExecutionError as err:
            self.logger.error("%s for %s, the file is left out", err, metadata.hostname)
            candidates = []
        return CandidateIndex(candidates, patterns=self.use_patterns)

    def _matches(self, entry: xml.Element, metadata: Any, candidate: xml.Element) -> bool:
        """Whether CANDIDATE, of the entry's tag, is for ENTRY."""
        return bool(candidate.get("name") == entry.get("name"))

    def highest(self, entry: xml.Element, metadata: Any) -> list[Candidate]:
        """The candidates for ENTRY that share the highest priority: none, the one to apply, or a conflict."""
        found = self.find(entry, metadata)
        if len(found) < 2:
            return found
        priority = max(candidate.priority for candidate in found)
        return [candidate for candidate in found if candidate.priority == priority]

    def apply(self, entry: xml.Element, candidate: Candidate, metadata: Any) -> None:
        """Give ENTRY the text and the children of CANDIDATE, and the attributes that it lacks."""
        found = candidate.for_client(metadata)
        if type(self)._apply is PriorityFolder._apply:
            self._complete(entry, candidate.text, found, candidate.attributes)
        else:
            self._apply(entry, deepcopy(found))

    def _apply(self, entry: xml.Element, candidate: xml.Element) -> None:
        """The same for an element, which is a subclass's to override; the conditions in CANDIDATE are resolved."""
        self._complete(entry, own_text(candidate), candidate, own_attributes(candidate))

    def _complete(
        self, entry: xml.Element, text: str | None, children: xml.Element, values: Iterable[tuple[str, str]]
    ) -> None:
        if text is not None:
            entry.text = text
        if len(children):
            entry.extend(deepcopy(list(children)))
        present = entry.attrib
        own_name = entry.get("name", "") if self.replaces_name else None
        for key, value in values:
            if key not in present:
                entry.set(key, value if own_name is None else with_name(value, own_name))


class PrioDir(PriorityFolder, Generator):
    """A :class:`PriorityFolder` that binds entries; one without a candidate, or with a conflict, fails."""

    Entries: Versioned[dict[str, Any]] = Versioned({})

    def on_change(self) -> None:
        super().on_change()
        listed: dict[str, Any] = {}
        for file in self._files():
            for child in file.xdata:
                if isinstance(child.tag, str) and child.tag not in file._include_tests and child.get("name"):
                    listed.setdefault(child.tag, {})[child.get("name")] = self.BindEntry
        self.Entries = listed

    def conditions_for(self, entry: xml.Element) -> Dependencies | None:
        """What the conditions test that decide which candidate ENTRY is bound from; None if not only they decide.

        For a subclass that binds by conditions alone, to answer :meth:`depends_on` with.
        """
        own = type(self)
        if self._templates or own._matches is not PriorityFolder._matches or own._apply is not PriorityFolder._apply:
            return None
        found = self._index.find(entry.tag, entry.get("name", ""))
        return depends_on(test for candidate in found for test in candidate.tests())

    def HandlesEntry(self, entry: xml.Element, metadata: Any) -> bool:
        return bool(self.find(entry, metadata))

    def HandleEntry(self, entry: xml.Element, metadata: Any) -> None:
        self.BindEntry(entry, metadata)

    def BindEntry(self, entry: xml.Element, metadata: Any) -> None:
        """Bind ENTRY from the candidate of the highest priority; PluginExecutionError if there is none, or two."""
        found = self.highest(entry, metadata)
        if not found:
            raise PluginExecutionError(f"{self.name} has nothing for {entry.tag} {entry.get('name')}")
        if len(found) > 1:
            raise PluginExecutionError(conflict(entry, found))
        self.apply(entry, found[0], metadata)


def conflict(entry: xml.Element, found: list[Candidate]) -> str:
    """What to say of the candidates FOUND for ENTRY, which share the highest priority."""
    sources = ", ".join(item.place for item in found)
    return f"conflicting sources of priority {found[0].priority} for {entry.tag} {entry.get('name')}: {sources}"


def with_name(text: str, name: str) -> str:
    """TEXT with ``%{name}`` and ``%name`` replaced by NAME and ``%%`` by one percent sign."""
    return _NAME.sub(lambda match: "%" if match[1] == "%" else name, text)
