"""What is about the options, about time, and about Python."""

import re

import pytest
from lxml import etree

from bcfg2.server.plugin import Plugin, StructureValidator
from tests.server.info.conftest import Place, Run
from tests.support import write_files


def values(output: str) -> dict[str, str]:
    """Description -> value, of the table of options."""
    rows = (line.rpartition(" | ") for line in output.splitlines())
    return {description.strip(): value.strip() for description, bar, value in rows if bar}


def test_config_shows_the_options_in_force(info: Run, place: Place) -> None:
    status, output, errors = info("-v", "config")
    shown = values(output)
    assert (status, errors) == (0, "")
    assert shown["[server] repository: The server's repository"] == str(place.repo)
    assert shown["[logging] verbose: Log what is done"] == "yes"
    assert shown["[server] plugins: Plugins of the server"] == "Metadata, Bundler, Cfg, Rules"
    assert shown["[components] encoding: Encoding of templates, probes and configuration files"] == "UTF-8"


def test_raw_values_are_in_the_notation_of_python(info: Run, place: Place) -> None:
    shown = values(info("config", "--raw")[1])
    assert shown["[server] repository: The server's repository"] == repr(str(place.repo))
    assert "bcfg2.server.plugins.bundler.Bundler" in shown["[server] plugins: Plugins of the server"]


@pytest.mark.parametrize("words", [["config"], ["config", "--raw"]])
def test_passwords_are_not_shown(info: Run, place: Place, words: list[str]) -> None:
    place.configure(more="[encryption]\nmine = phrase-of-mine\n[database]\npassword = dbsecret\n")
    output = info(*words)[1]
    for secret in ("topsecret", "phrase-of-mine", "dbsecret"):
        assert secret not in output
    assert "(not shown)" in output


def test_profile_runs_another_command_and_shows_its_calls(info: Run) -> None:
    status, output, errors = info("profile", "query", "-p", "db")
    assert (status, errors) == (0, "")
    assert output.startswith("db1.example.com\n")
    assert "Ordered by: cumulative time" in output
    assert "names_by_profiles" in output


@pytest.mark.parametrize("words", [["nosuch"], ["shell"], ["profile", "clients"], ["query"], ["build", "--nosuch"]])
def test_profile_of_a_command_line_that_makes_no_sense_is_status_2(info: Run, words: list[str]) -> None:
    status, output, errors = info("profile", *words)
    assert (status, output, len(errors.splitlines())) == (2, "", 1)


def test_the_start_can_be_profiled(info: Run) -> None:
    status, output, errors = info("-p", "query", "-p", "db")
    assert (status, output) == (0, "db1.example.com\n")
    assert "load_plugins" in errors


def measured(output: str) -> list[str]:
    """The names in the table, all of whose numbers are numbers."""
    rows = [line.split(" | ") for line in output.splitlines()[2:]]
    assert all(re.fullmatch(r"\s*\d+\.\d{6}", number) for row in rows for number in (cell.rstrip() for cell in row[1:]))
    return [row[0].strip() for row in rows]


def test_profiletemplates_shows_what_takes_long(info: Run, place: Place) -> None:
    pytest.importorskip("genshi")
    slow = "{% python\nimport time; time.sleep(0.02)\n%}"
    write_files(
        place.repo, {"Cfg/etc/slow/slow.genshi": slow, "Bundler/base.xml": '<Bundle><Path name="/etc/slow"/></Bundle>'}
    )
    status, output, errors = info("profiletemplates", "--runs", "1", "--clients", "www1.example.com, db1.example.com")
    assert (status, errors, measured(output)) == (0, "", ["/etc/slow"])


def test_profiletemplates_shows_the_files_that_it_is_asked_for(info: Run) -> None:
    status, output, _ = info("profiletemplates", "/etc/motd", "/etc/nginx.conf")
    assert (status, sorted(measured(output))) == (0, ["/etc/motd", "/etc/nginx.conf"])


def test_profiletemplates_leaves_out_what_cannot_be_bound(info: Run, place: Place) -> None:
    write_files(place.repo, {"Bundler/base.xml": '<Bundle><Path name="/etc/none"/></Bundle>'})
    status, output, errors = info("profiletemplates", "/etc/none", "/etc/nginx.conf")
    assert (status, measured(output)) == (0, ["/etc/nginx.conf"])
    assert "/etc/none" in errors


def test_debug_runs_statements_with_the_core_as_self(info: Run, place: Place) -> None:
    script = place.folder / "script.py"
    script.write_text("print(sorted(self.plugins))\nprint(self.build_metadata('db1.example.com').profile)\n")
    assert info("debug", "-n", "-f", str(script))[:2] == (
        0,
        "['Bundler', 'Cfg', 'DefaultACL', 'Metadata', 'Rules']\ndb\n",
    )


def test_debug_starts_the_interpreter_after_the_statements(
    info: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = place.folder / "script.py"
    script.write_text("x = 6 * 7\n")
    typed = iter(["print(x, self.name)"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    monkeypatch.setenv("BCFG2_INFO_INTERPRETER", "python")

    def end(prompt: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", end)
    status, output, _ = info("debug", "-f", str(script))
    assert (status, "42 InspectingCore\n" in output) == (0, True)


@pytest.mark.parametrize(
    ("text", "reason"), [("1/0", "ZeroDivisionError: division by zero"), ("(", "SyntaxError: '(' was never closed")]
)
def test_statements_that_fail_are_one_line_and_status_1(info: Run, place: Place, text: str, reason: str) -> None:
    script = place.folder / "script.py"
    script.write_text(text)
    status, output, errors = info("debug", "-n", "-f", str(script))
    assert (status, output, len(errors.splitlines())) == (1, "", 1)
    assert errors.startswith(f"{script}: {reason}")


class Packages(Plugin, StructureValidator):
    """Stands for the real one: what is asked of it."""

    create = False

    def validate_structures(self, metadata: object, structures: list) -> None:  # type: ignore[type-arg]
        names = sorted({str(entry.get("name")) for structure in structures for entry in structure.iter("Package")})
        added = etree.SubElement(etree.Element("x"), "Independent")
        for name in names:
            etree.SubElement(added, "BoundPackage", {"name": f"{name}-libs"})
        structures.append(added)

    def describe_sources(self, metadata: object) -> str:
        return f"Name: main\n  Type: deb for {metadata.hostname}\n"  # type: ignore[attr-defined]


def test_packages_that_are_added_are_shown(info: Run, place: Place) -> None:
    place.configure(f"Metadata,Bundler,{__name__}.Packages")
    assert info("packageresolve", "db1.example.com", "b", "a") == (
        0,
        '2 new packages added\n    <BoundPackage name="a-libs"/>\n    <BoundPackage name="b-libs"/>\n',
        "",
    )
    assert info("packageresolve", "www2.example.com")[1].splitlines()[1:] == [
        '    <BoundPackage name="nginx-www2-libs"/>'
    ]


def test_sources_are_shown_as_the_plugin_describes_them(info: Run, place: Place) -> None:
    place.configure(f"Metadata,Bundler,{__name__}.Packages")
    assert info("packagesources", "db1.example.com")[1] == "Name: main\n  Type: deb for db1.example.com\n\n"


@pytest.mark.parametrize("command", ["packageresolve", "packagesources"])
def test_without_the_plugin_packages_it_is_one_line(info: Run, command: str) -> None:
    status, output, errors = info(command, "db1.example.com")
    assert (status, output) == (1, "")
    assert errors.startswith("Packages plugin not enabled")
