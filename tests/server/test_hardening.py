"""An unfriendly network cannot hurt the HTTPS server: slow, many, malformed and guessing clients, over real sockets."""

import contextlib
import json
import logging
import re
import resource
import shlex
import socket
import ssl
import threading
import time
from dataclasses import fields
from pathlib import Path

import pytest

from bcfg2.server import connections as connections_module
from bcfg2.server.builtin_core import BuiltinCore
from bcfg2.server.failed_logins import MAX_ADDRESSES, MAX_WAITING, FailedLogins
from bcfg2.server.limits import Limits, SparseLog, allow_descriptors
from bcfg2.server.ssl_server import Page, ServerError, make_context
from tests.conftest import make_certificate
from tests.server.https import (
    Instance,
    basic,
    call_body,
    connect,
    context,
    exchange,
    is_closed,
    read_answer,
    request,
    serving,
    value_of,
)
from tests.support import ServerProcess, await_condition

LOG = "bcfg2.SSLServer"


@pytest.fixture
def server(certificate):
    with serving(certificate) as running:
        yield running


def plain_connection(server, source="127.0.0.1") -> socket.socket:
    """A connection that does not even begin to speak TLS."""
    return socket.create_connection(server.server_address, timeout=10, source_address=(source, 0))


def seconds_until_closed(sock, drip=b"", every=0.05, limit=5.0) -> float:
    """How long the server bears with SOCK, on which DRIP is sent all the time, until it answers or closes."""
    begun = time.monotonic()
    sock.settimeout(every)
    while time.monotonic() - begun < limit:
        try:
            if drip:
                sock.sendall(drip)
            sock.recv(1)
            break
        except TimeoutError:
            continue
        except (OSError, ssl.SSLError):
            break
    return time.monotonic() - begun


def works(server) -> bool:
    return value_of(exchange(server, request(call_body("echo", "x")))[2]) == "x"


# slow and silent clients


def test_a_silent_connection_is_closed_after_the_time_for_the_handshake(certificate):
    with serving(certificate, timeout=0.3) as server, plain_connection(server) as sock:
        assert 0.2 < seconds_until_closed(sock) < 2
        await_condition(lambda: server.counters.connections == 0)


def test_a_handshake_that_comes_byte_by_byte_has_no_more_time(certificate):
    hello = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context().wrap_bio(ssl.MemoryBIO(), hello).do_handshake()
    data = iter(hello.read())
    with serving(certificate, timeout=0.5) as server, plain_connection(server) as sock:
        begun = time.monotonic()
        sock.settimeout(0.05)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - begun < 5:
                sock.sendall(bytes([next(data)]))
                with contextlib.suppress(TimeoutError):
                    if not sock.recv(1):
                        break
        assert time.monotonic() - begun < 2


def test_a_client_that_says_nothing_after_the_handshake_is_let_go(certificate):
    with serving(certificate, timeout=0.3) as server, connect(server) as sock:
        begun = time.monotonic()
        assert is_closed(sock)
        assert time.monotonic() - begun < 2


def test_headers_that_come_byte_by_byte_are_answered_with_408(certificate):
    with serving(certificate, timeout=0.4) as server, connect(server) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nX: ")
        begun = time.monotonic()
        assert seconds_until_closed(sock, drip=b"x") < 2
        assert time.monotonic() - begun >= 0.3
        await_condition(lambda: server.counters.connections == 0)


def test_a_body_that_comes_byte_by_byte_is_given_up(certificate):
    with serving(certificate, timeout=0.4, rate=1000) as server, connect(server) as sock:
        sock.sendall(request(b"", length=100_000))
        assert seconds_until_closed(sock, drip=b"x") < 2


