"""Versioned attributes: a request sees one generation of everything, a batch of changes appears at once."""

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.server import versioned
from bcfg2.server.versioned import (
    Versioned,
    after_publish,
    all_or_nothing,
    before_publish,
    generation,
    newest_generation,
    private_copy,
    reading,
    request_memo,
    writing,
)


class State:
    a: Versioned[Any] = Versioned("default")
    b: Versioned[Any] = Versioned()


def in_thread(work: Callable[[], Any]) -> Any:
    """What WORK returns, run in a thread of its own."""
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(work()))
    thread.start()
    thread.join(10)
    assert result, "the thread did not finish"
    return result[0]


def test_an_attribute_reads_as_its_default_until_it_is_assigned() -> None:
    state = State()
    assert state.a == "default"
    with pytest.raises(AttributeError, match="State.b has no value yet"):
        _ = state.b
    state.a = 1
    assert (state.a, State().a) == (1, "default")


def test_a_request_goes_on_seeing_what_was_there_when_it_began() -> None:
    state = State()
    state.a = "old"
    with reading():
        in_thread(lambda: setattr(state, "a", "new"))
        assert state.a == "old"
        with reading():
            assert state.a == "old"
    assert state.a == "new"


def test_a_request_goes_on_seeing_the_default_of_what_gets_its_first_value_meanwhile() -> None:
    state = State()
    with reading():
        in_thread(lambda: setattr(state, "a", 1))
        assert state.a == "default"
    assert state.a == 1
    assert not versioned._clock.hiding


def test_an_attribute_that_gets_its_first_value_during_a_request_can_be_read() -> None:
    state = State()
    with reading():
        in_thread(lambda: setattr(state, "b", "first"))
        assert state.b == "first"


def test_what_is_written_is_seen_by_the_writer_at_once_and_by_others_at_the_end() -> None:
    state = State()
    state.a = state.b = 0
    with writing():
        state.a = 1
        with writing():
            state.b = 1
        assert (state.a, state.b) == (1, 1)
        assert in_thread(lambda: (state.a, state.b)) == (0, 0)
    assert in_thread(lambda: (state.a, state.b)) == (1, 1)


def test_another_thread_does_not_see_an_unpublished_first_value() -> None:
    state = State()
    with writing():
        state.a = 1
        assert in_thread(lambda: state.a) == "default"


def test_an_exception_publishes_what_was_assigned_before_it() -> None:
    state = State()
    with pytest.raises(ValueError), writing():
        state.a = 1
        raise ValueError
    assert state.a == 1


def test_all_or_nothing_takes_back_what_an_exception_left_half_done() -> None:
    state = State()
    state.a = 0
    with writing():
        state.a = 1
        with pytest.raises(ValueError), all_or_nothing():
            state.a = 2
            state.a = state.b = 3
            raise ValueError
        assert state.a == 1
        with pytest.raises(AttributeError):
            _ = state.b
    assert state.a == 1
    with pytest.raises(ValueError), all_or_nothing():
        state.a = 4
        raise ValueError
    assert state.a == 1


def test_all_or_nothing_publishes_what_turned_out_well() -> None:
    state = State()
    with writing():
        with all_or_nothing():
            state.a = 1
        state.b = 1
        assert in_thread(lambda: state.a) == "default"
    assert (state.a, state.b) == (1, 1)
    with all_or_nothing():
        state.a = 2
    assert in_thread(lambda: state.a) == 2


def test_all_or_nothing_takes_back_what_turned_out_well_within_it() -> None:
    state = State()
    with pytest.raises(ValueError), all_or_nothing():
        with all_or_nothing():
            state.a = 1
        with pytest.raises(KeyError), all_or_nothing():
            state.a = 2
            raise KeyError
        assert state.a == 1
        raise ValueError
    assert state.a == "default"


