"""Trigger: programs that run after each configuration."""

import logging
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from bcfg2.server.plugins import trigger
from tests.support import ServerProcess, Site, await_condition


def put(folder: Path, name: str, text: str, mode: int = 0o755) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


class Triggers:
    """A site with SCRIPTS, name -> shell commands, whose core has begun to serve."""

    def __init__(self, tmp_path: Path, conf: str = "", **scripts: str) -> None:
        self.folder = tmp_path / "repo" / "Trigger"
        for name, text in scripts.items():
            put(self.folder, name, text)
        self.site = Site(tmp_path, plugins="Metadata,Bundler,Trigger", conf=conf)
        self.site.core._start_plugin_threads()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """The error lines, as they come."""
    found: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler = Handler(logging.ERROR)
    logging.getLogger("bcfg2.Trigger").addHandler(handler)
    yield found
    logging.getLogger("bcfg2.Trigger").removeHandler(handler)


def test_each_program_at_any_depth_runs_with_host_profile_and_sorted_groups(tmp_path: Path, out: Path) -> None:
    groups = '<Groups><Group name="basic" profile="true"><Group name="z"/><Group name="a"/></Group></Groups>'
    triggers = Triggers(tmp_path, **{"one": f'echo "one $# $*" >>{out}', "deep/er/two": f'echo "two $*" >>{out}'})
    triggers.site.write("Metadata/groups.xml", groups)
    triggers.site.config()
    await_condition(lambda: len(lines(out)) == 2)
    arguments = "client.example.com -p basic -g a:basic:z"
    assert sorted(lines(out)) == [f"one 5 {arguments}", f"two {arguments}"]


def test_a_client_without_profile_has_an_empty_one(tmp_path: Path, out: Path) -> None:
    triggers = Triggers(tmp_path, t=f'echo "$#<$3>" >>{out}')
    client = SimpleNamespace(hostname="x", profile=None, groups=set())
    triggers.site.plugin("Trigger").end_client_run(client)
    await_condition(lambda: lines(out) == ["5<>"])


def test_programs_that_come_and_go_take_effect(tmp_path: Path, out: Path) -> None:
    triggers = Triggers(tmp_path, old=f"echo old >>{out}")
    (triggers.folder / "old").unlink()
    put(triggers.folder, "new", f"echo new >>{out}")
    put(triggers.folder, "new~", f"echo backup >>{out}")
    triggers.site.apply()
    triggers.site.config()
    await_condition(lambda: lines(out) == ["new"])
    put(triggers.folder, "new", f"echo newer >>{out}")  # which the server need not have noticed
    triggers.site.config()
    await_condition(lambda: len(lines(out)) == 2)
    assert lines(out) == ["new", "newer"]


def test_nothing_waits_for_a_program_neither_the_answer_nor_another_program(tmp_path: Path, out: Path) -> None:
    triggers = Triggers(tmp_path, "[trigger]\ntimeout = 20", a="sleep 30 & wait", b=f"echo b >>{out}")
    begun = time.monotonic()
    triggers.site.config()
    await_condition(lambda: lines(out) == ["b"])
    assert time.monotonic() - begun < 15
    triggers.site.stop()


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("exit 3", 0o755, "client.example.com, failed: exit status 3"),
        ("kill -9 $$", 0o755, "killed by signal 9"),
        ("exit 0", 0o644, "Permission denied"),
        ("sleep 60 & sleep 60", 0o755, "took more than 1 seconds, killed"),
    ],
)
def test_a_program_that_fails_is_one_error_line_and_nothing_else(
    tmp_path: Path, out: Path, errors: list[str], text: str, mode: int, reason: str
) -> None:
    triggers = Triggers(tmp_path, "[trigger]\ntimeout = 1", z=f"echo z >>{out}")
    put(triggers.folder, "bad", text, mode)
    triggers.site.apply()
    assert triggers.site.config().tag == "Configuration"
    await_condition(lambda: errors and lines(out))
    (line,) = errors
    assert reason in line and str(triggers.folder / "bad") in line


def test_a_program_in_no_format_that_the_system_knows_is_one_error_line(tmp_path: Path, errors: list[str]) -> None:
    triggers = Triggers(tmp_path, "")
    path = put(triggers.folder, "bad", "")
    path.write_bytes(b"\x7fnonsense")
    triggers.site.apply()
    triggers.site.config()
    await_condition(lambda: errors)
    assert "Exec format error" in errors[0]


def test_output_is_logged_for_debugging_and_read_to_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bcfg2.Trigger")
    triggers = Triggers(tmp_path, t="echo hello; echo there >&2; head -c 1000000 /dev/zero | tr '\\0' x")
    triggers.site.config()
    await_condition(lambda: [record for record in caplog.records if "hello\nxxx" in record.getMessage()])
    assert "xthere" in caplog.text


def test_no_more_run_and_wait_than_is_allowed(tmp_path: Path, out: Path, errors: list[str]) -> None:
    conf = "[trigger]\nmax_running = 1\nmax_waiting = 2"
    gate = tmp_path / "gate"
    triggers = Triggers(tmp_path, conf, t=f"echo run >>{out}; while ! test -e {gate}; do sleep 0.05; done")
    triggers.site.config()
    await_condition(lambda: lines(out) == ["run"])
    for _ in range(4):
        triggers.site.config()
    assert len(errors) == 2 and "[trigger] max_waiting" in errors[0]
    gate.touch()
    await_condition(lambda: len(lines(out)) == 3)


def test_a_core_that_serves_nobody_runs_nothing(tmp_path: Path, out: Path) -> None:
    put(tmp_path / "repo/Trigger", "t", f"echo t >>{out}")
    site = Site(tmp_path, plugins="Metadata,Bundler,Trigger")
    site.config()
    assert site.plugin("Trigger")._jobs is None
    site.stop()
    assert lines(out) == []


def test_a_stopping_server_starts_what_waits_or_says_that_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: list[str]
) -> None:
    monkeypatch.setattr(trigger, "_LAST_CHANCE", 0.3)
    triggers = Triggers(tmp_path, "[trigger]\nmax_running = 1\ntimeout = 5", t="exec sleep 3")
    triggers.site.config()
    triggers.site.config()
    triggers.site.config()
    triggers.site.stop()
    assert [line for line in errors if "programs are not run" in line]


def test_a_server_runs_programs_for_get_config_only(tmp_path: Path, certificate: object, out: Path) -> None:
    files = {"Trigger/t": f"#!/bin/sh\necho $1 >>{out}\n", "Probes/p": "date\n", "Bundler/base.xml": "<Bundle/>"}
    server = ServerProcess(tmp_path, certificate, files, "Metadata,Bundler,Probes,Trigger")
    path = server.repo / "Trigger/t"
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    with server:
        server.call("GetProbes")
        server.call("RecvProbeData", '<ProbeData><probe-data name="p" source="Probes">x</probe-data></ProbeData>')
        assert "<Configuration" in server.call("GetConfig")
        await_condition(lambda: lines(out))
        assert lines(out) == ["client.example.com"]