def test_a_slow_body_is_read_while_it_comes_at_the_minimum_rate(certificate):
    body = call_body("echo", "x" * 3000)
    with serving(certificate, timeout=0.4, rate=1000) as server, connect(server) as sock:
        sock.sendall(request(b"", length=len(body)))
        for start in range(0, len(body), 200):  # 2000 bytes a second, longer than the timeout in all
            sock.sendall(body[start : start + 200])
            time.sleep(0.1)
        assert value_of(read_answer(sock)[2]) == "x" * 3000


def test_a_fast_beginning_buys_no_long_silence(certificate):
    with serving(certificate, timeout=0.4, rate=1000) as server, connect(server) as sock:
        sock.sendall(request(b"", length=1_000_000) + b"x" * 500_000)
        begun = time.monotonic()
        assert read_answer(sock)[0] == 408
        assert time.monotonic() - begun < 2


def test_a_client_that_does_not_read_its_answer_is_let_go(certificate):
    with serving(certificate, timeout=0.5) as server:
        server.test_instance.call_large = lambda *, address: "x" * (32 << 20)
        with connect(server) as sock:
            sock.sendall(request(call_body("large")))
            await_condition(lambda: server.counters.requests == 1)
            await_condition(lambda: server.counters.connections == 0, limit=10)


@pytest.mark.parametrize(
    "stage", ["before the handshake", "in the handshake", "after it", "in the headers", "in the body"]
)
def test_slow_clients_at_any_stage_keep_nobody_waiting(server, stage):
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            if stage in ("before the handshake", "in the handshake"):
                sock = stack.enter_context(plain_connection(server))
                sock.sendall(b"\x16\x03\x01" if stage == "in the handshake" else b"")
                continue
            sock = stack.enter_context(connect(server))
            data = request(b"", length=100)
            sock.sendall({"after it": b"", "in the headers": data[:30], "in the body": data}[stage])
        begun = time.monotonic()
        assert works(server)
        assert time.monotonic() - begun < 2


# many connections


def test_an_idle_connection_gives_way_when_all_are_taken(certificate):
    with serving(certificate, connections=2, idle=30) as server:
        busy, idle = connect(server), connect(server, source="127.0.0.2")
        with busy, idle:
            idle.sendall(request(call_body("who")))
            read_answer(idle)
            busy.sendall(request(call_body("wait")))
            assert server.test_instance.entered.wait(10)
            assert works(server)
            assert is_closed(idle)
            server.test_instance.release.set()
            assert value_of(read_answer(busy)[2]) == "done"
        assert server.counters.given_way == 1


def test_the_connection_that_was_idle_longest_gives_way_first(certificate):
    with serving(certificate, connections=2, idle=30) as server, connect(server) as first, connect(server) as second:
        for sock in (second, first):  # the second one is idle longer
            sock.sendall(request(call_body("who")))
            read_answer(sock)
            await_condition(lambda: server.counters.requests == 0)
        with connect(server):
            assert is_closed(second)
            first.sendall(request(call_body("who")))
            assert read_answer(first)[0] == 200


def test_silent_connections_give_way_after_some_grace(certificate, monkeypatch):
    monkeypatch.setattr(connections_module, "GRACE", 0.2)
    with serving(certificate, connections=2, timeout=30) as server, contextlib.ExitStack() as stack:
        for number in range(2, 10):
            stack.enter_context(plain_connection(server, source=f"127.0.0.{number}"))
        begun = time.monotonic()
        assert works(server)
        assert time.monotonic() - begun < 5
        assert server.counters.connections <= 2


def test_connections_of_one_address_are_limited_and_others_are_served(certificate, caplog):
    with serving(certificate, connections_per_address=2) as server, contextlib.ExitStack() as stack:
        busy = [stack.enter_context(connect(server, source="127.0.0.2")) for _ in range(2)]
        for sock in busy:
            sock.sendall(request(call_body("wait")))
        await_condition(lambda: server.counters.requests == 2)
        for _ in range(5):
            with plain_connection(server, source="127.0.0.2") as refused:
                assert is_closed(refused)
        assert works(server)
        server.test_instance.release.set()
        assert [value_of(read_answer(sock)[2]) for sock in busy] == ["done", "done"]
        assert server.counters.refused == 5
    lines = [record.getMessage() for record in caplog.records if "max_connections_per_address" in record.getMessage()]
    assert lines == ["127.0.0.2 has 2 connections (max_connections_per_address): more are closed at once"]


