"""The client side of XML-RPC over HTTPS, against small servers on real sockets."""

import base64
import logging
import socket
import socketserver
import ssl
import subprocess
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.rpc import (
    Proxy,
    RPCAnswerError,
    RPCAuthenticationError,
    RPCCertificateError,
    RPCConnectionError,
    RPCStatusError,
    decode,
)

# --- certificates -----------------------------------------------------------------------------------------------------


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def authority(folder: Path, name: str) -> Path:
    openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem",
    )  # fmt: skip
    return folder / f"{name}.pem"


def issue(folder: Path, ca: Path, name: str, common_name: str, alternative: str = "") -> tuple[Path, Path]:
    """Certificate and key for COMMON_NAME, signed by CA."""
    cert, key, request = (folder / f"{name}.{suffix}" for suffix in ("crt", "key", "csr"))
    openssl(
        "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", f"/CN={common_name}", "-keyout", key, "-out", request,
    )  # fmt: skip
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={alternative}\n" if alternative else "keyUsage=digitalSignature\n")
    openssl(
        "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca.with_suffix(".key"), "-CAcreateserial",
        "-days", "2", "-extfile", extensions, "-out", cert,
    )  # fmt: skip
    return cert, key


@dataclass(frozen=True)
class Certificates:
    folder: Path
    ca: Path
    other_ca: Path
    server: tuple[Path, Path]
    #: A certificate whose names do not include the host it is used on.
    stranger: tuple[Path, Path]
    client: tuple[Path, Path]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    ca = authority(folder, "ca")
    return Certificates(
        folder,
        ca,
        authority(folder, "other"),
        issue(folder, ca, "server", "localhost", "DNS:localhost,DNS:config.example.com,IP:127.0.0.1"),
        issue(folder, ca, "stranger", "bcfg2.example.com"),
        issue(folder, ca, "client", "www1.example.com"),
    )


# --- servers ----------------------------------------------------------------------------------------------------------


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes
    address: str
    certificate: Any

    @property
    def call(self) -> tuple[str | None, tuple[Any, ...]]:
        params, method = xmlrpc.client.loads(self.body)
        return method, params


def answer(value: Any) -> bytes:
    return xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True).encode()


@dataclass
class Script:
    """What a server does with the requests that arrive: the last reply is repeated."""

    replies: list[Callable[[BaseHTTPRequestHandler], None]]
    requests: list[Request] = field(default_factory=list)
    url: str = ""


def reply(body: bytes, status: int = 200, length: int | None = None) -> Callable[[BaseHTTPRequestHandler], None]:
    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "text/xml")
        if length != -1:
            handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    return write


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_POST(self) -> None:
        script = self.server.script
        assert isinstance(self.connection, ssl.SSLSocket)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        script.requests.append(
            Request(self.path, dict(self.headers), body, self.client_address[0], self.connection.getpeercert())
        )
        script.replies[min(len(script.requests), len(script.replies)) - 1](self)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    script: Script
    context: ssl.SSLContext

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        return self.context.wrap_socket(connection, server_side=True), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # handshakes that fail on purpose


