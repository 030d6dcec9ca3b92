"""The demonstration, run as ``make demo`` runs it: a real server on a real port, two clients over HTTPS."""

import importlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

ROOT = Path(__file__).parents[2]


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py", "--folder", folder, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("demo") / "site"
    return folder, demo(folder)


def test_everything_is_bound_and_shown(played: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    done = played[1]
    assert done.returncode == 0, done.stdout + done.stderr
    for host in ("www1.example.com", "db1.example.com"):
        assert f"\n{host}" in done.stdout
    assert done.stdout.count("all complete") == 2
    for text in ("/etc/nginx/nginx.conf", "0644 root:root", "deb, version", "systemd, on"):
        assert text in done.stdout


def test_the_agent_installs_finds_all_well_and_repairs(played: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = played
    runs = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith(("first", "second", "third"))]
    assert [run.split(", ")[0].split()[-1] for run in runs] == ["clean", "clean", "clean"]
    assert [run.rpartition(", ")[2] for run in runs] == ["4 changed", "0 changed", "1 changed"]
    assert "| -Free beer at 6." in done.stdout
    machine = folder / "machine"
    assert "Welcome to folder.example.com" in (machine / "etc/issue").read_text()
    assert "Free beer" not in (machine / "etc/motd").read_text()
    assert len((machine / "changes").read_text().splitlines()) == 2


def test_the_output_has_no_colours_unless_on_a_terminal(
    played: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    assert "\x1b" not in played[1].stdout


def test_what_clients_told_is_kept_by_the_server(played: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    repository = played[0] / "repository"
    assert (repository / "Metadata/clients.xml").read_text().count('version="1.4.0"') == 2
    assert 'name="cpus"' in (repository / "Probes/probed.xml").read_text()


def test_the_password_is_readable_by_its_owner_only(
    played: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    assert (played[0] / "bcfg2.conf").stat().st_mode & 0o077 == 0


def test_a_failing_entry_is_shown_and_ends_in_a_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    module = importlib.import_module("demo")
    bundle = '<Bundle name="b"><Path name="/x" failure="bind error: no"/></Bundle>'
    run = module.Run("www1.example.com", "127.0.0.11")
    run.config = etree.fromstring(f"<Configuration>{bundle}</Configuration>")
    monkeypatch.setattr(module, "converse", lambda *_: run)
    monkeypatch.setattr(module, "look_after", lambda *_: None)
    assert not module.play(module.Site(tmp_path, 0, "x"), module.Screen(False))
    assert "/x  bind error: no" in capsys.readouterr().out


def test_a_server_that_does_not_start_is_told_with_its_log(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = demo(tmp_path / "site", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "The demonstration failed" in done.stderr
    assert "Cannot start" in done.stderr


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    done = demo(tmp_path)
    assert done.returncode == 1
    assert "choose another with --folder" in done.stderr
    assert (tmp_path / "precious").exists()