def test_an_idle_connection_gives_way_to_one_of_the_same_address(certificate):
    with serving(certificate, connections_per_address=3) as server, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(plain_connection(server)) for _ in range(20)]
        assert works(server)
        assert is_closed(silent[0])
        await_condition(lambda: server.counters.connections <= 3)


def test_a_crowd_beyond_all_limits_is_served_in_the_end(certificate):
    with serving(certificate, connections=4) as server:
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(exchange(server, request(call_body("echo", 1)))[0]))
            for _ in range(40)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert answers == [200] * 40


def test_a_thousand_idle_connections_and_a_working_client(certificate):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip(f"only {hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    threads = threading.active_count()
    try:
        with serving(certificate) as server, contextlib.ExitStack() as stack:
            for number in range(1000):
                stack.enter_context(plain_connection(server, source=f"127.0.0.{2 + number % 20}"))
            for _ in range(3):
                begun = time.monotonic()
                assert works(server)
                assert time.monotonic() - begun < 5
            assert server.counters.connections <= Limits().connections
        await_condition(lambda: threading.active_count() <= threads)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_idle_connections_from_one_address_after_the_handshake(certificate):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip(f"only {hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    tls = context()
    try:
        many = {"connections": 1200, "connections_per_address": 1200, "idle": 60, "timeout": 60}
        with serving(certificate, **many) as server, contextlib.ExitStack() as stack:
            for _ in range(1000):
                stack.enter_context(tls.wrap_socket(plain_connection(server)))
            assert server.counters.connections == 1000
            for _ in range(3):
                begun = time.monotonic()
                assert works(server)
                assert time.monotonic() - begun < 2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_loop_that_accepts_shows_that_it_turns_even_when_all_connections_are_taken(certificate):
    with serving(certificate, connections=1) as server, connect(server) as busy:
        await_condition(lambda before=server.turned: server.turned > before)
        busy.sendall(request(call_body("wait")))
        assert server.test_instance.entered.wait(10)
        with plain_connection(server):
            for _ in range(2):
                await_condition(lambda before=server.turned: server.turned > before)


def test_running_out_of_descriptors_is_survived(server, monkeypatch, caplog):
    accept = socket.socket.accept
    failures = iter([OSError(24, "Too many open files")] * 2)

    def failing(self):
        if failure := next(failures, None):
            raise failure
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", failing)
    assert works(server)
    assert [record.getMessage() for record in caplog.records if "Cannot accept" in record.getMessage()] == [
        "Cannot accept connections: Too many open files"
    ]


def test_running_out_of_threads_is_survived(server, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("can't start")))
        with plain_connection(server) as sock:
            assert is_closed(sock)
    assert works(server)
    assert server.counters.refused == 1
    assert "Cannot serve 127.0.0.1: can't start" in caplog.text


def test_the_descriptors_that_connections_need_are_asked_for(monkeypatch, caplog):
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (1024, 2000))
    monkeypatch.setattr(resource, "setrlimit", lambda _what, limits: asked.append(limits))
    allow_descriptors(100, logging.getLogger(LOG))
    assert asked == []
    allow_descriptors(1000, logging.getLogger(LOG))
    assert asked == [(1256, 2000)]
    assert caplog.text == ""
    allow_descriptors(5000, logging.getLogger(LOG))
    assert asked[1:] == [(2000, 2000)]
    assert "only 2000 are allowed" in caplog.text


