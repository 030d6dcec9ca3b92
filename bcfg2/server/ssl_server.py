"""The HTTPS XML-RPC server: sockets, TLS, HTTP and XML-RPC, but nothing of Bcfg2.

.. code-block:: text

    TCPServer (standard library)
        SSLServer               listens, wraps connections in TLS; the handshake is made by the connection's thread
    ThreadingMixIn              a thread for each connection, their number is limited (connections.py)
    XMLRPCDispatcher            XML-RPC: asks its instance, encodes the answer (dispatcher.py)
        XMLRPCServer            all three
    XMLRPCRequestHandler        HTTP: one for each connection (http_request.py reads requests)
        Answering               what a request is answered with (answering.py)

The instance that is registered with the server decides everything else.  It has three methods:
``authenticate(cert, user, password, address)``, ``check_acls(address, method)`` and ``_dispatch(method, arguments,
address)``; the last raises :exc:`xmlrpc.client.Fault` or any other exception.  It may have more: ``page(path,
address)`` gives a :class:`Page` or None for a GET request, before anybody is authenticated, ``called(method,
outcome, seconds, received, sent)`` is told of each request, see :data:`bcfg2.server.call_log.Observer`, and
``answering(address)`` is a context manager in which a call is checked and answered when its body is there; it gives
whether ``authenticate`` would still say the same, otherwise that is called again.
"""

import contextlib
import errno
import io
import ipaddress
import logging
import select
import socket
import socketserver
import ssl
import threading
import time
from http import HTTPStatus
from typing import Any
from xmlrpc.server import SimpleXMLRPCRequestHandler

from bcfg2.server.answering import Answering, Page, refused
from bcfg2.server.call_log import Call
from bcfg2.server.connections import Connections, TimedStream, discard, end_sending
from bcfg2.server.dispatcher import XMLRPCACLCheckException, XMLRPCDispatcher, decode_call
from bcfg2.server.http_request import Head, Refusal, declared_length, parse_basic, read_body, read_head
from bcfg2.server.limits import Limits, SparseLog
from bcfg2.server.plugin.interfaces import ClientAddress
from bcfg2.server.tls import RenewableContext, ServerError, make_context

__all__ = [
    "Limits",
    "Page",
    "SSLServer",
    "ServerError",
    "XMLRPCACLCheckException",
    "XMLRPCDispatcher",
    "XMLRPCRequestHandler",
    "XMLRPCServer",
    "client_address",
    "decode_call",
    "make_context",
    "parse_basic",
]

logger = logging.getLogger("bcfg2.SSLServer")

#: The words of old configurations.  Both mean: the best version of TLS that both sides know, 1.2 at least.
PROTOCOLS = ("xmlrpc/ssl", "xmlrpc/tlsv1")

