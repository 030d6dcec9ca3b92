"""Decision lists."""

import pytest
from lxml import etree

from bcfg2.client.decisions import Decisions


def entry(tag: str, name: str) -> etree._Element:
    return etree.Element(tag, name=name)


@pytest.mark.parametrize(
    ("pair", "listed"),
    [
        (["Path", "/etc/motd"], True),
        (["Path", "/etc/*"], True),
        (["*", "/*d"], True),
        (["P?th", "/etc/[lm]otd"], True),
        (["Path", "/etc"], False),
        (["path", "/etc/motd"], False),
        (["Path", "/ETC/motd"], False),
        (["Package", "*"], False),
    ],
)
def test_a_whitelist_lets_through_what_a_blacklist_holds_back(pair: list[str], listed: bool) -> None:
    assert Decisions("whitelist", [pair]).permits(entry("Path", "/etc/motd")) is listed
    assert Decisions("blacklist", [pair]).permits(entry("Path", "/etc/motd")) is not listed


def test_an_empty_whitelist_lets_nothing_through_and_an_empty_blacklist_all() -> None:
    assert not Decisions("whitelist", []).permits(entry("Path", "/x"))
    assert Decisions("blacklist", []).permits(entry("Path", "/x"))


@pytest.mark.parametrize("pair", ["ab", ["a"], ["a", 1], None, ["a", "b", "c"]])
def test_what_is_no_pair_is_passed_over_with_an_error(pair: object, caplog: pytest.LogCaptureFixture) -> None:
    decisions = Decisions("whitelist", [pair, ["Path", "/y"]])
    assert decisions.permits(entry("Path", "/y"))
    assert "no pair of tag and name" in caplog.text
