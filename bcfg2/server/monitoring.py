"""What monitoring systems ask a server: three pages beside the calls, for callers whose address is allowed.

.. code-block:: text

    /metrics    numbers about the server, for Prometheus
    /healthz    200: the process serves
    /readyz     200: the repository has been read, calls are answered; else 503 and the reason

The parts of the server that have something to count hold the metrics themselves (the file monitor, the cache of
metadata, shared writers); here are those of requests and of the process, and all of them are put on the page.
"""

import ipaddress
import logging
import os
import resource
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, Protocol

from bcfg2.options import ListOption, Option
from bcfg2.options.types import comma_list
from bcfg2.server.bindings import BOUND
from bcfg2.server.connections import Counters
from bcfg2.server.metrics import CONTENT_TYPE, Counter, Family, Gauge, Histogram, Reading, exposition
from bcfg2.server.plugin.interfaces import Address
from bcfg2.server.ssl_server import Page
from bcfg2.server.statistics import stats
from bcfg2.server.storage import PENDING
from bcfg2.version import __version__

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Stands for the method of a request that names none of the server's, or was refused before its method was read.
UNKNOWN = "unknown"

PAGES = ("/metrics", "/healthz", "/readyz")

#: Fault codes that have a number of their own; plugins may raise any others.
_CODES = frozenset({"-32601", "-32500", "1"})

_PROC = Path("/proc/self")


class Monitored(Protocol):
    """What is asked of the core."""

    options: Any
    fam: Any
    metadata_cache: Any

    def is_method(self, name: str) -> bool:
        """Whether NAME can be called at all."""

    def unready(self) -> str:
        """Why calls are not answered (well), in a few words; empty if they are."""


def networks(text: str) -> tuple[Network, ...]:
    """The networks in a list such as ``127.0.0.1, 192.0.2.0/24, 2001:db8::/32``."""
    return tuple(_network(word) for word in comma_list(text))


def _network(word: str) -> Network:
    try:
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        raise ValueError(f"{word} is no address and no network") from None


