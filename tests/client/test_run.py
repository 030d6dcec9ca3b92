"""Whole runs without a server: the order of the changes, and what keeps them from being made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bcfg2.client.run import run
from bcfg2.options import OptionError
from tests.client.conftest import Run
from tests.client.support import Box, options
from tests.client.test_lock import HOLD

TWO = '<Bundle name="a"><Box name="one" want="1"/></Bundle><Bundle name="b"><Box name="two" want="2"/></Bundle>'


def action(name: str, timing: str, when: str, command: str) -> str:
    return f'<Action name="{name}" timing="{timing}" when="{when}" status="check" command="{command}"/>'


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return json.loads(capsys.readouterr().out)


def names(items: object) -> list[str]:
    assert isinstance(items, list)
    return [item["name"] for item in items]


def test_what_is_bad_is_installed_and_its_bundle_updated(offline: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Box.machine["two"] = "2"
    assert offline(TWO, "--json") == 0
    assert Box.log == ["install one", "updated a", "not updated b"]
    shown = result(capsys)
    assert (shown["state"], shown["total"], shown["good"], names(shown["modified"])) == ("clean", 2, 2, ["one"])


def test_a_dry_run_changes_nothing_and_tells_why(offline: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Box.machine["two"] = "old"
    assert offline(TWO, "-n", "--json", "-r", "all") == 0
    assert (Box.machine, Box.log) == ({"two": "old"}, [])
    shown = result(capsys)
    assert shown["state"] == "dirty"
    assert shown["bad"][1]["why"] == ["want is old, should be 2"]  # type: ignore[index]


def test_a_failure_to_install_costs_only_its_entry(offline: Run, capsys: pytest.CaptureFixture[str]) -> None:
    failing = '<Box name="x" want="1" refuse="y"/><Box name="y" want="1" crash="fix"/>'
    assert offline(f'<Bundle name="a">{failing}<Box name="z" want="1"/></Bundle>', "--json") == 0
    assert Box.machine == {"z": "1"}
    assert names(result(capsys)["bad"]) == ["x", "y"]


def test_a_fault_while_verifying_leaves_one_entry_bad_and_does_not_install_it(
    offline: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    offline('<Bundle name="a"><Box name="x" want="1" crash="verify"/><Box name="z" want="1"/></Bundle>', "--json")
    assert names(result(capsys)["bad"]) == ["x"]
    assert Box.machine == {"z": "1"}


def test_what_an_installation_spoils_is_installed_a_second_time(offline: Run) -> None:
    Box.machine["victim"] = "1"
    offline('<Bundle name="a"><Box name="victim" want="1"/><Box name="x" want="1" spoils="victim"/></Bundle>')
    assert Box.log == ["install x", "install victim", "updated a"]


@pytest.mark.parametrize("attributes", ['failure="unbound" want="1"', 'want=""'])
def test_what_can_never_be_installed_does_not_set_off_actions(
    attributes: str, offline: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch = action("p", "both", "modified", f"touch {tmp_path}/run")
    offline(f'<Bundle name="a"><Box name="x" {attributes}/>{touch}</Bundle>', "--json")
    assert not (tmp_path / "run").exists()
    assert names(result(capsys)["bad"]) == ["x"]


def test_an_entry_that_no_tool_handles_is_an_error_and_stays_bad(
    offline: Run, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    offline('<Bundle name="a"><Crate type="wood" name="x"/></Bundle>', "--json")
    assert "Crate:wood:x" in caplog.text
    assert names(result(capsys)["bad"]) == ["x"]


def test_a_prerequisite_that_fails_keeps_its_bundle_as_it_is(offline: Run, capsys: pytest.CaptureFixture[str]) -> None:
    fail, last = action("pre", "pre", "modified", "false"), action("last", "post", "always", "true")
    offline(f'<Bundle name="a"><Box name="x" want="1"/>{fail}{last}</Bundle>{TWO}', "--json")
    assert Box.log == ["install one", "install two", "updated a", "updated b", "not updated a"]
    assert names(result(capsys)["bad"]) == ["x", "pre"]


def test_a_failed_prerequisite_stays_bad_though_its_bundle_was_changed_by_another(
    offline: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = action("good", "pre", "always", "true"), action("bad", "pre", "always", "false")
    offline(f'<Bundle name="a"><Box name="x" want="1"/>{good}{bad}</Bundle>', "--json")
    assert Box.log == ["not updated a"]
    shown = result(capsys)
    assert (names(shown["bad"]), names(shown["modified"])) == (["x", "bad"], ["good"])


def test_a_command_that_does_not_exist_is_a_failure(offline: Run, capsys: pytest.CaptureFixture[str]) -> None:
    offline(
        f'<Bundle name="a"><Box name="x" want="1"/>{action("pre", "pre", "always", "/nonexistent/x")}</Bundle>',
        "--json",
    )
    assert Box.machine == {}
    assert names(result(capsys)["bad"]) == ["x", "pre"]


def test_independent_structures_are_installed_and_never_updated(offline: Run) -> None:
    offline('<Independent name="i"><Box name="x" want="1"/></Independent>')
    assert Box.log == ["install x", "not updated i"]


def test_bundles_that_depend_on_an_updated_one_are_updated_each_once_in_circles_too(offline: Run) -> None:
    Box.machine["two"] = "2"
    body = (
        '<Bundle name="a"><Box name="one" want="1"/><Bundle name="c"/></Bundle>'
        '<Bundle name="b"><Box name="two" want="2"/><Bundle name="a"/></Bundle>'
        '<Bundle name="c"><Bundle name="b"/></Bundle><Bundle name="d"><Bundle name="nosuch"/></Bundle>'
    )
    offline(body)
    assert Box.log == ["install one", "updated a", "updated b", "updated c", "not updated d"]


@pytest.mark.parametrize(("words", "log"), [
    (("-b", "b"), ["install two", "updated b"]),
    (("-B", "b:nosuch"), ["install one", "updated a"]),
    (("-b", "a:b", "-B", "a"), ["install two", "updated b"]),
])  # fmt: skip
def test_bundles_are_chosen(words: tuple[str, ...], log: list[str], offline: Run) -> None:
    offline(TWO, *words)
    assert Box.log == log


def test_bundle_quick_does_not_look_at_other_bundles(offline: Run, capsys: pytest.CaptureFixture[str]) -> None:
    offline(TWO, "-Q", "-b", "a", "--json")
    assert result(capsys)["total"] == 1


def test_bundle_quick_needs_bundles(offline: Run) -> None:
    assert offline(TWO, "-Q") == 1
    assert Box.log == []


def test_what_is_extra_is_removed_on_demand(offline: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Box.machine.update(one="1", two="2", three="3")
    offline(TWO, "--json")
    assert names(result(capsys)["extra"]) == ["three"]
    offline(TWO, "-r", "packages")
    assert "three" in Box.machine
    offline(TWO, "-r", "all", "--json")
    assert "three" not in Box.machine
    assert result(capsys)["extra"] == []


def test_a_lock_of_another_run_ends_this_one(offline: Run, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "lock"], stdin=-1, stdout=-1) as other:
        assert other.stdout and other.stdin
        other.stdout.readline()
        assert offline(TWO) == 1
        assert Box.log == []
        assert offline(TWO, "-O") == 0
        other.stdin.close()
    assert Box.log


def test_a_file_that_cannot_be_read_is_an_error_of_usage(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="nosuch"):
        run(options("-f", str(tmp_path / "nosuch")))


@pytest.mark.parametrize(
    "words", [("-Q", "-b", "x", "-r", "all"), ("-f", "x", "-c", "y"), ("-r", "everything"), ("-I", "--json")]
)
def test_words_that_exclude_each_other_are_an_error_of_usage(words: tuple[str, ...]) -> None:
    with pytest.raises(OptionError):
        options(*words)
