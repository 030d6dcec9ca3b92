"""The HTTPS XML-RPC server, spoken to in bytes over real sockets."""

import base64
import contextlib
import socket
import ssl
import threading
import time
import xmlrpc.client

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.server.dispatcher import XMLRPCDispatcher
from bcfg2.server.ssl_server import ServerError, XMLRPCServer, client_address, decode_call, make_context, parse_basic
from tests.server.https import (
    basic,
    call_body,
    connect,
    context,
    exchange,
    read_answer,
    request,
    serving,
    value_of,
)


@pytest.fixture
def server(certificate):
    with serving(certificate) as running:
        yield running


def test_a_call_is_answered_with_its_value_and_length(server):
    status, headers, body = exchange(server, request(call_body("echo", "naïve <&>")))
    assert (status, headers["content-type"], int(headers["content-length"])) == (200, "text/xml", len(body))
    assert value_of(body) == "naïve <&>"


def test_none_and_sets_and_bytes_can_be_answered(server):
    assert value_of(exchange(server, request(call_body("echo")))[2]) is None
    server.test_instance.call_echo = lambda address: {"a"}
    assert value_of(exchange(server, request(call_body("echo")))[2]) == ["a"]
    server.test_instance.call_echo = lambda address: b"caf\xc3\xa9"
    assert value_of(exchange(server, request(call_body("echo")))[2]) == "café"


def test_a_body_with_raw_utf8_is_counted_in_bytes(server):
    body = "<methodCall><methodName>echo</methodName><params><param><value>naïve</value></param></params></methodCall>"
    assert value_of(exchange(server, request(body))[2]) == "naïve"


def test_faults_keep_their_code_and_become_legal_xml(server):
    with pytest.raises(xmlrpc.client.Fault) as caught:
        value_of(exchange(server, request(call_body("fault")))[2])
    assert (caught.value.faultCode, caught.value.faultString) == (-32601, "Unknown method \ufffd")


def test_any_other_exception_is_fault_1_with_its_text(server):
    with pytest.raises(xmlrpc.client.Fault) as caught:
        value_of(exchange(server, request(call_body("fail")))[2])
    assert (caught.value.faultCode, caught.value.faultString) == (1, "it is \ufffd[1mbroken")


@pytest.mark.parametrize(
    "auth", [None, "Basic", "Basic %%%", "Bearer cm9vdDpzZWNyZXQ=", basic(password="wrong"), basic(password="")]
)
def test_bad_credentials_are_401_and_ask_for_basic(server, auth):
    status, headers, _ = exchange(server, request(call_body("echo"), auth=auth))
    assert status == 401
    assert headers["www-authenticate"].startswith("Basic")
    assert headers["connection"] == "close"


def test_401_is_readable_even_if_the_body_is_still_being_sent(server):
    status, _, _ = exchange(server, request(b"x" * 900_000, auth=None))
    assert status == 401


def test_a_method_that_may_not_be_called_is_401(server):
    assert exchange(server, request(call_body("forbidden")))[0] == 401


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "<methodCall><methodName>echo</methodName>",
        "<query><name>echo</name></query>",
        '<!DOCTYPE x [<!ENTITY a "b">]><methodCall><methodName>echo</methodName></methodCall>',
        "<methodCall><methodName>echo</methodName><params><param><value><int>x</int></value></param></params></methodCall>",
    ],
)
def test_what_is_no_call_is_400_and_the_server_goes_on(server, body):
    assert exchange(server, request(body))[0] == 400
    assert exchange(server, request(call_body("echo", "x")))[0] == 200


def test_limits_of_bodies_are_kept(certificate):
    with serving(certificate, body=1000) as server:
        assert exchange(server, request(call_body("echo", "x" * 1000)))[0] == 413
        assert exchange(server, request(b"", length=10**12))[0] == 413
        assert exchange(server, request(b"", length=False))[0] == 411
        assert exchange(server, request(b"", length="-1"))[0] == 400
        assert exchange(server, request(b"", length="1_0"))[0] == 400
        assert exchange(server, request(call_body("echo", "x")))[0] == 200


