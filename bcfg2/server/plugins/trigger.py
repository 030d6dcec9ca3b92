"""Trigger: programs that the server runs whenever it has built a configuration for a client.

.. code-block:: text

    a request ends -> one job for each program -> queue -> worker threads -> a process each

The client's answer waits for none of it.  The threads start when the server begins to serve, so tools that build
configurations without serving clients run no programs.
"""

import os
import queue
import re
import threading
import time
from typing import Any, ClassVar, NamedTuple

from bcfg2 import command
from bcfg2.options import IntOption, Option, TimeoutOption
from bcfg2.server.plugin import ClientRunHooks, DirectoryBacked, FileBacked, Plugin, Threaded
from bcfg2.server.plugin.services import CoreInterface

#: Seconds that the server waits at its end for programs that have not been started yet, and between two looks.
_LAST_CHANCE, _TICK = 2.0, 0.05


class Job(NamedTuple):
    """A program, by its path, and its arguments."""

    program: str
    arguments: tuple[str, ...]


class Program(FileBacked):
    """One program; the system reads it each time that it is run."""

    def read(self) -> None:
        """Nothing of it is kept."""


class Trigger(Plugin, ClientRunHooks, Threaded, DirectoryBacked):
    """Runs the programs below its folder with ``HOST -p PROFILE -g GROUP1:GROUP2:...``."""

    options: ClassVar[list[Option]] = [
        TimeoutOption("trigger", "timeout", default=300.0, help="Seconds that one program may take"),
        IntOption("trigger", "max_running", default=8, help="How many programs run at the same time"),
        IntOption("trigger", "max_waiting", default=1000, help="How many programs may wait for their turn"),
    ]

    __child__ = Program
    ignore = re.compile(r"^(\.#.*|.*~|\..*\.(tmp|swp|swx))$")

    def __init__(self, core: CoreInterface) -> None:
        Plugin.__init__(self, core)
        self._jobs: queue.Queue[Job] | None = None
        DirectoryBacked.__init__(self, self.data)

    def start_threads(self) -> None:
        self._jobs = queue.Queue(max(1, self.settings.trigger_max_waiting))
        for number in range(max(1, self.settings.trigger_max_running)):
            threading.Thread(target=self._work, args=(self._jobs,), name=f"trigger {number}", daemon=True).start()

    def end_client_run(self, metadata: Any) -> None:
        if self._jobs is None:
            return
        groups = ":".join(sorted(str(group) for group in metadata.groups))
        arguments = (metadata.hostname, "-p", metadata.profile or "", "-g", groups)
        for _, program in sorted(self.entries.items()):
            try:
                self._jobs.put_nowait(Job(program.name, arguments))
            except queue.Full:
                self.logger.error(
                    "%s is not run for %s: more programs wait than [trigger] max_waiting allows",
                    program.name,
                    metadata.hostname,
                )

    def shutdown(self) -> None:
        super().shutdown()
        if self._jobs is None:
            return
        deadline = time.monotonic() + _LAST_CHANCE
        while not self._jobs.empty() and time.monotonic() < deadline:
            time.sleep(_TICK)
        if left := self._jobs.qsize():
            self.logger.error("%d programs are not run, because the server stops", left)

    def _work(self, jobs: "queue.Queue[Job]") -> None:
        """Run one job after the other, until the server's process ends."""
        while True:
            job = jobs.get()
            try:
                self._run(job)
            except Exception:  # or there would be one thread less
                self.logger.exception("Cannot run %s for %s", job.program, job.arguments[0])

    def _run(self, job: Job) -> None:
        """Run one program to its end and log how that went."""
        seconds: float | None = self.settings.trigger_timeout
        try:
            finished = command.run([job.program, *job.arguments], None, seconds)
        except command.OutOfTime:
            self.logger.error(
                "%s, run for %s, took more than %g seconds, killed ([trigger] timeout)",
                job.program,
                job.arguments[0],
                seconds,
            )
            return
        except OSError as err:
            if os.path.lexists(job.program):  # else it has been removed since
                self.logger.error("Cannot run %s for %s: %s", job.program, job.arguments[0], err.strerror or err)
            return
        text = (finished.stdout + finished.stderr).strip().decode("utf-8", "replace")
        if finished.status:
            self.logger.error("%s, run for %s, failed: %s", job.program, job.arguments[0], finished.how)
        if text:
            self.logger.debug("%s, run for %s, printed: %s", job.program, job.arguments[0], text)
