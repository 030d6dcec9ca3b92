"""Guppy: where the memory of the server goes, for those who look for a leak.

It counts what the Python interpreter allocates from the moment on when it is enabled, by the line of the program that
allocates it.  Nothing listens anywhere: the report is what a remote method answers.  Counting makes the server slower
and larger, so the plugin is for the time of the search only.
"""

import gc
import os
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from bcfg2.server.plugin import Plugin
from bcfg2.server.plugin.services import CoreInterface

#: How many lines of the program, and how many classes, a report lists unless it is asked for more; and at most.
_LISTED, _MAX_LISTED = 20, 1000


class Guppy(Plugin):
    """Reports on the memory of the server's process."""

    create: ClassVar[bool] = False
    __rmi__: ClassVar[list[str]] = [*Plugin.__rmi__, "Enable", "Disable", "Report"]
    __child_rmi__: ClassVar[list[Any]] = [*Plugin.__child_rmi__, "Enable", "Disable"]

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        self.Enable()

    def Enable(self) -> bool:
        """Begin to count; whether the server counts now."""
        if not tracemalloc.is_tracing():
            tracemalloc.start()
            self.logger.warning("Allocations are counted, which makes the server slower, until Guppy.Disable")
        return tracemalloc.is_tracing()

    def Disable(self) -> bool:
        """Count no more, and forget what was counted; whether the server counts now."""
        tracemalloc.stop()
        self.logger.info("Allocations are not counted any more")
        return tracemalloc.is_tracing()

    def Report(self, number: int = _LISTED) -> str:
        """The memory of the process, and the NUMBER of lines of the program, and of classes, that hold most."""
        number = max(1, min(int(number), _MAX_LISTED))
        return "\n".join([*_process(), "", *_allocations(number), "", *_objects(number)])

    def shutdown(self) -> None:
        super().shutdown()
        tracemalloc.stop()


def _process() -> list[str]:
    lines = [f"process {os.getpid()}"]
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:  # a system without such a file
        return lines
    wanted = {"VmRSS": "resident", "VmHWM": "resident at most", "VmSize": "virtual"}
    values = (line.partition(":") for line in status.splitlines())
    return lines + [f"{wanted[key]}: {value.strip()}" for key, _, value in values if key in wanted]


def _allocations(number: int) -> list[str]:
    """The lines of the program that hold most of what was allocated since counting began."""
    if not tracemalloc.is_tracing():
        return ["allocations are not counted: call Guppy.Enable"]
    held, most = tracemalloc.get_traced_memory()
    lines = [f"allocated since counting began: {held // 1024} KiB, at most {most // 1024} KiB"]
    for item in tracemalloc.take_snapshot().statistics("lineno")[:number]:
        frame = item.traceback[0]
        lines.append(f"{item.size // 1024:8d} KiB {item.count:8d} blocks  {frame.filename}:{frame.lineno}")
    return lines


def _objects(number: int) -> list[str]:
    """The classes of which there are most objects, of those that the garbage collector knows."""
    counted = Counter(type(item) for item in gc.get_objects())
    return [
        "objects",
        *(f"{count:8d}  {kind.__module__}.{kind.__qualname__}" for kind, count in counted.most_common(number)),
    ]
