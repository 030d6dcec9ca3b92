"""What the DNS says, asked in the background."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from bcfg2.server.plugins.sshbase import resolver
from bcfg2.server.plugins.sshbase.resolver import Resolver, look_up
from tests.support import await_condition

Answers = dict[str, frozenset[str] | None]


class FakeDNS:
    """Answers from a table; names that are not in it are answered when the event `released` is set."""

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.asked: list[str] = []
        self.released = threading.Event()

    def look_up(self, name: str) -> frozenset[str] | None:
        self.asked.append(name)
        if name not in self.answers:
            self.released.wait(20)
        return self.answers.get(name, frozenset())


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDNS]:
    fake = FakeDNS()
    monkeypatch.setattr(resolver, "look_up", fake.look_up)
    monkeypatch.setattr(resolver, "_IDLE", 0.05)
    yield fake
    fake.released.set()


def test_answers_are_waited_for_and_kept(dns: FakeDNS) -> None:
    dns.answers = {"web1": frozenset({"192.0.2.1"}), "web2": frozenset()}
    made = Resolver(100, 100)
    for _ in range(2):
        assert made.known(["web1", "web2"], 20) == {"web1": frozenset({"192.0.2.1"}), "web2": frozenset()}
    assert sorted(dns.asked) == ["web1", "web2"]


def test_a_dead_dns_costs_one_wait_and_late_answers_are_taken(dns: FakeDNS) -> None:
    made = Resolver(100, 100)
    assert made.known(["dead"], 0.01) == {"dead": frozenset()}
    assert made.known(["dead", "more"], 1000) == {"dead": frozenset(), "more": frozenset()}
    before = made.version
    dns.answers["dead"] = frozenset({"192.0.2.1"})
    dns.released.set()
    await_condition(lambda: made.version != before)
    assert made.known(["dead"], 0) == {"dead": frozenset({"192.0.2.1"})}
    assert sorted(dns.asked) == ["dead", "more"]


def test_an_answer_that_is_old_is_given_while_a_new_one_is_asked_for(dns: FakeDNS) -> None:
    dns.answers = {"web1": frozenset({"192.0.2.1"})}
    made = Resolver(0, 0)
    made.known(["web1"], 20)
    dns.answers = {"web1": frozenset({"192.0.2.2"})}
    assert made.known(["web1"], 0) == {"web1": frozenset({"192.0.2.1"})}
    await_condition(lambda: made.known(["web1"], 0) == {"web1": frozenset({"192.0.2.2"})})


def test_a_failure_takes_nothing_away(dns: FakeDNS) -> None:
    dns.answers = {"web1": frozenset({"192.0.2.1"})}
    made = Resolver(0, 100)
    made.known(["web1"], 20)
    dns.answers = {"web1": None}
    await_condition(lambda: made.known(["web1"], 0) and len(dns.asked) == 2)
    assert made.known(["web1"], 0) == {"web1": frozenset({"192.0.2.1"})}


def test_threads_end_when_there_is_nothing_to_do(dns: FakeDNS) -> None:
    dns.answers = {f"web{number}": frozenset() for number in range(20)}
    made = Resolver(100, 100)
    made.known(list(dns.answers), 20)
    await_condition(lambda: made._threads == 0)
    dns.answers["late"] = frozenset({"192.0.2.1"})
    assert made.known(["late"], 20) == {"late": frozenset({"192.0.2.1"})}


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the system's resolver answer: addresses or an error, and the names of addresses."""

    def answer(forward: list[str] | Exception, reverse: dict[str, tuple[str, list[str]]]) -> None:
        def getaddrinfo(name: str, *_more: object, **_options: object) -> list[object]:
            if isinstance(forward, Exception):
                raise forward
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in forward]

        def gethostbyaddr(address: str) -> tuple[str, list[str], list[str]]:
            if address not in reverse:
                raise socket.herror
            return (*reverse[address], [address])

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(socket, "gethostbyaddr", gethostbyaddr)

    return answer


def test_addresses_and_the_names_that_these_have_are_found(system: Callable[..., None]) -> None:
    system(["192.0.2.1", "192.0.2.2"], {"192.0.2.1": ("www.example.com", ["web"])})
    assert look_up("web1") == {"192.0.2.1", "192.0.2.2", "www.example.com", "web"}


def test_names_that_would_add_lines_or_hosts_are_left_out(system: Callable[..., None]) -> None:
    system(["192.0.2.1"], {"192.0.2.1": ("a,bank.example", ["b c", "d\ne", "*"])})
    assert look_up("web1") == {"192.0.2.1"}


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), frozenset()),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), None),
        (UnicodeError("label too long"), frozenset()),
    ],
)
def test_errors(system: Callable[..., None], error: Exception, answer: frozenset[str] | None) -> None:
    system(error, {})
    assert look_up("web1") == answer
