"""Conditional elements: whatever their nesting, a client sees what a plain reading of the document gives."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from bcfg2.server.plugin import conditions
from bcfg2.server.plugin.conditions import STANDARD_TESTS, ByName, ConditionalDocument, Selection, depends_on
from bcfg2.server.plugin.interfaces import Dependencies
from bcfg2.xml import Element, is_true, parse_string, tidy
from tests.server.plugin.small_core import Client


def document(text: str, **more: Any) -> ConditionalDocument[Any]:
    return ConditionalDocument(tidy(parse_string(text, "test")), STANDARD_TESTS | more)


def select(text: str, metadata: Any, **more: Any) -> Selection:
    subject = document(text, **more)
    return subject.selection(subject.outcome(metadata))


def text_of(*elements: Element) -> str:
    return "".join(etree.tostring(element).decode() for element in elements)


# examples


@pytest.mark.parametrize(
    ("condition", "groups", "applies"),
    [
        ('Group name="g"', ["g"], True),
        ('Group name="g"', ["G"], False),
        ('Group name="g" negate="true"', ["g"], False),
        ('Group name="g" negate="True"', [], True),
        ('Group name="g" negate="yes"', ["g"], True),
        ('Client name="host"', [], True),
        ('Client name="Host"', [], False),
        ('Client name="host" negate="true"', [], False),
        ("Group", ["g"], False),
    ],
)
def test_a_condition_asks_for_a_group_or_for_the_canonical_name(
    condition: str, groups: list[str], applies: bool
) -> None:
    tag = condition.split()[0]
    found = select(f"<r><{condition}><e/></{tag}></r>", Client("host", *groups)).matching()
    assert [node.tag for node in found] == (["e"] if applies else [])


def test_filtered_content_goes_to_the_end_and_text_to_the_text() -> None:
    text = '<r>1 <Group name="g">2 <e n="1"/><Client name="host">3 <e n="2"/></Client></Group><e n="0"/></r>'
    assert text_of(select(text, Client("host", "g")).filtered()) == '<r>1 2 3 <e n="0"/><e n="1"/><e n="2"/></r>'
    assert text_of(select(text, Client()).filtered()) == '<r>1 <e n="0"/></r>'


def test_matching_keeps_the_order_of_the_document_at_every_depth() -> None:
    text = '<r><Group name="g"><e n="1"/></Group><e n="2"><Group name="g"><x n="1"/></Group><x n="2"/></e></r>'
    found = select(text, Client("host", "g")).matching()
    assert text_of(*found) == '<e n="1"/><e n="2"><x n="1"/><x n="2"/></e>'


def test_text_between_elements_that_are_for_everybody_stays_and_matches_have_none_behind_them() -> None:
    subject = select('<r>1<e/>2<e n="1"/>3<Group name="g"><e n="2"/>4</Group>5</r>', Client())
    assert text_of(subject.filtered()) == '<r>1<e/>2<e n="1"/>35</r>'
    assert [node.tail for node in subject.matching()] == [None, None]


def test_comments_and_instructions_are_passed_over_everywhere() -> None:
    root = etree.fromstring(
        '<r><!--x--><Group name="g"><?y?><e><!--x--><Group name="g"><f/><!--z--></Group></e></Group></r>'
    )
    subject = ConditionalDocument[Any](root)
    selection = subject.selection(subject.outcome(Client("host", "g")))
    assert text_of(selection.filtered()) == text_of(selection.resolved(root)) == "<r><e><f/></e></r>"
    assert [node.tag for node in selection.descendants()] == ["e", "f"]


@pytest.mark.parametrize(
    ("inner", "without", "with_group"),
    [
        ('a<Group name="g">b</Group>c', "ac", "abc"),
        ('a<Group name="g">b<Client name="host">c</Client>d</Group>e', "ae", "abcde"),
        ('a<Group name="g">b<Client name="other">c</Client>d</Group>e', "ae", "abde"),
        ('<Group name="g">1<x/>2</Group>3<y/>4', "3<y/>4", "13<y/>4<x/>2"),
        ('<x/>1<Group name="g"><y/>2<Group name="g">3</Group>4</Group>5', "<x/>15", "3<x/>15<y/>24"),
    ],
)
def test_text_behind_conditions_and_what_they_hold_stays(inner: str, without: str, with_group: str) -> None:
    for metadata, expected in ((Client("host"), without), (Client("host", "g"), with_group)):
        assert text_of(select(f"<r><e>{inner}</e></r>", metadata).filtered()) == f"<r><e>{expected}</e></r>"


def test_an_empty_element_stays_when_nothing_in_it_applies() -> None:
    text = '<r><e n="1"><Group name="g"><x/></Group></e></r>'
    assert text_of(*select(text, Client()).matching()) == '<e n="1"/>'


def test_descendants_are_all_elements_that_apply_and_no_conditions() -> None:
    text = '<r><Group name="g"><a><b/></a></Group><a><Group name="h"><c/></Group><d/></a></r>'
    tags = [node.tag for node in select(text, Client("host", "g")).descendants()]
    assert tags == ["a", "b", "a", "d"]


def test_a_format_may_have_conditions_of_its_own_with_further_arguments() -> None:
    subject = document(
        '<r><Path name="/x"><e/></Path></r>', Path=ByName(lambda name, _metadata, entry: name == entry.get("name"))
    )
    for path, count in (("/x", 1), ("/y", 0)):
        outcome = subject.outcome(Client(), etree.Element("Path", name=path))
        assert len(subject.selection(outcome).matching()) == count


def test_a_root_that_is_named_like_a_condition_is_none() -> None:
    subject = document('<Group name="g"><e/></Group>')
    assert subject.tests == ()
    assert text_of(*subject.selection(()).matching()) == "<e/>"


def test_the_document_itself_is_never_handed_out() -> None:
    subject = document('<r><e/><Group name="g"><e><x/></e></Group></r>')
    before = text_of(subject.root)
    selection = subject.selection(subject.outcome(Client("host", "g")))
    for node in (selection.filtered(), *selection.matching(), selection.resolved(subject.root[0])):
        node.set("changed", "yes")
        for child in node:
            child.set("changed", "yes")
    assert text_of(subject.root) == before


def test_clients_of_one_outcome_share_one_result() -> None:
    subject = document('<r><Group name="g"><e/></Group><Group name="g" negate="true"><f/></Group></r>')
    made: list[Any] = []

    def make(selection: Selection) -> Any:
        made.append(selection.filtered())
        return made[-1]

    first = subject.once("k", subject.outcome(Client("one", "g")), make)
    assert subject.once("k", subject.outcome(Client("two", "g", "unasked")), make) is first
    assert subject.once("k", subject.outcome(Client("three")), make) is not first
    assert subject.once("k", subject.outcome(Client("four", "g")), make) is first
    assert len(made) == 2
    assert subject.once("another kind", subject.outcome(Client("one", "g")), make) is not first


def test_the_number_of_remembered_outcomes_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "MAX_OUTCOMES", 4)
    names = [f"g{number}" for number in range(8)]
    subject = document("<r>" + "".join(f'<Group name="{name}"><e n="{name}"/></Group>' for name in names) + "</r>")
    for name in names:
        (found,) = subject.once("k", subject.outcome(Client("host", name)), Selection.matching)
        assert found.get("n") == name
        assert len(subject._results) <= 4


def test_what_tests_depend_on_is_the_groups_and_hosts_that_they_name() -> None:
    subject = document('<r><Group name="g"/><Group name="h" negate="true"><Client name="web"/></Group></r>')
    assert depends_on(iter(subject.tests)) == Dependencies(frozenset({"g", "h"}), frozenset({"web"}))
    assert depends_on([]) == Dependencies()


def test_tests_of_a_format_s_own_depend_on_more_than_groups_and_hosts() -> None:
    subject = document('<r><Group name="g"/><Path name="/x"/></r>', Path=lambda *_arguments: True)
    assert depends_on(subject.tests) is None


# any document, against a plain reading of it

GROUPS = "gh"
HOSTS = ("host", "other")
texts = st.sampled_from(["", "t", "u"])
tests = st.tuples(
    st.sampled_from([("Group", name) for name in GROUPS] + [("Client", name) for name in HOSTS]),
    st.sampled_from([None, "true", "false"]),
)


def element(tag: str, attributes: dict[str, str | None], text: str, children: list[Element]) -> Element:
    node = etree.Element(tag, {key: value for key, value in attributes.items() if value is not None})
    node.text = text or None
    node.extend(children)
    return node


def nodes(children: st.SearchStrategy[Element]) -> st.SearchStrategy[Element]:
    below = st.lists(children, max_size=4)
    plain = st.builds(
        lambda number, text, inner: element("e", {"n": number}, text, inner), st.sampled_from("123"), texts, below
    )
    conditional = st.builds(
        lambda test, text, inner: element(test[0][0], {"name": test[0][1], "negate": test[1]}, text, inner),
        tests, texts, below,
    )  # fmt: skip
    return st.one_of(plain, conditional)


#: Strategies give the same element more than once; a parsed copy has no part in another example.
roots = st.recursive(
    st.builds(lambda: etree.Element("e")), nodes, max_leaves=12
).map(lambda node: parse_string(text_of(element("r", {}, "", [node])), "test"))  # fmt: skip
clients = st.builds(
    lambda host, groups: Client(host, *groups), st.sampled_from(HOSTS), st.sets(st.sampled_from(GROUPS))
)


def holds(node: Element, metadata: Any) -> bool:
    name = node.get("name")
    answer = name in metadata.groups if node.tag == "Group" else name == metadata.hostname
    return answer != is_true(node.get("negate"))


def read(node: Element, metadata: Any, *, last: bool) -> Element:
    """A plain reading of NODE; LAST: conditional content goes to the end and its text counts."""
    text, first, after = node.text or "", [], []

    def collect(parent: Element) -> None:
        nonlocal text
        for child in parent:
            if child.tag not in STANDARD_TESTS:
                result = read(child, metadata, last=last)
                (first if parent is node or not last else after).append(result)
            elif holds(child, metadata):
                if last:
                    text += child.text or ""
                collect(child)

    collect(node)
    return element(node.tag, dict(node.attrib), text, first + after)


@given(roots, st.lists(clients, min_size=1, max_size=4))
def test_filtering_agrees_with_a_plain_reading(root: Element, some: list[Any]) -> None:
    subject = ConditionalDocument[Any](root)
    for metadata in some:
        filtered = subject.once("filtered", subject.outcome(metadata), Selection.filtered)
        assert text_of(filtered) == text_of(read(root, metadata, last=True))


@given(roots, st.lists(clients, min_size=1, max_size=4))
def test_matching_agrees_with_a_plain_reading(root: Element, some: list[Any]) -> None:
    subject = ConditionalDocument[Any](root)
    for metadata in some:
        expected = read(root, metadata, last=False)
        selection = subject.selection(subject.outcome(metadata))
        assert text_of(*selection.matching()) == text_of(*expected)
        tags = [(node.tag, node.get("n")) for node in selection.descendants()]
        assert tags == [(node.tag, node.get("n")) for node in expected.iter()][1:]
        assert text_of(selection.resolved(root)) == text_of(expected)


# predicates of other people


def test_a_predicate_is_asked_with_the_element_and_its_answer_is_taken_as_it_is() -> None:
    def older(element: Element, metadata: Any) -> object:
        return metadata.age > int(element.get("than", "0")) or None

    text = '<r><Older than="5"><a/></Older><Older than="5" negate="true"><b/></Older><Older than="9"><c/></Older></r>'
    subject = document(text, Older=older)
    for age, tags in ((3, []), (7, ["a", "b"]), (10, ["a", "b", "c"])):
        client = Client(age=age)
        assert [node.tag for node in subject.selection(subject.outcome(client)).matching()] == tags
    assert depends_on(subject.tests) is None


def test_a_predicate_of_one_s_own_for_groups_is_no_membership() -> None:
    subject = document('<r><Group name="g"><a/></Group></r>', Group=lambda element, _metadata: True)
    assert [node.tag for node in subject.selection(subject.outcome(Client())).matching()] == ["a"]
    assert depends_on(subject.tests) is None


@pytest.mark.parametrize(("negate", "expected"), [("false", True), ("true", False)])
def test_the_standard_predicates_can_be_asked_with_an_element(negate: str, expected: bool) -> None:
    element = etree.Element("Group", name="g", negate=negate)
    assert STANDARD_TESTS["Group"](element, Client("host", "g")) is expected
