"""Places at workers, handed out fairly."""

import threading

import pytest

from bcfg2.server.turns import Crowded, NoWorker, Turns
from tests.support import await_condition


class Asking(threading.Thread):
    """Asks for a place for CLIENT and keeps it until told to go; notes itself in ORDER when it has got one."""

    def __init__(self, turns: Turns[str], client: str, order: list[str]) -> None:
        super().__init__(daemon=True)
        self.turns = turns
        self.client = client
        self.order = order
        self.leave = threading.Event()
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            with self.turns.place(self.client) as worker:
                self.order.append(f"{self.client}@{worker}")
                self.leave.wait(20)
        except (Crowded, NoWorker) as err:
            self.error = err

    def go(self) -> None:
        self.leave.set()
        self.join(20)


def test_each_worker_has_its_places_and_the_least_busy_is_chosen() -> None:
    turns: Turns[str] = Turns(2, 10)
    turns.add("a")
    turns.add("b")
    with turns.place("1") as first, turns.place("2") as second, turns.place("3") as third, turns.place("4") as fourth:
        assert [first, second] == ["a", "b"] and {third, fourth} == {"a", "b"}
        late = Asking(turns, "5", order := [])
        await_condition(lambda: turns.waiting == 1)
        assert order == []
    late.go()
    assert len(order) == 1


def test_a_client_that_asks_often_delays_another_by_one_place() -> None:
    turns: Turns[str] = Turns(1, 100)
    turns.add("w")
    order: list[str] = []
    first = Asking(turns, "many", order)
    await_condition(lambda: order == ["many@w"])
    rest = []
    for client in ("many", "many", "many", "one"):
        rest.append(Asking(turns, client, order))
        rest[-1].leave.set()  # it goes as soon as it has had its place
        await_condition(lambda: turns.waiting == len(rest))
    first.go()
    for item in rest:
        item.join(20)
    assert order == ["many@w", "many@w", "one@w", "many@w", "many@w"]


def test_more_than_may_wait_are_turned_away_at_once() -> None:
    turns: Turns[str] = Turns(1, 1)
    turns.add("w")
    order: list[str] = []
    with turns.place("x"):
        waits = Asking(turns, "y", order)
        await_condition(lambda: turns.waiting == 1)
        with pytest.raises(Crowded), turns.place("z"):
            pass
        assert turns.waiting == 1
    waits.go()
    assert order == ["y@w"]


def test_those_who_wait_get_a_worker_that_comes_later() -> None:
    turns: Turns[str] = Turns(1, 10)
    waits = Asking(turns, "x", order := [])
    await_condition(lambda: turns.waiting == 1)
    turns.add("late")
    await_condition(lambda: order == ["x@late"])
    waits.go()


def test_a_worker_that_has_gone_gets_nothing_more_and_its_place_is_given_back() -> None:
    turns: Turns[str] = Turns(1, 10)
    turns.add("a")
    with turns.place("x"):
        turns.remove("a")
    waits = Asking(turns, "y", order := [])
    await_condition(lambda: turns.waiting == 1)
    turns.add("a")
    await_condition(lambda: order == ["y@a"])
    waits.go()


def test_after_the_end_nobody_waits() -> None:
    turns: Turns[str] = Turns(1, 10)
    waits = Asking(turns, "x", [])
    await_condition(lambda: turns.waiting == 1)
    turns.close()
    waits.join(20)
    assert isinstance(waits.error, NoWorker)
    with pytest.raises(NoWorker), turns.place("y"):
        pass
