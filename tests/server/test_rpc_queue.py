"""Calls from the main process to its children; here both ends are in one process."""

import os
import threading
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from typing import Any

import pytest

from bcfg2.server import rpc_queue
from bcfg2.server.rpc_queue import Answer, ChildEnd, RPCQueue, SubscriberGone
from tests.support import await_condition


class Child(threading.Thread):
    """Answers what is sent to it until it is told to end or its connection does; `silent` methods are not answered."""

    def __init__(self, connection: Any) -> None:
        super().__init__(daemon=True)
        self.connection = connection
        self.end = ChildEnd(connection)
        self.taken: list[Any] = []
        self.start()

    def run(self) -> None:
        try:
            while (request := self.end.get()).method != "end":
                self.taken.append(request)
                if request.number is not None and request.method != "silent":
                    self.end.answer(request.number, (request.method, request.args, request.kwargs))
        except (EOFError, OSError):
            pass
        finally:
            self.connection.close()


class Made:
    """A queue with two children."""

    def __init__(self) -> None:
        self.news: list[Any] = []
        self.ended: list[str] = []
        self.queue = RPCQueue(
            lambda child, news: self.news.append((child.name, news)), lambda c: self.ended.append(c.name)
        )
        self.children: dict[str, Child] = {}
        for name in ("one", "two"):
            here, there = Pipe()
            self.children[name] = Child(there)
            self.queue.add_subscriber(name, here)

    def subscriber(self, name: str) -> Any:
        return next(item for item in self.queue.subscribers() if item.name == name)


@pytest.fixture
def made() -> Iterator[Made]:
    found = Made()
    yield found
    found.queue.close()
    for child in found.children.values():
        child.join(10)
        assert not child.is_alive()


def test_a_call_is_answered_by_whom_it_is_addressed_to(made: Made) -> None:
    assert made.queue.rpc("two", "m", (1,), {"a": 2}, timeout=10) == ("m", (1,), {"a": 2})
    assert [request.method for request in made.children["one"].taken] == []
    with pytest.raises(SubscriberGone, match="nobody"):
        made.queue.rpc("nobody", "m")


def test_what_is_published_is_known_to_all_before_a_later_call_is_answered(made: Made) -> None:
    made.queue.publish("p", (1,), besides=made.subscriber("two"))
    made.queue.publish("q")
    for name, wanted in (("one", ["p", "q", "m"]), ("two", ["q", "m"])):
        made.queue.rpc(name, "m", timeout=10)
        assert [request.method for request in made.children[name].taken] == wanted


def test_answers_find_their_calls_whatever_their_order(made: Made) -> None:
    results: dict[int, Any] = {}

    def call(number: int) -> None:
        results[number] = made.queue.rpc("one", "m", (number,), timeout=10)[1]

    threads = [threading.Thread(target=call, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: (number,) for number in range(20)}


def test_a_call_that_is_not_answered_in_time_says_so_and_costs_no_other(made: Made) -> None:
    with pytest.raises(TimeoutError, match="one has not answered silent within 0.05 seconds"):
        made.queue.rpc("one", "silent", timeout=0.05)
    assert made.queue.rpc("one", "m", timeout=10)[0] == "m"


def test_who_waits_for_a_child_that_ends_is_told(made: Made) -> None:
    wait = made.subscriber("one").begin("silent")
    made.queue.publish("end", besides=made.subscriber("two"))
    with pytest.raises(SubscriberGone, match="one"):
        wait(10)
    await_condition(lambda: made.ended == ["one"])
    assert [item.name for item in made.queue.subscribers()] == ["two"]


def test_who_waits_when_a_connection_is_closed_is_told(made: Made) -> None:
    subscriber = made.subscriber("one")
    wait = subscriber.begin("silent")
    subscriber.close()
    with pytest.raises(SubscriberGone):
        wait(10)
    with pytest.raises(SubscriberGone):
        subscriber.rpc("m", timeout=10)
    subscriber.close()
    assert made.ended == ["one"] and subscriber.is_gone


def test_a_descriptor_is_closed_only_when_no_thread_uses_it_any_more() -> None:
    here, there = Pipe()
    number = here.fileno()
    subscriber = RPCQueue().add_subscriber("child", here)
    there.send_bytes((1 << 20).to_bytes(4, "big") + b"a message of which the rest will never come")  # half an answer
    subscriber.close()
    await_condition(lambda: here.closed)
    with pytest.raises(OSError):
        os.fstat(number)
    there.close()


def test_a_message_that_cannot_be_sent_costs_nothing_else(made: Made) -> None:
    made.queue.publish("p", (lambda: None,))
    with pytest.raises(SubscriberGone):
        made.queue.rpc("one", "m", (lambda: None,), timeout=10)
    assert made.queue.rpc("one", "m", timeout=10)[0] == "m"


def test_what_cannot_be_understood_ends_the_connection(made: Made) -> None:
    wait = made.subscriber("two").begin("silent")
    made.children["two"].connection.send_bytes(b"this is no pickle")
    with pytest.raises(SubscriberGone):
        wait(10)
    await_condition(lambda: made.ended == ["two"])


def test_news_arrive_and_one_that_cannot_be_handled_costs_nothing_else() -> None:
    seen: list[Any] = []

    def take(_child: Any, news: Any) -> None:
        seen.append(news)
        if news == "bad":
            raise RuntimeError("no")

    here, there = Pipe()
    queue = RPCQueue(take)
    queue.add_subscriber("child", here)
    for news in ("bad", "good"):
        there.send(Answer(None, news))
    await_condition(lambda: seen == ["bad", "good"])
    queue.close()


def test_a_child_that_takes_no_messages_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_queue, "MAX_UNSENT", 3)
    here, there = Pipe()
    ended: list[Any] = []
    queue = RPCQueue(on_end=ended.append)
    subscriber = queue.add_subscriber("child", here)
    big = b"x" * (4 << 20)  # more than the kernel takes
    for _ in range(6):
        subscriber.publish("m", (big,))
    assert ended == [subscriber] and queue.subscribers() == []
    await_condition(lambda: here.closed)
    there.close()


def test_a_sign_of_life_is_noted(made: Made) -> None:
    subscriber = made.subscriber("one")
    subscriber.heard = 0.0
    subscriber.ping()
    await_condition(lambda: time.monotonic() - subscriber.heard < 60)
