"""The agent says and does what the recorded cases tell.

Each case runs as root in a mount namespace of its own, in which the system's folders are overlays, so nothing on this
machine is changed.
"""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
#: The recorded ones, and those that this project adds, which may need more programs.
CASES = sorted(path.parent for folder in ("cases", "own") for path in HERE.glob(f"{folder}/*/case.json"))


@cache
def why_not() -> str | None:
    """Why cases cannot be played here."""
    if os.geteuid():
        return "the cases of the agent need root"
    for program in ("unshare", "openssl"):
        if shutil.which(program) is None:
            return f"the cases of the agent need {program}"
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "true"], capture_output=True, text=True)
    return f"the cases of the agent need a mount namespace: {done.stderr.strip()}" if done.returncode else None


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder that holds the command ``bcfg2`` of this tree."""
    command = tmp_path / "bcfg2"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m bcfg2.bcfg2_client "$@"\n')
    command.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=[path.name for path in CASES])
def test_the_agent_does_what_was_recorded(case: Path, commands: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    needed = json.loads((case / "case.json").read_text()).get("needs", [])
    if missing := [program for program in needed if shutil.which(program) is None]:
        pytest.skip(f"the case needs {' and '.join(missing)}")
    player = [sys.executable, str(HERE / "apply"), "--bin", str(commands), str(case)]
    done = subprocess.run(player, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
