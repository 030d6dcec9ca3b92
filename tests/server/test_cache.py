"""The unified cache: data found, listed and dropped by their sets of tags."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.server.cache import Cache, add_expire_hook, expire, remove_expire_hook


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    expire()
    yield
    expire()


def test_a_view_maps_a_key_to_the_datum_with_its_tags_and_the_key() -> None:
    Cache("Probes", "groups")["host"] = 1
    assert Cache("groups", "Probes")["host"] == 1  # tags are a set
    assert Cache("Probes", "host")["groups"] == 1
    with pytest.raises(KeyError):
        Cache("Probes")["host"]


def test_a_view_lists_only_what_has_exactly_one_tag_more() -> None:
    Cache("Probes", "groups")["a"] = 1
    Cache("Probes", "groups")["b"] = 2
    Cache("Probes", "data")["a"] = 3
    assert dict(Cache("Probes", "groups")) == {"a": 1, "b": 2}
    assert dict(Cache("Probes")) == {}
    assert len(Cache("Probes", "data")) == 1


def test_a_datum_can_be_replaced_and_deleted() -> None:
    view = Cache("Metadata")
    view["host"] = 1
    view["host"] = 2
    assert view["host"] == 2
    del view["host"]
    assert "host" not in view
    with pytest.raises(KeyError):
        del view["host"]


def test_expiring_a_view_drops_everything_below_it_and_counts() -> None:
    Cache("Packages", "collections")["a"] = 1
    Cache("Packages", "sets", "x")["b"] = 2
    Cache("Metadata")["a"] = 3
    assert Cache("Packages").expire() == 2
    assert dict(Cache("Metadata")) == {"a": 3}


def test_expiring_a_key_of_a_view_drops_exactly_that() -> None:
    Cache("Probes", "groups")["a"] = 1
    Cache("Probes")["groups"] = 2
    assert Cache("Probes").expire("groups") == 1
    assert Cache("Probes", "groups")["a"] == 1
    assert Cache("Probes").expire("none") == 0


def test_expiring_a_host_drops_all_about_it_in_any_view() -> None:
    Cache("Metadata")["a"] = 1
    Cache("Probes", "groups")["a"] = 2
    Cache("Metadata")["b"] = 3
    assert expire("a") == 2
    assert dict(Cache("Metadata")) == {"b": 3}


def test_hooks_hear_of_every_expiry_until_they_are_removed() -> None:
    heard: list[tuple[tuple[str, ...], bool, int]] = []

    def hook(tags: tuple[str, ...], exact: bool, count: int) -> None:
        heard.append((tags, exact, count))

    add_expire_hook(hook)
    try:
        Cache("Metadata")["a"] = 1
        Cache("Metadata").expire("a")
        expire("none")
        expire()
    finally:
        remove_expire_hook(hook)
    expire()
    assert [(set(tags), exact, count) for tags, exact, count in heard] == [
        ({"Metadata", "a"}, True, 1),
        ({"none"}, False, 0),
        (set(), False, 0),
    ]


def test_a_view_shows_its_tags() -> None:
    assert repr(Cache("b", "a")) == "Cache(a, b)"


tag_sets = st.frozensets(st.sampled_from("abcde"), min_size=1, max_size=4)
changes = st.one_of(
    st.tuples(st.just("set"), tag_sets, st.booleans()),
    st.tuples(st.just("expire"), st.frozensets(st.sampled_from("abcde"), max_size=3), st.booleans()),
)


@given(st.lists(changes, max_size=25))
def test_any_sequence_of_changes_agrees_with_a_plain_dictionary(
    sequence: list[tuple[str, frozenset[str], bool]],
) -> None:
    expire()
    plain: dict[frozenset[str], int] = {}
    for number, (kind, tags, exact) in enumerate(sequence):
        if kind == "set":
            *rest, key = sorted(tags)
            Cache(*rest)[key] = plain[tags] = number
        else:
            gone = [held for held in plain if (held == tags if exact else tags <= held)]
            assert expire(*tags, exact=exact) == len(gone)
            for held in gone:
                del plain[held]
        for view in (frozenset(), frozenset("a"), frozenset("bc")):
            listed = {
                key: value
                for held, value in plain.items()
                if view <= held and len(held - view) == 1
                for key in held - view
            }
            assert dict(Cache(*view)) == listed


def test_threads_may_write_and_expire_at_once() -> None:
    def work(number: int) -> None:
        for turn in range(300):
            Cache("view", str(number))[str(turn)] = turn
            list(Cache("view", str(turn % 4)))
            if turn % 50 == 0:
                expire("view")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))  # raises what a thread raised
    expire("view")
    assert [list(Cache("view", str(number))) for number in range(4)] == [[], [], [], []]
