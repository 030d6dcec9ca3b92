"""What the multiprocessing core costs and gives: how fast children build, how soon they do, what memory they take.

Throughput is that of ``Children.render``, driven without network, TLS and clients, which would take processors of their
own: it says what children can do.  Start and memory are those of the whole server over a large repository, compared
with the builtin core: the time from its start to the answer of the first GetConfig, and the proportional set size of
all its processes (memory that they share counts once) after every client has asked.
"""

import argparse
import glob
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bcfg2.options import OptionParser
from bcfg2.options.common import BASE_OPTIONS
from bcfg2.server.multiprocessing_core import MultiprocessingCore
from benchmarks.__main__ import machine
from benchmarks.player import play
from benchmarks.repository import Client, Shape, write_site
from tests.conformance.process import Authority, Server, find_commands, free_port

#: Children of the large site, and how many of the small one are compared.
CHILDREN = 8
THROUGHPUT = (1, 2)
#: The goals: throughput of two children over that of one, and of eight children over one process: time, memory.
FASTER, TIME, MEMORY = 1.6, 1.3, 2.0
#: Variants of one file, for groups.
_VARIANTS = ("", ".G10_web", ".G20_db", ".G30_mail")


@dataclass(frozen=True, slots=True)
class Started:
    """What starting a server came to: seconds to its first answer, and of processors until then; memory in MiB."""

    seconds: float
    processor: float
    memory_at_first: float
    memory: float
    processes: int


def site(folder: Path, shape: Shape, backend: str, children: int) -> tuple[int, list[Client]]:
    """Write a site of SHAPE, which BACKEND serves, to FOLDER; its port and clients."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    clients = write_site(folder, shape, port)
    set_backend(folder, backend, children)
    Authority(folder)
    return port, clients


def set_backend(folder: Path, backend: str, children: int) -> None:
    """Have BACKEND serve the site in FOLDER."""
    conf = folder / "bcfg2.conf"
    lines = [line for line in conf.read_text().splitlines() if not line.startswith(("backend", "children"))]
    lines[1:1] = [f"backend = {backend}", f"children = {children}"]
    conf.write_text("\n".join(lines) + "\n")


def fill(repo: Path, files: int, size: int) -> None:
    """Add files to REPO until it holds so many FILES, and SIZE bytes in all."""
    held = [path.stat().st_size for path in repo.rglob("*") if path.is_file()]
    wanted = files - len(held)
    each = (size - sum(held)) // wanted
    rng = random.Random(1)
    lines = "".join(f"option{number} = {rng.randrange(10**9)}\n" for number in range(each // 10))
    for number in range(wanted):
        entry, variant = divmod(number, len(_VARIANTS))
        name = f"file{entry:05d}"
        folder = repo / "Cfg/srv/large" / f"part{entry // 500}" / name
        folder.mkdir(parents=True, exist_ok=True)
        begin = rng.randrange(1000)
        (folder / f"{name}{_VARIANTS[variant]}").write_text(lines[begin : begin + each])


# throughput


def throughput(folder: Path, children: int, hosts: Sequence[str], configurations: int) -> tuple[float, float, float]:
    """Configurations that CHILDREN build in a second, a processor's seconds for one, the main process' share of these.

    A second depends on what else the machine has to do, the others do not.
    """
    context = multiprocessing.get_context("spawn")  # children are to be forked by a process without threads
    here, there = context.Pipe()
    process = context.Process(target=_drive, args=(there, folder, children, hosts, configurations))
    process.start()
    there.close()
    try:
        found: tuple[float, float, float] = here.recv()
    finally:
        process.join()
    return found


def _drive(connection: Any, folder: Path, children: int, hosts: Sequence[str], configurations: int) -> None:
    parser = OptionParser("benchmark", "A core without a socket.", BASE_OPTIONS, components=[MultiprocessingCore])
    core = MultiprocessingCore(parser.parse(["-C", str(folder / "bcfg2.conf"), "--children", str(children)]))
    core.load_plugins()
    core._prepare()
    try:
        made = core.children
        assert made is not None and made.wait(60)
        tree = _tree(multiprocessing.current_process().pid or 0)
        with ThreadPoolExecutor(2 * children) as callers:
            list(callers.map(lambda host: made.render(host, 0), hosts))  # everything was asked for once, by most
            rng = random.Random(2)
            asked = [rng.choice(hosts) for _ in range(configurations)]
            own, begun = time.process_time(), time.monotonic()
            all_before = sum(map(_processor_time, tree))
            list(callers.map(lambda host: made.render(host, 0), asked))
            seconds = time.monotonic() - begun
        used = sum(map(_processor_time, tree)) - all_before
        connection.send((configurations / seconds, used / configurations, (time.process_time() - own) / used))
    finally:
        core.shutdown()


def _processor_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


# start and memory


def start(folder: Path, port: int, clients: Sequence[Client]) -> Started:
    """Start the server of the site in FOLDER, have it build a configuration for all CLIENTS, and stop it."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    command = find_commands(folder / "commands") / "bcfg2-server"
    server = Server([str(command), "-C", str(folder / "bcfg2.conf")], port, work)
    begun = time.monotonic()
    server.start()
    try:
        _ask(port, clients[:1], 1)
        seconds = time.monotonic() - begun
        processor = sum(map(_processor_time, _tree(server.pid)))
        at_first = memory(server.pid)
        for _ in range(4):  # so that most children have built most of it
            _ask(port, clients, 8)
        found = Started(seconds, processor, at_first, memory(server.pid), len(_tree(server.pid)))
        server.stop()
        return found
    finally:
        server.kill()


