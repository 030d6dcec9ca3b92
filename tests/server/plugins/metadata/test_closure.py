"""The group algorithm, against a plain transcription of its description."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lxml import etree

from bcfg2.server.plugins.metadata.groups import GroupTable
from tests.server.plugins.metadata.model import HOSTS, Oracle, beginnings, document, trees


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
    assert (set(closed.groups), dict(closed.categories), not closed.unsettled) == expected
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
    assert any("contradicts itself, x, y come and go" in text for _, text in close(text).remarks)


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
