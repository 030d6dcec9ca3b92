"""An HTTPS server with an instance of its own behind it, and clients that speak to it in bytes."""

import base64
import contextlib
import http.client
import socket
import ssl
import threading
import xmlrpc.client

from bcfg2.server.ssl_server import Limits, XMLRPCServer


class Instance:
    """What a core is to the server."""

    def __init__(self) -> None:
        self.certificates: list = []
        self.release = threading.Event()
        self.entered = threading.Event()

    def authenticate(self, cert, user, password, address):
        self.certificates.append(cert)
        address.client = user
        return password == "secret"

    def check_acls(self, address, method):
        return method != "forbidden"

    def _dispatch(self, method, arguments, address):
        return getattr(self, f"call_{method}")(*arguments, address=address)

    def call_echo(self, value=None, *, address):
        return value

    def call_who(self, *, address):
        return f"{address.client} at {address[0]}"

    def call_fault(self, *, address):
        raise xmlrpc.client.Fault(-32601, "Unknown method \x00")

    def call_fail(self, *, address):
        raise RuntimeError("it is \x1b[1mbroken")

    def call_wait(self, *, address):
        self.entered.set()
        assert self.release.wait(10)
        return "done"


@contextlib.contextmanager
def serving(certificate, ca=None, ciphers=None, instance=None, **limits):
    instance = instance or Instance()
    server = XMLRPCServer(
        False,
        ("127.0.0.1", 0),
        keyfile=str(certificate.key),
        certfile=str(certificate.cert),
        ca=ca,
        ciphers=ciphers,
        limits=Limits(**limits),
    )
    server.register_instance(instance)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    server.test_instance = instance
    try:
        yield server
    finally:
        instance.release.set()
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def context(certificate=None):
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname = False
    found.verify_mode = ssl.CERT_NONE
    if certificate:
        found.load_cert_chain(certificate)
    return found


def connect(server, source="127.0.0.1", **tls):
    plain = socket.create_connection(server.server_address, timeout=10, source_address=(source, 0))
    return context(**tls).wrap_socket(plain)


def basic(user="root", password="secret"):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def request(body: bytes | str, verb="POST", auth=basic(), http="1.1", length=None, extra=()) -> bytes:
    body = body.encode() if isinstance(body, str) else body
    lines = [f"{verb} /RPC2 HTTP/{http}", "Host: localhost", *extra]
    if auth is not None:
        lines.append(f"Authorization: {auth}")
    if length is not False:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def call_body(method, *arguments) -> bytes:
    return xmlrpc.client.dumps(arguments, method, allow_none=True).encode()


def exchange(server, data: bytes, **tls) -> tuple[int, dict, bytes]:
    """Send DATA over a connection of its own; the answer's status, headers and body."""
    with connect(server, **tls) as sock:
        sock.sendall(data)
        return read_answer(sock)


def read_answer(sock) -> tuple[int, dict, bytes]:
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def is_closed(sock) -> bool:
    """Whether the server closes the connection (within the time of the socket) without saying anything."""
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


def value_of(body: bytes):
    return xmlrpc.client.loads(body)[0][0]
