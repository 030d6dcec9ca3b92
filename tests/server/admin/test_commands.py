"""Sub-commands are found by the names of their modules."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bcfg2.server.admin
from bcfg2.server.admin import Command, commands


def test_every_module_is_a_sub_command_with_help_and_the_common_options() -> None:
    found = commands()
    modules = {path.stem for path in Path(bcfg2.server.admin.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(found) == modules
    assert list(found) == sorted(found)
    for name, command in found.items():
        assert issubclass(command, Command)
        assert command.__name__.lower() == name
        assert (command.__doc__ or "").strip()
        assert all(option in command.options for option in Command.options)
        assert command.run is not Command.run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another folder of the package."""
    monkeypatch.setattr(bcfg2.server.admin, "__path__", [*bcfg2.server.admin.__path__, str(tmp_path)])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("bcfg2.server.admin."):
            del sys.modules[name]
            delattr(bcfg2.server.admin, name.rpartition(".")[2])


def test_one_more_file_is_one_more_sub_command(folder: Path) -> None:
    source = "from bcfg2.server.admin import Command\nclass Greet(Command):\n    'Greet.'\n"
    (folder / "greet.py").write_text(source)
    before = {path.stem for path in Path(bcfg2.server.admin.__file__).parent.glob("*.py")} - {"__init__"}
    assert list(commands()) == sorted({*before, "greet"})
    assert commands()["greet"].__doc__ == "Greet."