def test_a_sparse_log_writes_one_line_and_counts_the_others(caplog):
    log = SparseLog(logging.getLogger(LOG), interval=0.1)
    for number in range(50):
        log.warning("fault %d", number)
    time.sleep(0.15)
    log.warning("fault %d", 99)
    assert [record.getMessage() for record in caplog.records] == [
        "fault 0",
        "fault 99 (49 more of this kind since the last such line)",
    ]


# malformed requests


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /\r\n\r\n", 400),
        (b"POST / HTTP/2.0\r\n\r\n", 505),
        (b"POST  / HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1 x\r\n\r\n", 400),
        (b"P\x00ST / HTTP/1.1\r\n\r\n", 400),
        (b"POST /\xff HTTP/1.1\r\n\r\n", 400),
        (b"POST /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"POST / HTTP/1.1\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\n" + b"A: x\r\n" * 101 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nA: a\r\n folded\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nA : a\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nA\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n: a\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nA: a\x00b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nA: a\rb\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 3, 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 0x3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nAuthorization: Basic a\r\nAuthorization: Basic b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ],
)
def test_a_malformed_head_is_refused_before_anything_else(server, data, status):
    answer = exchange(server, data)
    assert (answer[0], answer[1]["connection"]) == (status, "close")
    assert server.test_instance.certificates == []
    assert works(server)


