"""The released suite, installed from PyPI into a Python 2.7 environment of its own under ``var/``.

It is only ever run, as the black box that sites use: its agent by the tests, its server by the benchmarks.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RELEASE = "1.3.4"
FOLDER = ROOT / "var" / f"bcfg2-{RELEASE}"


class Unavailable(Exception):
    """The released suite cannot be installed here; the text says why."""


def released_commands() -> Path:
    """The folder of the released commands; the first call installs them, which takes a minute."""
    commands = FOLDER / "bin"
    complete = FOLDER / "complete"
    FOLDER.parent.mkdir(exist_ok=True)
    with Path(f"{FOLDER}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests in other processes wait for the one that installs
        if not complete.exists():
            shutil.rmtree(FOLDER, ignore_errors=True)
            _install(_python27())
            complete.touch()
    return commands


def _python27() -> Path:
    """A Python 2.7 interpreter that works: one on the path (which may be a stub), or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    on_path = shutil.which("python2.7")
    for python in ([Path(on_path)] if on_path else []) + sorted(pyenv.glob("versions/2.7.*/bin/python2.7")):
        if subprocess.run([python, "-c", ""], capture_output=True).returncode == 0:
            return python
    raise Unavailable(f"there is no Python 2.7, which release {RELEASE} needs (looked on PATH and in {pyenv})")


def _install(python: Path) -> None:
    """Make the environment: today's virtualenv does not know Python 2.7, so an older one is installed for that."""
    maker = FOLDER / "virtualenv"
    steps: list[list[str | Path]] = [
        [sys.executable, "-m", "venv", maker],
        [maker / "bin" / "pip", "install", "--quiet", "virtualenv<20.22"],
        [maker / "bin" / "virtualenv", "--quiet", "--python", python, FOLDER],
        [FOLDER / "bin" / "pip", "install", "--quiet", f"bcfg2=={RELEASE}", "lxml", "genshi"],
    ]
    for step in steps:
        done = subprocess.run(step, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            reason = (done.stdout.strip().splitlines() or ["no message"])[-1]
            raise Unavailable(f"cannot install release {RELEASE}: {step[0]} failed: {reason}")
