"""The HTTPS XML-RPC server: sockets, TLS, HTTP and XML-RPC, but nothing of Bcfg2.

.. code-block:: text

    TCPServer (standard library)
        SSLServer               listens, wraps connections in TLS; the handshake is made by the connection's thread
    ThreadingMixIn              a thread for each connection, their number is limited
    XMLRPCDispatcher            XML-RPC: decodes a call, asks its instance, encodes the answer
        XMLRPCServer            all three
    XMLRPCRequestHandler        HTTP: one for each connection

The instance that is registered with the server decides everything else.  It has three methods:
``authenticate(cert, user, password, address)``, ``check_acls(address, method)`` and ``_dispatch(method, arguments,
address)``; the last raises :exc:`xmlrpc.client.Fault` or any other exception.
"""

import base64
import binascii
import contextlib
import io
import ipaddress
import logging
import os
import select
import socket
import socketserver
import ssl
import threading
import time
import xml.parsers.expat
import xmlrpc.client
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

from bcfg2.server.plugin.interfaces import ClientAddress
from bcfg2.xml import legal

logger = logging.getLogger("bcfg2.SSLServer")

#: The words of old configurations.  Both mean: the best version of TLS that both sides know, 1.2 at least.
PROTOCOLS = ("xmlrpc/ssl", "xmlrpc/tlsv1")

#: How much of the body of a refused request is read (and thrown away) before the answer, in bytes: a client that is
#: still sending would see a reset connection instead of it.
MAX_DISCARDED = 1 << 20

_MAX_LINE = 65536


class ServerError(Exception):
    """The server cannot be started; the text says why."""


class XMLRPCACLCheckException(Exception):
    """The caller may not call this method."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server puts up with."""

    #: Connections that are served at once; more wait to be accepted.
    connections: int = 500
    #: Bytes of a request's body.
    body: int = 64 << 20
    #: Seconds for a TLS handshake, and for each reading or writing.
    timeout: float = 10.0
    #: Seconds that a connection may stay open between requests.
    idle: float = 5.0
    #: Seconds that running requests are given to end when the server stops.
    stop: float = 5.0


class SSLServer(socketserver.TCPServer):
    """A TCP server with TLS.

    LISTEN_ALL: listen on all interfaces, not just on the address.  REQCERT: ask clients for a certificate, which must
    be signed by CA if one is shown.  TIMEOUT: seconds, see :class:`Limits`.  Raises :exc:`ServerError`.
    """

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self,
        listen_all: bool,
        server_address: tuple[str, int],
        RequestHandlerClass: Any,
        keyfile: str | None = None,
        certfile: str | None = None,
        reqCert: bool = False,
        ca: str | None = None,
        timeout: float | None = None,
        protocol: str = "xmlrpc/tlsv1",
    ) -> None:
        if protocol not in PROTOCOLS:
            raise ServerError(f"the protocol is {protocol!r}, use one of {', '.join(PROTOCOLS)}")
        self.io_timeout = timeout
        self.context = make_context(keyfile, certfile, ca if reqCert else None)
        host, port = server_address
        if ":" in host:
            self.address_family = socket.AF_INET6
        if listen_all:
            host = "::" if ":" in host else ""
        try:
            super().__init__((host, port), RequestHandlerClass)
        except OSError as err:
            raise ServerError(f"cannot listen on {host or '*'} port {port}: {err.strerror or err}") from err

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        """A new connection; nothing has been read from it yet."""
        connection, address = super().get_request()
        connection.settimeout(self.io_timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            secure = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except BaseException:
            connection.close()
            raise
        return secure, client_address(address)

    def shutdown_request(self, request: Any) -> None:
        """Tell the client that nothing follows, without waiting for its answer, and close."""
        with contextlib.suppress(OSError, ValueError):
            request.settimeout(0)
            request.unwrap()
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_WR)
        self.close_request(request)


def client_address(address: Any) -> ClientAddress:
    """(IP address, port) of what :meth:`socket.accept` returned; IPv4 in IPv6 becomes plain IPv4."""
    host, port = address[:2]
    if ":" in host:
        mapped = ipaddress.IPv6Address(host.partition("%")[0]).ipv4_mapped
        host = str(mapped) if mapped else host
    return ClientAddress((host, port))


