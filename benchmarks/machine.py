"""What the numbers were measured on."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """The machine that everything, players included, runs on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"machine: {os.cpu_count()} processors ({model}), {memory:.0f} GiB, Linux {platform.release()},"
        f" Python {platform.python_version()}"
    )
