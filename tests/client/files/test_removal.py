"""Removing files and trees."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bcfg2.client.files import opened_folder, remove


def test_tree_is_removed_and_links_in_it_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("")
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/link").symlink_to(tmp_path / "kept")
    with opened_folder(str(tmp_path)) as folder:
        remove(folder, "tree")
    assert os.listdir(tmp_path) == ["kept"] and (tmp_path / "kept/file").exists()


IN_A_NAMESPACE = """
import subprocess, sys
from bcfg2.client.files import opened_folder, remove
top = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", f"{top}/tree/mounted"], check=True)
with opened_folder(top) as folder:
    try:
        remove(folder, "tree")
    except OSError as err:
        print(err)
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="mounting needs root and unshare")
def test_nothing_is_removed_where_a_file_system_is_mounted(tmp_path: Path) -> None:
    (tmp_path / "tree/mounted").mkdir(parents=True)
    (tmp_path / "tree/file").write_text("")
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", IN_A_NAMESPACE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert "a file system is mounted there" in done.stdout
    assert (tmp_path / "tree/file").exists()
