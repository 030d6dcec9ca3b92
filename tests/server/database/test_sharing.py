"""Threads share queries, and never get an answer from before their question."""

import threading

import pytest

from bcfg2.server.database import SharedQuery
from tests.support import await_condition


def test_one_thread_gets_its_answer_at_once():
    query = SharedQuery(lambda keys: {key: key.upper() for key in keys if key != "missing"})
    assert query.ask("a") == "A"
    assert query.ask("missing") is None


def test_who_asks_while_a_query_is_under_way_shares_the_next_one():
    calls, go, answers = [], threading.Event(), {}

    def read(keys):
        calls.append(sorted(keys))
        state = len(calls)
        assert go.wait(20)
        return dict.fromkeys(keys, state)

    query = SharedQuery(read)

    def ask(number, key):
        answers[number] = query.ask(key)

    threads = [threading.Thread(target=ask, args=(number, key)) for number, key in enumerate("abcbd")]
    threads[0].start()
    await_condition(lambda: calls)
    for thread in threads[1:]:
        thread.start()
    await_condition(lambda: len(query._next.keys) == 4)
    go.set()
    for thread in threads:
        thread.join()
    assert calls == [["a"], ["b", "c", "d"]]
    assert answers == {0: 1, 1: 2, 2: 2, 3: 2, 4: 2}


def test_an_error_is_that_of_all_who_asked_and_of_nobody_else():
    outcomes = [KeyError("first"), {"a": 1}]

    def read(_keys):
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    query = SharedQuery(read)
    with pytest.raises(KeyError):
        query.ask("a")
    assert query.ask("a") == 1
