"""The plugins that the pages for authors of plugins show work as the pages say."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bcfg2.server import plugin
from bcfg2.server.plugin import helpers, interfaces
from bcfg2.server.statistics import stats
from tests.support import NetworkSite, await_condition

PAGES = Path(__file__).parents[2] / "docs" / "plugins"
HOST = "client.example.com"
LOCAL = ("127.0.0.1", 1)
Make = Callable[..., NetworkSite]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.syspath_prepend(str(PAGES))
    made: list[NetworkSite] = []

    def make(example: str, files: dict[str, str] | None = None, conf: str = "") -> NetworkSite:
        made.append(NetworkSite(tmp_path, files, f"Metadata, Bundler, {example}", conf))
        return made[-1]

    yield make
    for item in made:
        item.stop()


def test_every_example_is_shown_and_tried() -> None:
    shown = {name for page in PAGES.glob("*.rst") for name in re.findall(r"literalinclude:: (\S+)", page.read_text())}
    assert shown == {path.name for path in PAGES.glob("*.py")}
    tried = Path(__file__).read_text() + Path(__file__).with_name("test_documentation.py").read_text()
    assert {name for name in shown if f"{name.removesuffix('.py')}." not in tried} == set()


def test_every_role_and_helper_has_its_place() -> None:
    text = "".join(page.read_text() for page in PAGES.glob("*.rst"))
    roles = {name for name in interfaces.__all__ if isinstance(getattr(plugin, name, None), type)}
    passed_on = {"ClientAddress", "Dependencies", "track_statistics", "default_file_attributes", "Debuggable"}
    assert {name for name in {*roles, *helpers.__all__} - passed_on if f"`{name}" not in text} == set()


def test_motd_binds_its_entry_from_the_file_as_it_is_now(site: Make) -> None:
    files = {"Bundler/base.xml": '<Bundle><Path name="/etc/motd"/></Bundle>', "Motd/message": "hello\n"}
    made = site("motd.Motd", files)
    for _ in range(3):
        assert made.entry("Path", "/etc/motd").text == "hello\n"
    made.write("Motd/message", "bye\n")
    assert made.entry("Path", "/etc/motd").text == "bye\n"


def test_motd_without_its_file_fails_the_entry(site: Make) -> None:
    made = site("motd.Motd", {"Bundler/base.xml": '<Bundle><Path name="/etc/motd"/></Bundle>'})
    assert "there is no" in made.entry("Path", "/etc/motd").get("failure", "")


def test_notes_follow_their_files_and_refuse_empty_ones(site: Make) -> None:
    made = site("notes.Notes", {"Notes/a/b.txt": "one two"})
    assert made.metadata().Notes == {"a/b.txt": "one two"}
    assert made.plugin("Notes")["a/b.txt"].words == 2
    made.change({"Notes/a/b.txt": " ", "Notes/c.txt": "three"})
    assert made.metadata().Notes == {"a/b.txt": "one two", "c.txt": "three"}


def test_lastrun_knows_the_states_of_all_clients(site: Make) -> None:
    made = site("lastrun.LastRun", conf="[caching]\nclient_metadata = aggressive")
    assert dict(made.metadata().LastRun) == {"state": "unknown", "dirty": []}
    made.call("RecvStats", '<s><Statistics version="2.0" state="dirty"/></s>')
    await_condition(lambda: made.call("LastRun.states", address=LOCAL) == {HOST: "dirty"})
    await_condition(lambda: dict(made.metadata().LastRun) == {"state": "dirty", "dirty": [HOST]})
    await_condition(lambda: "LastRun:handle_statistic" in stats.display())


def test_shifts_knows_the_old_names_only(site: Make) -> None:
    made = site("shifts.Shifts", conf=f"[shifts]\nnight = other, {HOST}")
    assert made.metadata().groups == {"basic", "night"}
    made.write("Shifts/shifts.xml", f'<Shifts><Client name="{HOST}"><Shift group="early"/></Client></Shifts>')
    assert made.metadata().groups == {"basic", "night", "early"}


def test_the_conditions_of_the_page_on_files_work() -> None:
    page = (PAGES / "helpers.rst").read_text()
    names: dict[str, object] = {"StructFile": plugin.StructFile}
    code = re.search(r"    class Calendar.*?\n\n", page, re.DOTALL)
    assert code
    exec(re.sub("^    ", "", code[0], flags=re.MULTILINE), names)
    tests = names["Calendar"]._include_tests  # type: ignore[attr-defined]
    assert set(tests) == {"Group", "Client", "Weekday"}
    assert tests["Weekday"]({"name": "Monday"}, None, "Monday") is True