def make_context(keyfile: str | None, certfile: str | None, ca: str | None) -> ssl.SSLContext:
    """A server's TLS settings; :exc:`ServerError` names the option and the file that cannot be used."""
    if not certfile or not keyfile:
        raise ServerError("there is no certificate or no key: set certificate and key of [communication]")
    for option, path in (("certificate", certfile), ("key", keyfile), ("ca", ca)):
        if path and not os.access(path, os.R_OK):
            what = "cannot be read" if os.path.exists(path) else "does not exist"
            raise ServerError(f"{path} {what} (option {option} of [communication])")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certfile, keyfile, password=_no_passphrase)
    except (OSError, ServerError) as err:
        raise ServerError(f"cannot use the certificate {certfile} with the key {keyfile}: {err}") from err
    if ca:
        try:
            context.load_verify_locations(cafile=ca)
        except OSError as err:
            raise ServerError(f"cannot use {ca} (option ca of [communication]): {err}") from err
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _no_passphrase() -> str:
    raise ServerError("the key is protected by a passphrase, which nobody is there to type: remove it")


class XMLRPCDispatcher(SimpleXMLRPCDispatcher):
    """Decodes calls, has its instance answer them, encodes the answers."""

    instance: Any

    def __init__(self, allow_none: bool = True, encoding: str | None = None) -> None:
        super().__init__(allow_none=allow_none, encoding=encoding or "utf-8")

    def answer(self, data: bytes, address: ClientAddress) -> bytes:
        """The encoded answer to the encoded call DATA.

        Raises :exc:`ValueError` if it is no call, :exc:`XMLRPCACLCheckException` if it may not be made.
        """
        method, arguments = decode_call(data)
        if not self.instance.check_acls(address, method):
            raise XMLRPCACLCheckException(method)
        begun = time.monotonic()
        try:
            answer = self._encode((_plain(self.instance._dispatch(method, arguments, address)),))
            outcome = "ok"
        except xmlrpc.client.Fault as fault:
            outcome = f"fault {fault.faultCode}"
            answer = self._encode(xmlrpc.client.Fault(fault.faultCode, legal(fault.faultString)))
        except Exception as err:
            logger.exception("%s failed for %s", legal(method), address[0])
            outcome = "fault 1"
            answer = self._encode(xmlrpc.client.Fault(1, legal(str(err) or type(err).__name__)))
        logger.info("%s from %s: %s in %.3f s", legal(method), address[0], outcome, time.monotonic() - begun)
        return answer

    def _encode(self, answer: Any) -> bytes:
        text = xmlrpc.client.dumps(answer, methodresponse=True, allow_none=self.allow_none, encoding=self.encoding)
        return text.encode(self.encoding, "xmlcharrefreplace")


def decode_call(data: bytes) -> tuple[str, tuple[Any, ...]]:
    """(method name, arguments) of the encoded call DATA; :exc:`ValueError` if it is none.

    Document type declarations, and with them entities, are refused.
    """
    result = xmlrpc.client.Unmarshaller()
    parser = xml.parsers.expat.ParserCreate()
    parser.StartElementHandler = result.start
    parser.EndElementHandler = result.end
    parser.CharacterDataHandler = result.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    result.xml("", None)
    try:
        parser.Parse(data, True)
        arguments = result.close()
    except Exception as err:
        raise ValueError(f"not an XML-RPC call: {err or type(err).__name__}") from err
    method = result.getmethodname()
    if not method:
        raise ValueError("not an XML-RPC call: there is no method name")
    return method, arguments


def _refuse_doctype(*_declaration: Any) -> None:
    raise ValueError("a document type declaration is not allowed")


def _plain(value: Any) -> Any:
    """VALUE as XML-RPC can carry it."""
    if isinstance(value, set | frozenset):
        return list(value)
    return value.decode("utf-8") if isinstance(value, bytes) else value


