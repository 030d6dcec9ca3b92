"""File names that say for whom a file is, and which of several files a client gets."""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.server.plugin import BestMatch, SpecificData, Specificity, SpecificityError, parse_specific, split_specific
from tests.server.plugin.small_core import Client, SmallCore


@dataclass(frozen=True)
class File:
    """As much of a file as a choice needs."""

    name: str
    specific: Specificity


def files(*names: str) -> list[File]:
    return [File(name, parse_specific("f", name)) for name in names]


# names


@pytest.mark.parametrize(
    ("base", "name", "expected"),
    [
        ("motd", "motd", Specificity()),
        ("motd", "motd.G10_web", Specificity(group="web", prio=10)),
        ("motd", "motd.G007_web", Specificity(group="web", prio=7)),
        ("motd", "motd.G0_a_b-c.d", Specificity(group="a_b-c.d")),
        ("motd", "motd.G10_web.cat", Specificity(group="web.cat", prio=10)),
        ("motd", "motd.G5__x", Specificity(group="_x", prio=5)),
        ("motd", "motd.H_web1.example.com", Specificity(hostname="web1.example.com")),
        ("motd", "motd.H_x.G10_web", Specificity(hostname="x.G10_web")),
        ("conf.G10_bsd", "conf.G10_bsd", Specificity()),
        ("conf.G10_bsd", "conf.G10_bsd.G5_web", Specificity(group="web", prio=5)),
        ("g++ (1).conf", "g++ (1).conf.H_a", Specificity(hostname="a")),
    ],
)
def test_a_name_says_for_whom_the_file_is(base: str, name: str, expected: Specificity) -> None:
    assert parse_specific(base, name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "motdX",
        "mot",
        "README",
        "motd.",
        "motd.cat",
        "motd.Gxx_web",
        "motd.G10_",
        "motd.G10web",
        "motd.G_web",
        "motd.G-1_web",
        "motd.G\u0661_web",
        "motd.H_",
        "motd.h_host",
        "motd.H_a b",
        "motd.G10_a b",
        "motd.G10_web\n",
        "xmotd",
        ".motd.G10_web",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(SpecificityError, match="motd"):
        parse_specific("motd", name)


def test_the_base_is_literal_unless_it_is_a_pattern() -> None:
    with pytest.raises(SpecificityError):
        parse_specific("a.c", "abc")
    assert split_specific("[a-z-]+", "disk-space.G010_web.a") == ("disk-space", Specificity(group="web.a", prio=10))
    assert split_specific("[a-z-]+", "disk") == ("disk", Specificity())
    assert split_specific("[a-z-]+", "disk.H_a") == ("disk", Specificity(hostname="a"))
    for name in ("disk.sh", "disk.sh.H_a", "Disk", "", ".H_a"):
        with pytest.raises(SpecificityError):
            split_specific("[a-z-]+", name)


word = st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="/"), min_size=1, max_size=12)


@given(word, st.integers(0, 999), st.integers(0, 3), word)
def test_what_is_written_into_a_name_is_read_from_it(base: str, prio: int, zeros: int, who: str) -> None:
    assert parse_specific(base, f"{base}.G{'0' * zeros}{prio}_{who}") == Specificity(group=who, prio=prio)
    assert parse_specific(base, f"{base}.H_{who}") == Specificity(hostname=who)
    assert parse_specific(base, base).all


# choosing


def test_a_host_goes_before_groups_and_groups_before_everybody() -> None:
    choice = BestMatch(files("f", "f.G9_a", "f.G10_b", "f.G100_c", "f.H_h"))

    def name(*client: str) -> str:
        found = choice.best(Client(*client))
        assert found is not None
        return found.name

    assert name("h", "a", "c") == "f.H_h"
    assert name("x", "a", "b", "c") == "f.G100_c"
    assert name("x", "a", "b") == "f.G10_b"
    assert name("x", "a") == "f.G9_a"
    assert name("x", "z") == "f"
    assert name("H") == "f"