#: Accepting fails with these while there is too much of everything.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class SSLServer(socketserver.TCPServer):
    """A TCP server with TLS.

    LISTEN_ALL: listen on all interfaces, not just on the address.  REQCERT: ask clients for a certificate, which must
    be signed by CA if one is shown.  TIMEOUT: seconds, see :class:`Limits`.  CIPHERS: see
    :func:`bcfg2.server.tls.make_context`.  Raises :exc:`ServerError`.
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
        ciphers: str | None = None,
    ) -> None:
        if protocol not in PROTOCOLS:
            raise ServerError(f"the protocol is {protocol!r}, use one of {', '.join(PROTOCOLS)}")
        self.io_timeout = timeout
        #: The TLS settings for new connections.
        self.tls = RenewableContext(keyfile, certfile, ca if reqCert else None, ciphers)
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
            secure = self.tls.current().wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except BaseException:
            connection.close()
            raise
        return secure, client_address(address)

    def shutdown_request(self, request: Any) -> None:
        """Tell the client that nothing follows, without waiting for its answer, and close."""
        end_sending(request)
        self.close_request(request)


def client_address(address: Any) -> ClientAddress:
    """(IP address, port) of what :meth:`socket.accept` returned; IPv4 in IPv6 becomes plain IPv4."""
    host, port = address[:2]
    if ":" in host:
        mapped = ipaddress.IPv6Address(host.partition("%")[0]).ipv4_mapped
        host = str(mapped) if mapped else host
    return ClientAddress((host, port))


class XMLRPCServer(socketserver.ThreadingMixIn, SSLServer, XMLRPCDispatcher):
    """Serves calls over HTTPS, each connection in a thread of its own.

    REGISTER and LOGREQUESTS are accepted for old callers and do nothing.  Raises :exc:`ServerError`.
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
        ciphers: str | None = None,
    ) -> None:
        XMLRPCDispatcher.__init__(self, allow_none, encoding)
        self.limits = limits or Limits(timeout=timeout)
        self.asks_for_certificates = bool(ca)
        self.connections = Connections(self.limits.connections, self.limits.connections_per_address)
        #: What happened to connections so far.
        self.counters = self.connections.counters
        #: Set when the server is to stop.
        self.stopping = threading.Event()
        self.answering = Answering(self, self.limits, self.stopping)
        #: When connections were last looked for, of :func:`time.monotonic`.
        self.turned = time.monotonic()
        self._exhausted_log = SparseLog(logger)
        self._stopped_end, self._stopper = socket.socketpair()
        try:
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
                ciphers=ciphers,
            )
        except ServerError:
            self._stopper.close()
            self._stopped_end.close()
            raise

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        """A new connection that may be served; :exc:`OSError` if there is none."""
        while not self.connections.await_room(0.2):
            self.turned = time.monotonic()
            if self.stopping.is_set():
                raise OSError("the server is stopping")
        try:
            connection, address = super().get_request()
        except OSError as err:
            if err.errno in EXHAUSTED:
                self._exhausted_log.warning("Cannot accept connections: %s", err.strerror)
                self.connections.make_room()
                self.stopping.wait(0.1)
            raise
        if not self.connections.enter(connection, address[0]):
            connection.close()
            raise OSError("too many connections from this address")
        return connection, address

    def service_actions(self) -> None:
        """Called in each turn of the loop that looks for connections."""
        self.turned = time.monotonic()

    def process_request(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request(request, client_address)
        except RuntimeError as err:  # no more threads
            self._exhausted_log.warning("Cannot serve %s: %s", client_address[0], err)
            self.counters.refused += 1
            self.shutdown_request(request)

    def close_request(self, request: Any) -> None:
        self.connections.leave(request)  # first: nobody may shut down a descriptor that is another's by then
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Called while an exception of a connection's thread is being handled."""
        logger.exception("Error while serving %s", client_address[0])

    def await_data(self, connection: Any, seconds: float) -> bool:
        """Whether something can be read from CONNECTION, waiting until the time is up or the server stops."""
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        poll.register(self._stopped_end, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(seconds * 1000)}
        return connection.fileno() in ready and not self.stopping.is_set()

    def stop(self) -> None:
        """Accept nothing more, close idle connections, let running requests end (within a limit), and close."""
        self.stopping.set()
        self._stopper.close()
        self.shutdown()
        self.socket.close()
        if not self.connections.await_quiet(self.limits.stop):
            logger.error("Requests still running after %g s are given up", self.limits.stop)
        self.server_close()

    def server_close(self) -> None:
        super().server_close()
        self._stopper.close()
        self._stopped_end.close()


class XMLRPCRequestHandler(SimpleXMLRPCRequestHandler):
    """The HTTP side of one connection: authentication, bodies within limits, keep-alive.

    The order of checks is: form of the head, credentials, body, XML, access control list, method, arguments.
    """

    server: XMLRPCServer
    connection: ssl.SSLSocket
    client_address: ClientAddress
    rfile: io.BufferedReader
    stream: TimedStream

    protocol_version = "HTTP/1.1"
    request_version = "HTTP/1.1"
    server_version = "Bcfg2"
    sys_version = ""
    rpc_paths = ()

    def setup(self) -> None:
        self.connection = self.request
        self.stream = TimedStream(self.connection, self.server.limits.timeout)
        self.rfile = io.BufferedReader(self.stream)
        self.wfile = io.BufferedWriter(self.stream)
        self.close_connection = True
        self.refused = False

    def handle(self) -> None:
        """Make the TLS handshake, then serve requests until the connection is to be closed."""
        try:
            self.connection.do_handshake()  # has the timeout of the connection for all of it
        except (OSError, ValueError) as err:
            logger.info("No TLS connection with %s: %s", self.client_address[0], err)
            return
        try:
            self.handle_one_request()
            while not self.close_connection and self._next_request():
                self.handle_one_request()
        except TimeoutError:
            logger.info("%s was silent or slow for too long", self.client_address[0])
        except (OSError, ValueError) as err:
            logger.info("The connection with %s broke: %s", self.client_address[0], err)

    def _next_request(self) -> bool:
        """Whether the client has begun another request before its time was up and the server stopped."""
        self.stream.patient = False
        try:
            if self.rfile.peek(1):  # sent together with the last request
                return True
        finally:
            self.stream.patient = True
        return self.server.await_data(self.connection, self.server.limits.idle)

    def finish(self) -> None:
        """Send what is left; have a client that is still sending read why its request is refused."""
        with contextlib.suppress(OSError, ValueError):
            super().finish()
        if self.refused:
            discard(self.connection, self.server.limits.timeout)

    def handle_one_request(self) -> None:
        """Read one request and answer it."""
        self.close_connection = True
        self.client_address.client = self.client_address.name = None
        call = Call(self.client_address)
        try:
            try:
                head = self._read_head()
                if head is None:
                    return
                self.server.connections.begin(self.connection)
                self.close_connection = not head.keeps_connection
                call.arrived(head.method, head.target)
                page = self._answer(head, call)
            except Refusal as refusal:
                self.close_connection = self.refused = True
                page = refused(refusal, call)
            self.server.answering.log(page, call)
            self._send(page, call.is_without_body)
        finally:
            self.server.connections.end(self.connection)

    def _read_head(self) -> Head | None:
        self.stream.allow()
        try:
            return read_head(self.rfile, self.server.limits.head)
        except TimeoutError:
            if not self.stream.received:
                raise
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "its head did not come in time") from None

    def _answer(self, head: Head, call: Call) -> Page:
        """The answer to a request; :exc:`Refusal` if there is none."""
        answering = self.server.answering
        page = answering.page(head.method, head.target, call)
        if page is not None:
            self.close_connection = True  # whatever body there may be is not read
            return page

        def authenticate() -> None:
            answering.authenticate(head.headers.get("authorization", ""), self._certificate, call)

        authenticate()
        if head.method != "POST":
            raise Refusal(HTTPStatus.NOT_IMPLEMENTED, "calls are made with POST")
        return answering.answer(self._read_body(head), call, authenticate)

    def _certificate(self) -> dict[str, Any] | None:
        return self.connection.getpeercert() if self.server.asks_for_certificates else None

    def _read_body(self, head: Head) -> bytes:
        limits = self.server.limits
        if not head.is_chunked:
            declared_length(head, limits.body)  # refused before the client is told to send it
        if head.expects_continue:
            self.stream.allow()
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        self.stream.allow(limits.rate)
        try:
            return read_body(self.rfile, head, limits.body)
        except TimeoutError:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "its body did not come in time (io_timeout, min_rate)") from None

    def _send(self, page: Page, without_body: bool) -> None:
        self.stream.allow(self.server.limits.rate)
        self.send_response(page.status)
        for name, value in page.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if not without_body:
            self.wfile.write(page.body)
        self.wfile.flush()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: see :class:`bcfg2.server.call_log.Call`."""
