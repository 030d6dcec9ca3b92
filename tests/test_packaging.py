"""The files for init systems in the folder ``packaging``, as far as they can be used without being installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ServerProcess

PACKAGING = Path(__file__).parents[1] / "packaging"


def tool(name: str) -> str:
    """The path of the command NAME; without it the test is skipped."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"there is no {name}")
    return path


def run(*command: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        check=False,
    )


# systemd


@pytest.fixture
def unit(tmp_path):
    """The unit with a command that exists."""
    text = (PACKAGING / "bcfg2-server.service").read_text()
    assert "ExecStart=/usr/bin/bcfg2-server " in text
    path = tmp_path / "bcfg2-server.service"
    path.write_text(text.replace("/usr/bin/bcfg2-server", "/bin/true"))
    return path


def test_systemd_finds_nothing_wrong_with_the_unit(unit):
    done = run(tool("systemd-analyze"), "verify", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_is_well_shut_off(unit):
    done = run(tool("systemd-analyze"), "security", "--offline=yes", "--threshold=20", unit)
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_makes_the_user_and_leaves_folders_that_exist_as_they_are(tmp_path):
    sysusers, tmpfiles = tool("systemd-sysusers"), tool("systemd-tmpfiles")
    if os.geteuid() != 0:
        pytest.skip("only root may make users and folders for others")
    (tmp_path / "etc").mkdir()
    repository = tmp_path / "var/lib/bcfg2"
    repository.mkdir(parents=True, mode=0o775)
    repository.chmod(0o775)
    assert run(sysusers, f"--root={tmp_path}", PACKAGING / "bcfg2.sysusers").returncode == 0
    users = {line.split(":")[0]: line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines()}
    number = int(users["bcfg2"][2])
    assert users["bcfg2"][5] == "/var/lib/bcfg2"
    done = run(tmpfiles, "--create", f"--root={tmp_path}", PACKAGING / "bcfg2.tmpfiles")
    assert (done.returncode, done.stderr) == (0, "")
    folders = {name: (tmp_path / name).stat() for name in ("var/lib/bcfg2", "var/log/bcfg2", "run/bcfg2-server")}
    assert {name: (oct(status.st_mode & 0o7777), status.st_uid) for name, status in folders.items()} == {
        "var/lib/bcfg2": ("0o775", 0),
        "var/log/bcfg2": ("0o750", number),
        "run/bcfg2-server": ("0o755", number),
    }


def test_systemd_finds_nothing_wrong_with_the_units_of_the_agent(tmp_path):
    service, timer = tmp_path / "bcfg2.service", tmp_path / "bcfg2.timer"
    service.write_text((PACKAGING / "bcfg2.service").read_text().replace("/usr/bin/bcfg2", "/bin/true"))
    shutil.copy(PACKAGING / "bcfg2.timer", timer)
    done = run(tool("systemd-analyze"), "verify", service, timer)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_line_for_cron_waits_less_than_a_quarter_of_an_hour_and_then_runs_the_agent(tmp_path):
    (line,) = [line for line in (PACKAGING / "bcfg2.cron").read_text().splitlines() if line.startswith("*/30")]
    command = line.split("root ", 1)[1].replace("\\%", "%")  # as cron reads it
    for name, script in (("sleep", 'echo "$1"'), ("bcfg2", "echo run")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    done = run("sh", "-c", command, PATH=f"{tmp_path}:{os.environ['PATH']}")
    seconds, ran = done.stdout.split()
    assert (0 <= int(seconds) < 900, ran) == (True, "run")


# the init script


class InitScript:
    """The script, for a server in a folder of its own."""

    def __init__(self, folder: Path, server: ServerProcess) -> None:
        self.pidfile = folder / "run" / "server.pid"
        command = folder / "bcfg2-server"
        command.write_text(f"#!{sys.executable}\nimport sys\nfrom bcfg2.bcfg2_server import main\n\nsys.exit(main())\n")
        command.chmod(0o755)
        self.variables = {
            "BCFG2_SERVER": str(command),
            "BCFG2_SERVER_OPTIONS": f"-C {server.conf}",
            "BCFG2_SERVER_PIDFILE": str(self.pidfile),
            "PYTHONPATH": str(PACKAGING.parent),
        }

    def __call__(self, action: str, **variables: str) -> tuple[int, str]:
        """(exit status, output) of the script."""
        done = run("sh", PACKAGING / "bcfg2-server.init", action, **{**self.variables, **variables})
        return done.returncode, done.stdout + done.stderr

    def pid(self) -> int:
        return int(self.pidfile.read_text())


@pytest.fixture
def server(tmp_path, certificate):
    server = ServerProcess(tmp_path, certificate, settings={"logging.syslog": "no"})
    server.conf.chmod(0o600)
    return server


@pytest.fixture
def script(tmp_path, server):
    script = InitScript(tmp_path, server)
    yield script
    script("stop")


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_shells_understand_the_script(shell):
    done = run(tool(shell), "-n", PACKAGING / "bcfg2-server.init")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_script_starts_restarts_and_stops_a_server(script, server):
    assert script("status") == (3, "bcfg2-server is not running\n")
    assert script("try-restart")[0] == 0
    assert not server.answers()
    assert script("start") == (0, "bcfg2-server started\n")
    assert server.call("GetProbes") == "<probes/>"
    first = script.pid()
    assert script("status") == (0, f"bcfg2-server is running (process {first})\n")
    assert script("start") == (0, f"bcfg2-server is running already (process {first})\n")
    assert script("reload")[0] == 0
    assert script.pid() == first
    assert script("restart") == (0, "bcfg2-server stopped\nbcfg2-server started\n")
    second = script.pid()
    assert second != first
    assert script("try-restart")[0] == 0
    assert script.pid() != second
    assert server.call("GetProbes") == "<probes/>"
    assert script("stop") == (0, "bcfg2-server stopped\n")
    assert not server.answers()
    assert script("stop") == (0, "bcfg2-server is not running\n")
    assert script("reload")[0] == 7


def test_a_server_that_cannot_start_is_a_failure_with_its_reason(script, server):
    server.conf.write_text(server.conf.read_text().replace("key = ", "key = /nonexistent"))
    status, output = script("start")
    assert status == 1
    assert "does not exist (option key of [communication])" in output


def test_a_command_that_is_not_there_is_named(script):
    assert script("start", BCFG2_SERVER="/nonexistent/x")[0] == 5


def test_a_process_that_got_the_number_of_a_dead_server_is_left_alone(script):
    script.pidfile.parent.mkdir()
    with subprocess.Popen(["sleep", "60"]) as other:
        script.pidfile.write_text(f"{other.pid}\n")
        assert script("status") == (1, f"bcfg2-server is not running, but left {script.pidfile} behind\n")
        assert script("stop") == (0, "bcfg2-server is not running\n")
        assert other.poll() is None
        other.kill()


def test_another_action_is_a_usage_error(script):
    status, output = script("explode")
    assert status == 2
    assert output.startswith("Usage: ")
