"""What a groups.xml says."""

import pytest
from lxml import etree

from bcfg2.server.plugins.metadata import MetadataGroup
from bcfg2.server.plugins.metadata.groups import GroupTable


def table(text):
    return GroupTable(etree.fromstring(f"<Groups>{text}</Groups>"))


def initial(text, *profiles, host="h"):
    return table(text).initial(profiles, host)


# declarations


def test_attributes_of_a_group():
    groups = table(
        '<Group name="a" profile="true" public="true" category="role"><Bundle name="z"/><Bundle name="y"/></Group>'
        '<Group name="b" profile="1" public="1"/><Group name="c" profile="True" public="yes" category=""/>'
    ).groups
    assert groups["a"] == MetadataGroup("a", ("z", "y"), "role", True, True)
    assert groups["b"] == MetadataGroup("b", (), None, True, True)
    assert groups["c"] == MetadataGroup("c", (), None, False, False)


def test_a_top_level_declaration_counts_wherever_it_stands():
    groups = table(
        '<Group name="a"><Group name="b" category="nested"><Bundle name="x"/></Group></Group>'
        '<Groups><Group name="b" category="top"/></Groups>'
    ).groups
    assert groups["b"] == MetadataGroup("b", (), "top")


def test_without_a_top_level_declaration_the_first_nested_one_counts():
    groups = table(
        '<Group name="a"><Group name="b" category="first"><Bundle name="x"/><Group name="c"/></Group>'
        '<Group name="b" category="second" profile="true"/></Group>'
    ).groups
    assert groups["b"] == MetadataGroup("b", ("x",), "first")


def test_a_group_that_only_clients_mention_is_declared_by_that():
    groups = table('<Client name="h"><Group name="b" category="x"/></Client>').groups
    assert groups["b"] == MetadataGroup("b", (), "x")


def test_bundles_of_later_elements_of_a_name_do_not_count():
    standing = initial('<Group name="a" profile="true"/><Group name="a"><Bundle name="x"/></Group>', "a")
    assert standing.bundles == frozenset()


def test_the_last_default_group_counts():
    assert table('<Group name="a" default="true"/><Group name="b" default="true"/>').default == "b"


def test_groups_of_a_category_are_known():
    assert table('<Group name="a" category="x"/><Group name="b" category="x"/>').by_category == {"x": ["a", "b"]}


# what becomes of a client


def test_profile_and_bundles():
    standing = initial(
        '<Group name="a" profile="true"><Bundle name="x"/><Group name="b"/></Group>'
        '<Group name="b"><Bundle name="y"/></Group>',
        "a",
    )
    assert (standing.profile, standing.groups, standing.bundles) == ("a", {"a", "b"}, {"x", "y"})
    assert standing.remarks == ()


def test_bundles_of_a_group_that_is_negated_do_not_come():
    standing = initial(
        '<Group name="a" profile="true"><Group name="b"/><Group name="b" negate="true"/></Group>'
        '<Group name="b"><Bundle name="y"/></Group>',
        "a",
    )
    assert standing.bundles == frozenset()


@pytest.mark.parametrize(("profile", "problem"), [("b", "no profile group"), ("nowhere", "does not declare")])
def test_a_profile_that_is_none_is_remarked_upon_and_still_a_group(profile, problem):
    standing = initial('<Group name="b"/>', profile)
    assert standing.groups == {profile}
    assert standing.profile is None
    ((group, text),) = standing.remarks
    assert group == profile and problem in text


def test_of_several_profiles_the_first_is_the_profile():
    text = '<Group name="p1" profile="true"/><Group name="p2" profile="true"/>'
    assert initial(text, "p2", "p1").profile == "p2"
    assert initial(text, "p2", "p1").groups == {"p1", "p2"}


def test_of_several_profiles_of_a_category_the_first_counts():
    text = '<Group name="p1" profile="true" category="x"/><Group name="p2" profile="true" category="x"/>'
    standing = initial(text, "p2", "p1")
    assert (standing.profile, standing.groups, standing.categories) == ("p2", {"p2"}, {"x": "p2"})
    assert [group for group, _ in standing.remarks] == ["p1"]


def test_another_profile_group_is_the_profile_if_the_listed_one_is_none():
    text = (
        '<Group name="p2" profile="true"/><Group name="p1" profile="true"/>'
        '<Group name="a"><Group name="p1"/><Group name="p2"/></Group>'
    )
    assert initial(text, "a").profile == "p2"


def test_a_client_without_groups_gets_the_default_group():
    text = '<Group name="d" default="true" profile="true" category="x"><Group name="e"/></Group>'
    standing = initial(text)
    assert (standing.groups, standing.profile, standing.categories) == ({"d", "e"}, "d", {"x": "d"})


def test_the_default_group_takes_the_place_of_negated_profiles_but_not_of_their_name():
    text = (
        '<Group name="d" default="true" profile="true"/><Group name="p" profile="true"/>'
        '<Client name="h"><Group name="p" negate="true"/></Client>'
    )
    standing = initial(text, "p")
    assert (standing.groups, standing.profile) == ({"d"}, "p")


def test_a_client_element_may_hold_bundles():
    text = (
        '<Group name="a" profile="true"/><Client name="H"><Bundle name="own"/></Client>'
        '<Group name="a"><Client name="h"><Bundle name="both"/></Client></Group>'
        '<Group name="b"><Client name="h"><Bundle name="neither"/></Client></Group>'
        '<Client name="h" negate="true"><Bundle name="others"/></Client>'
    )
    assert initial(text, "a", host="h").bundles == {"own", "both"}
    assert initial(text, "a", host="i").bundles == {"others"}


# bad elements


BAD = """<Groups>
  <Group profile="true"><Group name="x"/></Group>
  <Group name="a"><Bundle/><Group name="b"/></Group>
  <Client><Group name="y"/></Client>
  <Client name="h"/>
  <Unknown name="z"><Group name="w"/></Unknown>
</Groups>"""


def test_elements_without_a_name_are_left_out_with_what_is_in_them():
    groups = GroupTable(etree.fromstring(BAD))
    assert set(groups.groups) == {"a", "b"}
    assert groups.initial(("a",), "h").groups == {"a", "b"}


# definitions of connectors


@pytest.mark.parametrize("bundles", [["x", "y", "x"], ("x", "y"), None, set()])
def test_a_definition_takes_any_collection_of_bundles(bundles):
    assert MetadataGroup("a", bundles=bundles).bundles == (("x", "y") if bundles else ())
