"""What a person sees at a terminal, and what nobody sees elsewhere."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 30.0
INTERRUPT, END_OF_INPUT = "\x03", "\x04"
BOX = '<Bundle name="a"><Action name="pre" timing="pre" when="always" status="check" command="{}"/></Bundle>'


class Terminal:
    """The command on a terminal of its own; ANSWERS are given to its questions in turn."""

    def __init__(self, folder: Path, body: str, *words: str, answers: tuple[str, ...] = (), **variables: str) -> None:
        document, conf = folder / "config.xml", folder / "bcfg2.conf"
        document.write_text(f'<Configuration version="2.0" revision="1">{body}</Configuration>')
        conf.write_text(
            f"[components]\nlockfile = {folder}/lock\n[logging]\nsyslog = no\n[client]\ndrivers = Action,Box\n"
        )
        command = [sys.executable, "-m", "bcfg2.bcfg2_client", "-C", str(conf), "-f", str(document), *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **variables}
        mine, theirs = os.openpty()
        with subprocess.Popen(
            command,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which shells have background jobs ignore
        ) as process:
            os.close(theirs)
            try:
                self.text = self._talk(mine, process, list(answers))
                self.status = process.wait(LIMIT)
            finally:
                process.kill()
        os.close(mine)

    def _talk(self, terminal: int, process: subprocess.Popen[bytes], answers: list[str]) -> str:
        said, deadline = "", time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 0.1)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                said += os.read(terminal, 65536).decode()
            except OSError:  # the other side is closed
                break
            if answers and said.endswith("(y/N): "):
                answer = answers.pop(0)
                if answer == INTERRUPT:
                    process.send_signal(signal.SIGINT)
                os.write(terminal, answer.encode())
        return said.replace("\r\n", "\n")


def test_a_summary_is_shown_on_a_terminal_in_colours(tmp_path: Path) -> None:
    seen = Terminal(tmp_path, BOX.format("true"))
    assert "\x1b[32mchanged\x1b[0m Action:pre\n" in seen.text
    assert re.search(r"\x1b\[32mclean\x1b\[0m: 1 of 1 entries are good, 1 changed, 0 extra; revision 1", seen.text)


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_done_without(variable: dict[str, str], tmp_path: Path) -> None:
    seen = Terminal(tmp_path, BOX.format("true"), **variable)
    assert "changed Action:pre\n" in seen.text


def test_what_is_bad_is_shown_with_the_reason(tmp_path: Path) -> None:
    seen = Terminal(tmp_path, BOX.format("false"), NO_COLOR="1")
    assert "bad Action:pre\n    the command failed: exit status 1\ndirty: 0 of 1" in seen.text


def test_names_cannot_control_the_terminal(tmp_path: Path) -> None:
    seen = Terminal(tmp_path, '<Bundle name="a"><Box name="&#x9b;2J&#9;x"/></Bundle>', NO_COLOR="1")
    assert "bad Box:\\x9b2J" in seen.text
    assert "\x9b" not in seen.text


def test_a_question_is_answered_by_y_alone(tmp_path: Path) -> None:
    for answer, done in (("y\n", True), ("Y\n", True), ("yes\n", False), ("\n", False), ("n\n", False)):
        marker = tmp_path / "marker"
        seen = Terminal(tmp_path, BOX.format(f"touch {marker}"), "-I", answers=(answer,))
        assert f"Run Action pre, touch {marker}: (y/N): " in seen.text
        assert (seen.status, marker.exists()) == (0, done)
        marker.unlink(missing_ok=True)


def test_the_end_of_input_and_an_interrupt_end_the_run(tmp_path: Path) -> None:
    for key in (END_OF_INPUT, INTERRUPT):
        seen = Terminal(tmp_path, BOX.format("true"), "-I", answers=(key,))
        assert seen.status == 1
        assert "changed" not in seen.text


def test_where_there_is_no_terminal_nothing_is_said_while_all_is_well(tmp_path: Path) -> None:
    (tmp_path / "config.xml").write_text(f"<Configuration>{BOX.format('true')}</Configuration>")
    (tmp_path / "bcfg2.conf").write_text(f"[components]\nlockfile = {tmp_path}/lock\n[logging]\nsyslog = no\n")
    command = [sys.executable, "-m", "bcfg2.bcfg2_client", "-C", tmp_path / "bcfg2.conf", "-D", "Action"]
    done = subprocess.run([*command, "-f", tmp_path / "config.xml"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
