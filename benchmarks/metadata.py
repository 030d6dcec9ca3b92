"""How the costs of client metadata grow with the number of clients and groups.

Four things are measured, each on generated repositories without a network: the time to build one client's metadata,
questions about all clients, first contacts (each a registration with a version, written to clients.xml), and memory.
"""

import argparse
import gc
import logging
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lxml import etree

from bcfg2.server.core import Core
from bcfg2.server.plugins.metadata.clients import ClientTable
from bcfg2.server.plugins.metadata.editing import EditableFile
from benchmarks.machine import machine
from tests.support import Site

#: The goals; a build may cost so many times as much at the largest size as at the smallest, for noise and caches.
LARGEST_GROWTH = 3.0
LONGEST_QUESTION = 0.020  # seconds, on 20,000 clients
LONGEST_WAIT = 0.250  # seconds
LARGEST_CLIENT = 2000  # bytes

#: Groups that each client gets through its profile, whatever the number of groups.
OWN_GROUPS = 8


def clients_xml(number: int, profiles: int) -> str:
    lines = (
        f'  <Client name="host{n}.example.com" profile="profile{n % profiles}" uuid="{n}" version="1.3.4"'
        f' address="10.{n >> 16}.{n >> 8 & 255}.{n & 255}"/>\n'
        for n in range(number)
    )
    return f"<Clients>\n{''.join(lines)}</Clients>\n"


def groups_xml(number: int) -> str:
    """NUMBER groups, some of which are profiles; each of these leads to `OWN_GROUPS` others by one or two steps."""
    profiles = profiles_of(number)
    others = max(number - profiles, 1)
    lines = [
        f'<Group name="profile{n}" profile="true" public="true" default="{str(n == 0).lower()}">'
        + "".join(f'<Group name="g{(n * OWN_GROUPS + k) % others}"/>' for k in range(0, min(OWN_GROUPS, others), 2))
        + "</Group>"
        for n in range(profiles)
    ]
    lines += [
        f'<Group name="g{n}"><Group name="g{(n + 1) % others}"/><Bundle name="b{n}"/>'
        f'<Group name="profile0" negate="true"><Group name="not0-{n}"/></Group></Group>'
        for n in range(0, others, 2)
    ]
    return "<Groups>\n" + "\n".join(lines) + "\n</Groups>\n"


def profiles_of(groups: int) -> int:
    return max(1, groups // 10)


@contextmanager
def core_with(clients: int, groups: int) -> Iterator[Core]:
    """A core over a repository of that size, with the connectors that most sites have."""
    with tempfile.TemporaryDirectory(prefix="bcfg2-bench-") as folder:
        files = {
            "Metadata/clients.xml": clients_xml(clients, profiles_of(groups)),
            "Metadata/groups.xml": groups_xml(groups),
        }
        site = Site(Path(folder), files, "Metadata,Bundler,Probes,GroupPatterns")
        try:
            yield site.core
        finally:
            site.stop()


def host(number: int) -> str:
    return f"host{number}.example.com"


def build_time(core: Core, clients: int) -> float:
    """Seconds for one build of a client's metadata, each in a request of its own; the median."""

    def build(name: str) -> None:
        with core.request():
            core.build_metadata(name)

    return median_of(build, clients)


def closure_time(core: Core, clients: int) -> float:
    """Seconds to find out a client's groups when no other client's are known; the median."""
    known, groups = core.metadata.clients_xml.table, core.metadata.groups_xml.table

    def work_out(name: str) -> None:
        groups._work_out_initial(known.clients[name].profiles, name)

    return median_of(work_out, clients)


def median_of(function: Callable[[str], None], clients: int) -> float:
    times = []
    for number in range(3000):
        name = host(number * 7919 % clients)
        begun = time.perf_counter()
        function(name)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1000:])


def growth(title: str, sizes: list[tuple[int, int]]) -> bool:
    """Print the times at each of SIZES, (clients, groups); whether they grew by less than they may."""
    print(
        f"\n{title}\n{'clients':>10}{'groups':>10}{'one build, ms':>16}{'ratio':>8}{'groups anew, ms':>18}{'ratio':>8}"
    )
    builds, closures = [], []
    for clients, groups in sizes:
        with core_with(clients, groups) as core:
            builds.append(build_time(core, clients))
            closures.append(closure_time(core, clients))
        print(
            f"{clients:10}{groups:10}{1000 * builds[-1]:16.4f}{builds[-1] / builds[0]:8.2f}"
            f"{1000 * closures[-1]:18.4f}{closures[-1] / closures[0]:8.2f}"
        )
    largest = max(max(times) / times[0] for times in (builds, closures))
    return verdict(largest <= LARGEST_GROWTH, f"largest growth {largest:.2f}")


