"""The statistics document."""

import pytest
from lxml import etree

from bcfg2.client.report import Stamps, statistics
from bcfg2.client.states import States
from tests.client.support import Box, configuration, context, options


def report(body: str, *words: str) -> etree._Element:
    """The statistics of an inventory of BODY with the tool Box."""
    made = context(body, *words)
    states = States(made.configuration, [Box(made)], lambda done, total: None)
    states.take_inventory()
    root = etree.fromstring(statistics(made.configuration, states, Stamps(), made.options))
    assert root.tag == "upload-statistics"
    (found,) = root
    return found


def test_counts_and_state_tell_how_many_entries_are_good() -> None:
    Box.machine.update(a="1", c="1")
    body = '<Bundle name="b"><Box name="a" want="1"/><Box name="b" want="1"/></Bundle>'
    found = report(body)
    assert dict(found.attrib) == {"total": "2", "good": "1", "version": "2.0", "revision": "1", "state": "dirty"}
    assert [[entry.get("name") for entry in found.find(part)] for part in ("Good", "Bad", "Extra", "Modified")] == [
        ["a"],
        ["b"],
        ["c"],
        [],
    ]


def test_entries_have_their_attributes_and_children_but_no_text() -> None:
    body = '<Bundle name="b"><Box name="a" want="1">secret<!-- x --><Part n="1">kept</Part>more</Box></Bundle>'
    (entry,) = report(body).find("Bad")
    assert etree.tostring(entry) == b'<Box name="a" want="1" current_exists="false"><Part n="1">kept</Part></Box>'


def test_with_only_important_entries_others_do_not_count() -> None:
    Box.machine.update(a="1")
    body = '<Bundle name="b"><Box name="a" want="1"/><Box name="b" want="1" important="TRUE"/></Bundle>'
    found = report(body, "-i")
    assert (found.get("total"), found.get("good")) == ("1", "0")
    assert [flag.attrib for flag in found.find("Flags")] == [
        {"name": "dry_run", "value": "False"},
        {"name": "only_important", "value": "True"},
    ]


@pytest.mark.parametrize("attributes", ["", 'revision=""'])
def test_a_configuration_without_revision_is_minus_one(attributes: str) -> None:
    from bcfg2.client.configuration import parse

    assert parse(f"<Configuration {attributes}/>", "x").revision == "-1"


def test_what_was_found_first_stays_and_the_rest_is_that_of_the_last_look() -> None:
    made = context('<Bundle name="b"><Box name="a" want="1"/></Bundle>')
    box = Box(made)
    (entry,) = box.entries
    Box.machine["a"] = "old"
    assert not box.verify(entry)
    assert entry.get("current_want") == "old"
    Box.machine["a"] = "1"
    assert box.verify(entry)
    assert entry.get("current_want") is None
    del Box.machine["a"]
    assert not box.verify(entry)
    Box.machine["a"] = "1"
    assert box.verify(entry)
    assert entry.get("current_exists") == "false"


def test_stamps_are_seconds_in_the_order_of_the_stages() -> None:
    stamps = Stamps()
    stamps.stamp("inventory")
    made = configuration("")
    states = States(made, [], lambda done, total: None)
    root = etree.fromstring(statistics(made, states, stamps, options()))
    (times,) = root.iter("OpStamps")
    assert list(times.attrib) == ["start", "inventory"]
    assert float(times.get("start", "")) <= float(times.get("inventory", ""))
