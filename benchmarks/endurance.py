"""Plays a long mixed load against the server of this tree, and shows whether its memory stays flat.

Whole runs of clients, bad requests of all kinds and changes of the repository come mixed.  Every text that a client may
choose (versions, probe names and data, user and method names, paths) is a new one each time, so whatever the server
keeps of these shows.  Measured are the resident memory, the threads and the open descriptors of the server process,
each time after a pause.

Exit status 1: the memory grew beyond the limit, threads or descriptors were left over, or a good call was not answered.
"""

import argparse
import base64
import http.client
import itertools
import random
import socket
import ssl
import sys
import tempfile
import threading
import time
import xmlrpc.client
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.player import AUTHORIZATION, STATISTICS
from benchmarks.repository import Client, Shape, write_site
from tests.conformance.process import Authority, Server, find_commands, free_port, tls_context

#: Seconds without load before something is measured: connections that were kept alive are closed by then.
PAUSE = 7.0

#: Threads and descriptors that may be there at the end and were not at the beginning (a look-up of a name, a log file).
SLACK = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """What the server process took after so many calls; `memory` in MiB."""

    calls: int
    seconds: float
    memory: float
    threads: int
    descriptors: int

    @classmethod
    def of(cls, pid: int, calls: int, seconds: float) -> "Sample":
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return cls(calls, seconds, int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]), descriptors)


class Load:
    """All callers together: how many calls they have made, and what went wrong."""

    def __init__(self, port: int, clients: Sequence[Client], repo: Path) -> None:
        self.port = port
        self.clients = clients
        self.repo = repo
        self.errors: Counter[str] = Counter()
        self._calls = itertools.count(1)
        self.calls = 0
        self._until = 0

    def play(self, calls: int, at_once: int) -> None:
        """Make so many more CALLS, AT_ONCE of them at a time, while files change."""
        self._until = self.calls + calls
        stop = threading.Event()
        editor = threading.Thread(target=self._edit, args=(stop,))
        callers = [threading.Thread(target=self._call_on, args=(number,)) for number in range(at_once)]
        for thread in (editor, *callers):
            thread.start()
        for thread in callers:
            thread.join()
        stop.set()
        editor.join()

    def _call_on(self, number: int) -> None:
        chance = random.Random(number * 1_000_003 + self.calls)
        while self.calls < self._until:
            client = chance.choice(self.clients)
            caller = Caller(self, client, chance)
            try:
                if chance.random() < 0.7:
                    caller.run()
                else:
                    caller.misbehave()
            except (OSError, http.client.HTTPException) as err:
                self.errors[f"{type(err).__name__}: {err}"] += 1
            finally:
                caller.close()

    def count(self) -> int:
        """The number of the call that is about to be made."""
        self.calls = next(self._calls)
        return self.calls

    def _edit(self, stop: threading.Event) -> None:
        """Change, add and remove files of the repository, and break and repair one, until STOP."""
        bundles = sorted((self.repo / "Bundler").glob("*.xml"))
        groups = self.repo / "Metadata" / "groups.xml"
        for number in itertools.count():
            if stop.wait(0.5):
                return
            bundle = bundles[number % len(bundles)]
            bundle.write_bytes(bundle.read_bytes().split(b"<!--")[0] + f"<!-- {number} -->".encode())
            if number % 4 == 0:
                groups.write_bytes(groups.read_bytes().split(b"<!--")[0] + f"<!-- {number} -->".encode())
            folder = self.repo / "Cfg" / "etc" / "endurance"
            if number % 4 == 1:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "endurance").write_text(str(number))
            elif number % 4 == 3:
                (folder / "endurance").unlink()
                folder.rmdir()
            rules = self.repo / "Rules" / "endurance.xml"
            rules.write_text("<Rules" if number % 4 == 2 else f'<Rules priority="{number}"/>')


