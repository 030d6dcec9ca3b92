"""What is made beside its place, and what is left of it when the process is killed."""

import os
import subprocess
from pathlib import Path

from bcfg2.client.files import Unfinished, opened_folder, remove_leftovers


def ended_process() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_what_is_not_finished_is_gone(tmp_path: Path) -> None:
    with opened_folder(str(tmp_path)) as folder, Unfinished(folder) as new:
        os.close(new.create())
        assert len(os.listdir(tmp_path)) == 1
    assert os.listdir(tmp_path) == []


def test_unfinished_file_can_be_read_by_nobody_else(tmp_path: Path) -> None:
    with opened_folder(str(tmp_path)) as folder, Unfinished(folder) as new:
        fd = new.create()
        assert os.fstat(fd).st_mode & 0o777 == 0o600
        os.close(fd)


def test_leftovers_of_ended_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    ended = ended_process()
    leftover = f".bcfg2-{ended}-0123456789abcdef.new"
    folder_left = f".bcfg2-{ended}-fedcba9876543210.new"
    of_running = f".bcfg2-{os.getpid()}-0123456789abcdef.new"
    not_ours = f".bcfg2-{ended}-something.new"
    filled = f".bcfg2-{ended}-aaaaaaaaaaaaaaaa.new"
    for name in (leftover, of_running, not_ours):
        (tmp_path / name).write_text("")
    (tmp_path / folder_left).mkdir()
    (tmp_path / filled / "kept").mkdir(parents=True)
    with opened_folder(str(tmp_path)) as folder:
        assert set(remove_leftovers(folder)) == {leftover, folder_left}
    assert set(os.listdir(tmp_path)) == {of_running, not_ours, filled}