class XMLRPCServer(socketserver.ThreadingMixIn, SSLServer, XMLRPCDispatcher):
    """Serves calls over HTTPS, each connection in a thread of its own.

    REGISTER is accepted for old callers and does nothing.  Raises :exc:`ServerError`.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        listen_all: bool,
        server_address: tuple[str, int],
        RequestHandlerClass: Any = None,
        keyfile: str | None = None,
        certfile: str | None = None,
        ca: str | None = None,
        protocol: str = "xmlrpc/tlsv1",
        timeout: float = 10,
        logRequests: bool = False,
        register: bool = True,
        allow_none: bool = True,
        encoding: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        XMLRPCDispatcher.__init__(self, allow_none, encoding)
        self.limits = limits or Limits(timeout=timeout)
        self.logRequests = logRequests
        self.asks_for_certificates = bool(ca)
        self._free = threading.Semaphore(self.limits.connections)
        self._connections: dict[Any, bool] = {}  # connection -> whether a request is running on it
        self._changed = threading.Condition()
        self._stopping = False
        self._stopped_end, self._stopper = socket.socketpair()
        SSLServer.__init__(
            self,
            listen_all,
            server_address,
            RequestHandlerClass or XMLRPCRequestHandler,
            keyfile=keyfile,
            certfile=certfile,
            reqCert=bool(ca),
            ca=ca,
            timeout=self.limits.timeout,
            protocol=protocol,
        )

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        while not self._free.acquire(timeout=0.2):
            if self._stopping:
                raise OSError("the server is stopping")
        try:
            connection, address = super().get_request()
        except BaseException:
            self._free.release()
            raise
        with self._changed:
            self._connections[connection] = False
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request(request, client_address)
        except RuntimeError as err:  # no more threads
            logger.error("Cannot serve %s: %s", client_address[0], err)
            self.shutdown_request(request)

    def close_request(self, request: Any) -> None:
        super().close_request(request)
        with self._changed:
            known = self._connections.pop(request, None) is not None
            self._changed.notify_all()
        if known:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Called while an exception of a connection's thread is being handled."""
        logger.exception("Error while serving %s", client_address[0])

    @contextlib.contextmanager
    def running(self, connection: Any) -> Iterator[None]:
        """A request is running on CONNECTION: it is not closed meanwhile when the server stops."""
        with self._changed:
            self._connections[connection] = True
        try:
            yield
        finally:
            with self._changed:
                self._connections[connection] = False
                self._changed.notify_all()

    def await_data(self, connection: Any, seconds: float) -> bool:
        """Whether something can be read from CONNECTION, waiting until the time is up or the server stops."""
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        poll.register(self._stopped_end, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(seconds * 1000)}
        return connection.fileno() in ready and not self._stopping

    def stop(self) -> None:
        """Accept nothing more, close idle connections, let running requests end (within a limit), and close."""
        self._stopping = True
        self._stopper.close()
        self.shutdown()
        self.socket.close()
        deadline = time.monotonic() + self.limits.stop
        with self._changed:
            while any(self._connections.values()) and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            if any(self._connections.values()):
                logger.error("Requests still running after %g s are given up", self.limits.stop)
        self.server_close()