def _ask(port: int, clients: Sequence[Client], at_once: int) -> None:
    result = play(port, list(clients), ["GetConfig"], at_once)
    if result.errors:
        raise SystemExit(f"wrong answers: {result.errors.most_common(3)}")


def memory(pid: int) -> float:
    """The proportional set size of PID and of all processes below it, in MiB."""
    total = 0
    for process in _tree(pid):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def _tree(pid: int) -> list[int]:
    """The process PID and all below it."""
    found, todo = [], [pid]
    while todo:
        item = todo.pop()
        found.append(item)
        for task in glob.glob(f"/proc/{item}/task/*/children"):
            with suppress(OSError):  # a thread that has just ended
                todo += map(int, Path(task).read_text().split())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.processes", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--configurations", type=int, default=400, help="built for each measurement of throughput")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of which the best counts")
    parser.add_argument("--files", type=int, default=20_000, help="of the large repository (default: %(default)s)")
    parser.add_argument("--size", type=int, default=135, help="of the large repository, in MB (default: %(default)s)")
    parser.add_argument("--only", choices=("throughput", "start"), help="measure just this")
    arguments = parser.parse_args()
    print(machine())
    missed = []
    with tempfile.TemporaryDirectory(prefix="bcfg2-processes-") as name:
        folder = Path(name)
        if arguments.only != "start":
            missed += _report_throughput(folder / "small", arguments.configurations, arguments.rounds)
        if arguments.only != "throughput":
            missed += _report_start(folder / "large", arguments.files, arguments.size * 10**6, arguments.rounds)
    for line in missed:
        print(f"MISSED {line}", file=sys.stderr)
    return 1 if missed else 0


def _report_throughput(folder: Path, configurations: int, rounds: int) -> list[str]:
    _, clients = site(folder, Shape(), "multiprocessing", 1)
    hosts = [client.name for client in clients]
    best: dict[int, float] = {}
    for number in range(rounds):
        for children in THROUGHPUT:
            rate, cost, share = throughput(folder, children, hosts, configurations)
            print(
                f"round {number}: {children} children, {rate:7.1f} configurations/s,"
                f" {1000 * cost:5.2f} ms of a processor for each, {share:4.0%} of that in the main process"
            )
            best[children] = max(rate, best.get(children, 0.0))
    ratio = best[2] / best[1]
    print(f"2 children build {ratio:.2f} times what 1 does (goal: {FASTER})")
    return [] if ratio >= FASTER else [f"throughput: {ratio:.2f} instead of {FASTER}"]


def _report_start(folder: Path, files: int, size: int, rounds: int) -> list[str]:
    port, clients = site(folder, Shape(), "builtin", 1)
    fill(folder / "repo", files, size)
    results: dict[str, list[Started]] = {"builtin": [], "multiprocessing": []}
    for number in range(rounds):
        for backend, found in results.items():
            set_backend(folder, backend, CHILDREN)
            found.append(start(folder, port, clients))
            last = found[-1]
            print(
                f"round {number}: {backend:15} {last.processes:2d} processes, first answer after {last.seconds:5.1f} s"
                f" ({last.processor:.1f} s of processors),"
                f" {last.memory_at_first:6.0f} MiB then, {last.memory:6.0f} MiB at the end"
            )
    one, many = results["builtin"], results["multiprocessing"]
    slower = min(item.seconds for item in many) / min(item.seconds for item in one)
    larger = min(item.memory for item in many) / min(item.memory for item in one)
    print(
        f"{CHILDREN} children: {slower:.2f} times the time (goal: {TIME}),"
        f" {larger:.2f} times the memory (goal: {MEMORY})"
    )
    missed = [] if slower <= TIME else [f"time: {slower:.2f} instead of {TIME}"]
    return missed if larger <= MEMORY else [*missed, f"memory: {larger:.2f} instead of {MEMORY}"]


if __name__ == "__main__":
    sys.exit(main())