@contextmanager
def serving(
    certificate: tuple[Path, Path], *replies: Callable[[BaseHTTPRequestHandler], None], client_ca: Path | None = None
) -> Iterator[Script]:
    """A server that gives REPLIES in turn."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    server = _Server(("127.0.0.1", 0), _Handler)
    server.context = context
    server.script = Script(list(replies), url=f"https://localhost:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_a_call_carries_method_arguments_and_credentials(certificates: Certificates) -> None:
    with serving(certificates.server, reply(answer(True))) as server:
        proxy = Proxy(server.url, user="root", password="pass:wörd", ca=certificates.ca)
        assert proxy.DeclareVersion("1.4.0", None, "größe") is True
    (request,) = server.requests
    assert request.call == ("DeclareVersion", ("1.4.0", None, "größe"))
    assert request.path == "/RPC2"
    assert request.headers["Content-Type"] == "text/xml"
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode() == "root:pass:wörd"


def test_dotted_methods_are_called_by_attribute(certificates: Certificates) -> None:
    with serving(certificates.server, reply(answer(["a", "b"]))) as server:
        assert Proxy(server.url, ca=certificates.ca).Metadata.list_clients() == ["a", "b"]
    assert server.requests[0].call == ("Metadata.list_clients", ())


@pytest.mark.parametrize(("user", "password"), [(None, None), ("root", None), (None, "secret")])
def test_half_of_the_credentials_is_not_sent(
    certificates: Certificates, user: str | None, password: str | None
) -> None:
    with serving(certificates.server, reply(answer(1))) as server:
        Proxy(server.url, user=user, password=password, ca=certificates.ca).ping()
    assert "Authorization" not in server.requests[0].headers


def test_a_path_in_the_url_is_kept_and_the_scheme_may_be_left_out(certificates: Certificates) -> None:
    with serving(certificates.server, reply(answer(1))) as server:
        Proxy(server.url.removeprefix("https://") + "/other", ca=certificates.ca).ping()
    assert server.requests[0].path == "/other"


def test_calls_come_from_the_source_address(certificates: Certificates) -> None:
    with serving(certificates.server, reply(answer(1))) as server:
        Proxy(server.url, ca=certificates.ca, source_address="127.0.0.77").ping()
    assert server.requests[0].address == "127.0.0.77"


def test_a_client_certificate_is_shown(certificates: Certificates) -> None:
    cert, key = certificates.client
    with serving(certificates.server, reply(answer(1)), client_ca=certificates.ca) as server:
        Proxy(server.url, ca=certificates.ca, cert=cert, key=key).ping()
    assert server.requests[0].certificate["subject"] == ((("commonName", "www1.example.com"),),)


@pytest.mark.parametrize("given", ["cert", "key"])
def test_a_certificate_or_a_key_alone_is_warned_about_and_not_used(
    certificates: Certificates, caplog: pytest.LogCaptureFixture, given: str
) -> None:
    cert, key = certificates.client
    own: dict[str, Any] = {"cert": cert} if given == "cert" else {"key": key}
    with serving(certificates.server, reply(answer(1)), client_ca=certificates.ca) as server:
        assert Proxy(server.url, ca=certificates.ca, **own).ping() == 1
    assert not server.requests[0].certificate
    assert "not used" in caplog.text


@pytest.mark.parametrize(
    "url", ["http://localhost:6789", "https://", "https://root:secret@localhost:6789", "https://localhost:port"]
)
def test_a_url_that_cannot_be_called_is_refused_without_showing_secrets(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        Proxy(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("method", ["", "a b", "<a/>", "größe", "a\n"])
def test_what_cannot_be_a_name_of_a_method_is_not_called(certificates: Certificates, method: str) -> None:
    with serving(certificates.server, reply(answer(1))) as server, pytest.raises(ValueError, match="name of a method"):
        Proxy(server.url, ca=certificates.ca).call(method)
    assert server.requests == []


@pytest.mark.parametrize("argument", ["a\0b", "\udcff", {"\x1b": 1}, 2**31, object(), {1: 2}])
def test_an_argument_that_xmlrpc_cannot_carry_is_not_sent(certificates: Certificates, argument: Any) -> None:
    with (
        serving(certificates.server, reply(answer(1))) as server,
        pytest.raises(ValueError, match=r"^ping: an argument"),
    ):
        Proxy(server.url, ca=certificates.ca).ping(argument)
    assert server.requests == []


@pytest.mark.parametrize("timeout", [None, 0, -1, 1e30])
def test_without_a_timeout_and_with_an_endless_one_calls_are_made(certificates: Certificates, timeout: Any) -> None:
    with serving(certificates.server, reply(b"", 500), reply(answer(1))) as server:
        assert Proxy(server.url, ca=certificates.ca, timeout=timeout, retry_delay=-1).ping() == 1


# --- who the server is ------------------------------------------------------------------------------------------------


def test_a_server_of_another_authority_gets_no_request(certificates: Certificates) -> None:
    refused = pytest.raises(RPCCertificateError, match="not accepted")
    with serving(certificates.server, reply(answer(1))) as server, refused:
        Proxy(server.url, ca=certificates.other_ca).ping()
    assert server.requests == []


def test_a_certificate_for_another_host_is_refused(certificates: Certificates) -> None:
    refused = pytest.raises(RPCCertificateError, match="localhost")
    with serving(certificates.stranger, reply(answer(1))) as server, refused:
        Proxy(server.url, ca=certificates.ca).ping()
    assert server.requests == []


@pytest.mark.parametrize("name", ["localhost", "config.example.com"])
def test_server_common_names_match_common_and_alternative_names(certificates: Certificates, name: str) -> None:
    with serving(certificates.server, reply(answer(1))) as server:
        assert Proxy(server.url, ca=certificates.ca, server_common_names=["x", name]).ping() == 1


def test_server_common_names_take_the_place_of_the_host_name(certificates: Certificates) -> None:
    with serving(certificates.stranger, reply(answer(1))) as server:
        assert Proxy(server.url, ca=certificates.ca, server_common_names=["bcfg2.example.com"]).ping() == 1


def test_a_server_with_none_of_the_names_gets_no_request(certificates: Certificates) -> None:
    with serving(certificates.server, reply(answer(1))) as server:
        proxy = Proxy(server.url, ca=certificates.ca, server_common_names=["local", "LOCALHOST"])
        with pytest.raises(RPCCertificateError, match=r"is for localhost.*LOCALHOST, local"):
            proxy.ping()
    assert server.requests == []


def test_server_common_names_without_a_ca_are_refused() -> None:
    with pytest.raises(RPCCertificateError, match="needs ca"):
        Proxy("https://localhost:1", server_common_names=["localhost"])


def test_without_a_ca_the_call_is_made_with_a_warning(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(certificates.stranger, reply(answer(1))) as server:
        assert Proxy(server.url).ping() == 1
    assert "not verified" in caplog.text


def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    missing, broken = tmp_path / "missing.pem", tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for path in (missing, broken):
        with pytest.raises(RPCCertificateError, match=path.name):
            Proxy("https://localhost:1", ca=path)


def test_an_encrypted_key_is_refused_without_asking(certificates: Certificates, tmp_path: Path) -> None:
    cert, key = certificates.client
    encrypted = tmp_path / "encrypted.key"
    openssl("ec", "-in", key, "-aes256", "-passout", "pass:secret", "-out", encrypted)
    with pytest.raises(RPCCertificateError, match="passphrase"):
        Proxy("https://localhost:1", ca=certificates.ca, cert=cert, key=encrypted)


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_fault_is_passed_through_and_not_tried_again(certificates: Certificates) -> None:
    fault = xmlrpc.client.dumps(xmlrpc.client.Fault(-32500, "Critical failure: x")).encode()
    with serving(certificates.server, reply(fault)) as server, pytest.raises(xmlrpc.client.Fault) as caught:
        Proxy(server.url, ca=certificates.ca, retry_delay=0).GetConfig()
    assert (caught.value.faultCode, caught.value.faultString) == (-32500, "Critical failure: x")
    assert len(server.requests) == 1


def test_refused_credentials_are_not_tried_again(certificates: Certificates) -> None:
    with serving(certificates.server, reply(b"<html/>", 401)) as server:
        proxy = Proxy(server.url, user="root", password="wrong", ca=certificates.ca, retry_delay=0)
        with pytest.raises(RPCAuthenticationError, match="401") as caught:
            proxy.GetConfig()
    assert len(server.requests) == 1
    assert "wrong" not in str(caught.value)


def test_a_status_is_tried_again_until_the_tries_are_used_up(certificates: Certificates) -> None:
    refused = pytest.raises(RPCStatusError, match="503")
    with serving(certificates.server, reply(b"", 503)) as server, refused as caught:
        Proxy(server.url, ca=certificates.ca, retries=3, retry_delay=0).GetConfig()
    assert caught.value.status == 503
    assert len(server.requests) == 3


@pytest.mark.parametrize("failure", [reply(b"", 500), hang_up, reply(b"<method", length=100)])
def test_a_later_try_may_succeed(certificates: Certificates, failure: Callable[[BaseHTTPRequestHandler], None]) -> None:
    with serving(certificates.server, failure, failure, reply(answer("good"))) as server:
        assert Proxy(server.url, ca=certificates.ca, retries=3, retry_delay=0).GetConfig() == "good"
    assert len(server.requests) == 3


def test_one_try_is_one_try(certificates: Certificates) -> None:
    with serving(certificates.server, hang_up, reply(answer("good"))) as server, pytest.raises(RPCConnectionError):
        Proxy(server.url, ca=certificates.ca, retries=1).GetConfig()
    assert len(server.requests) == 1


def test_tries_have_the_pause_between_them_and_none_after_the_last(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("bcfg2.rpc.time.sleep", pauses.append)
    with serving(certificates.server, reply(b"", 500)) as server, pytest.raises(RPCStatusError):
        Proxy(server.url, ca=certificates.ca, retries=3, retry_delay=7).GetConfig()
    assert len(pauses) == 2
    assert all(7 <= pause <= 10.5 for pause in pauses)
    assert pauses[0] != pauses[1]


def test_faults_are_tried_again_only_on_demand(certificates: Certificates) -> None:
    fault = reply(xmlrpc.client.dumps(xmlrpc.client.Fault(7, "busy")).encode())
    with serving(certificates.server, fault, reply(answer("good"))) as server:
        proxy = Proxy(server.url, ca=certificates.ca, retries=2, retry_delay=0, retry_faults=True)
        assert proxy.GetConfig() == "good"
    with serving(certificates.server, fault, reply(answer("good"))) as server, pytest.raises(xmlrpc.client.Fault):
        Proxy(server.url, ca=certificates.ca, retries=2, retry_delay=0).GetConfig()
    assert len(server.requests) == 1


def test_a_server_without_ca_is_not_called_where_one_is_required() -> None:
    with pytest.raises(RPCCertificateError, match="require_ca"):
        Proxy("https://localhost:1", require_ca=True)


@pytest.mark.parametrize("status", [407, 502, 503, 504])
def test_an_answer_that_may_be_a_proxys_says_so(certificates: Certificates, status: int) -> None:
    proxy = pytest.raises(RPCStatusError, match="a proxy between here and the server")
    with serving(certificates.server, reply(b"", status)) as server, proxy:
        Proxy(server.url, ca=certificates.ca, retries=1).GetConfig()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_nobody_listening_is_told_with_host_and_port(certificates: Certificates) -> None:
    port = free_port()
    with pytest.raises(RPCConnectionError, match=f"127.0.0.1:{port}: Connection refused"):
        Proxy(f"https://127.0.0.1:{port}", ca=certificates.ca, retries=2, retry_delay=0).ping()


def test_a_silent_server_ends_in_a_timeout(certificates: Certificates) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RPCConnectionError, match=r"no answer within 0\.2 s"):
            Proxy(url, ca=certificates.ca, timeout=0.2, retries=1).ping()


def test_a_server_that_does_not_speak_tls_is_told(certificates: Certificates) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def talk() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(RPCConnectionError, match="TLS failed"):
            Proxy(f"https://127.0.0.1:{plain.getsockname()[1]}", ca=certificates.ca, retries=1, timeout=5).ping()
        thread.join()


@pytest.mark.parametrize("length", [None, -1])
def test_an_answer_larger_than_the_limit_is_refused(certificates: Certificates, length: int | None) -> None:
    body = answer("x" * 1000)
    with serving(certificates.server, reply(body, length=length)) as server:
        assert Proxy(server.url, ca=certificates.ca, size_limit=len(body)).GetConfig() == "x" * 1000
        with pytest.raises(RPCAnswerError, match="larger than"):
            Proxy(server.url, ca=certificates.ca, size_limit=len(body) - 1).GetConfig()


def test_secrets_do_not_show_in_logs(certificates: Certificates, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(certificates.server, reply(b"", 500)) as server:
        proxy = Proxy(server.url, user="root", password="hunter2", retries=2, retry_delay=0)
        with pytest.raises(RPCStatusError) as caught:
            proxy.ping()
    assert "trying again" in caplog.text
    token = base64.b64encode(b"root:hunter2").decode()
    for text in (caplog.text, str(caught.value), repr(proxy)):
        assert "hunter2" not in text
        assert token not in text


# --- answers ----------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["C"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["C"])), inner),
    max_leaves=20,
)


@given(VALUES)
def test_what_the_standard_library_writes_is_read_back(value: Any) -> None:
    assert decode(answer(value), "test") == value


def test_bytes_and_dates_arrive_as_python_types() -> None:
    assert decode(answer(b"\x00\xff"), "test") == b"\x00\xff"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Hello</body></html>",
        b"<methodResponse><params><param><value><int>1</int>",
        b"<methodResponse><params><param><value><int>many</int></value></param></params></methodResponse>",
        b"<methodResponse><params><param><value><new>1</new></value></param></params></methodResponse>",
        b"<methodResponse><params/></methodResponse>",
        b"<methodResponse><params><param><value>1</value></param><param><value>2</value></param></params>"
        b"</methodResponse>",
        b"<methodResponse><fault><value><int>3</int></value></fault></methodResponse>",
        b"not XML at all",
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_answer_is_told_so(body: bytes) -> None:
    with pytest.raises(RPCAnswerError, match=r"^GetConfig of server: "):
        decode(body, "GetConfig of server")


def test_values_nested_without_end_are_refused() -> None:
    with pytest.raises(RPCAnswerError, match=r"^test: .* nested more than"):
        decode(b"<methodResponse>" + b"<array><data><value>" * 1000, "test")


def test_document_types_and_entities_are_refused() -> None:
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
        b"<methodResponse><params><param><value>&b;</value></param></params></methodResponse>"
    )
    with pytest.raises(RPCAnswerError, match="document type"):
        decode(bomb, "test")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_end_in_an_answer_error(body: bytes) -> None:
    with pytest.raises(RPCAnswerError):
        decode(body, "test")
