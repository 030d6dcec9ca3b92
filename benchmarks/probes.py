"""Measures what it costs to keep the probe data of one client, with few and with many clients, by kind of storage.

The storage is used as the plugin Probes uses it, in this process, without a network.
"""

import argparse
import logging
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bcfg2.server.plugins.probes.sqlite import ProbesSQLite
from bcfg2.server.plugins.probes.storage import Record, Storage
from bcfg2.server.plugins.probes.xmlfile import ProbedFile

KINDS: dict[str, type[ProbedFile | ProbesSQLite]] = {"xml": ProbedFile, "sqlite": ProbesSQLite}

#: What one client answers: so many probes, and groups, of so many characters each.
PROBES, GROUPS, LENGTH = 12, 4, 150

AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """Times in milliseconds (medians), but `opening` in seconds; `size` of the files in MiB."""

    opening: float
    upload: float
    uploads_per_second: float
    reading: float
    size: float


def main() -> int:
    arguments = _arguments()
    logging.disable(logging.CRITICAL)
    print(f"{'storage':9}{'clients':>9}{'open':>10}{'upload':>11}{'8 at once':>12}{'read':>10}{'size':>11}")
    for kind, cls in KINDS.items():
        for clients in arguments.clients:
            with tempfile.TemporaryDirectory(prefix="bcfg2-bench-", dir=arguments.folder) as folder:
                found = measure(cls, Path(folder), clients, arguments.uploads)
            print(
                f"{kind:9}{clients:9}{found.opening:8.2f} s{found.upload:8.2f} ms"
                f"{found.uploads_per_second:10.0f}/s{found.reading:7.3f} ms{found.size:7.1f} MiB",
                flush=True,
            )
    return 0


def measure(cls: type[ProbedFile | ProbesSQLite], folder: Path, clients: int, uploads: int) -> Measured:
    """What a storage of the class CLS with so many CLIENTS takes, over so many UPLOADS."""
    path = str(folder / "probes")
    filled = cls(path, logging.getLogger())
    filled.replace({f"host{number}.example.com": record(number) for number in range(clients)})
    filled.close()

    begun = time.perf_counter()
    storage = cls(path, logging.getLogger())
    storage.get("host0.example.com")
    opening = time.perf_counter() - begun

    hosts = [f"host{random.randrange(clients)}.example.com" for _ in range(uploads)]
    alone = [timed(storage, host, number) for number, host in enumerate(hosts)]
    reading = [timed_read(storage, host) for host in hosts]
    rate = at_once(storage, hosts)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
    storage.close()
    return Measured(opening, statistics.median(alone) * 1e3, rate, statistics.median(reading) * 1e3, size)


def record(seed: int) -> Record:
    """The answers of one client."""
    text = f"{seed} " * (LENGTH // (len(str(seed)) + 1))
    return Record(
        1_700_000_000 + seed % 1000,
        tuple(f"group-{number}-{seed % 7}" for number in range(GROUPS)),
        {f"probe{number}": f"{text}\n" for number in range(PROBES)},
    )


def timed(storage: Storage, host: str, seed: int) -> float:
    """The seconds that one upload takes."""
    new = record(seed)
    begun = time.perf_counter()
    storage.put(host, new)
    return time.perf_counter() - begun


def timed_read(storage: Storage, host: str) -> float:
    begun = time.perf_counter()
    storage.get(host)
    return time.perf_counter() - begun


def at_once(storage: Storage, hosts: Sequence[str]) -> float:
    """Uploads per second, where some clients upload at the same time."""

    def work(number: int) -> None:
        for host in hosts[number::AT_ONCE]:
            storage.put(host, record(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(AT_ONCE)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(hosts) / (time.perf_counter() - begun)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.probes", description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[20, 20_000], help="numbers of clients")
    parser.add_argument("--uploads", type=int, default=64, help="uploads that are measured")
    parser.add_argument("--folder", help="where the files are made: on the disk that is to be measured")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