def test_other_verbs_are_401_without_credentials_and_501_with(server):
    assert exchange(server, request("", verb="GET", auth=None))[0] == 401
    assert exchange(server, request("", verb="GET"))[0] == 501
    assert exchange(server, request("", verb="BREW"))[0] == 501


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\nTrailer: x\r\n\r\n"


def test_chunked_bodies_are_understood_and_limited(certificate):
    with serving(certificate, body=1000) as server:
        body = call_body("echo", "chunks")
        data = request(chunked(body[:10], body[10:]), length=False, extra=["Transfer-Encoding: chunked"])
        assert value_of(exchange(server, data)[2]) == "chunks"
        too_large = request(chunked(b"x" * 999, b"x" * 999), length=False, extra=["Transfer-Encoding: chunked"])
        assert exchange(server, too_large)[0] == 413
        nonsense = request(b"zz\r\n", length=False, extra=["Transfer-Encoding: chunked"])
        assert exchange(server, nonsense)[0] == 400


def test_a_connection_is_kept_for_http_1_1_and_every_request_has_its_own_identity(server):
    with connect(server) as sock:
        for user in ("alpha", "beta"):
            sock.sendall(request(call_body("who"), auth=basic(user)))
            assert value_of(read_answer(sock)[2]) == f"{user} at 127.0.0.1"
        sock.sendall(request(call_body("who"), extra=["Connection: close"]))
        assert read_answer(sock)[1]["connection"] == "close"
        assert sock.recv(1) == b""


def test_a_connection_is_closed_for_http_1_0(server):
    with connect(server) as sock:
        sock.sendall(request(call_body("who"), http="1.0"))
        read_answer(sock)
        assert sock.recv(1) == b""


def test_an_idle_connection_is_closed(certificate):
    with serving(certificate, idle=0.1) as server, connect(server) as sock:
        sock.sendall(request(call_body("who")))
        read_answer(sock)
        assert sock.recv(1) == b""


def test_a_body_that_does_not_come_is_408(certificate):
    with serving(certificate, timeout=0.3) as server:
        assert exchange(server, request(b"<method", length=100))[0] == 408


def test_silent_connections_keep_nobody_waiting(server):
    silent = [socket.create_connection(server.server_address, timeout=10) for _ in range(20)]
    try:
        begun = time.monotonic()
        assert exchange(server, request(call_body("echo", "x")))[0] == 200
        assert time.monotonic() - begun < 5
    finally:
        for sock in silent:
            sock.close()


def test_connections_over_the_limit_wait_for_their_turn(certificate):
    with serving(certificate, connections=1, idle=30) as server:
        first = connect(server)
        first.sendall(request(call_body("wait")))
        assert server.test_instance.entered.wait(10)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(exchange(server, request(call_body("echo", 1)))[0]))
        thread.start()
        server.test_instance.release.set()
        assert value_of(read_answer(first)[2]) == "done"
        first.close()
        thread.join(10)
        assert answers == [200]


def test_plain_http_and_garbage_end_the_connection_only(server):
    for data in (b"GET / HTTP/1.0\r\n\r\n", b"\x00" * 1000):
        with socket.create_connection(server.server_address, timeout=10) as sock:
            sock.sendall(data)
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(1000):
                    pass
    assert exchange(server, request(call_body("echo", "x")))[0] == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_tls_1_1_is_refused(server):
    old = context()
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(server.server_address, timeout=10) as plain, pytest.raises((ssl.SSLError, OSError)):
        old.wrap_socket(plain)


def test_stopping_lets_a_running_request_end_and_closes_idle_connections(certificate):
    with serving(certificate, idle=30) as server:
        idle = connect(server)
        idle.sendall(request(call_body("who")))
        read_answer(idle)
        busy = connect(server)
        busy.sendall(request(call_body("wait")))
        assert server.test_instance.entered.wait(10)
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        assert idle.recv(1) == b""
        server.test_instance.release.set()
        assert value_of(read_answer(busy)[2]) == "done"
        stopper.join(10)
        assert not stopper.is_alive()
        with pytest.raises(OSError):
            socket.create_connection(server.server_address, timeout=1)


def test_stopping_gives_up_on_a_request_that_does_not_end(certificate):
    with serving(certificate, stop=0.1) as server:
        busy = connect(server)
        busy.sendall(request(call_body("wait")))
        assert server.test_instance.entered.wait(10)
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 5
        busy.close()


