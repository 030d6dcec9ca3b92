"""The CherryPy core: what the builtin core promises, from another HTTP server."""

import base64
import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import ServerProcess, await_condition, insecure

pytest.importorskip("cherrypy", reason="CherryPy is missing: pip install bcfg2[cherrypy]")

AUTHORIZATION = {"Authorization": "Basic " + base64.b64encode(b"root:secret").decode()}
LIMITS = {
    "io_timeout": "1",
    "idle_timeout": "1",
    "max_body": "100k",
    "max_head": "4k",
    "max_connections": "20",
    "max_connections_per_address": "15",
    "metrics_allowed": "127.0.0.1",
    "login_failures": "1000",
}


def server(folder: Path, certificate: Any, files: Any = None, plugins: str = "Metadata,Bundler", **more: str) -> Any:
    settings = {"server.backend": "cherrypy", "communication.ca": certificate.cert}
    settings |= {f"server.{name}": value for name, value in (LIMITS | more).items()}
    return ServerProcess(folder, certificate, files, plugins, settings=settings)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, certificate: Any) -> Iterator[ServerProcess]:
    with server(tmp_path_factory.mktemp("cherrypy"), certificate) as process:
        yield process


def plain(running: ServerProcess, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=10, source_address=(source, 0))


def connect(running: ServerProcess, source: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    return (context or insecure()).wrap_socket(plain(running, source))


def status_of(running: ServerProcess, data: bytes) -> tuple[int, http.client.HTTPMessage]:
    """Status and headers that DATA, sent as it is, is answered with."""
    with connect(running) as sock:
        sock.sendall(data)
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return answer.status, answer.headers


def head(*lines: str, verb: str = "POST", path: str = "/") -> bytes:
    authorization = f"Authorization: {AUTHORIZATION['Authorization']}"
    return "\r\n".join([f"{verb} {path} HTTP/1.1", "Host: x", authorization, *lines, "", ""]).encode()


@contextlib.contextmanager
def keeping(running: ServerProcess, context: ssl.SSLContext | None = None, **more: Any) -> Iterator[Any]:
    connection = http.client.HTTPSConnection(
        "127.0.0.1", running.port, timeout=10, context=context or insecure(), **more
    )
    try:
        yield connection
    finally:
        connection.close()


def ask(connection: http.client.HTTPSConnection, method: str, *arguments: Any, user: str = "root:secret") -> Any:
    authorization = "Basic " + base64.b64encode(user.encode()).decode()
    body = xmlrpc.client.dumps(arguments, method).encode()
    connection.request("POST", "/RPC2", body, {"Authorization": authorization})
    answer = connection.getresponse()
    data = answer.read()
    return xmlrpc.client.loads(data)[0][0] if answer.status == 200 else answer.status


def test_calls_are_answered_and_the_connection_is_kept(running: ServerProcess) -> None:
    with keeping(running, source_address=("127.0.0.2", 0)) as connection:
        assert "<Configuration" in ask(connection, "GetConfig")
        sock = connection.sock
        assert ask(connection, "DeclareVersion", "1.4.0") is True
        assert connection.sock is sock


def test_every_request_of_a_connection_has_an_identity_of_its_own(running: ServerProcess) -> None:
    with keeping(running, source_address=("127.0.0.2", 0)) as connection:
        assert "<Configuration" in ask(connection, "GetConfig")
        assert ask(connection, "GetConfig", user="root:wrong") == 401


def test_a_client_certificate_says_who_the_client_is(running: ServerProcess, certificate: Any) -> None:
    context = insecure()
    context.load_cert_chain(certificate.sign("client.example.com"))
    with keeping(running, context, source_address=("127.0.0.2", 0)) as connection:
        assert "<Configuration" in ask(connection, "GetConfig", user="nobody:secret")
    # the address is not that of the client whom the certificate names
    with keeping(running, context, source_address=("127.0.0.3", 0)) as connection:
        assert ask(connection, "GetConfig", user="client.example.com:secret") == 401


def test_a_certificate_of_another_authority_ends_the_handshake(running: ServerProcess, tmp_path: Path) -> None:
    from tests.conftest import make_certificate

    context = insecure()
    context.load_cert_chain(make_certificate(tmp_path / "other").sign("client.example.com"))
    with pytest.raises((OSError, http.client.HTTPException)), keeping(running, context) as connection:
        ask(connection, "GetConfig")


def test_wrong_passwords_and_forbidden_methods_are_denied(running: ServerProcess) -> None:
    assert running.call("GetConfig", password="wrong") == 401
    assert running.call("Metadata.list_clients", source="127.0.0.2") == 401
    assert running.call("Metadata.list_clients", source="127.0.0.1") == ["client.example.com"]
    status, headers = status_of(running, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="bcfg2"')


def test_faults_have_their_codes(running: ServerProcess) -> None:
    for arguments, code in ((("Unknown",), -32601), (("DeclareVersion",), 1), (("AssertProfile", "no"), -32500)):
        with pytest.raises(xmlrpc.client.Fault) as caught:
            running.call(*arguments)
        assert caught.value.faultCode == code


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (head("Content-Length: 3") + b"<x>", 400),
        (head(), 411),
        (head("Content-Length: 1000000"), 413),
        (head("Content-Length: +1") + b"x", 400),
        (head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
        (head("Transfer-Encoding: chunked") + b"zz\r\n\r\n", 400),
        (head("Content-Length: 0", verb="PUT"), 501),
        (head(verb="GET", path="/RPC2"), 501),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 401),
        (b"nonsense\r\n\r\n", 400),
        (head("X: " + "x" * 5000), 413),
        (head("Content-Length: 10") + b"<", 408),
        (b"POST / HTTP/1.1\r\nHost", 408),
    ],
)
def test_what_is_no_call_is_refused_with_its_status(running: ServerProcess, request_: bytes, status: int) -> None:
    assert status_of(running, request_)[0] == status
    assert running.call("methodHelp", "x") == ""


