"""GroupPatterns: groups by host name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.server.plugins.grouppatterns import Pattern, Range, parse_span
from tests.support import Site


@pytest.mark.parametrize(
    ("pattern", "host", "names", "groups"),
    [
        (r"^(\w+)-(\d+)\.", "web-7.example", ["$1", "$2-$1", "n$3", "$"], ["web", "7-web", "n$3", "$"]),
        (r"par|osl", "eu-osl.example", ["north"], ["north"]),
        (r"^osl", "eu-osl.example", ["north"], []),
        (r"(a)|(b)", "b", ["x$1y$2"], ["xyb"]),
        ("(.)" * 10, "abcdefghij", ["$10-$1"], ["j-a"]),
    ],
)
def test_names_are_searched_and_captures_replaced(pattern, host, names, groups):
    assert Pattern(pattern).groups(host, names) == groups


@pytest.mark.parametrize(
    ("ranges", "host", "matches"),
    [
        ("node[[1-16]]", "node16", True),
        ("node[[1-16]]", "node016.example", True),
        ("node[[1-16]]", "node160", False),
        ("node[[1-16]]", "xnode1", False),
        ("node[[2,5-7,98-]]", "node6", True),
        ("node[[2,5-7,98-]]", "node4", False),
        ("node[[2,5-7,98-]]", "node1000000", True),
        ("r[[2,3]]n[[1-8]]", "r3n8", True),
        ("r[[2,3]]n[[1-8]]", "r3n9", False),
        ("node[[1-]].hpc", "node5xhpc", True),
        ("node", "node5", True),
        ("node[[1]]", "node", False),
    ],
)
def test_ranges_compare_numbers_from_the_beginning_of_the_name(ranges, host, matches):
    assert Range(ranges).groups(host, ["g"]) == (["g"] if matches else [])


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_a_range_holds_what_lies_between_its_ends(first, last, number):
    assert bool(Range(f"n[[{first}-{last}]]").groups(f"n{number}", ["g"])) == (first <= number <= last)


@pytest.mark.parametrize(
    "text", ["node\\d[[1]]", "node[[1-", "node[[a]]", "node[[1--2]]", "node[[,]]", "(node[[1]])", "("]
)
def test_bad_ranges_are_refused(text):
    with pytest.raises((ValueError, re.error)):
        Range(text)


@pytest.mark.parametrize("text", ["", "-", "-5", "5-x", "x", "1-2-3"])
def test_bad_spans_are_refused(text):
    with pytest.raises(ValueError, match="no number and no range"):
        parse_span(text)


@pytest.fixture
def site(tmp_path):
    config = """<GroupPatterns>
        <GroupPattern><NamePattern>(</NamePattern><NamePattern>^client</NamePattern><Group>a</Group></GroupPattern>
        <GroupPatterns><GroupPattern><NameRange>client</NameRange><Group>b</Group><Group>c</Group></GroupPattern></GroupPatterns>
    </GroupPatterns>"""
    made = Site(tmp_path, {"GroupPatterns/config.xml": config}, plugins="Metadata,GroupPatterns")
    yield made
    made.stop()


def test_clients_become_members_and_a_bad_pattern_costs_itself_only(site, caplog):
    assert {"a", "b", "c"} <= set(site.metadata().groups)
    assert site.metadata().GroupPatterns == {}


def test_changes_are_followed_and_a_broken_file_stays_as_it_was(site):
    site.write("GroupPatterns/config.xml", "<GroupPatterns><GroupPattern>")
    assert "a" in site.metadata().groups
    site.write("GroupPatterns/config.xml", "<GroupPatterns/>")
    assert "a" not in site.metadata().groups
