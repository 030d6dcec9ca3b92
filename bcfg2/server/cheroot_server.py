"""The HTTP server of CherryPy, cheroot, made to put up with what :mod:`bcfg2.server.ssl_server` puts up with.

.. code-block:: text

    SSLServer (ssl_server.py)   the listening socket, and TLS settings that follow their files
    CherootServer               accepts, threads, orderly stop
        _TLS                      a new connection becomes one of TLS; the handshake is made by the connection's thread
        _Connection               its time limits (connections.py); it is closed so that the client can read the answer
        _Request                  reads the head of a request, or refuses it
        _Gateway                  hands requests to a WSGI application, with an :class:`Incoming` in the environment
"""

import contextlib
import errno
import logging
import ssl
import sys
import threading
import time
from http import HTTPStatus
from typing import Any

from cheroot import errors
from cheroot.makefile import StreamReader, StreamWriter
from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.ssl import Adapter
from cheroot.wsgi import Gateway_10, Server

from bcfg2.server.call_log import Call, Observer
from bcfg2.server.connections import Connections, TimedStream, discard
from bcfg2.server.http_request import Head, Refusal, check_framing, declared_length, read_body
from bcfg2.server.limits import Limits, SparseLog
from bcfg2.server.plugin.interfaces import ClientAddress
from bcfg2.server.ssl_server import EXHAUSTED, SSLServer, client_address

logger = logging.getLogger("bcfg2.CherootServer")

#: What a request is called in the environment of the WSGI application.
INCOMING = "bcfg2.incoming"

#: Threads that are there from the start.
_THREADS = 10
#: Seconds after which the loop that waits for connections turns at the latest.
_TURN = 0.1
#: Bytes that are read at once: no less than a record of TLS has, or what waits in it would not be seen by the selector.
_BUFFER = 1 << 15


class CherootServer(Server):
    """Serves the WSGI application APP on the socket and with the TLS settings of LISTENER.

    OBSERVER is told of requests that do not get to the application, because their heads are no good.
    """

    def __init__(
        self, app: Any, listener: SSLServer, limits: Limits, asks_for_certificates: bool, observer: Observer
    ) -> None:
        self.server_address = listener.server_address
        host, port = listener.server_address[:2]
        super().__init__(
            (host, port),
            app,
            numthreads=min(_THREADS, limits.connections),
            server_name="Bcfg2",
            max=limits.connections,
            request_queue_size=listener.request_queue_size,
            timeout=limits.idle,  # other limits of time are kept by the connections
        )
        self.limits = limits
        self.asks_for_certificates = asks_for_certificates
        self.observer = observer
        self.connections = Connections(limits.connections, limits.connections_per_address)
        #: What happened to connections so far.
        self.counters = self.connections.counters
        #: Set when the server is to stop.
        self.stopping = threading.Event()
        self.gateway = _Gateway
        self.ConnectionClass = _Connection
        self.ssl_adapter = _TLS(listener)
        self.expiration_interval = _TURN
        self.max_request_header_size = limits.head
        self.keep_alive_conn_limit = None
        self._listener = listener
        self._loop: threading.Thread | None = None
        self._turned = time.monotonic()
        self._exhausted_log = SparseLog(logger)

    @property
    def turned(self) -> float:
        """When connections were last looked for, of :func:`time.monotonic`."""
        if self._loop is not None and self._loop.is_alive():
            self._turned = time.monotonic()
        return self._turned

    def bind(self, family: Any, type: Any, proto: int = 0) -> Any:
        """Called when serving begins; the socket is bound already."""
        self.socket = self._listener.socket
        return self.socket

    def serve_forever(self, _poll_interval: float = 0.5) -> None:
        """Serve until :meth:`stop` is called.  The threads are as this one: it should be a daemon's."""
        self._loop = threading.current_thread()
        self.start()

    def process_conn(self, conn: Any) -> None:
        """Called for each connection on which there is something to read."""
        if self.requests.idle <= self.requests.qsize:
            try:
                self.requests.grow(1)
            except RuntimeError as err:
                self._exhausted_log.warning("Cannot make another thread: %s", err)
        super().process_conn(conn)

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Called by cheroot with what it has to say, while an exception is being handled if there is a TRACEBACK."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            self._exhausted_log.warning("Cannot accept connections: %s", error.strerror)
            self.connections.make_room()
            self.stopping.wait(0.1)
        elif isinstance(error, OSError):
            logger.info("%s", msg)
        else:
            logger.log(level, "%s", msg, exc_info=traceback)

    def stop(self) -> None:
        """Accept nothing more, close idle connections, let running requests end (within a limit), and close."""
        self.stopping.set()
        self.ready = False
        self._connections.stop()
        self.server_close()
        if not self.connections.await_quiet(self.limits.stop):
            logger.error("Requests still running after %g s are given up", self.limits.stop)
        self._connections.close()  # the idle ones; threads end with the process, whatever they wait for

    def server_close(self) -> None:
        """Close the listening socket."""
        self._listener.server_close()


