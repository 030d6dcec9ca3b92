"""The connections of a server: how many there are, what each is doing, which one gives way to a new one.

.. code-block:: text

    accepted --> NEW --begin--> BUSY --end--> IDLE --begin--> BUSY ... --> left
                 |                            |
                 +----------------------------+--- may be shut down to make room

A connection is NEW until its first request's head has been read, so silent clients, before, in and after the handshake,
stay NEW.  :class:`Connections` keeps the book; :class:`TimedStream` is what a connection's thread reads and writes
through, within its time.
"""

import contextlib
import enum
import io
import logging
import socket
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bcfg2.server.limits import SparseLog

logger = logging.getLogger("bcfg2.SSLServer")

#: Seconds in which a new connection need not give way when all connections are taken.
GRACE = 2.0


#: How much a client whose request is refused may still send, in bytes: if the connection were closed at once, it would
#: see that instead of the answer.
MAX_DISCARDED = 1 << 20


class _State(enum.Enum):
    NEW = 1
    BUSY = 2
    IDLE = 3


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    host: str
    state: _State = _State.NEW
    since: float = field(default_factory=time.monotonic)
    given_way: bool = False


@dataclass(slots=True)
class Counters:
    """What happened to connections.  Whole numbers that any thread may read."""

    #: Open connections.
    connections: int = 0
    #: Requests that are being answered.
    requests: int = 0
    #: Connections accepted since the start, the refused ones among them.
    accepted: int = 0
    #: Connections closed at once, because there were too many of their address or no thread could be had.
    refused: int = 0
    #: Idle connections closed to make room.
    given_way: int = 0


