"""The group algorithm, against a plain transcription of its description."""

from dataclasses import dataclass, field

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lxml import etree

from bcfg2.server.plugins.metadata.groups import GroupTable

NAMES = [f"g{number}" for number in range(7)]
HOSTS = ["h0", "h1", "h2"]
CATEGORIES = ["c0", "c1"]


# The description, word by word; slow and obvious.


@dataclass
class Oracle:
    """The algorithm over a parsed groups.xml."""

    root: etree._Element
    in_the_way: bool = False
    category: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        top = [e for e in self.root.iter("Group") if e.getparent().tag == "Groups"]
        nested = [e for e in self.root.iter("Group") if self.top(e, "Group")]
        rest = [e for e in self.root.iter("Group") if e not in top and e not in nested]
        declared = {}
        for element in [*top, *nested, *rest]:
            declared.setdefault(element.get("name"), element)
        self.category = {name: e.get("category") for name, e in declared.items() if e.get("category")}
        childless = [e for e in self.root.iter("Group") if len(e) == 0 and self.ancestors(e)]
        granting = [e for e in childless if e.get("negate") != "true"]
        self.negating = [e for e in childless if e.get("negate") == "true"]
        below_groups = [e for e in granting if self.top(e, "Group")]
        below_clients = [e for e in granting if self.top(e, "Client")]
        self.order = list(dict.fromkeys(e.get("name") for e in [*below_groups, *below_clients]))
        self.granting = granting

    @staticmethod
    def ancestors(element):
        return [e for e in element.iterancestors() if e.tag in ("Group", "Client")]

    def top(self, element, tag):
        return [e for e in self.ancestors(element) if e.tag == tag and e.getparent().tag == "Groups"]

    def applies(self, element, groups, host):
        for condition in self.ancestors(element):
            answer = condition.get("name") in (groups if condition.tag == "Group" else {host})
            if answer is (condition.get("negate") == "true"):
                return False
        return True

    def close(self, groups, categories, host):
        groups, categories = set(groups), dict(categories)
        for _ in range(2 * len(self.order) + 2):
            before = set(groups)
            start = set(groups)
            noted, taken, passed_over = [], {}, set()
            for name in self.order:
                if name in groups:
                    continue
                if not any(e.get("name") == name and self.applies(e, start, host) for e in self.granting):
                    continue
                category = self.category.get(name)
                if category is None:
                    noted.append(name)
                elif category not in categories:
                    noted.append(name)
                    categories[category] = taken[category] = name
                else:
                    passed_over.add(category)
            groups |= set(noted)
            leaving = {
                name
                for name in groups
                if any(e.get("name") == name and self.applies(e, groups, host) for e in self.negating)
            }
            for name in leaving:
                category = self.category.get(name)
                if category is not None and categories.get(category) == name:
                    del categories[category]
                    if taken.get(category) == name and category in passed_over:
                        self.in_the_way = True
            groups -= leaving
            if groups == before:
                return groups, categories, True
        return groups, categories, False


# Random groups.xml


def element(tag, children, **attributes):
    node = etree.Element(tag, {key: value for key, value in attributes.items() if value is not None})
    node.extend(children)
    return node


negate = st.sampled_from([None, None, None, "true"])
leaf = st.builds(
    lambda name, negate, category: ("Group", name, negate, category, ()),
    st.sampled_from(NAMES),
    negate,
    st.sampled_from([None, None, None, *CATEGORIES]),
)


def condition(children):
    return st.one_of(
        st.builds(
            lambda name, negate, category, inner: ("Group", name, negate, category, tuple(inner)),
            st.sampled_from(NAMES),
            negate,
            st.sampled_from([None, None, *CATEGORIES]),
            st.lists(children, max_size=4),
        ),
        st.builds(
            lambda name, negate, inner: ("Client", name, negate, None, tuple(inner)),
            st.sampled_from(HOSTS),
            negate,
            st.lists(children, max_size=4),
        ),
        st.builds(lambda inner: ("Groups", None, None, None, tuple(inner)), st.lists(children, max_size=3)),
    )


trees = st.lists(st.recursive(leaf, condition, max_leaves=12), min_size=1, max_size=7)


def build(parts):
    return [
        element(tag, build(inner), name=name, negate=negated, category=category)
        for tag, name, negated, category, inner in parts
    ]


def document(parts):
    return element("Groups", build(parts))


@st.composite
def beginnings(draw, category):
    """Groups, and the categories that they hold."""
    groups, held = [], {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3)):
        own = category.get(name)
        if own is None or own not in held:
            groups.append(name)
            if own is not None:
                held[own] = name
    return groups, held


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_agrees_with_the_description(data):
    root = document(data.draw(trees))
    oracle, table = Oracle(root), GroupTable(root)
    groups, held = data.draw(beginnings(oracle.category))
    host = data.draw(st.sampled_from([*HOSTS, "stranger"]))
    expected = oracle.close(groups, held, host)
    assume(not oracle.in_the_way)
    closed = table._memberships.close(groups, held, host)
    assert (set(closed.groups), dict(closed.categories), closed.settled) == expected
    standing = table.complete(frozenset(groups), held, host)
    assert (set(standing.groups), dict(standing.categories)) == expected[:2]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_there_is_at_most_one_group_of_a_category(data):
    root = document(data.draw(trees))
    oracle, table = Oracle(root), GroupTable(root)
    groups, held = data.draw(beginnings(oracle.category))
    closed = table._memberships.close(groups, held, data.draw(st.sampled_from(HOSTS)))
    holders = {}
    for name in closed.groups & oracle.category.keys():
        holders.setdefault(oracle.category[name], []).append(name)
    assert {category: [holder] for category, holder in closed.categories.items()} == holders


