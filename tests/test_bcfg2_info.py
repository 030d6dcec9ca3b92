"""The command bcfg2-info as a process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bcfg2.options import ExclusiveGroup, Option
from bcfg2.server.info import commands
from tests.server.info.conftest import Place
from tests.support import write_files


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("site"))


def info(
    place: Place, *words: str, stdin: str = "", folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run bcfg2-info with the configuration of PLACE."""
    return subprocess.run(
        [sys.executable, "-m", "bcfg2.bcfg2_info", "-C", str(place.folder / "bcfg2.conf"), *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )


def test_help_lists_the_sub_commands(place: Place) -> None:
    output = info(place, "help").stdout
    listed = re.findall(r"^  (\w+) +[A-Z]", output.partition("\ncommands (")[2], re.MULTILINE)
    assert listed == list(commands())
    assert not {"update", "quit", "expirecache", "eventdebug"} & set(listed)


def test_help_explains_a_sub_command(place: Place) -> None:
    done = info(place, "help", "query")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: bcfg2-info query ")


@pytest.mark.parametrize(
    ("words", "status"), [([], 2), (["frobnicate"], 2), (["help", "frobnicate"], 1), (["build"], 2)]
)
def test_a_command_line_that_makes_no_sense_prints_nothing_on_standard_output(
    place: Place, words: list[str], status: int
) -> None:
    done = info(place, *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert "Traceback" not in done.stderr


def test_options_of_the_core_and_of_plugins_stand_before_the_sub_command(place: Place) -> None:
    write_files(place.folder / "other", {"Metadata/clients.xml": "<Clients/>", "Metadata/groups.xml": "<Groups/>"})
    words = (
        "-Q",
        "other",
        "-x",
        "pass",
        "-E",
        "UTF-8",
        "-W",
        "none",
        "-o",
        "log",
        "--no-fam-blocking",
        "--cfg-validation",
    )
    done = info(place, *words, "clients", folder=place.folder)
    assert (done.returncode, done.stdout.splitlines()[2:]) == (0, [])


def test_common_options_may_stand_behind_the_sub_command(place: Place) -> None:
    done = info(place, "query", "-C", str(place.folder / "bcfg2.conf"), "-E", "UTF-8", "-p", "db")
    assert (done.returncode, done.stdout) == (0, "db1.example.com\n")


def test_a_missing_configuration_file_is_one_line_and_the_defaults_apply(place: Place) -> None:
    done = info(place, "-C", "none.conf", "-Q", str(place.repo), "query", "-p", "db", folder=place.folder)
    assert (done.returncode, done.stdout) == (0, "db1.example.com\n")
    assert "could not read" in done.stderr.splitlines()[0]


def test_a_repository_that_is_missing_is_one_line(place: Place) -> None:
    done = info(place, "-Q", "/nonexistent", "clients")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)


def test_documents_are_utf_8_whatever_the_terminal_is(place: Place) -> None:
    done = info(place, "build", "www1.example.com", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0
    assert "Größe" in done.stdout


def test_the_shell_runs_what_comes_through_a_pipe(place: Place) -> None:
    done = info(place, "shell", stdin="query -p db\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "db1.example.com\n" in done.stdout


def test_the_documentation_has_every_sub_command_flag_and_setting() -> None:
    page = (Path(__file__).parents[1] / "docs/operator/info.rst").read_text()
    for name, command in commands().items():
        assert re.search(rf"(?<![\w-])bcfg2-info {name}(?![\w-])", page), name
        declared = [item.options if isinstance(item, ExclusiveGroup) else [item] for item in command.options]
        for option in (option for options in declared for option in options):
            assert isinstance(option, Option)
            for word in (*option.flags, *([f"[{option.section}]", option.key] if option.section else [])):
                assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", page), (name, word)