class _TLS(Adapter):
    """Makes connections ones of TLS, with the settings of LISTENER."""

    def __init__(self, listener: SSLServer) -> None:
        self._listener = listener

    def bind(self, sock: Any) -> Any:
        return sock

    def wrap(self, sock: Any) -> tuple[Any, dict[str, Any]]:
        """Nothing is read from the connection yet: a silent client must not keep others from being accepted."""
        try:
            secure = self._listener.tls.current().wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except OSError as err:
            sock.close()
            raise errors.FatalSSLAlert(str(err)) from err
        return secure, self.get_environ()

    def get_environ(self) -> dict[str, Any]:
        return {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def makefile(self, sock: Any, mode: str = "r", bufsize: int = -1) -> Any:
        raise NotImplementedError("connections make their streams themselves")


class _Reader(StreamReader):
    """What cheroot reads requests from, here a :class:`TimedStream`."""

    def __init__(self, stream: TimedStream) -> None:
        super(StreamReader, self).__init__(stream, _BUFFER)
        self.bytes_read = 0


class _Writer(StreamWriter):
    """What cheroot writes answers to."""

    def __init__(self, stream: TimedStream) -> None:
        super(StreamWriter, self).__init__(stream, _BUFFER)
        self.bytes_written = 0


class _Stream(TimedStream):
    """One whose end of time cheroot recognises."""

    def _left(self) -> float:
        try:
            return super()._left()
        except TimeoutError:
            raise TimeoutError("timed out") from None


class _Request(HTTPRequest):
    """The head of a request."""

    def simple_response(self, status: str, msg: str = "") -> None:
        """Called when the request is refused because of its head, or there is none."""
        if not self.conn.stream.received:
            logger.info("%s was silent for too long", self.conn.address[0])
            return
        call = Call(self.conn.address)
        call.outcome, call.reason = f"refused {status[:3]}", msg or status[4:]
        call.log(len(msg), self.server.observer)
        self.conn.refused = True
        self.conn.stream.allow()
        super().simple_response(status, msg)


class _Connection(HTTPConnection):
    """One connection."""

    server: CherootServer
    RequestHandlerClass = _Request

    def __init__(self, server: CherootServer, sock: ssl.SSLSocket, _makefile: Any) -> None:
        self.address: ClientAddress = client_address(sock.getpeername())
        self.stream = _Stream(sock, server.limits.timeout)
        super().__init__(server, sock, self._file)
        #: Whether its request was refused, so that the client may be sending still.
        self.refused = False
        self._is_new = True
        if not (server.connections.await_room(0) and server.connections.enter(sock, self.address[0])):
            sock.close()
            raise ConnectionAbortedError(errno.ECONNABORTED, "too many connections")  # which cheroot passes over

    def _file(self, _sock: Any, mode: str, _size: int) -> Any:
        return _Reader(self.stream) if "r" in mode else _Writer(self.stream)

    def communicate(self) -> bool:
        """Serve a request, after the handshake if it is the first; whether another may follow."""
        try:
            if self._is_new:
                self._is_new = False
                self.socket.settimeout(self.server.limits.timeout)
                self.socket.do_handshake()
            self.stream.allow()
            return bool(super().communicate()) and not self.server.stopping.is_set()
        except (OSError, ValueError) as err:
            logger.info("The connection with %s broke: %s", self.address[0], err)
            return False
        finally:
            self.server.connections.end(self.socket)

    def close(self) -> None:
        if self.refused:
            discard(self.socket, self.server.limits.timeout)
        self.server.connections.leave(self.socket)  # first: nobody may shut down a descriptor that is another's by then
        with contextlib.suppress(OSError, ValueError):
            super().close()


class Incoming:
    """A request whose head has been read."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._connection: _Connection = request.conn
        self.address = self._connection.address
        self.verb = request.method.decode("latin-1")
        self.target = request.uri.decode("latin-1")

    def begin(self) -> None:
        """It is being answered from now on."""
        self.address.client = self.address.name = None
        self._connection.server.connections.begin(self._connection.socket)

    def certificate(self) -> dict[str, Any] | None:
        """The client's certificate, as the ssl module has it."""
        connection = self._connection
        return connection.socket.getpeercert() if connection.server.asks_for_certificates else None

    def authorization(self) -> str:
        """The header of that name."""
        return self._header(b"Authorization")

    def read_body(self) -> bytes:
        """The body; :exc:`Refusal` if there is none to be had."""
        limits = self._connection.server.limits
        headers = {
            name: self._header(name.title().encode())
            for name in ("content-length", "transfer-encoding")
            if name.title().encode() in self._request.inheaders
        }
        version = tuple(map(int, self._request.request_protocol[5:].split(b".")))
        head = Head(self.verb, self.target, (version[0], version[1]), headers)
        check_framing(head)
        if not head.is_chunked:
            declared_length(head, limits.body)
        stream = self._connection.rfile
        self._request.rfile = stream  # cheroot is not to look for what is left of the body
        self._connection.stream.allow(limits.rate)
        try:
            return read_body(stream, head, limits.body)
        except TimeoutError:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "its body did not come in time (io_timeout, min_rate)") from None

    def answered(self, closes: bool = False, refused: bool = False) -> None:
        """The answer is about to be sent, after which the connection is closed if it CLOSES or is REFUSED."""
        self._connection.stream.allow(self._connection.server.limits.rate)
        self._connection.refused = refused
        if closes or refused:
            self._request.close_connection = True

    def _header(self, name: bytes) -> str:
        value: bytes = self._request.inheaders.get(name, b"")
        return value.decode("latin-1")


class _Gateway(Gateway_10):
    """Passes the request on, besides what WSGI wants to have passed on."""

    def get_environ(self) -> dict[str, Any]:
        incoming = Incoming(self.req)
        incoming.begin()
        return {**super().get_environ(), INCOMING: incoming}
