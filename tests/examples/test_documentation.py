"""The configuration file of the sources and the pages about options name what the code declares, and all of it."""

import re
import sys
from pathlib import Path

import pytest

from bcfg2.options import OptionParser
from bcfg2.server.core import Core
from tests.support import Site

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "_ext"))
declared_options = pytest.importorskip("declared_options", reason="docutils and Sphinx are not installed")

DECLARED = {(option.section, option.key): option for option in declared_options.declared() if option.section}


def example_settings() -> dict[tuple[str, str], str]:
    """(section, key) -> value of every setting in bcfg2.conf.example, commented out or not."""
    found, section = {}, ""
    for line in (ROOT / "bcfg2.conf.example").read_text().splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif setting := re.fullmatch(r"#?(\w+) =\s*(.*)", line):
            found[section, setting[1]] = setting[2]
    return found


def test_the_example_file_has_every_option_and_no_other() -> None:
    assert set(example_settings()) == {place for place, option in DECLARED.items() if "*" not in option.key}


def test_the_example_file_shows_the_defaults() -> None:
    shown = {place: value for place, value in example_settings().items() if place != ("server", "plugins")}
    defaults = {place: DECLARED[place].shown_default for place in shown}
    assert shown == {place: "" if default == "none" else default for place, default in defaults.items()}


def test_the_example_file_is_good_as_it_is(tmp_path: Path) -> None:
    parser = OptionParser("test", "", [], components=[Core])
    options = parser.parse(["-C", str(ROOT / "bcfg2.conf.example")])
    assert [plugin.__name__ for plugin in options.server_plugins] == ["Bundler", "Cfg", "Metadata", "Probes", "Rules"]


def test_the_introduction_lists_the_plugins_that_there_are() -> None:
    page = (ROOT / "docs/guide/introduction.rst").read_text()
    listed = re.search(r"The plugins (.*?),\s+and\s+the\s+rules", page, re.DOTALL)
    assert listed
    assert set(re.findall(r"`(\w+)`", listed[1])) == {plugin.__name__ for plugin in declared_options.plugins()}


def test_every_section_has_its_place_in_the_documentation() -> None:
    page = (ROOT / "docs/operator/configuration.rst").read_text()
    documented = set(re.findall(r"^\.\. declared-options:: (\w+)$", page, re.MULTILINE))
    assert documented == {section for section, _ in DECLARED}


def test_every_section_of_the_agent_has_its_place_in_the_documentation() -> None:
    page = (ROOT / "docs/operator/agent.rst").read_text()
    documented = set(re.findall(r"^\.\. agent-options:: (\w+)$", page, re.MULTILINE))
    assert documented == {option.section for option in declared_options.agent_declared() if option.section}


def test_settings_named_in_the_pages_exist() -> None:
    pages = [*ROOT.glob("docs/**/*.rst"), ROOT / "README.rst", ROOT / "CHANGES.rst"]
    named = {place for page in pages for place in re.findall(r"``\[(\w+)\]\s+(\w+)", page.read_text())}
    of_agents = {(option.section, option.key) for option in declared_options.agent_declared()}
    of_the_example_plugin = {("racks", "prefix")}
    assert named - of_agents - of_the_example_plugin <= set(DECLARED)
    assert len(named) > 10


def test_the_plugin_of_the_documentation_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "plugins"))
    racks = '<Client name="client.example.com"><Rack name="a1"/></Client><Client name="x"><Rack name="b"/></Client>'
    files = {"Racks/racks.xml": f"<Racks>{racks}</Racks>"}
    site = Site(tmp_path, files, "Bundler, Metadata, racks.Racks", "[racks]\nprefix = in-")
    assert "in-a1" in site.metadata().groups
    assert site.metadata().Racks == {"racks": ["a1"]}
    site.write("Racks/racks.xml", '<Racks><Rack name="c3"/></Racks>')
    assert site.metadata().Racks == {"racks": ["c3"]}
    assert site.core.rmi["Racks.where_is"]("client.example.com") == ["c3"]
