"""The two servers that are compared, each over its own copy of the same site."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.repository import Client, Shape, write_site
from tests.conformance.process import Authority, Server, find_commands, free_port
from tests.real.release import RELEASE, released_commands


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that can be started: its name in the report, its command, and how to leave it time to read the site."""

    name: str
    command: Path
    #: Seconds between its opening of the port and the first call.
    settle: float


@dataclass(frozen=True, slots=True)
class Running:
    """A contender that serves on `port`."""

    port: int
    clients: list[Client]
    server: Server

    def memory(self) -> float:
        """The largest resident size of the server process so far, in MiB."""
        for line in Path(f"/proc/{self.server.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise OSError("no VmHWM in /proc")


def released() -> Contender:
    """The released server; it opens its port long before it has read the site."""
    return Contender(f"released {RELEASE}", released_commands() / "bcfg2-server", 10.0)


def ours(scratch: Path) -> Contender:
    """The server of this tree; it serves as soon as it accepts."""
    return Contender("this tree", find_commands(scratch) / "bcfg2-server", 0.0)


@contextmanager
def running(contender: Contender, folder: Path, shape: Shape) -> Iterator[Running]:
    """CONTENDER at work over a site of SHAPE that is written to FOLDER."""
    work = folder / "work"  # where the server's log goes: beside bcfg2.conf each line would wake the file monitor
    work.mkdir(parents=True)
    port = free_port()
    clients = write_site(folder, shape, port)
    Authority(folder)
    server = Server([str(contender.command), "-C", str(folder / "bcfg2.conf")], port, work)
    try:
        server.start()
        time.sleep(contender.settle)
        yield Running(port, clients, server)
    finally:
        server.kill()
