"""Documents parts of which are for some clients only: the tests are found when a file loads, and decided once each.

A *conditional* element (``Group``, ``Client``; a file format may add others) asks one question of a client and hides
its content from clients for which the answer is no.  All that one document can ask is known after loading.  The answers
for a client are its *outcome*, and everything that is worked out from the document is the same for clients of the same
outcome, so it is worked out once and kept under the outcome:

.. code-block:: text

    file loads  -> ConditionalDocument(root): the distinct tests
    a client    -> outcome (True, False, True) -> filtered copy, made once, shared by all clients of that outcome
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Generic, NamedTuple, TypeVar

from lxml import etree

from bcfg2.server.plugin.interfaces import Dependencies
from bcfg2.xml import Element, attributes, is_element, is_true

T = TypeVar("T")

#: Answers the question of one conditional element: predicate(element, metadata, *further) -> bool.
Predicate = Callable[..., bool]
#: The same of what the element asks about: question(subject, metadata, *further) -> bool.
Question = Callable[..., bool]
Outcome = tuple[bool, ...]

#: How many outcomes of one document are remembered; past that all are forgotten and made anew.
MAX_OUTCOMES = 512


class Test(NamedTuple):
    """A question: the tag that asks it, what it is about, and whether the answer is inverted.

    `subject`: a name, where the predicate is a :class:`ByName`; otherwise the element itself.
    """

    tag: str
    subject: "str | Element"
    negate: bool


class ByName:
    """A predicate that looks at nothing of its element but `name` and `negate`, so that it is asked once for each name.

    HOLDS is called with the name, metadata and what else there is, and gives the answer before it is inverted.
    """

    def __init__(self, holds: Question) -> None:
        self.holds = holds

    def __call__(self, element: Element, metadata: Any, *further: Any) -> bool:
        return self.holds(element.get("name", ""), metadata, *further) is not is_true(element.get("negate"))


def in_group(name: str, metadata: Any, *_further: Any) -> bool:
    """Whether the client is a member of the group NAME."""
    return name in metadata.groups


def is_client(name: str, metadata: Any, *_further: Any) -> bool:
    """Whether NAME is the client's canonical name."""
    return bool(name == metadata.hostname)


STANDARD_TESTS: dict[str, Predicate] = {"Group": ByName(in_group), "Client": ByName(is_client)}


def test_of(element: Element, predicates: Mapping[str, Predicate]) -> Test:
    """The question that the conditional ELEMENT asks."""
    if isinstance(predicates[element.tag], ByName):
        return Test(element.tag, element.get("name", ""), is_true(element.get("negate")))
    return Test(element.tag, element, False)


def question(test: Test, predicates: Mapping[str, Predicate]) -> Question:
    """What is to be called with the subject of TEST, metadata and what else there is, for the answer."""
    predicate = predicates[test.tag]
    if isinstance(predicate, ByName):
        return predicate.holds
    return lambda *arguments: bool(predicate(*arguments))


def holds(test: Test, predicates: Mapping[str, Predicate], metadata: Any, *further: Any) -> bool:
    """The answer to TEST for a client, inverted where it says so."""
    return question(test, predicates)(test.subject, metadata, *further) is not test.negate


def depends_on(tests: Iterable[Test]) -> Dependencies | None:
    """The groups and hosts that TESTS ask for; None if one of them asks for something else."""
    names: dict[str, set[str]] = {tag: set() for tag in STANDARD_TESTS}
    for tag, subject, _negate in tests:
        if tag not in names or not isinstance(subject, str):
            return None
        names[tag].add(subject)
    return Dependencies(frozenset(names["Group"]), frozenset(names["Client"]))


