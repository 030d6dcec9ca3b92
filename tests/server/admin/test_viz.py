"""Where ``bcfg2-admin viz`` puts the drawing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bcfg2 import bcfg2_admin
from tests.support import write_files

FILES = {
    "Metadata/clients.xml": """<Clients>
  <Client name="a.example.com" profile="web"/>
  <Client name="b.example.com" profile="db"/>
</Clients>
""",
    "Metadata/groups.xml": """<Groups>
  <Group name="web" profile="true"/>
  <Group name="db" profile="true"/>
  <Group name="rack"><Group name="cold"/></Group>
</Groups>
""",
    "GroupPatterns/config.xml": """<GroupPatterns>
  <GroupPattern><NamePattern>^a\\.</NamePattern><Group>rack</Group></GroupPattern>
</GroupPatterns>
""",
}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def viz(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``bcfg2-admin viz WORDS``: (exit status, standard output, standard error)."""
    write_files(tmp_path / "repo", FILES)
    conf = tmp_path / "bcfg2.conf"
    conf.write_text(f"[server]\nrepository = {tmp_path / 'repo'}\nplugins = Metadata,GroupPatterns,Bundler\n")

    def run(*words: str) -> tuple[int, str, str]:
        status = bcfg2_admin.main(["-C", str(conf), "viz", *words])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a shell script in the place of the program dot, and of all others."""

    def make(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "dot").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "dot").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return make


def test_without_a_file_the_drawing_is_printed(viz: Run) -> None:
    status, output, errors = viz()
    assert (status, errors) == (0, "")
    assert output.startswith("digraph groups {\n")
    assert output.endswith("}\n")
    assert '"group-rack" -> "group-cold";' in output
    assert "a.example.com" not in output


@pytest.mark.parametrize("name", ["all.dot", "all.gv"])
def test_dot_files_need_no_program(viz: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PATH", "")
    assert viz("-H", "-b", "-k", "-o", str(tmp_path / name)) == (0, "", "")
    assert (tmp_path / name).read_text() == viz("-H", "-b", "-k")[1]


def test_other_kinds_are_made_by_dot(viz: Run, tmp_path: Path, dot: Callable[[str], None]) -> None:
    dot('echo "$1" >"$3"; while read -r line; do echo "$line" >>"$3"; done')
    assert viz("-o", str(tmp_path / "all.SVG")) == (0, "", "")
    lines = (tmp_path / "all.SVG").read_text().splitlines()
    assert lines[:2] == ["-Tsvg", "digraph groups {"]
    assert lines[1:] == [line.strip() for line in viz()[1].splitlines()]


def test_a_failing_dot_is_exit_status_1(viz: Run, tmp_path: Path, dot: Callable[[str], None]) -> None:
    dot("exit 3")
    status, _, errors = viz("-o", str(tmp_path / "all.nonsense"))
    assert (status, errors) == (1, f"dot could not make {tmp_path / 'all.nonsense'} (status 3)\n")


def test_a_missing_dot_is_exit_status_1(viz: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    status, _, errors = viz("-o", str(tmp_path / "all.png"))
    assert (status, errors.count("\n")) == (1, 1)
    assert "dot of Graphviz" in errors


def test_a_file_without_extension_is_exit_status_2(viz: Run, tmp_path: Path) -> None:
    status, _, errors = viz("-o", str(tmp_path / "all"))
    assert (status, errors.count("\n")) == (2, 1)
    assert "give it an extension" in errors


def test_one_client_is_drawn_with_the_groups_that_other_plugins_give_it(viz: Run) -> None:
    status, output, _ = viz("-H", "-c", "A.example.com")
    assert status == 0
    assert [name for name in ("web", "db", "rack", "cold") if f'"group-{name}" [' in output] == ["web", "rack", "cold"]
    assert '"web-instances" [label="a.example.com"' in output
    assert "b.example.com" not in output


def test_an_unknown_client_is_exit_status_1_and_stays_unknown(viz: Run, tmp_path: Path) -> None:
    status, output, errors = viz("-c", "nobody")
    assert (status, output, errors) == (1, "", "there is no client nobody\n")
    assert (tmp_path / "repo/Metadata/clients.xml").read_text() == FILES["Metadata/clients.xml"]
