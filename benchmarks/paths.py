"""Measures how long the agent takes to verify many files, beside what reading them takes.

Exits with status 1 if it takes more than the goal.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from tests.client.tools.posix.support import MINE, posix

#: Seconds that the verification may take besides the reading, for 10,000 files.
GOAL = 2.0
PER_FOLDER = 100


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paths", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000, help="number of files (%(default)s)")
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="bcfg2-bench-") as name:
        entries = "".join(_made(Path(name), number) for number in range(arguments.files))
        tool = posix(entries)
        paths = tool.entries
        reading = _timed(lambda: [Path(entry.get("name", "")).read_bytes() for entry in paths])
        verifying = _timed(lambda: [tool.verify(entry) for entry in paths])
    goal = GOAL * arguments.files / 10_000
    print(f"{arguments.files} files: reading {reading:.2f} s, verifying {verifying:.2f} s")
    print(f"besides the reading {verifying - reading:.2f} s; goal: under {goal:.1f} s")
    return 0 if verifying - reading < goal else 1


def _made(top: Path, number: int) -> str:
    """Make one file; its entry."""
    path = top / f"folder{number // PER_FOLDER}" / "conf.d" / f"file{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = f"a line of file {number}\n" * 20
    path.write_text(content)
    path.chmod(0o644)
    return f'<Path type="file" name="{path}" {MINE} mode="0644">{content}</Path>'


def _timed(act: Callable[[], list[Any]]) -> float:
    began = time.perf_counter()
    assert all(act())
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