class Caller:
    """One client with one connection, which it makes anew when the server has closed it."""

    def __init__(self, load: Load, client: Client, chance: random.Random) -> None:
        self.load = load
        self.client = client
        self.chance = chance
        self.connection = http.client.HTTPSConnection(
            "127.0.0.1", load.port, context=tls_context(), timeout=60, source_address=(client.address, 0)
        )

    def close(self) -> None:
        self.connection.close()

    # good calls

    def run(self) -> None:
        """A whole run."""
        number = self.load.calls
        self._good("GetProbes", want=b"&lt;probe ")
        self._good("RecvProbeData", _probe_data(number))
        self._good("GetDecisionList", "whitelist", want=b"<array>")
        self._good("GetConfig", want=b"/Configuration&gt;")
        self._good("RecvStats", STATISTICS)
        if number % 100 < 5:  # each of them writes clients.xml
            self._good("DeclareVersion", f"1.{number}")

    def _good(self, method: str, *arguments: Any, want: bytes = b"<boolean>1</boolean>") -> None:
        self.load.count()
        status, data = self._post(xmlrpc.client.dumps(arguments, method).encode())
        if status != 200 or want not in data:
            self.load.errors[f"{method}: status {status}, {data[:200]!r}"] += 1

    def _post(self, body: bytes, authorization: str = AUTHORIZATION, path: str = "/RPC2") -> tuple[int, bytes]:
        self.connection.request("POST", path, body, {"Authorization": authorization})
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    # bad ones

    def misbehave(self) -> None:
        """One bad request; the server may answer it or close the connection, as it likes."""
        number = self.load.count()
        word = f"word{number}" * self.chance.randrange(1, 40)
        calls = [
            (f"Method{word}", ()),
            (f"{word}.toggle_debug", ()),
            ("GetDecisionList", (word,)),
            ("AssertProfile", (word,)),
            ("DeclareVersion", ()),
            ("DeclareVersion", (number, [word])),
            ("GetConfig", (word, {word: number})),
            ("RecvProbeData", (f"<ProbeData><{word}",)),
            ("RecvProbeData", (f'<ProbeData><probe-data source="{word}" name="{word}">x</probe-data></ProbeData>',)),
            ("RecvStats", (f"<{word}/>",)),
            ("RecvStats", (f'<a><Statistics version="2.0" state="{word}"/></a>',)),
            ("methodHelp", (word,)),
        ]
        kind = self.chance.randrange(20)
        with suppress(OSError, http.client.HTTPException):
            if kind < 14:
                method, arguments = self.chance.choice(calls)
                self._post(xmlrpc.client.dumps(arguments, method).encode(), path=f"/{word}")
            elif kind == 14:
                self._post(self.chance.randbytes(self.chance.randrange(3000)))
            elif kind == 15:
                self._post(f'<?xml version="1.0"?><!DOCTYPE {word} []><methodCall/>'.encode())
            elif kind == 16:
                credentials = base64.b64encode(f"{word}.example.com:wrong{word}".encode()).decode()
                self._post(b"", f"Basic {credentials}")
            elif kind == 17:
                self._post(b"", word)
            elif kind == 18:
                self._send_raw(self.chance.randbytes(200))
            else:
                self._send_raw(f"GET /{word} HTTP/1.1\r\nX-{word}: {word}\r\n\r\n".encode(), encrypted=True)

    def _send_raw(self, data: bytes, encrypted: bool = False) -> None:
        address = ("127.0.0.1", self.load.port)
        with socket.create_connection(address, timeout=20, source_address=(self.client.address, 0)) as plain:
            if not encrypted:
                plain.sendall(data)
                plain.recv(100)
                return
            with suppress(ssl.SSLError), tls_context().wrap_socket(plain) as secure:
                secure.sendall(data)
                secure.recv(100)


def _probe_data(number: int) -> str:
    return (
        f'<ProbeData><probe-data name="system" source="Probes">group:probed-{number % 7}\n{number}\n</probe-data>'
        f'<probe-data name="probe{number}" source="Probes">{"x" * (number % 500)}</probe-data></ProbeData>'
    )


@contextmanager
def serving(folder: Path, shape: Shape, caching: str) -> Iterator[tuple[Server, Load]]:
    """The server over a site of SHAPE in FOLDER, with the metadata cache in the mode CACHING."""
    port = free_port()
    clients = write_site(folder, shape, port)
    with (folder / "bcfg2.conf").open("a") as stream:
        stream.write(f"[caching]\nclient_metadata = {caching}\n")
    Authority(folder)
    work = folder / "work"
    work.mkdir()
    command = find_commands(folder / "commands") / "bcfg2-server"
    server = Server([str(command), "-C", str(folder / "bcfg2.conf")], port, work)
    server.start()
    try:
        yield server, Load(port, clients, folder / "repo")
        server.stop()
    finally:
        server.kill()


def measure(server: Server, load: Load, calls: int, samples: int, at_once: int) -> list[Sample]:
    """Play CALLS calls; a sample after the warm-up, then SAMPLES more."""
    begun = time.monotonic()
    load.play(max(2000, calls // 10), at_once)  # every file and client was asked for, every thread has run once
    result = []
    for step in range(samples + 1):
        if step:
            load.play(calls // samples, at_once)
        time.sleep(PAUSE)
        result.append(Sample.of(server.pid, load.calls, time.monotonic() - begun))
        _show(result[-1])
    return result


def _show(sample: Sample) -> None:
    print(
        f"{sample.calls:9d} calls {sample.seconds:8.1f} s {sample.memory:9.1f} MiB {sample.threads:5d} threads"
        f" {sample.descriptors:5d} descriptors",
        flush=True,
    )


def verdict(samples: Sequence[Sample], errors: Counter[str], limit: float) -> list[str]:
    """What is not as it should be."""
    first, last = samples[0], samples[-1]
    wrong = [f"{count} x {text}" for text, count in errors.most_common(5)]
    if last.memory - first.memory > limit:
        wrong.append(f"the memory grew by {last.memory - first.memory:.1f} MiB")
    if last.threads > first.threads + SLACK:
        wrong.append(f"{last.threads - first.threads} threads were left over")
    if last.descriptors > first.descriptors + SLACK:
        wrong.append(f"{last.descriptors - first.descriptors} descriptors were left over")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance", description=__doc__.split("\n\n")[0])
    parser.add_argument("--calls", type=int, default=200_000, help="calls after the warm-up (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=10, help="measurements after the first (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=50, help="clients of the site (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=8, help="callers at the same time (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=10.0, help="MiB that the memory may grow (default: %(default)s)")
    parser.add_argument(
        "--caching", default="off", help="mode of the metadata cache: off, initial, cautious or aggressive"
    )
    arguments = parser.parse_args()
    shape = Shape(clients=arguments.clients, bundles=12, entries=10)
    with tempfile.TemporaryDirectory(prefix="bcfg2-endurance-") as name:
        with serving(Path(name), shape, arguments.caching) as (server, load):
            samples = measure(server, load, arguments.calls, arguments.samples, arguments.at_once)
        wrong = verdict(samples, load.errors, arguments.limit)
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"memory {samples[0].memory:.1f} MiB at the start, {samples[-1].memory:.1f} MiB at the end")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