def test_a_body_in_chunks_is_understood(running: ServerProcess) -> None:
    body = xmlrpc.client.dumps(("x",), "methodHelp").encode()
    with keeping(running) as connection:
        connection.request("POST", "/", iter([body[:10], body[10:]]), AUTHORIZATION, encode_chunked=True)
        assert connection.getresponse().status == 200


def test_who_sends_too_much_can_still_read_why_it_is_refused(running: ServerProcess) -> None:
    data = b"x" * 900_000
    with keeping(running) as connection:
        connection.request("POST", "/", data, AUTHORIZATION)
        assert connection.getresponse().status == 413


@pytest.mark.parametrize("path", ["/GetConfig", "/default/__func__", "/_page/__self__/GetConfig", "/rmi", "/index"])
def test_no_path_leads_to_anything_but_the_call_in_the_body(running: ServerProcess, path: str) -> None:
    assert status_of(running, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())[0] == 401
    assert status_of(running, head("Content-Length: 0", path=f"{path}?password=1"))[0] == 400


def test_pages_for_monitoring_count_calls(running: ServerProcess) -> None:
    running.call("GetConfig")
    with keeping(running) as connection:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode()
    assert answer.status == 200 and 'bcfg2_requests_total{method="GetConfig",outcome="ok"}' in text
    assert "bcfg2_connections_accepted_total" in text
    status, _ = status_of(running, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 200


def test_silent_connections_keep_nobody_from_being_served(running: ServerProcess) -> None:
    with contextlib.ExitStack() as open_ones:
        for _ in range(12):
            open_ones.enter_context(plain(running, "127.0.0.9"))
        begun = time.monotonic()
        assert running.call("methodHelp", "x") == ""
        assert time.monotonic() - begun < 5


def test_who_says_nothing_gets_no_answer(running: ServerProcess) -> None:
    with connect(running, "127.0.0.7") as sock:
        assert sock.recv(1) == b""
    await_condition(lambda: "127.0.0.7 was silent for too long" in running.log.read_text())
    assert "address=127.0.0.7" not in running.log.read_text()


def test_silent_connections_give_way_to_others_of_their_address(running: ServerProcess) -> None:
    with contextlib.ExitStack() as open_ones:
        for _ in range(16):
            open_ones.enter_context(plain(running, "127.0.0.8"))
        assert running.call("methodHelp", "x", source="127.0.0.8") == 401  # not a client, but answered
        await_condition(lambda: "127.0.0.8 has 15 connections" in running.log.read_text())


def test_an_idle_connection_is_closed_after_its_time(running: ServerProcess) -> None:
    with connect(running) as sock:
        body = xmlrpc.client.dumps(("x",), "methodHelp").encode()
        sock.sendall(head(f"Content-Length: {len(body)}") + body)
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        answer.read()
        assert sock.recv(1) == b""


def test_a_stop_lets_running_calls_end_and_waits_for_nobody_else(tmp_path: Path, certificate: Any) -> None:
    begun_file = tmp_path / "begun"
    template = f"{{% python import time; open('{begun_file}', 'w').close(); time.sleep(1) %}}done"
    files = {
        "Bundler/base.xml": '<Bundle><Path name="/slow"/></Bundle>',
        "Cfg/slow/slow.genshi": template,
        "Cfg/slow/info.xml": '<FileInfo><Info mode="0644"/></FileInfo>',
    }
    with server(tmp_path, certificate, files, "Metadata,Bundler,Cfg", io_timeout="30", idle_timeout="30") as slow:
        results: list[Any] = []
        caller = threading.Thread(target=lambda: results.append(slow.call("GetConfig")))
        with plain(slow), keeping(slow) as idle:
            ask(idle, "methodHelp", "x")
            caller.start()
            await_condition(begun_file.exists)
            begun = time.monotonic()
            assert slow.stop() == 0
            assert time.monotonic() - begun < 8
        caller.join()
        assert "done" in results[0]
        assert "Traceback" not in slow.log.read_text()


def test_it_may_be_a_daemon(tmp_path: Path, certificate: Any) -> None:
    daemon = server(tmp_path, certificate)
    pidfile = tmp_path / "run/server.pid"
    assert daemon.run("-D", str(pidfile)).returncode == 0
    pid = int(pidfile.read_text())
    try:
        assert daemon.call("methodHelp", "x") == ""
    finally:
        os.kill(pid, signal.SIGTERM)
    await_condition(lambda: not pidfile.exists())


def test_without_the_package_the_server_says_what_to_install(tmp_path: Path, certificate: Any) -> None:
    process = server(tmp_path, certificate)
    code = "import sys; sys.modules['cherrypy'] = None; from bcfg2.bcfg2_server import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "-C", str(process.conf)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    lines = [line for line in ended.stderr.splitlines() if "password" not in line]
    assert len(lines) == 1 and "install bcfg2[cherrypy]" in lines[0]
