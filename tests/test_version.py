"""Versions as clients declare them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.version import VersionInfo, __version__, parse_version

NUMBERS = st.integers(0, 10**9 - 1)
LEVELS = ["", "dev", "pre", "rc", "final"]


@pytest.mark.parametrize(
    ("text", "five"),
    [
        ("1.3.4", (1, 3, 4, "final", 0)),
        ("1.4.0pre2", (1, 4, 0, "pre", 2)),
        ("1.4.0pre12", (1, 4, 0, "pre", 12)),
        ("1.4.10rc1", (1, 4, 10, "rc", 1)),
        ("0.9.5dev3", (0, 9, 5, "dev", 3)),
    ],
)
def test_parses_numbers_level_and_serial(text, five):
    version = parse_version(text)
    assert tuple(version) == five
    assert (version.major, version.minor, version.micro, version.releaselevel, version.serial) == five
    assert str(version) == text


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "1.3",
        "1.3.4.5",
        "1.3.4pre",
        "1.3.4-1",
        "a.b.c",
        "1..2",
        " 1.3.4",
        "1.3.4\n",
        "1.3.x",
        "1.٣.4",
        "9" * 5000,
    ],
)
def test_anything_else_is_no_version(text):
    assert parse_version(text) is None


def test_own_version_parses():
    assert parse_version(__version__) is not None


@given(NUMBERS, NUMBERS, NUMBERS, st.sampled_from(["final", "pre", "rc", "dev"]), NUMBERS)
def test_text_and_version_round_trip(major, minor, micro, level, serial):
    version = VersionInfo(major, minor, micro, level, 0 if level == "final" else serial)
    assert parse_version(str(version)) == version


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("1.3.9", "1.4.0pre1"),
        ("1.4.0pre2", "1.4.0pre12"),
        ("1.4.0pre9", "1.4.0rc1"),
        ("1.4.0rc9", "1.4.0"),
        ("1.4.0dev9", "1.4.0pre1"),
        ("1.9.0", "1.10.0"),
    ],
)
def test_order(low, high):
    left, right = parse_version(low), parse_version(high)
    assert left < right and right > left and left <= right and right >= left and left != right
    assert not left > right and not right < left and not left >= right and not right <= left
    assert left < high and right > low
    assert left < tuple(right) and right > list(left)
    assert tuple(right) > left and tuple(left) < right


def test_the_empty_level_is_below_every_release_of_its_number():
    for text in ("1.3.0pre1", "1.3.0rc1", "1.3.0"):
        assert parse_version(text) >= (1, 3, 0, "", 0)
        assert parse_version(text) > (1, 3, 0, "", 0)
    assert not parse_version("1.2.9") >= (1, 3, 0, "", 0)


@pytest.mark.parametrize("nothing", [None, "", "unknown"])
def test_is_greater_than_no_version(nothing):
    version = parse_version("0.0.0pre0")
    assert version > nothing and version >= nothing and version != nothing
    assert not version < nothing and not version <= nothing
    assert (version == nothing) is False


def test_none_on_the_left_is_less():
    assert parse_version("1.0.0") > None


def test_equal_versions_are_one_key():
    assert len({parse_version("1.4.0"), VersionInfo(1, 4, 0, "final", 0)}) == 1
    assert parse_version("1.4.0") == "1.4.0" == parse_version("1.4.0")
    assert parse_version("1.4.0") == (1, 4, 0, "final", 0)


def test_what_is_no_version_cannot_be_compared():
    with pytest.raises(TypeError, match="cannot compare"):
        parse_version("1.4.0") < (1, 4)  # noqa: B015


FIVES = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.sampled_from(LEVELS), st.integers(0, 2))


@given(FIVES, FIVES)
def test_at_least_means_not_less(one, other):
    left = VersionInfo(*one)
    assert (left >= other) is not (left < other)
    assert (left <= other) is not (left > other)
    assert not (left < other and left > other)