@pytest.mark.parametrize(
    "chunks",
    [b"+3\r\nabc\r\n0\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n", b"-1\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"\r\n"]
    + [
        b"3_0\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nnonsense\r\n\r\n",
        b"3;\x00\r\nabc\r\n0\r\n\r\n",
        b"f" * 16 + b"\r\n",
    ],
)
def test_bodies_that_are_not_well_chunked_are_refused(server, chunks):
    assert exchange(server, request(chunks, length=False, extra=["Transfer-Encoding: chunked"]))[0] == 400


def test_chunks_with_endless_extensions_count_as_body(certificate):
    with serving(certificate, body=10_000) as server:
        chunks = (b"1;" + b"x" * 1000 + b"\r\nx\r\n") * 20
        assert exchange(server, request(chunks, length=False, extra=["Transfer-Encoding: chunked"]))[0] == 413


def test_the_same_length_said_twice_is_no_harm(server):
    body = call_body("echo", "x")
    assert value_of(exchange(server, request(body, extra=[f"Content-Length: {len(body)}"]))[2]) == "x"


def test_a_blank_line_before_a_request_is_no_harm(server):
    assert value_of(exchange(server, b"\r\n" + request(call_body("echo", "x")))[2]) == "x"


def test_a_client_that_expects_to_be_asked_for_the_body_is(server):
    body = call_body("echo", "x")
    with connect(server) as sock:
        sock.sendall(request(b"", length=len(body), extra=["Expect: 100-continue"]))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert value_of(read_answer(sock)[2]) == "x"
    with connect(server) as sock:
        sock.sendall(request(b"", length=10**12, extra=["Expect: 100-continue"]))
        assert read_answer(sock)[0] == 413


def test_requests_may_be_sent_ahead(server):
    with connect(server) as sock:
        sock.sendall(request(call_body("echo", 1)) + request(call_body("echo", 2)))
        data = b""
        while b"<int>2</int>" not in data:
            data += sock.recv(1000)
        assert data.count(b"HTTP/1.1 200") == 2


NESTED = b"<value><array><data>" * 100_000


@pytest.mark.parametrize(
    "argument",
    [
        NESTED,
        b"<value><int>x</int></value>",
        b"<value><boolean>7</boolean></value>",
        b"<value><dateTime.iso8601>never</dateTime.iso8601></value>",
        b"<value><base64>\xff</base64></value>",
        b"<value><string>\x00</string></value>",
        b"<value><string>\xc3\x28</string></value>",
        b"<value><string>&#0;</string></value>",
        b"<value><string>&undefined;</string></value>",
        b"<value><struct><member><value>x</value></member></struct></value>",
        b"<value><unheard/></value>",
        b"<value><int>" + b"9" * 100_000 + b"</int></value>",
    ],
)
def test_arguments_that_are_none_are_400(server, argument):
    body = b"<methodCall><methodName>echo</methodName><params><param>" + argument + b"</param></params></methodCall>"
    if argument is NESTED:
        body = body.replace(b"</param>", b"</data></array></value>" * 100_000 + b"</param>")
    assert exchange(server, request(body))[0] == 400
    assert works(server)


@pytest.mark.parametrize(
    "prolog",
    [
        b'<!DOCTYPE m [<!ENTITY a "' + b"x" * 1000 + b'"><!ENTITY b "&a;&a;&a;&a;">]>',
        b'<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE m SYSTEM "http://127.0.0.1:1/evil.dtd">',
        b'<?xml version="1.0" encoding="utf-7"?>',
    ],
)
def test_bombs_and_entities_are_400(server, prolog):
    call = b"<methodCall><methodName>echo</methodName><params><param><value>&b;</value></param></params></methodCall>"
    assert exchange(server, request(prolog + call))[0] == 400


def test_wrong_argument_counts_are_faults(server):
    with pytest.raises(Exception, match="takes from 1 to 2 positional arguments"):
        value_of(exchange(server, request(call_body("echo", 1, 2, 3)))[2])


def test_what_cannot_be_encoded_is_a_fault(server, caplog):
    server.test_instance.call_large = lambda *, address: 2**80
    with pytest.raises(Exception, match="int exceeds XML-RPC limits"):
        value_of(exchange(server, request(call_body("large")))[2])
    assert "large failed for root" in caplog.text


def test_an_instance_that_fails_is_500_and_named(server, caplog):
    def failing(*_arguments):
        raise OSError("the disk is gone")

    server.test_instance.authenticate = failing
    assert exchange(server, request(call_body("echo")))[0] == 500
    assert "Authentication failed for 127.0.0.1" in caplog.text
    assert 'outcome="refused 500"' in caplog.text


# guessing passwords


def guess(server, times: int, source="127.0.0.1", password="wrong") -> list[tuple[int, float]]:
    """Status and seconds of so many requests one after the other."""
    found = []
    for _ in range(times):
        begun = time.monotonic()
        with connect(server, source=source) as sock:
            sock.sendall(request(call_body("echo"), auth=basic(password=password)))
            found.append((read_answer(sock)[0], time.monotonic() - begun))
    return found


def test_answers_to_many_wrong_passwords_are_delayed(certificate):
    with serving(certificate, login_failures=3, login_delay=0.5) as server:
        first, later = guess(server, 3), guess(server, 3)
        assert {status for status, _ in first + later} == {401}
        assert max(seconds for _, seconds in first) < 0.4
        assert min(seconds for _, seconds in later) >= 0.5


def test_right_passwords_from_the_same_address_are_not_delayed(certificate):
    with serving(certificate, login_failures=2, login_delay=0.5) as server:
        guess(server, 4)
        ((status, seconds),) = guess(server, 1, password="secret")
        assert (status, seconds < 0.4) == (200, True)


def test_wrong_passwords_are_forgotten(certificate):
    with serving(certificate, login_failures=1, login_delay=0.4) as server:
        guess(server, 2)
        time.sleep(1.8)
        assert guess(server, 1)[0][1] < 0.4


def test_guessing_with_many_connections_is_refused_and_others_are_served(certificate):
    with serving(certificate, login_failures=2, login_delay=1.0) as server:
        guess(server, 2, source="127.0.0.2")
        statuses = []
        threads = [
            threading.Thread(target=lambda: statuses.extend(guess(server, 1, source="127.0.0.2"))) for _ in range(30)
        ]
        begun = time.monotonic()
        for thread in threads:
            thread.start()
        assert works(server)
        assert time.monotonic() - begun < 2
        for thread in threads:
            thread.join(20)
        codes = [status for status, _ in statuses]
        assert codes.count(401) >= 1
        assert codes.count(429) >= 30 - 3 * MAX_WAITING
        await_condition(lambda: guess(server, 1, source="127.0.0.2", password="secret")[0][0] == 200, limit=3)


def test_no_password_gets_into_the_log(server, caplog):
    with caplog.at_level(logging.DEBUG):
        guess(server, 2, password="Tr0ub4dor")
        exchange(server, request(call_body("echo"), auth="Basic Tr0ub4dor&3"))
        exchange(server, request(call_body("echo"), extra=["Authorization: Tr0ub4dor"]))
    assert "Tr0ub4dor" not in caplog.text
    assert "outcome=unauthenticated" in caplog.text


def test_a_request_without_credentials_is_no_guess(certificate):
    with serving(certificate, login_failures=0, login_delay=5) as server:
        begun = time.monotonic()
        for _ in range(5):
            assert exchange(server, request(call_body("echo"), auth=None))[0] == 401
        assert time.monotonic() - begun < 4


def test_stopping_does_not_wait_for_delayed_answers(certificate):
    with serving(certificate, login_failures=0, login_delay=30) as server, connect(server) as sock:
        sock.sendall(request(call_body("echo"), auth=basic(password="wrong")))
        await_condition(lambda: server.counters.requests == 1)
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 4
        assert read_answer(sock)[0] == 401


def test_the_table_of_addresses_is_bounded():
    logins = FailedLogins(allowed=1, delay=0, threads=1)
    stopping = threading.Event()
    for number in range(MAX_ADDRESSES + 100):
        logins.failed(f"192.0.2.{number}", stopping)
    assert len(logins._failures) == MAX_ADDRESSES


def test_delayed_answers_hold_a_bounded_number_of_threads():
    logins = FailedLogins(allowed=0, delay=20, threads=2)
    stopping = threading.Event()
    threads = [threading.Thread(target=logins.failed, args=(f"192.0.2.{number}", stopping)) for number in range(6)]
    for thread in threads:
        thread.start()
    await_condition(lambda: sum(thread.is_alive() for thread in threads) == 2)
    assert all(logins.refuses(f"192.0.2.{number}") for number in range(6))
    assert not logins.refuses("198.51.100.1")
    stopping.set()
    for thread in threads:
        thread.join(5)
    assert not any(logins.refuses(f"192.0.2.{number}") for number in range(6))


# pages


class WithPages(Instance):
    def page(self, path, address):
        if path == "/broken":
            raise RuntimeError("no page")
        return Page(503, "text/plain", f"{path} for {address[0]}".encode()) if path.startswith("/page") else None


def test_pages_are_given_before_authentication_and_everything_else_is_as_ever(certificate):
    with serving(certificate, instance=WithPages()) as server:
        status, headers, body = exchange(server, request("", verb="GET", auth=None).replace(b"/RPC2", b"/page?x=1"))
        assert (status, headers["content-type"], body) == (503, "text/plain", b"/page?x=1 for 127.0.0.1")
        assert headers["connection"] == "close"
        head = exchange_raw(server, request("", verb="HEAD", auth=None).replace(b"/RPC2", b"/page"))
        assert head.startswith(b"HTTP/1.1 503")
        assert b"Content-Length: 19\r\n" in head
        assert head.endswith(b"\r\n\r\n")
        assert exchange(server, request("", verb="GET", auth=None))[0] == 401
        assert exchange(server, request("", verb="GET"))[0] == 501
        assert exchange(server, request("", verb="PUT", auth=None).replace(b"/RPC2", b"/page"))[0] == 401
        assert exchange(server, request("", verb="GET", auth=None).replace(b"/RPC2", b"/broken"))[0] == 500
        assert works(server)


def exchange_raw(server, data: bytes) -> bytes:
    with connect(server) as sock:
        sock.sendall(data)
        return b"".join(iter(lambda: sock.recv(1000), b""))


# the log of requests


def fields_of(line: str) -> dict[str, str]:
    """The fields of a line about a request."""
    assert line.startswith("call ")
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)(?: |$)', line[5:])
    assert " ".join(f"{name}={value}" for name, value in pairs) == line[5:]
    return {name: json.loads(value) if value.startswith('"') else value for name, value in pairs}