def test_a_client_certificate_is_asked_for_and_passed_on(certificate):
    with serving(certificate, ca=str(certificate.cert)) as server:
        exchange(server, request(call_body("echo")), certificate=certificate.sign("web1"))
        assert server.test_instance.certificates[-1]["subject"] == ((("commonName", "web1"),),)
        exchange(server, request(call_body("echo")))
        assert server.test_instance.certificates[-1] is None


def test_a_client_certificate_of_another_authority_gets_nothing(certificate, tmp_path):
    from tests.conftest import make_certificate

    stranger = make_certificate(tmp_path / "stranger")
    both = tmp_path / "both.pem"
    both.write_text(stranger.key.read_text() + stranger.cert.read_text())
    with serving(certificate, ca=str(certificate.cert)) as server:
        with pytest.raises(OSError):
            exchange(server, request(call_body("echo")), certificate=both)
        assert server.test_instance.certificates == []


def test_problems_with_key_and_certificate_name_option_and_file(certificate, tmp_path):
    with pytest.raises(ServerError, match=r"missing.pem does not exist \(option certificate of \[communication\]\)"):
        make_context(str(certificate.key), str(tmp_path / "missing.pem"), None)
    with pytest.raises(ServerError, match=r"option key of"):
        make_context(str(tmp_path / "missing.pem"), str(certificate.cert), None)
    with pytest.raises(ServerError, match=r"option ca of"):
        make_context(str(certificate.key), str(certificate.cert), str(tmp_path / "missing.pem"))
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    with pytest.raises(ServerError, match="cannot use the certificate"):
        make_context(str(nonsense), str(certificate.cert), None)
    with pytest.raises(ServerError, match="set certificate and key"):
        make_context(None, None, None)


def test_a_port_in_use_is_named(server, certificate):
    with pytest.raises(ServerError, match=f"cannot listen on 127.0.0.1 port {server.server_address[1]}"):
        XMLRPCServer(False, server.server_address, keyfile=str(certificate.key), certfile=str(certificate.cert))


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        (("127.0.0.1", 5), ("127.0.0.1", 5)),
        (("::1", 5, 0, 0), ("::1", 5)),
        (("::ffff:127.0.0.1", 5, 0, 0), ("127.0.0.1", 5)),
        (("fe80::1%eth0", 5, 0, 2), ("fe80::1%eth0", 5)),
    ],
)
def test_addresses_of_both_families_are_pairs(accepted, expected):
    assert client_address(accepted) == expected


@given(st.text(), st.text())
def test_basic_credentials_are_split_at_the_first_colon(user, password):
    encoded = base64.b64encode(f"{user}:{password}".encode("utf-8", "surrogatepass")).decode()
    try:
        f"{user}{password}".encode()
    except UnicodeEncodeError:
        assert parse_basic(f"Basic {encoded}") is None
        return
    expected = tuple(f"{user}:{password}".split(":", 1))
    assert parse_basic(f"bAsIc {encoded}") == expected


def test_credentials_without_a_colon_are_a_user_without_password():
    assert parse_basic("Basic " + base64.b64encode(b"user").decode()) == ("user", "")


@given(st.binary())
def test_decoding_garbage_raises_value_error_only(data):
    with pytest.raises(ValueError, match="not an XML-RPC call"):
        decode_call(data)


arguments = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.text(st.characters(codec="utf-8", categories=("L", "N", "P"))),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(arguments, max_size=4))
def test_calls_are_decoded_as_the_standard_library_encodes_them(values):
    data = xmlrpc.client.dumps(tuple(values), "a.b", allow_none=True).encode()
    assert decode_call(data) == ("a.b", tuple(values))


@pytest.mark.parametrize("text", ["x" * 200_000, "<&> \u00e9 \U0001f512 @\n" * 20_000])
@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1"])
def test_large_answers_are_encoded_like_small_ones(text, encoding):
    made = XMLRPCDispatcher(encoding=encoding)._encode((text,))
    wanted = xmlrpc.client.dumps((text,), methodresponse=True, encoding=encoding)
    assert bytes(made) == wanted.encode(encoding, "xmlcharrefreplace")
