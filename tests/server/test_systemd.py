"""What systemd is told, over real sockets."""

import contextlib
import os
import secrets
import socket
import threading

import pytest

from bcfg2.server import systemd
from tests.support import ServerProcess, await_condition


@contextlib.contextmanager
def listening(address):
    """What systemd does: a socket at ADDRESS."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(20)
        yield sock


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """A socket that NOTIFY_SOCKET names."""
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with listening(path) as sock:
        yield sock


def heard(sock) -> list[str]:
    return sock.recv(4096).decode().split("\n")


def until(sock, message) -> list[str]:
    """All that comes until MESSAGE."""
    lines = []
    while message not in lines:
        lines += heard(sock)
    return lines


def test_assignments_are_sent_as_one_message(manager):
    systemd.notify("READY=1", "STATUS=Serving")
    assert manager.recv(4096) == b"READY=1\nSTATUS=Serving"


def test_an_address_with_an_at_sign_is_abstract(monkeypatch):
    name = f"bcfg2-test-{secrets.token_hex(8)}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with listening(f"\0{name}") as sock:
        systemd.notify("READY=1")
        assert heard(sock) == ["READY=1"]


@pytest.mark.parametrize("address", [None, "", "relative/path", "vsock:2:1234"])
def test_nothing_happens_where_nobody_listens(monkeypatch, caplog, address):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("a socket was made"))
    systemd.notify("READY=1")
    assert not caplog.records


def test_a_socket_that_is_not_there_is_a_warning(monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.notify("READY=1")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"Cannot tell systemd READY=1 at {tmp_path / 'gone'}" in caplog.text


def test_a_manager_that_does_not_read_is_not_waited_for_long(manager, caplog):
    for _ in range(20000):
        systemd.notify("STATUS=" + "x" * 4000)
        if caplog.records:
            break
    assert "Cannot tell systemd" in caplog.text


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
    ],
)
def test_signs_of_life_come_at_half_of_the_time(monkeypatch, variables, seconds):
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert systemd.watchdog_interval() == seconds


def test_without_a_wish_for_signs_of_life_there_is_no_thread(manager):
    before = threading.active_count()
    watchdog = systemd.Watchdog(lambda: "")
    watchdog.start()
    assert threading.active_count() == before
    watchdog.stop()


def test_signs_of_life_stop_while_there_is_a_problem(manager, monkeypatch, caplog):
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    state, asked = {"problem": ""}, []

    def problem() -> str:
        asked.append(state["problem"])
        return state["problem"]

    watchdog = systemd.Watchdog(problem)
    watchdog.start()
    try:
        assert heard(manager) == heard(manager) == ["WATCHDOG=1"]
        state["problem"] = "it hangs"
        await_condition(lambda: asked.count("it hangs") > 5)
        manager.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:  # from before
                manager.recv(4096)
        seen = len(asked)
        await_condition(lambda: len(asked) > seen + 5)
        with pytest.raises(BlockingIOError):
            manager.recv(4096)
        manager.settimeout(20)
        state["problem"] = ""
        assert heard(manager) == ["WATCHDOG=1"]
    finally:
        watchdog.stop()
    assert caplog.text.count("No sign of life for the watchdog of systemd: it hangs") == 1


def test_a_server_says_what_it_does_from_start_to_end(manager, monkeypatch, tmp_path, certificate):
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    server = ServerProcess(tmp_path, certificate)
    with server:
        before = until(manager, "READY=1")
        assert before[0] == "STATUS=Reading the repository"
        assert "WATCHDOG=1" not in before
        assert server.call("GetProbes") == "<probes/>"
        lines = until(manager, "WATCHDOG=1")
        assert lines[0] in (f"STATUS=Serving on 127.0.0.1 port {server.port}", "WATCHDOG=1")
        until(manager, "WATCHDOG=1")
        assert server.stop() == 0
        assert until(manager, "STATUS=Stopping")[-2:] == ["STOPPING=1", "STATUS=Stopping"]


def test_a_server_that_cannot_start_is_never_ready(manager, tmp_path, certificate):
    server = ServerProcess(tmp_path, certificate, settings={"communication.key": "/nonexistent/key"})
    assert server.run().returncode == 1
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(4096)
