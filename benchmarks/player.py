"""Plays clients against a server: the calls of the released agent, each on a TLS connection of its own."""

import base64
import http.client
import random
import statistics
import threading
import time
import xmlrpc.client
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from benchmarks.repository import PASSWORD, Client
from tests.conformance.process import tls_context

PROBE_DATA = (
    '<ProbeData><probe-data name="system" source="Probes">group:probed-linux\n6.1.0\n</probe-data>'
    '<probe-data name="processors" source="Probes">4\n</probe-data></ProbeData>'
)
STATISTICS = (
    '<upload-statistics><Statistics total="2" good="1" version="2.0" revision="-1" state="dirty">'
    '<Bad><Path name="/etc/motd" type="file" mode="0644" current_mode="0600"/></Bad>'
    '<OpStamps start="1" config_download="2" config_parse="3" inventory="4" install="5" finished="6"/>'
    "</Statistics></upload-statistics>"
)
#: The calls of a whole run, in order, with their arguments.
RUN: dict[str, tuple[str, ...]] = {
    "DeclareVersion": ("1.3.4",),
    "GetProbes": (),
    "RecvProbeData": (PROBE_DATA,),
    "GetConfig": (),
    "RecvStats": (STATISTICS,),
}
BODIES = {method: xmlrpc.client.dumps(arguments, method).encode() for method, arguments in RUN.items()}
AUTHORIZATION = "Basic " + base64.b64encode(f"root:{PASSWORD}".encode()).decode()


class WrongAnswer(Exception):
    """The server did not answer as it has to; the text says to whom, on what, and how."""


@dataclass(slots=True)
class Result:
    """What a server sustained; times are in seconds."""

    runs: int
    seconds: float
    times: dict[str, list[float]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Whole runs, without errors, per second."""
        return self.runs / self.seconds

    def median(self, method: str) -> float:
        return statistics.median(self.times[method])


def call(port: int, client: Client, method: str) -> bytes:
    """What the server on PORT answers to METHOD, called by CLIENT; an answer that is not right is a WrongAnswer."""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", port, context=tls_context(), timeout=120, source_address=(client.address, 0)
    )
    with closing(connection):
        headers = {"Content-Type": "text/xml", "Authorization": AUTHORIZATION, "Connection": "close"}
        connection.request("POST", "/RPC2", BODIES[method], headers)
        reply = connection.getresponse()
        data = reply.read()
    if reply.status != 200 or not _CHECKS.get(method, _is_true)(data, client):
        raise WrongAnswer(f"{method} of {client.name}: status {reply.status}, {data[:300]!r}")
    return data


def _is_true(data: bytes, _client: Client) -> bool:
    return b"<boolean>1</boolean>" in data and b"<fault>" not in data


def _has_probes(data: bytes, _client: Client) -> bool:
    return data.count(b"&lt;probe ") == 2


def _is_whole_configuration(data: bytes, client: Client) -> bool:
    """Whether all bundles are there and every entry is bound; by bytes, since parsing would be the bottleneck."""
    return data.count(b"&lt;Bundle ") == client.bundles and b"failure=" not in data and b"/Configuration&gt;" in data


_CHECKS: dict[str, Callable[[bytes, Client], bool]] = {
    "GetProbes": _has_probes,
    "GetConfig": _is_whole_configuration,
}


def play(port: int, clients: Sequence[Client], methods: Sequence[str], at_once: int) -> Result:
    """Have each of CLIENTS call METHODS, AT_ONCE of them at a time."""
    waiting = deque(clients)
    times: dict[str, list[float]] = {method: [] for method in methods}
    errors: Counter[str] = Counter()
    done: list[Client] = []

    def work() -> None:
        while True:
            try:
                client = waiting.popleft()
            except IndexError:
                return
            try:
                for method in methods:
                    begun = time.perf_counter()
                    call(port, client, method)
                    times[method].append(time.perf_counter() - begun)
                done.append(client)
            except (OSError, http.client.HTTPException, WrongAnswer) as err:
                errors[f"{type(err).__name__}: {err}"] += 1

    threads = [threading.Thread(target=work) for _ in range(at_once)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Result(len(done), time.perf_counter() - begun, times, errors)


def draw(clients: Sequence[Client], count: int, seed: int) -> list[Client]:
    """COUNT clients by chance, the same for the same SEED."""
    return random.Random(seed).choices(clients, k=count)