class Monitoring:
    """The pages of one core, and what is counted for them.  Safe to use from any thread."""

    options: ClassVar[list[Option]] = [
        ListOption(
            "server",
            "metrics_allowed",
            parse=networks,
            help="Addresses and networks that may read the pages /metrics, /healthz and /readyz",
        )
    ]

    def __init__(self, core: Monitored) -> None:
        self._core = core
        self.requests = Counter(
            "bcfg2_requests_total", "Requests that were answered, by method and outcome.", "method", "outcome"
        )
        self.faults = Counter("bcfg2_faults_total", "Calls that ended in a fault, by its code.", "code")
        self.seconds = Histogram("bcfg2_request_seconds", "Time from a request's arrival to its answer.", "method")
        self.received = Counter("bcfg2_request_bytes_total", "Bytes of the bodies of requests.", "method")
        self.sent = Counter("bcfg2_response_bytes_total", "Bytes of the bodies of answers.", "method")
        self.configurations = Histogram("bcfg2_configuration_seconds", "Time to build a client's configuration.")
        self.messages = Counter("bcfg2_log_messages_total", "Warnings and errors in the log.", "level")
        version = Gauge("bcfg2_build_info", "The version of the server.", "version")
        version.add(__version__)
        self._families: list[Family] = [
            version,
            Reading("bcfg2_ready", "Whether calls are answered: 1 or 0.", lambda: not core.unready()),
            self.requests,
            self.faults,
            self.seconds,
            self.received,
            self.sent,
            self.configurations,
            _Parts("bcfg2_part_seconds", "Time that parts of the server took, as in get_statistics.", "part"),
            core.metadata_cache.lookups,
            BOUND,
            Reading(
                "bcfg2_metadata_cache_clients", "Clients whose metadata is cached.", lambda: len(core.metadata_cache)
            ),
            core.fam.batches,
            core.fam.events,
            core.fam.failures,
            Reading("bcfg2_file_events_pending", "Paths whose changes wait to be read.", core.fam.queue_length),
            PENDING,
            self.messages,
            *_process(),
        ]
        self._log_counter = _LogCounter(self.messages)
        logging.getLogger("bcfg2").addHandler(self._log_counter)

    def close(self) -> None:
        """Count no more log messages."""
        logging.getLogger("bcfg2").removeHandler(self._log_counter)

    def show_connections(self, counters: Counters) -> None:
        """Show COUNTERS of the server's connections as well.  To be called before it serves."""
        self._families += [
            Reading("bcfg2_connections", "Open connections.", lambda: counters.connections),
            Reading("bcfg2_requests_in_flight", "Requests that are being answered.", lambda: counters.requests),
            Reading(
                "bcfg2_connections_accepted_total",
                "Connections accepted, the refused ones among them.",
                lambda: counters.accepted,
                kind="counter",
            ),
            Reading(
                "bcfg2_connections_refused_total",
                "Connections closed at once: too many of one address, or no thread.",
                lambda: counters.refused,
                kind="counter",
            ),
            Reading(
                "bcfg2_connections_given_way_total",
                "Idle connections closed to make room for others.",
                lambda: counters.given_way,
                kind="counter",
            ),
        ]

    def called(self, method: str, outcome: str, seconds: float, received: int, sent: int) -> None:
        """Count a request.

        METHOD and OUTCOME are as in the log: what the client says, and ``ok``, ``denied``, ``fault -32601`` ...
        RECEIVED and SENT are bytes of the bodies.
        """
        name = self._label(method)
        kind, _, code = outcome.partition(" ")
        self.requests.add(name, kind)
        if kind == "fault":
            self.faults.add(code if code in _CODES else "other")
        self.seconds.add(seconds, name)
        self.received.add(name, amount=received)
        self.sent.add(name, amount=sent)

    def _label(self, method: str) -> str:
        """What METHOD is counted under: itself if there is one, a page's path for ``GET path``."""
        if self._core.is_method(method):
            return method
        path = _without_query(method.partition(" ")[2])
        return path if path in PAGES else UNKNOWN

    def page(self, path: str, address: Address) -> Page | None:
        """The page at PATH (a query does not matter) for a caller from ADDRESS; None if there is none for him."""
        if not self._is_allowed(address[0]):
            return None
        match _without_query(path):
            case "/metrics":
                return Page(HTTPStatus.OK, CONTENT_TYPE, exposition(self._families).encode())
            case "/healthz":
                return _text(HTTPStatus.OK, "ok")
            case "/readyz":
                reason = self._core.unready()
                return _text(HTTPStatus.SERVICE_UNAVAILABLE, reason) if reason else _text(HTTPStatus.OK, "ready")
        return None

    def _is_allowed(self, host: str) -> bool:
        allowed: tuple[Network, ...] = self._core.options.server_metrics_allowed
        if not allowed:
            return False
        address = ipaddress.ip_address(host)
        return any(address in network for network in allowed)


def _without_query(path: str) -> str:
    return path.partition("?")[0]


def _text(status: HTTPStatus, line: str) -> Page:
    return Page(status, "text/plain; charset=utf-8", f"{line}\n".encode())


class _Parts(Family):
    """The sums and counts of :data:`bcfg2.server.statistics.stats`."""

    kind = "summary"

    def samples(self) -> Iterator[tuple[str, tuple[tuple[str, str], ...], float]]:
        for part, (_low, _high, mean, count) in sorted(stats.display().items()):
            labels = self._named((part,))
            yield "_sum", labels, mean * count
            yield "_count", labels, count


class _LogCounter(logging.Handler):
    """Counts warnings and errors, whatever they are about: unusable files, failing plugins, refused clients."""

    def __init__(self, messages: Counter) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.add("error" if record.levelno >= logging.ERROR else "warning")


def _process() -> Iterator[Family]:
    """What Prometheus' own libraries tell about a process; memory and descriptors only where there is ``/proc``."""
    started = time.time()
    yield Reading("process_start_time_seconds", "When the server was started, Unix time.", lambda: started)
    yield Reading("process_cpu_seconds_total", "Processor time, user and system.", time.process_time, "counter")
    yield Reading("process_max_fds", "How many descriptors may be open.", _max_descriptors)
    yield Reading("bcfg2_threads", "Threads of the server.", threading.active_count)
    if (_PROC / "statm").exists():
        yield Reading("process_resident_memory_bytes", "Memory in use.", _resident_memory)
        yield Reading("process_open_fds", "Open descriptors.", _open_descriptors)


def _resident_memory() -> int:
    return int((_PROC / "statm").read_text().split()[1]) * resource.getpagesize()


def _open_descriptors() -> int:
    return len(os.listdir(_PROC / "fd")) - 1  # without the one that lists


def _max_descriptors() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
