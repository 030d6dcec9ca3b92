"""The shell of bcfg2-info."""

import io
from collections.abc import Callable, Iterator

import pytest

from tests.server.info.conftest import Place, Run

Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(info: Run, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Run the shell with these lines as its input."""

    def run(*lines: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return info("shell")

    return run


def test_commands_run_until_the_end_of_input(typed: Type) -> None:
    status, output, errors = typed("query -g web", "query -p db")
    assert (status, errors) == (0, "")
    assert "> www1.example.com\nwww2.example.com\n" in output
    assert "> db1.example.com\n" in output
    assert output.count("bcfg2-info> ") == 3


@pytest.mark.parametrize("word", ["quit", "exit"])
def test_nothing_is_run_after_the_end(typed: Type, word: str) -> None:
    status, output, _ = typed(word, "query -g web")
    assert (status, "www1" in output) == (0, False)


def test_a_command_that_fails_is_a_line_and_the_shell_goes_on(typed: Type) -> None:
    failing = ["nosuch", "shell", "query", "groups x", "buildbundle x db1.example.com", 'query "-g', "build a /no/such"]
    status, output, errors = typed(*failing, "query -p db")
    assert (status, "> db1.example.com\n" in output) == (0, True)
    for text in ("no command nosuch", "no command shell", "no group x", "No such bundle x", "No closing quotation"):
        assert text in errors
    assert "Traceback" not in errors


def test_words_are_split_as_a_shell_does(typed: Type, place: Place) -> None:
    path = place.folder / "a name.xml"
    typed(f'build db1.example.com "{path}"')
    assert path.exists()


def test_an_empty_line_does_nothing(typed: Type) -> None:
    assert typed("query -p db", "", "  ")[1].count("db1") == 1


def test_changes_on_disk_are_seen_after_update(typed: Type, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = place.repo / "Metadata/clients.xml"
    text = clients.read_text()

    def lines() -> Iterator[str]:
        yield "query -p db"
        clients.write_text(text.replace("db1", "db22"))
        yield "query -p db"
        yield "update"
        yield "query -p db"
        clients.write_text(text)
        yield "quit"

    typing = lines()
    monkeypatch.setattr("builtins.input", lambda prompt: next(typing))
    status, output, errors = typed()
    assert (status, errors) == (0, "")
    assert output.splitlines()[-3:] == ["db1.example.com", "db1.example.com", "db22.example.com"]


def test_probe_data_that_a_server_has_taken_are_seen_after_update(
    typed: Type, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.configure("Metadata,Probes")
    probed = place.repo / "Probes/probed.xml"
    probed.parent.mkdir()
    probed.write_text("<Probed/>\n")

    def lines() -> Iterator[str]:
        yield "query -g virtual"
        probed.write_text('<Probed><Client name="db1.example.com"><Group name="virtual"/></Client></Probed>')
        yield "update"
        yield "query -g virtual"
        probed.write_text("<Probed/>\n")
        yield "quit"

    typing = lines()
    monkeypatch.setattr("builtins.input", lambda prompt: next(typing))
    status, output, errors = typed()
    assert (status, errors, output.splitlines()[-1:]) == (0, "", ["db1.example.com"])


def test_help_lists_commands_and_explains_one(typed: Type) -> None:
    output = typed("help", "?", "help query", "build -h", "help update")[1]
    assert output.count("\nbuildall ") == 2
    assert output.count("\nexpirecache ") == 2
    assert "usage: bcfg2-info query " in output
    assert "usage: bcfg2-info build " in output
    assert "update: See what" in output


def test_the_cache_can_be_emptied_and_events_be_shown(typed: Type) -> None:
    assert typed("expirecache", "expirecache www*", "eventdebug", "update")[2] == ""