def test_steps_before_publishing_run_once_and_their_changes_are_part_of_the_batch() -> None:
    state = State()
    calls: list[Any] = []

    def last() -> None:
        calls.append(state.b)

    def derive() -> None:
        calls.append(in_thread(lambda: state.a))
        state.b = f"from {state.a}"
        before_publish(last)

    with writing():
        before_publish(derive)
        state.a = 1
        before_publish(derive)
        assert calls == []
    assert calls == ["default", "from 1"]
    assert in_thread(lambda: state.b) == "from 1"


def test_a_step_outside_of_a_batch_runs_now() -> None:
    calls: list[int] = []
    before_publish(lambda: calls.append(1))
    assert calls == [1]


def test_steps_after_publishing_run_once_when_others_see_the_change() -> None:
    state = State()
    seen: list[Any] = []

    def look() -> None:
        seen.append(in_thread(lambda: state.a))

    with writing():
        after_publish(look)
        state.a = 1
        after_publish(look)
        assert seen == []
    assert seen == [1]
    after_publish(look)  # outside of a batch: now
    assert seen == [1, 1]


def test_a_failing_step_is_logged_and_keeps_no_other_and_nothing_from_being_published(caplog) -> None:
    state = State()

    def fail() -> None:
        raise RuntimeError("step")

    def derive() -> None:
        state.b = f"from {state.a}"

    after: list[int] = []
    with writing():
        state.a = 1
        for step in (fail, derive):
            before_publish(step)
        for step in (fail, lambda: after.append(state.b)):
            after_publish(step)
    assert (in_thread(lambda: (state.a, state.b)), after) == ((1, "from 1"), ["from 1"])
    assert caplog.text.count("RuntimeError: step") == 2
    with writing():  # the thread is not left in the middle of a batch
        state.a = 2
    assert in_thread(lambda: state.a) == 2


def test_a_private_copy_is_made_once_for_a_batch_and_never_touches_what_others_read() -> None:
    state = State()
    state.a = original = {"x": 1}
    with writing():
        private_copy(state, "a")["y"] = 2
        private_copy(state, "a")["z"] = 3
        assert in_thread(lambda: dict(state.a)) == {"x": 1}
    assert (original, state.a) == ({"x": 1}, {"x": 1, "y": 2, "z": 3})


def test_a_private_copy_of_a_default_leaves_the_default_alone() -> None:
    class Table:
        rows: Versioned[dict[str, int]] = Versioned({})

    table = Table()
    with writing():
        private_copy(table, "rows")["x"] = 1
    assert (table.rows, Table().rows) == ({"x": 1}, {})


def test_a_private_copy_outside_of_a_batch_is_refused() -> None:
    with pytest.raises(RuntimeError, match="writing"):
        private_copy(State(), "a")


def test_a_request_that_writes_sees_what_it_wrote_and_what_came_before() -> None:
    state = State()
    state.a = state.b = "old"
    with reading():
        in_thread(lambda: setattr(state, "b", "new"))
        state.a = "mine"
        assert (state.a, state.b) == ("mine", "new")


def test_a_request_that_publishes_a_batch_sees_what_it_wrote() -> None:
    state = State()
    state.a = state.b = "old"
    with reading():
        in_thread(lambda: setattr(state, "b", "new"))
        with writing():
            state.a = "mine"
        assert (state.a, state.b) == ("mine", "new")


def test_the_attribute_of_the_class_is_the_description_itself() -> None:
    assert isinstance(State.a, Versioned)


def test_the_memo_lives_as_long_as_the_request_or_until_it_writes() -> None:
    state = State()
    request_memo()["x"] = 1
    assert request_memo() == {}
    with reading():
        request_memo()["x"] = 1
        with reading():
            assert request_memo() == {"x": 1}
        assert in_thread(request_memo) == {}
        in_thread(lambda: setattr(state, "a", "another's"))
        assert request_memo() == {"x": 1}
        state.a = "mine"
        assert request_memo() == {}
    assert request_memo() == {}