class ConditionalDocument(Generic[T]):
    """An element tree with conditional elements in it.  The tree given must not be changed any more."""

    def __init__(self, root: Element, predicates: Mapping[str, Predicate] = STANDARD_TESTS) -> None:
        self.root = root
        self.predicates = predicates
        self.tests = tuple(
            dict.fromkeys(test_of(node, predicates) for node in root.iter(*predicates) if node is not root)
        )
        self._questions = tuple((question(test, predicates), test.subject, test.negate) for test in self.tests)
        self._results: dict[Any, Any] = {}

    def outcome(self, metadata: Any, *further: Any) -> Outcome:
        """The answers to all tests for a client (FURTHER is passed on to the predicates)."""
        return tuple([ask(subject, metadata, *further) is not negate for ask, subject, negate in self._questions])

    def once(self, kind: str, outcome: Outcome, make: "Callable[[Selection], T]") -> T:
        """What MAKE returns for OUTCOME, made at its first use.  KIND tells different makers apart."""
        key = (kind, outcome)
        try:
            result: T = self._results[key]
        except KeyError:
            if len(self._results) >= MAX_OUTCOMES:
                self._results.clear()
            result = self._results[key] = make(self.selection(outcome))
        return result

    def selection(self, outcome: Outcome) -> "Selection":
        """The document as clients of OUTCOME see it."""
        return Selection(self, dict(zip(self.tests, outcome, strict=True)))


class Selection:
    """A document as seen by clients with one outcome."""

    def __init__(self, document: ConditionalDocument[Any], answers: dict[Test, bool]) -> None:
        self.root = document.root
        self._conditional = document.predicates
        self._answers = answers

    def filtered(self) -> Element:
        """A copy of the whole document without what does not apply.

        What a conditional element holds moves to the end of its parent, in document order; text at its beginning is
        appended to the parent's text.  All other text stays behind what it follows.
        """
        return self._copy(self.root)

    def matching(self, parent: Element | None = None) -> list[Element]:
        """Copies of the children of PARENT (default: the root) that apply, in document order."""
        return [self._copy_in_order(node) for node in self.applying(self.root if parent is None else parent)]

    def applying(self, parent: Element) -> Iterator[Element]:
        """The children of PARENT that apply, conditional elements replaced by their content, in document order."""
        for child in parent:
            if not is_element(child):
                continue
            if child.tag in self._conditional:
                if self._answers[test_of(child, self._conditional)]:
                    yield from self.applying(child)
            else:
                yield child

    def descendants(self, parent: Element | None = None) -> Iterator[Element]:
        """Every element below PARENT (default: the root) that applies, in document order, none of them conditional."""
        for node in self.applying(self.root if parent is None else parent):
            yield node
            yield from self.descendants(node)

    def resolved(self, node: Element) -> Element:
        """A copy of NODE, which is part of the document, with the conditions inside it resolved, in document order."""
        return self._copy_in_order(node)

    def _copy(self, node: Element) -> Element:
        if next(node.iter(*self._conditional), None) is None:
            return _alone(node)
        result = _shell(node)
        moved: list[Element] = []
        for child in node:
            if not is_element(child):
                continue
            if child.tag not in self._conditional:
                result.append(self._copy(child))
                _add_text(result, child.tail)
            else:
                if self._answers[test_of(child, self._conditional)]:
                    self._flatten(child, result, moved)
                _add_text(result, child.tail)
        result.extend(moved)
        return result

    def _flatten(self, condition: Element, result: Element, moved: list[Element]) -> None:
        if condition.text and condition.text.strip():
            result.text = (result.text or "") + condition.text
        for child in condition:
            if not is_element(child):
                continue
            if child.tag not in self._conditional:
                moved.append(self._copy(child))
            elif self._answers[test_of(child, self._conditional)]:
                self._flatten(child, result, moved)
            if child.tail and moved:
                moved[-1].tail = (moved[-1].tail or "") + child.tail
            elif child.tail:
                result.text = (result.text or "") + child.tail

    def _copy_in_order(self, node: Element) -> Element:
        if next(node.iter(*self._conditional), None) is None:
            return _alone(node)
        result = _shell(node)
        result.extend(self._copy_in_order(child) for child in self.applying(node))
        return result


def _alone(node: Element) -> Element:
    """A copy of NODE with all below it, without the text that follows it."""
    result = deepcopy(node)
    result.tail = None
    return result


def _shell(node: Element) -> Element:
    """A copy of NODE without its children."""
    result = etree.Element(node.tag, attributes(node), dict(node.nsmap))  # type: ignore[arg-type]  # None is the default namespace
    result.text = node.text
    return result


def _add_text(element: Element, text: str | None) -> None:
    """Append TEXT to what ELEMENT holds so far."""
    if not text:
        return
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text
