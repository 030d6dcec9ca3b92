"""Somebody who owns a folder exchanges it for a link while the agent works in it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.client.tools.posix.support import IS_ROOT, MINE, installed, posix, tree

ATTACKER = 1234
#: Seconds after which the attack has to have been seen both to succeed in time and to come too late.
LIMIT = 20.0


class Attacker(threading.Thread):
    """Exchanges FOLDER, which is his, for a link to VICTIM and back, until told to stop."""

    def __init__(self, folder: Path, victim: Path) -> None:
        super().__init__()
        self.folder = folder
        self.aside, self.link = folder.with_name("aside"), folder.with_name("link")
        self.link.symlink_to(victim)
        os.lchown(self.link, ATTACKER, ATTACKER)
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            with contextlib.suppress(OSError):
                os.rename(self.folder, self.aside)
                os.rename(self.link, self.folder)
                os.rename(self.folder, self.link)
                os.rename(self.aside, self.folder)
        self.stopped.wait()


@pytest.mark.skipif(not IS_ROOT, reason="only root can play the parts of two users")
def test_exchanging_a_folder_for_a_link_leads_nowhere(tmp_path: Path) -> None:
    shared, victim = tmp_path / "shared", tmp_path / "victim"
    (shared / "d").mkdir(parents=True)
    shared.chmod(0o777)
    os.chown(shared / "d", ATTACKER, ATTACKER)
    (victim / "tree").mkdir(parents=True)
    for name in ("f", "gone", "tree/file"):
        (victim / name).write_text("untouched")
        (victim / name).chmod(0o600)
    before = tree(victim)
    place = f"{shared}/d"
    tool = posix(
        f'<Path type="file" name="{place}/f" owner="{ATTACKER}" group="{ATTACKER}" mode="0666">x</Path>'
        f'<Path type="permissions" name="{place}/f" owner="{ATTACKER}" group="{ATTACKER}" mode="0644"/>'
        f'<Path type="file" name="{place}/made/f" owner="{ATTACKER}" group="{ATTACKER}" mode="0666">x</Path>'
        f'<Path type="nonexistent" name="{place}/gone"/>'
        f'<Path type="nonexistent" name="{place}/tree" recursive="true"/>'
        f'<Path type="symlink" name="{place}/l" to="x"/>'
        f'<Path type="permissions" name="{place}" owner="{ATTACKER}" group="{ATTACKER}" mode="0777" recursive="true"/>'
    )
    attacker = Attacker(shared / "d", victim)
    attacker.start()
    outcomes: set[bool] = set()
    deadline = time.monotonic() + LIMIT
    rounds = 0
    try:
        while (len(outcomes) < 2 or rounds < 100) and time.monotonic() < deadline:
            rounds += 1
            for entry in tool.entries:
                with contextlib.suppress(OSError):
                    tool.verify(entry)
            outcomes |= set(tool.install(tool.entries).values())
    finally:
        attacker.stopped.set()
        attacker.join()
    assert tree(victim) == before
    assert outcomes == {True, False}


KILLED_BEFORE_RENAMING = """
import os, signal, sys
from pathlib import Path
from tests.client.tools.posix.support import installed, posix
tool = posix(sys.argv[1])
os.rename = lambda *args, **where: os.kill(os.getpid(), signal.SIGKILL)
installed(tool)
"""


@pytest.mark.parametrize("kind", ["file", "directory", "symlink", "parent"])
def test_what_a_killed_run_leaves_is_removed_by_the_next(tmp_path: Path, kind: str) -> None:
    entry = {
        "file": f'<Path type="file" name="{tmp_path}/f" {MINE} mode="0644">x</Path>',
        "directory": f'<Path type="directory" name="{tmp_path}/f" {MINE} mode="0755"/>',
        "symlink": f'<Path type="symlink" name="{tmp_path}/f" to="x"/>',
        "parent": f'<Path type="file" name="{tmp_path}/f/g" {MINE} mode="0644">x</Path>',
    }[kind]
    done = subprocess.run([sys.executable, "-c", KILLED_BEFORE_RENAMING, entry], check=False)
    assert done.returncode == -signal.SIGKILL
    (leftover,) = os.listdir(tmp_path)
    assert leftover.startswith(".bcfg2-")
    posix(entry, "-n")
    assert os.listdir(tmp_path) == [leftover]
    assert installed(posix(entry))
    assert os.listdir(tmp_path) == ["f"]


def test_file_that_was_linked_into_a_shared_folder_is_not_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shared, secret = tmp_path / "shared", tmp_path / "secret"
    shared.mkdir()
    shared.chmod(0o1777)
    secret.write_text("x")
    secret.chmod(0o600)
    os.link(secret, shared / "f")
    assert not installed(posix(f'<Path type="permissions" name="{shared}/f" {MINE} mode="0644"/>'))
    assert "it has other names" in caplog.text
    assert not installed(posix(f'<Path type="permissions" name="{shared}" {MINE} mode="1777" recursive="true"/>'))
    assert installed(posix(f'<Path type="file" name="{shared}/f" {MINE} mode="0644">x</Path>'))
    assert secret.stat().st_mode & 0o777 == 0o600
