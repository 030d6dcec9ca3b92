"""TemplateHelper: modules of the site for its templates."""

import logging
import sys
from pathlib import Path

import pytest

from tests.support import Site

TEMPLATES = {
    "Bundler/base.xml": '<Bundle><Path name="/etc/g"/><Path name="/etc/j"/></Bundle>',
    "Cfg/etc/g/g.genshi": "${shout('g')} $SITE",
    "Cfg/etc/j/j.jinja2": "{{ shout('j') }} {{ metadata.TemplateHelper['text'].SITE }}",
}
TEXT = (
    "__export__ = ['count']\n__default__ = ['shout', 'SITE']\nSITE = 'here'\n_n = []\n"
    "def shout(text):\n    return text.upper()\ndef count():\n    _n.append(1)\n    return len(_n)\n"
)


def make(tmp_path: Path, conf: str = "", **modules: str) -> Site:
    """A site whose MODULES, name -> text, are in TemplateHelper."""
    files = {f"TemplateHelper/{name}.py": text for name, text in modules.items()}
    return Site(tmp_path, {**TEMPLATES, **files}, "Metadata,Bundler,Cfg,TemplateHelper", conf)


def exported(site: Site, name: str) -> dict[str, object]:
    found = dict(vars(site.metadata().TemplateHelper[name]))
    del found["name"]
    return found


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_defaults_are_variables_of_text_templates_and_exports_are_attributes(tmp_path: Path) -> None:
    site = make(tmp_path, text=TEXT)
    assert site.entry("Path", "/etc/g").text == "G here"
    assert site.entry("Path", "/etc/j").text == "J here"
    assert exported(site, "text").keys() == {"count", "shout", "SITE"}
    assert not hasattr(site.metadata().TemplateHelper["text"], "_n")


def test_defaults_are_no_variables_of_xml_templates(tmp_path: Path) -> None:
    site = make(tmp_path, text=TEXT)
    bundle = '<Bundle xmlns:py="http://genshi.edgewall.org/"><BoundPath name="{}"/></Bundle>'
    site.write("Bundler/base.xml", bundle.format("${defined('SITE')} ${metadata.TemplateHelper['text'].SITE}"))
    assert [entry.get("name") for entry in site.config().iter("Path")] == ["False here"]


def test_names_are_bare_of_folders_and_may_be_anything(tmp_path: Path) -> None:
    site = make(tmp_path, **{"a/b/net-work 2": "__export__ = ['X']\nX = 1", "os": "__export__ = []"})
    assert set(site.metadata().TemplateHelper) == {"net-work 2", "os"}
    assert site.metadata().TemplateHelper["net-work 2"].X == 1
    assert sys.modules["os"].getcwd()


def test_state_is_shared_by_all_until_the_module_changes(tmp_path: Path) -> None:
    site = make(tmp_path, text=TEXT)
    assert [site.metadata().TemplateHelper["text"].count() for _ in range(3)] == [1, 2, 3]
    site.write("TemplateHelper/other.py", "__export__ = []")
    assert site.metadata().TemplateHelper["text"].count() == 4
    site.write("TemplateHelper/text.py", TEXT + "\n")
    assert site.metadata().TemplateHelper["text"].count() == 1


def test_a_change_replaces_what_is_exported_and_a_removal_removes_it(tmp_path: Path) -> None:
    site = make(tmp_path, m="__export__ = ['a', 'b']\na = b = 1")
    site.write("TemplateHelper/m.py", "__export__ = ['b', 'c']\nb = c = 2")
    assert exported(site, "m") == {"b": 2, "c": 2}
    site.delete("TemplateHelper/m.py")
    assert set(site.metadata().TemplateHelper) == set()