# Examples


def close(text, *groups, host="h0", held=None):
    table = GroupTable(etree.fromstring(f"<Groups>{text}</Groups>"))
    return table.complete(frozenset(groups), held or {}, host)


def test_a_childless_group_below_another_is_a_membership():
    assert close('<Group name="a"><Group name="b"/></Group>', "a").groups == {"a", "b"}


def test_a_nested_condition_makes_nobody_a_member():
    text = '<Group name="a"><Group name="b"><Group name="c"/></Group></Group>'
    assert close(text, "a").groups == {"a"}
    assert close(text, "a", "b").groups == {"a", "b", "c"}


def test_conditions_on_a_client_ignore_case():
    text = '<Client name="Web1"><Group name="a"/></Client><Client name="web1" negate="true"><Group name="b"/></Client>'
    assert close(text, host="web1").groups == {"a"}
    assert close(text, host="web2").groups == {"b"}


def test_conditions_on_two_clients_hold_for_none():
    text = '<Client name="h0"><Client name="h1"><Group name="a"/></Client></Client>'
    assert close(text, host="h0").groups == close(text, host="h1").groups == frozenset()


def test_what_hangs_below_a_group_that_is_negated_at_once_does_not_arrive():
    text = (
        '<Group name="a"><Group name="b"/><Group name="b" negate="TRUE"/></Group>'
        '<Group name="b"><Group name="c"/></Group>'
    )
    assert close(text, "a").groups == {"a"}


def test_an_earlier_round_beats_document_order_in_a_category():
    text = (
        '<Group name="far"><Group name="x1"/></Group><Group name="a"><Group name="far"/><Group name="x2"/></Group>'
        '<Group name="x1" category="x"/><Group name="x2" category="x"/>'
    )
    assert close(text, "a").groups == {"a", "far", "x2"}
    assert close(text, "a").categories == {"x": "x2"}


def test_within_a_round_the_first_appearance_of_the_name_decides():
    text = (
        '<Group name="z"><Group name="x2"/></Group><Group name="a"><Group name="x1"/><Group name="x2"/></Group>'
        '<Group name="x1" category="x"/><Group name="x2" category="x"/>'
    )
    assert close(text, "a").groups == {"a", "x2"}


def test_grants_from_top_level_clients_come_after_those_from_groups():
    text = (
        '<Client name="h0"><Group name="x1"/></Client><Group name="a"><Group name="x2"/></Group>'
        '<Group name="x1" category="x"/><Group name="x2" category="x"/>'
    )
    assert close(text, "a").groups == {"a", "x2"}


def test_a_round_that_adds_as_many_as_it_removes_is_not_the_last():
    text = (
        '<Group name="a"><Group name="b"/></Group><Group name="b"><Group name="c"/></Group>'
        '<Group name="c"><Group name="d"/><Group name="b" negate="true"/></Group>'
        '<Group name="d"><Group name="e"/></Group>'
    )
    assert {"d", "e"} <= close(text, "a").groups


def test_a_negated_group_leaves_its_category_to_the_next_one():
    text = (
        '<Group name="a"><Group name="x1"/><Group name="x2"/><Group name="x1" negate="true"/></Group>'
        '<Group name="x1" category="x"/><Group name="x2" category="x"/>'
    )
    standing = close(text, "a")
    assert standing.groups == {"a", "x2"}
    assert standing.categories == {"x": "x2"}
    assert standing.remarks == ()


def test_a_suppressed_group_is_remarked_upon():
    text = (
        '<Group name="a"><Group name="x1"/><Group name="x2"/></Group>'
        '<Group name="x1" category="x"/><Group name="x2" category="x"/>'
    )
    ((group, remark),) = close(text, "a").remarks
    assert group == "x2"
    assert "x1" in remark and "category x" in remark


def test_rules_that_contradict_each_other_come_to_an_end_and_are_remarked_upon():
    text = (
        '<Group name="y" negate="true"><Group name="x"/></Group><Group name="x"><Group name="y"/></Group>'
        '<Group name="y"><Group name="x" negate="true"/></Group>'
        '<Group name="x" negate="true"><Group name="y" negate="true"/></Group>'
    )
    assert any("contradicts itself" in text for _, text in close(text).remarks)


def test_cost_does_not_depend_on_groups_that_a_client_is_not_in():
    """Rules that cannot be true for a client are not even looked at."""
    from bcfg2.server.plugins.metadata import closure

    looked_at = []

    class Counting(closure.Rule):
        __slots__ = ()

        def holds(self, groups, host):
            looked_at.append(self.target)
            return super().holds(groups, host)

    rules = [Counting(f"to{number}", (f"from{number}",)) for number in range(1000)]
    rules += [Counting(f"own{number}", (), frozenset(), f"host{number}") for number in range(1000)]
    closed = closure.Memberships([rule.target for rule in rules], rules, (), {}).close(["from7"], {}, "host8")
    assert closed.groups == {"from7", "to7", "own8"}
    assert set(looked_at) == {"to7", "own8"}


@pytest.mark.parametrize("host", ["h5", "h6"])
def test_results_are_shared_by_clients_that_no_condition_names(host):
    table = GroupTable(etree.fromstring('<Groups><Group name="a" profile="true"><Group name="b"/></Group></Groups>'))
    assert table.initial(("a",), "h4") is table.initial(("a",), host)
