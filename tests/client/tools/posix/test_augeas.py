"""Single settings of files, by means of Augeas."""

import os
from pathlib import Path

import pytest

from tests.client.tools.posix.support import MINE, installed, only, posix, tree

pytest.importorskip("augeas", reason="needs python-augeas, which is built against libaugeas")


def entry(path: Path, commands: str, lens: str = "Hosts") -> str:
    return f'<Path type="augeas" name="{path}" {MINE} mode="0644" lens="{lens}">{commands}</Path>'


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text("# kept\n127.0.0.1 localhost\n192.0.2.1 web01 web\n")
    path.chmod(0o644)
    return path


@pytest.mark.parametrize(
    ("commands", "result"),
    [
        ('<Set path="1/canonical" value="me"/>', "# kept\n127.0.0.1 me\n192.0.2.1 web01 web\n"),
        ('<Remove path="2"/>', "# kept\n127.0.0.1 localhost\n"),
        ('<Move source="2/alias" destination="1/alias"/>', "# kept\n127.0.0.1 localhost web\n192.0.2.1 web01\n"),
        (
            '<SetMulti base="*[ipaddr]" sub="canonical" value="x"/>',
            "# kept\n127.0.0.1 x\n192.0.2.1 x web\n",
        ),
        (
            '<Insert path="2" label="01" where="before"/><Set path="01/ipaddr" value="::1"/>'
            '<Set path="01/canonical" value="six"/>',
            "# kept\n127.0.0.1 localhost\n::1\tsix\n192.0.2.1 web01 web\n",
        ),
    ],
)
def test_commands_change_what_they_name_and_nothing_else(hosts: Path, commands: str, result: str) -> None:
    tool = posix(entry(hosts, commands))
    path = only(tool)
    assert not tool.verify(path)
    assert path[0].get("verified") == "false"
    tool.install([path])
    assert hosts.read_text() == result


def test_commands_that_hold_leave_the_file_alone(hosts: Path) -> None:
    before = tree(hosts.parent)
    tool = posix(entry(hosts, '<Set path="1/canonical" value="localhost"/><Remove path="7"/>'))
    assert tool.verify(only(tool))
    assert [child.get("verified") for child in only(tool)] == ["true", "true"]
    assert tree(hosts.parent) == before


def test_clearing_a_node_takes_its_value(tmp_path: Path) -> None:
    (tmp_path / "sudoers").write_text("Defaults:root env_reset\n")
    tool = posix(entry(tmp_path / "sudoers", '<Clear path="Defaults/requiretty"/>', "Sudoers"))
    assert installed(tool)
    assert "requiretty" in (tmp_path / "sudoers").read_text()


def test_missing_file_begins_with_what_is_given(tmp_path: Path) -> None:
    commands = '<Initial># new\n</Initial><Set path="01/ipaddr" value="::1"/><Set path="01/canonical" value="me"/>'
    tool = posix(entry(tmp_path / "hosts", commands))
    assert not tool.verify(only(tool))
    assert only(tool).get("current_exists") == "false"
    tool.install([only(tool)])
    assert (tmp_path / "hosts").read_text() == "# new\n::1\tme\n"


def test_text_that_the_lens_does_not_understand_is_left_alone(hosts: Path, caplog: pytest.LogCaptureFixture) -> None:
    hosts.write_text("127.0.0.1 localhost\nnonsense\n")
    tool = posix(entry(hosts, '<Set path="1/canonical" value="me"/>'))
    tool.install([only(tool)])
    assert "Augeas cannot read it: line 2" in caplog.text
    assert hosts.read_text() == "127.0.0.1 localhost\nnonsense\n"


@pytest.mark.parametrize(
    ("lens", "reason"), [("NoSuchLens", "Augeas has no lens NoSuchLens"), ("", "Augeas has no lens for this path")]
)
def test_missing_lens_is_told(hosts: Path, lens: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    tool = posix(entry(hosts, '<Set path="1/canonical" value="me"/>', lens))
    tool.install([only(tool)])
    assert reason in caplog.text


def test_lens_follows_from_a_known_path() -> None:
    tool = posix(entry(Path("/etc/hosts"), '<Remove path="no/such/node"/>', ""))
    assert os.path.exists("/etc/hosts")
    assert tool.actual_state(only(tool))["commands"] == (True,)  # type: ignore[index]


def test_entry_without_commands_is_incomplete(hosts: Path) -> None:
    tool = posix(entry(hosts, ""))
    assert tool.missing_attributes(only(tool)) == ["a command"]
