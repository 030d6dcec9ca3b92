"""What the HTTPS server puts up with: one table, which the options of ``[server]`` fill.

The limits that have no option are constants beside the code that keeps them: :data:`bcfg2.server.http_request.MAX_LINE`
and :data:`~bcfg2.server.http_request.MAX_HEADERS`, those of :mod:`bcfg2.server.failed_logins`,
:data:`bcfg2.server.connections.GRACE`, and :data:`bcfg2.unmarshal.MAX_DEPTH`.
"""

import logging
import resource
import threading
import time
from dataclasses import dataclass

#: Descriptors that the server needs besides those of its connections: files, watches, logs.
_OTHER_DESCRIPTORS = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server puts up with."""

    #: Connections that are served at once; more wait to be accepted, unless an idle one can be closed.
    connections: int = 500
    #: Connections from one address; more are closed at once, unless an idle one can be.
    connections_per_address: int = 250
    #: Bytes of a request's first line and headers.
    head: int = 64 << 10
    #: Bytes of a request's body as it is sent.
    body: int = 64 << 20
    #: Seconds for a TLS handshake, for the head of a request, and for any silence in a body or an answer.
    timeout: float = 10.0
    #: Bytes in a second at which bodies and answers have to pass after the first `timeout` seconds.
    rate: int = 4096
    #: Seconds that a connection may stay open between requests.
    idle: float = 5.0
    #: Seconds that running requests are given to end when the server stops.
    stop: float = 5.0
    #: Wrong credentials that an address may send at once before its answers are delayed; one a second is forgotten.
    login_failures: int = 5
    #: Seconds by which those answers are delayed; none if zero.
    login_delay: float = 1.0


class SparseLog:
    """Writes the first of many like warnings at once, and then one every so many seconds that counts the others.

    What an unfriendly network can cause at will must not fill the log.
    """

    def __init__(self, logger: logging.Logger, interval: float = 10.0) -> None:
        self._logger = logger
        self._interval = interval
        self._lock = threading.Lock()
        self._next = 0.0
        self._left_out = 0

    def warning(self, message: str, *arguments: object) -> None:
        """Write MESSAGE % ARGUMENTS, or count it."""
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                self._left_out += 1
                return
            self._next = now + self._interval
            left_out, self._left_out = self._left_out, 0
        note = f" ({left_out} more of this kind since the last such line)" if left_out else ""
        self._logger.warning("%s%s", message % arguments, note)


def allow_descriptors(connections: int, logger: logging.Logger) -> None:
    """Have the process allowed as many descriptors as that many CONNECTIONS need; warn if that is not possible."""
    needed = connections + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        logger.warning(
            "max_connections = %d needs %d open files, but only %d are allowed: raise LimitNOFILE or ulimit -n",
            *(connections, needed, allowed),
        )
