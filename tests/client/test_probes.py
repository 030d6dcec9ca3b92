"""Probes: what is run, how, within which limits, and what is told of it."""

import fcntl
import os
import stat
from pathlib import Path

import pytest
from lxml import etree

from bcfg2.client import probes
from bcfg2.client.errors import FatalError
from bcfg2.client.probes import Probe
from tests.client.support import options

TOLERANT = "[client]\nexit_on_probe_failure = no\n"


def outputs(tmp_path: Path, *scripts: tuple[str, str], conf: str = "") -> list[str]:
    """What the SCRIPTS, pairs of interpreter and text, are reported to have written."""
    found = [Probe(str(number), "Probes", interpreter, text) for number, (interpreter, text) in enumerate(scripts)]
    document = etree.fromstring(probes.run_all(found, options(conf=conf, folder=tmp_path)))
    assert [node.get("name") for node in document] == [probe.name for probe in found]
    return [node.text or "" for node in document]


def test_probes_are_found_at_any_depth() -> None:
    found = probes.parse(
        "<probes><a><probe name='x' source='P' interpreter='/bin/awk -f'>text</probe></a><probe name='y'/></probes>"
    )
    assert found == [Probe("x", "P", "/bin/awk -f", "text"), Probe("y", "", "/bin/sh", "")]


def test_probes_that_are_not_xml_end_the_run() -> None:
    with pytest.raises(FatalError, match="line 1"):
        probes.parse("<probes><probe>")


def test_output_is_reported_as_it_is(tmp_path: Path) -> None:
    assert outputs(tmp_path, ("/bin/sh", "echo ' a'; echo; printf 'Zürich <&>'")) == [" a\n\nZürich <&>"]


def test_what_xml_or_utf8_cannot_carry_is_replaced(tmp_path: Path) -> None:
    assert outputs(tmp_path, ("/bin/sh", r"printf 'a\001b\377c'")) == ["a\ufffdb\ufffdc"]


def test_the_interpreter_may_have_arguments(tmp_path: Path) -> None:
    assert outputs(tmp_path, ("/usr/bin/env sh", 'echo "$#"')) == ["0\n"]


def test_the_script_is_for_its_owner_alone(tmp_path: Path) -> None:
    (shown,) = outputs(tmp_path, ("/bin/sh", 'stat -c %a "$0" "$(dirname "$0")"'))
    assert shown.split() == ["700", "700"]


def test_standard_input_is_empty(tmp_path: Path) -> None:
    assert outputs(tmp_path, ("/bin/sh", "cat; echo end")) == ["end\n"]


def test_a_failure_ends_the_run_before_the_next_probe(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(FatalError, match="Probe 0 failed: exit status 3"):
        outputs(tmp_path, ("/bin/sh", "exit 3"), ("/bin/sh", f"touch {marker}"))
    assert not marker.exists()


def test_a_failure_is_reported_with_what_was_written_where_it_is_tolerated(tmp_path: Path) -> None:
    shown = outputs(
        tmp_path, ("/bin/sh", "echo half; exit 3"), ("/nonexistent", "x"), ("/bin/sh", "echo ok"), conf=TOLERANT
    )
    assert shown == ["half\n", "", "ok\n"]


def test_a_probe_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    script = f"echo begun; (sleep 60; touch {tmp_path}/late) & echo $! > {tmp_path}/pid; wait"
    shown = outputs(tmp_path, ("/bin/sh", script), conf=f"{TOLERANT}probe_timeout = 0.5\n")
    assert shown == ["begun\n"]
    status = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_probe_that_writes_too_much_is_killed(tmp_path: Path) -> None:
    (shown,) = outputs(tmp_path, ("/bin/sh", "yes"), conf=f"{TOLERANT}probe_output = 10\n")
    assert shown == "y\n" * 5


def test_standard_error_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert outputs(tmp_path, ("/bin/sh", "echo stale >&2; echo good")) == ["good\n"]
    assert "Probe 0: stale" in caplog.text


def test_leftovers_of_killed_runs_are_removed_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("abc", "held", "new"):
        folder = tmp_path / f"bcfg2-probes-{name}"
        folder.mkdir()
        (folder / "probe").write_text("x")
        if name != "new":
            os.utime(folder, (1, 1))
    (tmp_path / "other").mkdir()
    (tmp_path / "bcfg2-probes-link").symlink_to(tmp_path / "other")
    holder = os.open(tmp_path / "bcfg2-probes-held", os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)  # as another agent does that is running
    probes.remove_leftovers()
    os.close(holder)
    left = ["bcfg2-probes-held", "bcfg2-probes-link", "bcfg2-probes-new", "other"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left
    assert stat.S_ISDIR(os.lstat(tmp_path / "other").st_mode)


def test_a_machine_without_room_for_scripts_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(FatalError, match="no place for the scripts"):
        outputs(tmp_path, ("/bin/sh", "echo x"))