class XMLRPCRequestHandler(SimpleXMLRPCRequestHandler):
    """The HTTP side of one connection: authentication, bodies within limits, keep-alive.

    The order of checks is: credentials, body, XML, access control list, method, arguments.
    """

    server: XMLRPCServer
    connection: ssl.SSLSocket
    client_address: ClientAddress
    rfile: io.BufferedReader

    protocol_version = "HTTP/1.1"
    server_version = "Bcfg2"
    sys_version = ""
    rpc_paths = ()
    wbufsize = -1
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Make the TLS handshake, then serve requests until the connection is to be closed."""
        try:
            self.connection.do_handshake()
        except (OSError, ValueError) as err:
            logger.info("No TLS connection with %s: %s", self.client_address[0], err)
            return
        try:
            self.handle_one_request()
            while not self.close_connection and self._next_request():
                self.handle_one_request()
        except TimeoutError:
            logger.info("%s was silent for too long", self.client_address[0])
        except (OSError, ValueError) as err:
            logger.info("The connection with %s broke: %s", self.client_address[0], err)

    def _next_request(self) -> bool:
        """Whether the client has begun another request before its time was up and the server stopped."""
        self.connection.settimeout(0)
        try:
            self.rfile.peek(1)  # sent together with the last request, or the end of the connection
        except ssl.SSLWantReadError:
            if not self.server.await_data(self.connection, self.server.limits.idle):
                return False
        self.connection.settimeout(self.server.limits.timeout)
        return True

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def handle_one_request(self) -> None:
        """Read one request and answer it."""
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(_MAX_LINE + 1)
        if not self.raw_requestline:
            return
        with self.server.running(self.connection):
            if len(self.raw_requestline) > _MAX_LINE:
                self.requestline = self.request_version = self.command = ""
                self.refuse(HTTPStatus.REQUEST_URI_TOO_LONG)
            elif self.parse_request():
                self._answer_request()
            self.wfile.flush()

    def _answer_request(self) -> None:
        allowed = self.authenticate()
        if not allowed:
            self.discard_body()
            self.refuse(HTTPStatus.UNAUTHORIZED)
        elif self.command != "POST":
            self.refuse(HTTPStatus.NOT_IMPLEMENTED)
        else:
            self.do_POST()

    def do_POST(self) -> None:
        """Answer a call."""
        try:
            body = self.read_body()
        except _Refusal as refusal:
            logger.warning("A request of %s is refused: %s", self.client_address[0], refusal)
            self.refuse(refusal.status)
            return
        except TimeoutError:
            logger.warning("A request of %s is refused: its body did not come in time", self.client_address[0])
            self.refuse(HTTPStatus.REQUEST_TIMEOUT)
            return
        try:
            answer = self.server.answer(body, self.client_address)
        except XMLRPCACLCheckException as err:
            logger.warning("%s may not call %s", self.client_address[0], legal(str(err)))
            self.refuse(HTTPStatus.UNAUTHORIZED)
            return
        except ValueError as err:
            logger.warning("A request of %s is refused: %s", self.client_address[0], legal(str(err)))
            self.refuse(HTTPStatus.BAD_REQUEST)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(answer)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer)

    def authenticate(self) -> bool:
        """Whether the request's credentials are good."""
        credentials = parse_basic(self.headers.get("Authorization", ""))
        if credentials is None:
            logger.error("No usable credentials from %s", self.client_address[0])
            return False
        certificate = self.connection.getpeercert() if self.server.asks_for_certificates else None
        return bool(self.server.instance.authenticate(certificate or None, *credentials, self.client_address))

    # bodies

    def read_body(self) -> bytes:
        """The body of the request."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self._chunks(self.server.limits.body))
        length = self._content_length()
        if length > self.server.limits.body:
            raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"its body of {length} bytes is too large (max_body)")
        body = self.rfile.read(length)
        if len(body) < length:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "its body is cut short")
        return body

    def discard_body(self) -> None:
        """Read the body, or as much as is reasonable, so that the client gets to read the answer."""
        self.close_connection = True
        with contextlib.suppress(_Refusal, OSError, ValueError):
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                for _chunk in self._chunks(MAX_DISCARDED):
                    pass
                return
            left = min(self._content_length(), MAX_DISCARDED)
            while left > 0 and (chunk := self.rfile.read(min(left, 65536))):
                left -= len(chunk)

    def _content_length(self) -> int:
        text = self.headers.get("Content-Length")
        if text is None:
            raise _Refusal(HTTPStatus.LENGTH_REQUIRED, "it says no Content-Length")
        if not (text.isascii() and text.isdigit()):
            raise _Refusal(HTTPStatus.BAD_REQUEST, f"its Content-Length is {text!r}")
        return int(text)

    def _chunks(self, limit: int) -> Iterator[bytes]:
        """The parts of a chunked body of at most LIMIT bytes (RFC 9112, section 7.1)."""
        total = 0
        while True:
            line = self.rfile.readline(_MAX_LINE)
            try:
                size = int(line.split(b";")[0].strip(), 16)
            except ValueError:
                raise _Refusal(HTTPStatus.BAD_REQUEST, "its body is not well chunked") from None
            total += size
            if size < 0 or total > limit:
                raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "its body is too large (max_body)")
            if size == 0:
                break
            chunk = self.rfile.read(size)
            if len(chunk) < size or self.rfile.readline(_MAX_LINE).strip():
                raise _Refusal(HTTPStatus.BAD_REQUEST, "its body is not well chunked")
            yield chunk
        for _ in range(100):  # trailers
            if not self.rfile.readline(_MAX_LINE).strip():
                return
        raise _Refusal(HTTPStatus.BAD_REQUEST, "its body has too many trailers")

    # answers

    def refuse(self, status: HTTPStatus) -> None:
        """Answer with an error page and close the connection."""
        self.close_connection = True
        page = f"<html><head><title>{status.value} {status.phrase}</title></head></html>\n".encode()
        self.send_response(status)
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="bcfg2"')
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:
        """What the standard library reports about single requests is for debugging."""
        logger.debug("%s: %s", self.client_address[0], legal(format % args))


class _Refusal(Exception):
    """A request that is not served, and the status that says so."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def parse_basic(header: str) -> tuple[str, str] | None:
    """(user, password) of an ``Authorization`` header of the scheme Basic (RFC 7617), or None.

    Without a colon the whole is the user and the password is empty.
    """
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    user, _, password = text.partition(":")
    return user, password