class Connections:
    """The open connections: at most LIMIT, PER_ADDRESS of them from one address.  Safe to use from any thread."""

    def __init__(self, limit: int, per_address: int) -> None:
        self.counters = Counters()
        self._limit = limit
        self._per_address = per_address
        self._known: dict[socket.socket, _Connection] = {}
        self._hosts: Counter[str] = Counter()  # without those that give way
        self._leaving = 0  # those that give way and are still known
        self._changed = threading.Condition()
        self._full_log = SparseLog(logger)
        self._address_log = SparseLog(logger)

    def await_room(self, seconds: float) -> bool:
        """Whether one more may be accepted, waiting for it; an idle connection is closed if need be."""
        with self._changed:
            if len(self._known) < self._limit:
                return True
            self._full_log.warning(
                "All %d connections are taken (max_connections): idle ones are closed, new ones wait", self._limit
            )
            if not self._leaving:
                self._give_way()
            self._changed.wait(seconds)
            return len(self._known) < self._limit

    def make_room(self) -> None:
        """Close an idle connection, if there is one."""
        with self._changed:
            self._give_way()

    def enter(self, connection: socket.socket, host: str) -> bool:
        """Whether CONNECTION, just accepted from HOST, may be served."""
        with self._changed:
            self.counters.accepted += 1
            if self._hosts[host] >= self._per_address:
                made_room = self._give_way(host)
                self._address_log.warning(
                    "%s has %d connections (max_connections_per_address): %s",
                    *(host, self._per_address, "its idle ones are closed" if made_room else "more are closed at once"),
                )
                if not made_room:
                    self.counters.refused += 1
                    return False
            self._known[connection] = _Connection(connection, host)
            self._hosts[host] += 1
            self.counters.connections += 1
            return True

    def leave(self, connection: socket.socket) -> None:
        """CONNECTION is about to be closed."""
        with self._changed:
            found = self._known.pop(connection, None)
            if found is None:
                return
            self._count_state(found, _State.IDLE)
            self.counters.connections -= 1
            if found.given_way:
                self._leaving -= 1
            else:
                self._uncount(found.host)
            self._changed.notify_all()

    def begin(self, connection: socket.socket) -> None:
        """A request has arrived on CONNECTION; :exc:`ConnectionAbortedError` if it has just given way."""
        with self._changed:
            found = self._known[connection]
            if found.given_way:
                raise ConnectionAbortedError("closed to make room for another one")
            self._count_state(found, _State.BUSY)

    def end(self, connection: socket.socket) -> None:
        """The request on CONNECTION has been answered, if there was one."""
        with self._changed:
            self._count_state(self._known[connection], _State.IDLE)
            self._changed.notify_all()

    def await_quiet(self, seconds: float) -> bool:
        """Whether no request is running any more, waiting for it."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.counters.requests, seconds)

    def _count_state(self, connection: _Connection, state: _State) -> None:
        self.counters.requests += (state is _State.BUSY) - (connection.state is _State.BUSY)
        connection.state = state
        connection.since = time.monotonic()

    def _uncount(self, host: str) -> None:
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]

    def _give_way(self, host: str | None = None) -> bool:
        """Shut an idle connection (of HOST) down, or else the one that has been silent longest; whether there was one.

        Its thread notices, and leaves.  Whoever has just connected is left alone if there is room to be had otherwise:
        a crowd of clients would chase each other away.
        """
        settled = time.monotonic() - GRACE
        candidates = [
            each
            for each in self._known.values()
            if not each.given_way
            and each.state is not _State.BUSY
            and (each.host == host if host else each.state is _State.IDLE or each.since < settled)
        ]
        if not candidates:
            return False
        chosen = min(candidates, key=lambda each: (each.state is _State.NEW, each.since))
        chosen.given_way = True
        self._leaving += 1
        self._uncount(chosen.host)
        self.counters.given_way += 1
        with contextlib.suppress(OSError):
            # Not the method of SSLSocket, which takes TLS away from under the thread that uses it.
            socket.socket.shutdown(chosen.socket, socket.SHUT_RDWR)
        return True


class TimedStream(io.RawIOBase):
    """Reads from and writes to a connection until the time is up; then :exc:`TimeoutError`.

    After :meth:`allow`, everything has to be done within TIMEOUT seconds; or, given a rate, nothing may rest for so
    long, and after the first TIMEOUT seconds no fewer bytes may pass in a second.  A client that sends a byte now and
    then gets no further than a silent one.
    """

    def __init__(self, connection: ssl.SSLSocket, timeout: float) -> None:
        super().__init__()
        #: Whether to wait for data at all; if not, reading gives None where there are none.
        self.patient = True
        #: Bytes received since :meth:`allow`.
        self.received = 0
        self._connection = connection
        self._timeout = timeout
        self._rate = 0
        self._deadline = 0.0

    def allow(self, rate: int = 0) -> None:
        """Time begins to count anew, for a part of a request or answer."""
        self.received = 0
        self._rate = rate
        self._deadline = time.monotonic() + self._timeout

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._connection.settimeout(self._left() if self.patient else 0)
        try:
            count = self._connection.recv_into(buffer)
        except (ssl.SSLWantReadError, BlockingIOError):
            return None
        self.received += count
        self._passed(count)
        return count

    def write(self, data: Any) -> int:
        self._connection.settimeout(self._left())
        count = self._connection.send(data)
        self._passed(count)
        return count

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is up")
        return left

    def _passed(self, count: int) -> None:
        if self._rate:
            self._deadline = min(self._deadline + count / self._rate, time.monotonic() + self._timeout)


def end_sending(connection: ssl.SSLSocket) -> None:
    """Tell the client at the other end of CONNECTION that nothing follows, without waiting for its answer."""
    with contextlib.suppress(OSError, ValueError):
        connection.settimeout(0)
        connection.unwrap()
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_WR)


def discard(connection: ssl.SSLSocket, seconds: float) -> None:
    """Say that nothing follows, and take what the client still sends, unread, until it closes; within limits."""
    end_sending(connection)
    buffer = bytearray(1 << 16)
    remaining = MAX_DISCARDED
    deadline = time.monotonic() + seconds
    with contextlib.suppress(OSError, ValueError):
        while remaining > 0 and (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            count = socket.socket.recv_into(connection, buffer)
            if not count:
                return
            remaining -= count