def calls_in(caplog) -> list[dict[str, str]]:
    return [fields_of(record.getMessage()) for record in caplog.records if record.getMessage().startswith("call ")]


def test_every_request_has_one_line(server, caplog):
    caplog.set_level(logging.INFO)
    told = []
    server.test_instance.called = lambda *what: told.append(what)
    requests = {
        "ok": request(call_body("echo", "x")),
        "fault -32601": request(call_body("fault")),
        "fault 1": request(call_body("fail")),
        "denied": request(call_body("forbidden")),
        "unauthenticated": request(call_body("echo"), auth=basic(password="wrong")),
        "refused 413": request(b"", length=10**12),
        "refused 411": request(b"", length=False),
        "refused 400": request(b"hello"),
        "refused 501": request(b"", verb="BREW"),
        "refused 431": b"POST / HTTP/1.1\r\nA: " + b"x" * 70_000 + b"\r\n\r\n",
    }
    lengths = [len(exchange(server, data)[2]) for data in requests.values()]
    lines = calls_in(caplog)
    assert [line["outcome"] for line in lines] == list(requests)
    assert [int(line["bytes"]) for line in lines] == lengths
    assert {line["address"] for line in lines} == {"127.0.0.1"}
    assert {name: lines[0][name] for name in ("method", "client")} == {"method": "echo", "client": "root"}
    assert [line["method"] for line in lines] == [
        "echo",
        "fault",
        "fail",
        "forbidden",
        "-",
        "-",
        "-",
        "-",
        "BREW /RPC2",
        "-",
    ]
    assert [("reason" in line) for line in lines] == [False] * 3 + [True] * 7
    assert [what[:2] for what in told] == [(line["method"].strip("-"), line["outcome"]) for line in lines]
    assert told[0][3] == len(call_body("echo", "x"))