def questions(clients: int, groups: int) -> bool:
    """Print what questions about all CLIENTS cost, the first time and in later requests."""
    print(f"\nmetadata.query on {clients} clients, ms\n{'':24}{'first':>10}{'later':>10}{'answers':>10}")
    slowest = 0.0
    with core_with(clients, groups) as core:
        query = core.metadata.query
        asked: list[tuple[str, Callable[[], list[str]]]] = [
            ("all_clients()", query.all_clients),
            ("names_by_groups([g])", lambda: query.names_by_groups(["g0"])),
            ("names_by_profiles([p])", lambda: query.names_by_profiles(["profile1"])),
        ]
        for title, question in asked:
            times = []
            for _ in range(21):
                begun = time.perf_counter()
                with core.request():
                    answers = len(question())
                times.append(time.perf_counter() - begun)
            later = statistics.median(times[1:])
            slowest = max(slowest, later)
            print(f"{title:24}{1000 * times[0]:10.2f}{1000 * later:10.2f}{answers:10}")
        core.metadata_cache.expire(host(1))
        begun = time.perf_counter()
        with core.request():
            query.names_by_groups(["g0"])
        print(f"{'... after a probe':24}{1000 * (time.perf_counter() - begun):10.2f}")
    return verdict(slowest <= LONGEST_QUESTION, f"slowest later answer {1000 * slowest:.1f} ms")


class Turns:
    """Notes when changes are handed to the writer of clients.xml, and when their write begins."""

    def __init__(self, writer: Any) -> None:
        self.waits: list[float] = []
        self.writes = 0
        self._submitted: dict[int, float] = {}
        self._submit, self._write = writer.submit, writer._write
        writer.submit, writer._write = self.submit, self.write

    def submit(self, edit: object) -> None:
        self._submitted[id(edit)] = time.perf_counter()
        self._submit(edit)

    def write(self, edits: list[object]) -> None:
        now = time.perf_counter()
        self.waits += [now - self._submitted.pop(id(edit)) for edit in edits]
        self.writes += 1
        self._write(edits)


def first_contacts(clients: int, rate: int, seconds: int) -> bool:
    """Print how long first contacts wait that come at RATE per second, and whether one was refused."""
    times: list[float] = []
    refused: list[Exception] = []
    number = rate * seconds
    with core_with(clients, 100) as core:
        core.metadata.set_version("warm-up.example.com", "1.3.4")
        turns = Turns(core.metadata.clients_xml._writer)

        def contact(number: int, due: float) -> None:
            try:
                with core.request():
                    core.metadata.set_version(f"new{number}.example.com", "1.3.4")
            except Exception as err:  # noqa: BLE001 - whatever it is, it is counted
                refused.append(err)
            times.append(time.perf_counter() - due)

        begun = time.perf_counter()
        with ThreadPoolExecutor(256) as pool:
            for n in range(number):
                due = begun + n / rate
                time.sleep(max(0.0, due - time.perf_counter()))
                pool.submit(contact, n, due)
        taken = time.perf_counter() - begun
        lost = clients + 1 + number - len(core.metadata.list_clients())
    longest = max(turns.waits)
    print(
        f"{clients:10}{number / taken:14.0f}{turns.writes / taken:14.0f}{1000 * longest:14.1f}"
        f"{1000 * statistics.median(times):12.1f}{1000 * max(times):12.1f}{len(refused) + lost:10}"
    )
    return verdict(longest <= LONGEST_WAIT and not refused and not lost, f"longest wait {1000 * longest:.0f} ms")


def memory(clients: int) -> bool:
    """Print what is kept in memory for each of CLIENTS: in any case, and while the server writes clients.xml."""
    print(f"\nmemory per client, bytes ({clients} clients)")
    with tempfile.TemporaryDirectory(prefix="bcfg2-bench-") as folder:
        path = Path(folder) / "clients.xml"
        path.write_text(clients_xml(clients, 10))
        sizes = []
        for title, make in (
            ("what clients.xml says", lambda: ClientTable.of(etree.parse(str(path)).getroot())),
            ("the text, ready to be changed", lambda: EditableFile(str(path))),
        ):
            gc.collect()
            tracemalloc.start()
            made = make()
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0] / clients)
            tracemalloc.stop()
            del made
            print(f"{title:32}{sizes[-1]:8.0f}")
    with core_with(clients, 100) as core:
        gc.collect()
        tracemalloc.start()
        with core.request():
            core.metadata.query.names_by_groups(["g0"])
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0] / clients)
        tracemalloc.stop()
    print(f"{'the groups of all, for queries':32}{sizes[-1]:8.0f}")
    print(f"{'sum':32}{sum(sizes):8.0f}  (the file has {len(clients_xml(clients, 10)) / clients:.0f} bytes per client)")
    return verdict(sum(sizes) < LARGEST_CLIENT, f"{sum(sizes):.0f} bytes per client")


def verdict(good: bool, text: str) -> bool:
    print(f"{'ok' if good else 'MISSED'}: {text}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metadata", description=__doc__)
    parser.add_argument("--largest", type=int, default=100_000, help="the largest number of clients")
    parser.add_argument("--rate", type=int, default=1000, help="first contacts per second")
    parser.add_argument("--seconds", type=int, default=3, help="for how long they come")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    print(machine())
    sizes = [number for number in (100, 1000, 10_000, 100_000) if number <= arguments.largest]
    results = [
        growth("one build, by the number of clients", [(number, 100) for number in sizes]),
        growth("one build, by the number of groups", [(1000, number) for number in (10, 100, 1000, 5000)]),
        questions(min(20_000, arguments.largest), 1000),
    ]
    print(
        f"\nfirst contacts, ms\n{'clients':>10}{'contacts/s':>14}{'writes/s':>14}{'longest wait':>14}"
        f"{'median':>12}{'longest':>12}{'refused':>10}"
    )
    for number in (100, 20_000, 100_000):
        if number <= arguments.largest:
            results.append(first_contacts(number, arguments.rate, arguments.seconds))
    results.append(memory(min(20_000, arguments.largest)))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