def test_the_generation_grows_with_each_published_change() -> None:
    state = State()
    before = generation()
    with reading():
        in_thread(lambda: setattr(state, "a", 1))
        assert (generation(), newest_generation()) == (before, before + 1)
    assert generation() == before + 1
    with writing():
        state.a = 2
        state.b = 2
    assert generation() == before + 2


class Value:
    pass


def test_old_values_are_dropped_when_no_request_can_ask_for_them() -> None:
    state = State()
    state.a = Value()
    first = weakref.ref(state.a)
    with reading():
        in_thread(lambda: setattr(state, "a", Value()))
        gc.collect()
        assert first() is not None
        assert state.a is first()
        second = weakref.ref(in_thread(lambda: state.a))
        in_thread(lambda: setattr(state, "a", Value()))
    gc.collect()
    assert (first(), second()) == (None, None)
    assert isinstance(state.a, Value)


def test_a_late_reader_keeps_what_it_needs_after_an_earlier_one_has_gone() -> None:
    state = State()
    state.a = "one"
    begun, go_on = threading.Event(), threading.Event()
    seen: list[Any] = []

    def early() -> None:
        with reading():
            begun.set()
            assert go_on.wait(10)
            seen.append(state.a)

    thread = threading.Thread(target=early)
    thread.start()
    assert begun.wait(10)
    state.a = "two"
    with reading():
        in_thread(lambda: setattr(state, "a", "three"))
        go_on.set()
        thread.join(10)
        assert (seen, state.a) == (["one"], "two")
    assert state.a == "three"


operations = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.dictionaries(st.sampled_from("ab"), st.integers(0, 99), min_size=1)),
        st.tuples(st.just("begin"), st.integers(0, 2)),
        st.tuples(st.just("end"), st.integers(0, 2)),
    ),
    max_size=30,
)


@given(operations)
def test_any_order_of_writes_and_requests_gives_each_request_the_state_at_its_beginning(
    sequence: list[tuple[str, Any]],
) -> None:
    state = State()
    state.a = state.b = -1
    newest = {"a": -1, "b": -1}
    pins: dict[int, tuple[int, dict[str, int]]] = {}
    for kind, argument in sequence:
        if kind == "write":
            with writing():
                for name, value in argument.items():
                    setattr(state, name, value)
            newest = newest | argument
        elif kind == "begin" and argument not in pins:
            pins[argument] = versioned._clock.pin(), dict(newest)
        elif kind == "end" and argument in pins:
            versioned._clock.unpin(pins.pop(argument)[0])
        for pinned, expected in pins.values():
            versioned._view.pinned = pinned
            try:
                assert {"a": state.a, "b": state.b} == expected
            finally:
                versioned._view.pinned = None
        assert {"a": state.a, "b": state.b} == newest
    for pinned, _ in pins.values():
        versioned._clock.unpin(pinned)
    assert versioned._clock.pins == {}
    assert not versioned._clock.hiding


def test_no_thread_ever_sees_a_mixture() -> None:
    states = [State() for _ in range(5)]
    with writing():
        for state in states:
            state.a = state.b = 0
    stop = threading.Event()
    mixtures: list[set[int]] = []
    backwards: list[tuple[int, int]] = []
    requests = [0] * 3

    def read(number: int) -> None:
        last = 0
        while not stop.is_set():
            with reading():
                seen = {value for _ in range(3) for state in states for value in (state.a, state.b)}
            if len(seen) != 1:
                mixtures.append(seen)
            current = max(seen)
            if current < last:
                backwards.append((last, current))
            last = current
            requests[number] += 1

    threads = [threading.Thread(target=read, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    value = 0
    while value < 2000 or min(requests) < 50:
        value += 1
        with writing():
            for state in states:
                state.a = value
            for state in reversed(states):
                state.b = value
        assert value < 1_000_000, "the readers do not get on"
    stop.set()
    for thread in threads:
        thread.join()
    assert (mixtures, backwards) == ([], [])