def test_a_hostile_method_name_stays_in_its_field(server, caplog):
    caplog.set_level(logging.INFO)
    name = 'x" outcome=ok\ncall method=y\u2028 \\"' + "z" * 1000
    exchange(server, request(call_body(name.replace("\n", " "))))
    body = call_body("NAME").replace(b"NAME", b'a" outcome=ok&#10;call method=&quot;y\xe2\x80\xa8')
    exchange(server, request(body))
    lines = calls_in(caplog)
    assert len(lines) == 2
    assert lines[1]["method"] == 'a" outcome=ok\ncall method="y\u2028'
    assert all(line["outcome"] == "fault 1" for line in lines)
    assert all(
        len(shlex.split(record.getMessage())) >= 7 for record in caplog.records if record.levelno == logging.INFO
    )


# TLS


def test_ciphers_are_those_of_the_option(certificate):
    with serving(certificate, ciphers="ECDHE-RSA-AES256-GCM-SHA384") as server:
        tls = context()
        tls.maximum_version = ssl.TLSVersion.TLSv1_2
        with tls.wrap_socket(plain_connection(server)) as sock:
            assert sock.cipher()[0] == "ECDHE-RSA-AES256-GCM-SHA384"
        tls.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
        with pytest.raises(OSError), tls.wrap_socket(plain_connection(server)):
            pass


def test_ciphers_that_do_not_exist_are_an_error_at_the_start(certificate):
    with pytest.raises(ServerError, match=r"'ROT13' selects no ciphers \(option ciphers of \[communication\]\)"):
        make_context(str(certificate.key), str(certificate.cert), None, "ROT13")


@pytest.fixture
def renewable(tmp_path, certificate):
    """A server whose certificate may be exchanged, looked at all the time."""
    made = make_certificate(tmp_path / "old")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bcfg2.server.tls._INTERVAL", 0.0)
        with serving(made, ca=str(made.cert), idle=30) as running:
            running.files = made
            yield running