def test_defaults_stay_while_their_list_is_left_out_and_go_when_it_is_emptied(tmp_path: Path) -> None:
    site = make(tmp_path, m="__export__ = []\n__default__ = ['x', 'y']\nx = y = 1")
    plugin = site.plugin("TemplateHelper")
    site.write("TemplateHelper/m.py", "__export__ = []\nx = 2")
    assert plugin.get_template_data(None, None, "") == {"x": 2, "y": 1}
    site.write("TemplateHelper/m.py", "__export__ = []\n__default__ = []")
    assert plugin.get_template_data(None, None, "") == {}
    assert exported(site, "m") == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1\ndef (", "line 2"),
        ("x = 1", "no list __export__"),
        ("__export__ = 'abc'", "__export__ is no list of names"),
        ("__export__ = []\n__default__ = 7", "__default__ is no list of names"),
        ("__export__ = []\nimport no_such_module", "line 2: ModuleNotFoundError"),
        ("__export__ = []\nraise SystemExit(3)", "line 2: SystemExit: 3"),
        ("__export__ = []\n\n1 / 0", "line 3: ZeroDivisionError"),
        ("# coding: nonsense\n__export__ = []", "nonsense"),
    ],
)
def test_a_broken_module_keeps_its_exports_or_has_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, reason: str
) -> None:
    site = make(tmp_path, good="__export__ = ['a']\na = 1", bad=text)
    assert exported(site, "bad") == {}
    assert exported(site, "good") == {"a": 1}
    assert [message for message in warnings(caplog) if "bad.py" in message and reason in message]
    caplog.clear()
    site.write("TemplateHelper/good.py", text)
    assert exported(site, "good") == {"a": 1}
    (line,) = warnings(caplog)
    assert "good.py" in line and reason in line
    site.change({"TemplateHelper/good.py": "__export__ = ['a']\na = 2", "TemplateHelper/bad.py": "__export__ = []"})
    assert exported(site, "good") == {"a": 2}


def test_names_that_cannot_be_exported_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = make(
        tmp_path,
        m="__export__ = ['ok', 'none', 'name', 'HandleEvent', '_own']\n__default__ = ['metadata', 'repo', 'mine']\n"
        "ok = name = HandleEvent = _own = metadata = repo = mine = 1",
    )
    assert exported(site, "m") == {"ok": 1, "_own": 1, "metadata": 1, "repo": 1, "mine": 1}
    assert site.metadata().TemplateHelper["m"].name == str(site.repo / "TemplateHelper/m.py")
    assert site.plugin("TemplateHelper").get_template_data(None, None, "") == {"mine": 1}
    told = " ".join(warnings(caplog))
    for name in ("no none", "name cannot", "HandleEvent cannot", "metadata in __default__", "repo in __default__"):
        assert name in told


def test_clashes_are_told_once_and_the_first_path_wins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    default = "__export__ = []\n__default__ = ['x']\nx = '{}'"
    site = make(tmp_path, **{"a/m": default.format("a"), "b/m": default.format("b"), "c": default.format("c")})
    site.write("TemplateHelper/d.py", "__export__ = []")
    assert site.metadata().TemplateHelper["m"].x == "a"
    assert site.plugin("TemplateHelper").get_template_data(None, None, "") == {"x": "a"}
    told = [message for message in warnings(caplog) if "taken" in message]
    assert len(told) == 2
    assert "b/m.py: the name m" in told[0] and "c.py: the name x" in told[1]
    site.delete("TemplateHelper/a/m.py")
    assert site.metadata().TemplateHelper["m"].x == "b"


def test_leftovers_are_passed_over_in_silence_and_other_files_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = make(tmp_path)
    caplog.clear()
    silent = ["m.pyc", "m.pyo", "m.py~", ".m.py.swp", ".m.py.swx", ".#m.py"]
    site.change({f"TemplateHelper/{name}": b"\0" for name in [*silent, "README"]})
    assert set(site.metadata().TemplateHelper) == set()
    (line,) = warnings(caplog)
    assert "README" in line


@pytest.mark.parametrize("mode", ["off", "initial", "cautious", "aggressive"])
def test_a_change_counts_at_once_in_every_caching_mode(tmp_path: Path, mode: str) -> None:
    site = make(tmp_path, f"[caching]\nclient_metadata = {mode}", m="__export__ = ['a']\na = 1")
    assert exported(site, "m") == {"a": 1}
    site.write("TemplateHelper/m.py", "__export__ = ['a']\na = 2")
    assert exported(site, "m") == {"a": 2}


def test_a_running_request_keeps_the_helpers_that_it_began_with(tmp_path: Path) -> None:
    site = make(tmp_path, m="__export__ = ['a']\na = 1")
    with site.core.request():
        metadata = site.core.build_metadata("client.example.com")
        (site.repo / "TemplateHelper/m.py").write_text("__export__ = ['a']\na = 2")
        site.apply()
        assert metadata.TemplateHelper["m"].a == 1
    assert exported(site, "m") == {"a": 2}


def test_modules_may_define_dataclasses_and_use_the_old_names(tmp_path: Path) -> None:
    site = make(
        tmp_path,
        m="from __future__ import annotations\nfrom dataclasses import dataclass\nimport Bcfg2.Server.Plugin\n"
        "__export__ = ['Rule', 'Error']\nError = Bcfg2.Server.Plugin.PluginExecutionError\n"
        "@dataclass\nclass Rule:\n    port: int\n",
    )
    assert site.metadata().TemplateHelper["m"].Rule(22).port == 22
