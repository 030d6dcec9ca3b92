"""Names of addresses."""

import threading

import pytest

from bcfg2.server.plugins.metadata.reverse import ReverseLookup


class Names:
    """Stands in for the system."""

    def __init__(self, **names):
        self.names = {key.replace("_", "."): value for key, value in names.items()}
        self.asked = []

    def __call__(self, address):
        self.asked.append(address)
        if address not in self.names:
            raise OSError("no name")
        return self.names[address]


@pytest.fixture
def clock(monkeypatch):
    """The time, which passes when a test says so."""
    now = [1000.0]
    monkeypatch.setattr("bcfg2.server.plugins.metadata.reverse.time.monotonic", lambda: now[0])
    return now


def lookup(**names):
    found = Names()
    found.names = {address[1:].replace("_", "."): name for address, name in names.items()}
    return found, ReverseLookup(found)


def test_names_are_in_lower_case_without_a_final_dot():
    assert lookup(a10_0_0_1="Web1.Example.COM.")[1].name_of("10.0.0.1") == "web1.example.com"


def test_an_address_without_a_name_has_none():
    assert lookup()[1].name_of("10.0.0.1") is None


def test_names_are_kept_for_a_while(clock):
    names, reverse = lookup(a10_0_0_1="a")
    assert reverse.name_of("10.0.0.1") == reverse.name_of("10.0.0.1") == "a"
    names.names["10.0.0.1"] = "b"
    clock[0] += reverse.name_age - 1
    assert reverse.name_of("10.0.0.1") == "a"
    clock[0] += 2
    assert reverse.name_of("10.0.0.1") == "b"
    assert len(names.asked) == 2


def test_failures_are_kept_for_a_shorter_while(clock):
    names, reverse = lookup()
    assert reverse.name_of("10.0.0.1") is None
    names.names["10.0.0.1"] = "a"
    assert reverse.name_of("10.0.0.1") is None
    clock[0] += reverse.failure_age + 1
    assert reverse.name_of("10.0.0.1") == "a"


def test_nobody_waits_longer_than_patience():
    release = threading.Event()

    def hang(_address):
        release.wait(20)
        return "late"

    reverse = ReverseLookup(hang)
    reverse.patience = reverse.loopback_patience = 0.01
    try:
        assert reverse.name_of("10.0.0.1") is None
        assert reverse.name_of("127.0.0.9") is None
    finally:
        release.set()
    reverse.patience = 20
    assert reverse.name_of("10.0.0.1") == "late"


def test_all_who_ask_for_an_address_share_one_look_up():
    release, started, names = threading.Event(), threading.Event(), []

    def slow(address):
        names.append(address)
        started.set()
        release.wait(20)
        return "a"

    reverse, answers = ReverseLookup(slow), []
    threads = [threading.Thread(target=lambda: answers.append(reverse.name_of("10.0.0.1"))) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert started.wait(20)
    release.set()
    for thread in threads:
        thread.join(20)
    assert answers == ["a"] * 5
    assert names == ["10.0.0.1"]


def test_a_slow_look_up_does_not_hold_up_others():
    release = threading.Event()

    def lookup_one(address):
        if address == "10.0.0.1":
            release.wait(20)
        return f"name-of-{address}"

    reverse = ReverseLookup(lookup_one)
    waiting = threading.Thread(target=reverse.name_of, args=("10.0.0.1",))
    waiting.start()
    try:
        assert reverse.name_of("10.0.0.2") == "name-of-10.0.0.2"
        assert waiting.is_alive()
    finally:
        release.set()
        waiting.join(20)


def test_the_number_of_look_ups_at_one_time_is_limited():
    release = threading.Event()

    def hang(_address):
        release.wait(20)
        return "a"

    reverse = ReverseLookup(hang)
    reverse.max_running, reverse.patience = 2, 0.01
    try:
        for number in range(5):
            assert reverse.name_of(f"10.0.0.{number}") is None
        assert len(reverse._answers) == 2
    finally:
        release.set()


def test_the_number_of_kept_answers_is_limited():
    names, reverse = lookup()
    reverse.max_kept = 3
    for number in range(10):
        reverse.name_of(f"10.0.0.{number}")
    assert len(reverse._answers) == 3


def test_where_no_thread_can_be_made_an_address_has_no_name(monkeypatch):
    def refuse(_self):
        raise RuntimeError("can't start new thread")

    names, reverse = lookup(a10_0_0_1="a")
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert reverse.name_of("10.0.0.1") is None
    assert reverse._running == 0


def test_the_system_is_asked_by_default():
    assert ReverseLookup().name_of("127.0.0.1") == "localhost"