def presented(server, **tls) -> bytes:
    with connect(server, **tls) as sock:
        return sock.getpeercert(binary_form=True)


def test_a_renewed_certificate_is_presented_and_connections_go_on(renewable, tmp_path):
    before = presented(renewable)
    with connect(renewable) as old:
        new = make_certificate(tmp_path / "new")
        for name in ("cert", "key"):
            getattr(new, name).replace(getattr(renewable.files, name))
        assert presented(renewable) != before
        for _ in range(2):
            old.sendall(request(call_body("echo", "still there")))
            assert value_of(read_answer(old)[2]) == "still there"


def test_a_renewed_authority_decides_about_new_clients(renewable, tmp_path):
    other = make_certificate(tmp_path / "other")
    stranger = other.sign("web1")
    with pytest.raises(OSError):
        exchange(renewable, request(call_body("echo")), certificate=stranger)
    renewable.files.cert.write_bytes(other.cert.read_bytes())
    renewable.files.key.write_bytes(other.key.read_bytes())
    assert exchange(renewable, request(call_body("echo")), certificate=stranger)[0] == 200


def test_a_broken_renewal_leaves_the_old_certificate_in_force(renewable, caplog):
    before = presented(renewable)
    renewable.files.key.write_text("nonsense")
    assert presented(renewable) == before
    assert presented(renewable) == before
    lines = [record.getMessage() for record in caplog.records if "stays in force" in record.getMessage()]
    assert len(lines) == 1
    assert str(renewable.files.key) in lines[0]
    renewable.files.key.unlink()
    assert presented(renewable) == before
    assert works(renewable)


def test_a_client_cannot_renegotiate(server):
    assert server.tls.current().options & ssl.OP_NO_RENEGOTIATION


def test_plain_http_is_closed(server):
    with plain_connection(server) as sock:
        sock.sendall(request(call_body("echo")))
        data = b""
        with contextlib.suppress(ConnectionError):
            while more := sock.recv(1000):
                data += more
    assert b"HTTP" not in data
    assert works(server)


# the options


@pytest.mark.parametrize(
    ("setting", "status", "text"),
    [
        ("server.max_connections", 2, "less than 1"),
        ("server.max_connections_per_address", 2, "less than 1"),
        ("server.io_timeout", 2, "less than 0.01"),
        ("server.min_rate", 2, "less than 1"),
        ("communication.ciphers", 1, "option ciphers of [communication]"),
    ],
)
def test_a_limit_that_makes_no_sense_ends_the_start(tmp_path, certificate, setting, status, text):
    found = ServerProcess(tmp_path, certificate, settings={setting: "0"}).run()
    assert found.returncode == status
    assert text in found.stderr
    assert "Traceback" not in found.stderr


def test_options_become_limits(tmp_path, certificate):
    settings = {"server.max_body": "2k", "server.login_failures": "0", "server.login_delay": "0.5"}
    with ServerProcess(tmp_path, certificate, settings=settings) as server:
        assert server.call("DeclareVersion", "x" * 3000) == 413
        begun = time.monotonic()
        assert server.call("GetProbes", password="wrong") == 401
        assert time.monotonic() - begun >= 0.5
        assert server.call("DeclareVersion", "1.4.0") is True
    log = server.log.read_text()
    assert re.search(
        r"call method=DeclareVersion client=client.example.com address=127.0.0.2 outcome=ok seconds=\S+ bytes=\d+", log
    )


def test_every_limit_is_an_option_and_in_the_guide():
    page = (Path(__file__).parents[2] / "docs/operator/limits.rst").read_text().partition("Inside the server")[0]
    named = set(re.findall(r"``\[server\] (\w+)``", page))
    assert named <= {option.key for option in BuiltinCore.options if option.section == "server"}
    assert len(named) == len(fields(Limits))