def test_where_nothing_applies_there_is_nothing() -> None:
    assert BestMatch[File]().best(Client("h", "g")) is None
    assert BestMatch(files("f.H_other", "f.G1_other")).best(Client("h", "g")) is None


def test_a_group_with_two_files_gets_the_one_of_higher_priority() -> None:
    assert BestMatch(files("f.G5_a", "f.G50_a", "f.G7_a")).best(Client("h", "a")) == files("f.G50_a")[0]


@pytest.mark.parametrize(
    ("names", "client"),
    [
        (("f.G5_b", "f.G5_a", "f.G5_c"), Client("h", "a", "b", "c")),
        (("f.G5_z", "f.G05_z"), Client("h", "z")),
    ],
)
def test_of_equals_the_smallest_name_is_taken_and_the_tie_is_told_once(
    names: tuple[str, ...], client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    for order in (names, names[::-1]):
        caplog.clear()
        choice = BestMatch(files(*order))
        for _ in range(3):
            found = choice.best(client)
            assert found is not None
            assert found.name == min(names)
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert all(name in caplog.text for name in sorted(names)[:2])


def test_equals_that_a_better_file_covers_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    choice = BestMatch(files("f.G5_b", "f.G5_a", "f.H_h", "f.G6_c"))
    choice.best(Client("h", "a", "b"))
    choice.best(Client("x", "a", "b", "c"))
    choice.best(Client("x", "a"))
    assert not caplog.records


small = st.sampled_from("abcd")
specificities = st.one_of(
    st.just(Specificity()),
    st.builds(Specificity, hostname=small),
    st.builds(Specificity, group=small, prio=st.integers(0, 3)),
)
candidates = st.lists(specificities, max_size=12).map(
    lambda found: [File(f"f{number:02d}", specific) for number, specific in enumerate(found)]
)
clients = st.builds(lambda host, groups: Client(host, *groups), small, st.frozensets(small))


def naive_order(found: Iterable[File], client: Client) -> list[File]:
    """What applies, best first, by the words of the specification."""
    hosts = [file for file in found if file.specific.hostname == client.hostname]
    groups = [file for file in found if file.specific.group in client.groups]
    groups.sort(key=lambda file: file.specific.prio, reverse=True)
    everybody = [file for file in found if file.specific.hostname is None and file.specific.group is None]
    return hosts + groups + everybody


@given(candidates, clients, st.randoms())
def test_the_choice_is_that_of_looking_at_every_file(found: list[File], client: Client, random) -> None:
    expected = naive_order(found, client)
    shuffled = list(found)
    random.shuffle(shuffled)
    choice = BestMatch(shuffled)
    assert choice.matching(client) == expected
    assert choice.best(client) == (expected[0] if expected else None)
    assert {file for file in found if file.specific.matches(client)} == set(expected)
    assert sorted(expected, key=lambda file: (file.specific.rank, file.name)) == expected


# files


def test_a_file_is_text_if_it_decodes_and_bytes_if_not(tmp_path: Path) -> None:
    core = SmallCore(tmp_path)
    core.write({"text": "gr\u00fc\u00df\r\n", "bytes": b"\xff\x00"})

    def read(name: str) -> SpecificData:
        made: SpecificData = core.make(SpecificData, core.path(name), Specificity())
        made.handle_event()
        return made

    assert read("text").data == "gr\u00fc\u00df\r\n"
    assert read("text").raw == "gr\u00fc\u00df\r\n".encode()
    assert read("bytes").data == b"\xff\x00"
    with pytest.raises(FileNotFoundError):
        read("missing")


def test_reading_never_waits_for_what_is_no_file(tmp_path: Path) -> None:
    core = SmallCore(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    made = core.make(SpecificData, core.path("fifo"), Specificity())
    with pytest.raises(OSError, match="not a regular file"):
        made.handle_event()
