"""The player itself: a wrong answer, a missing command and a hanging command are noticed."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conversation import Conversation, Differs, with_backend
from tests.conformance.process import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def shell(command: str, **more: Any) -> dict[str, Any]:
    return {"do": "cli", "say": "shell", "argv": ["/bin/sh", "-c", command], **more}


def play(
    tmp_path: Path, authority: Authority, steps: list[dict[str, Any]], expected: dict[str, Any], settle: float = 5.0
) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "case.json").write_text(json.dumps({"no_server": True, "steps": steps}))
    (folder / "expected.json").write_text(json.dumps(expected))
    (folder / "bcfg2.conf").write_text("repository = @CASE@/repo\n")
    commands = tmp_path / "commands"
    commands.mkdir()
    Conversation(folder, tmp_path / "work", commands, authority, settle).play()


def wait_for_end(pid: int) -> None:
    """Return when the process PID runs no more; until its parent has noticed, a killed process is a zombie."""
    status = Path(f"/proc/{pid}/status")
    for _ in range(500):
        try:
            if "State:\tZ" in status.read_text():
                return
        except OSError:
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} still runs")


def test_equal_answers_pass(tmp_path: Path, authority: Authority) -> None:
    steps = [shell("cat bcfg2.conf; echo $HOME; exit 3"), {"do": "file", "path": "bcfg2.conf"}]
    expected = {
        "01 shell": {"exit": 3, "stdout": ["repository = @CASE@/repo", "@CASE@"]},
        "02 file": {"value": "repository = @CASE@/repo\n"},
    }
    play(tmp_path, authority, steps, expected)


@pytest.mark.parametrize("expected", [{"exit": 0, "stdout": ["no"]}, {"exit": 1, "stdout": ["yes"]}])
def test_a_wrong_answer_is_shown_with_its_step(tmp_path: Path, authority: Authority, expected: dict[str, Any]) -> None:
    with pytest.raises(Differs, match="step 01 shell"):
        play(tmp_path, authority, [shell("echo yes")], {"01 shell": expected})


def test_a_missing_command_is_noticed_before_anything_is_played(tmp_path: Path, authority: Authority) -> None:
    steps = [shell(f"touch {tmp_path}/played"), {"do": "cli", "argv": ["bcfg2-admin"]}]
    with pytest.raises(Differs, match="no such command: bcfg2-admin"):
        play(tmp_path, authority, steps, {"01 shell": {"exit": 0, "stdout": []}, "02 cli": {"exit": 0, "stdout": []}})
    assert not (tmp_path / "played").exists()


def test_an_answer_may_take_a_while_after_a_change_but_not_for_ever(tmp_path: Path, authority: Authority) -> None:
    steps = [
        {"do": "write", "path": "f", "text": "x"},
        shell("echo >> tries; [ $(wc -l < tries) -ge 3 ] && echo yes || echo no"),
    ]
    play(tmp_path, authority, steps, {"02 shell": {"exit": 0, "stdout": ["yes"]}})
    (tmp_path / "again").mkdir()
    with pytest.raises(Differs, match="step 02"):
        play(tmp_path / "again", authority, steps, {"02 shell": {"exit": 0, "stdout": ["never"]}}, settle=0.3)


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, authority: Authority) -> None:
    begun = time.monotonic()
    with pytest.raises(Differs, match="TimeoutExpired"):
        play(tmp_path, authority, [shell("sleep 1000 & echo $! > sleeper; wait", timeout=1)], {"01 shell": {"exit": 0}})
    assert time.monotonic() - begun < 60
    wait_for_end(int((tmp_path / "work/sleeper").read_text()))


def test_a_daemon_that_is_left_over_is_ended(tmp_path: Path, authority: Authority) -> None:
    steps = [shell('setsid tail -f "$PWD/bcfg2.conf" > /dev/null 2>&1 & echo $! > d.pid')]
    play(tmp_path, authority, steps, {"01 shell": {"exit": 0, "stdout": []}})
    wait_for_end(int((tmp_path / "work/d.pid").read_text()))


@pytest.mark.parametrize(
    ("conf", "backend", "expected"),
    [
        ("[server]\nplugins = A\n", "builtin", "[server]\nplugins = A\n"),
        ("[server]\nplugins = A\n", "cherrypy", "[server]\nbackend = cherrypy\nplugins = A\n"),
        ("[server]\nx = 1\n", "multiprocessing", "[server]\nbackend = multiprocessing\nchildren = 2\nx = 1\n"),
        ("[server]\nbackend: best\n", "cherrypy", "[server]\nbackend: best\n"),
        ("[a]\nb = 1", "cherrypy", "[a]\nb = 1\n[server]\nbackend = cherrypy\n"),
    ],
)
def test_the_backend_is_set_where_the_case_names_none(conf: str, backend: str, expected: str) -> None:
    assert with_backend(conf, backend) == expected
