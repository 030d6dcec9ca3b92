"""SEModules: builds of policy modules, by folder name, group and host."""

import logging
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from bcfg2.server.plugin import Dependencies
from bcfg2.server.plugin.entryset import MDATA_OPTIONS
from bcfg2.server.plugins.semodules import SEModules
from bcfg2.xml import tostring
from tests.server.plugin.small_core import Client, SmallCore
from tests.support import Site

BUNDLE = {
    "Bundler/base.xml": """<Bundle>
  <SEModule name="foreman" disabled="true"/><SEModule name="site.pp"/><SEModule name="absent"/>
  <SEModule name="local" altsrc="foreman.pp"/><Path name="/foreman"/>
</Bundle>"""
}
MODULES: dict[str, str | bytes] = {
    "SEModules/foreman.pp/foreman.pp": b"\xff\x00a\r\n\n",
    "SEModules/site.pp/site.pp": b"",
}
DEFAULTS = (
    'owner="root" group="root" mode="644" secontext="__default__" important="false" paranoid="true" sensitive="false"'
)


def site(tmp_path: Path, files: dict[str, str | bytes] | None = None) -> Site:
    return Site(tmp_path, {**BUNDLE, **MODULES, **(files or {})}, "Metadata, Bundler, SEModules")


def plugin(tmp_path: Path, files: dict[str, str | bytes]) -> tuple[SmallCore, Any]:
    core = SmallCore(tmp_path, **{option.dest: option.default for option in MDATA_OPTIONS})
    core.write({f"SEModules/{name}": content for name, content in files.items()})
    return core, core.make(SEModules, core)


def test_a_module_is_its_bytes_in_one_line_of_base64_with_the_attributes_of_files(tmp_path: Path) -> None:
    assert tostring(site(tmp_path).entry("SEModule", "foreman")) == (
        f'<SEModule name="foreman" disabled="true" {DEFAULTS} encoding="base64">/wBhDQoK</SEModule>'
    )


def test_a_large_module_is_one_line_too(tmp_path: Path) -> None:
    text = site(tmp_path, {"SEModules/foreman.pp/foreman.pp": bytes(range(256)) * 20}).entry("SEModule", "foreman").text
    assert text is not None
    assert len(text) > 5000
    assert "\n" not in text


def test_the_suffix_may_be_asked_for_and_is_not_delivered(tmp_path: Path) -> None:
    subject = site(tmp_path)
    assert subject.entry("SEModule", "site").get("encoding") == "base64"
    assert subject.entry("SEModule", "local").text == "/wBhDQoK"
    names = [entry.get("name") for entry in subject.config().iter("SEModule")]
    assert sorted(filter(None, names)) == ["absent", "foreman", "local", "site"]


def test_what_has_no_folder_is_not_bound(tmp_path: Path) -> None:
    subject = site(tmp_path)
    assert subject.entry("SEModule", "absent").get("failure") == "no matching generator"
    assert subject.entry("Path", "/foreman").get("failure") == "no matching generator"


def test_host_before_group_of_higher_priority_before_everybody(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        f"m.pp/m.pp{suffix}": suffix for suffix in ("", ".G10_el7", ".G20_web", ".H_se3.example.org")
    }
    core, subject = plugin(tmp_path, files)

    def text(metadata: Client) -> str | None:
        entry = etree.Element("SEModule", name="m")
        subject.Entries["SEModule"]["m"](entry, metadata)
        return entry.text

    assert text(Client("a")) == ""
    assert text(Client("a", "el7")) == "LkcxMF9lbDc="
    assert text(Client("a", "el7", "web")) == "LkcyMF93ZWI="
    assert text(Client("se3.example.org", "el7", "web")) == "Lkhfc2UzLmV4YW1wbGUub3Jn"
    core.delete("SEModules/m.pp/m.pp.H_se3.example.org")
    core.change({"SEModules/m.pp/m.pp.G20_web": "new"})
    assert text(Client("se3.example.org", "el7", "web")) == "bmV3"


def test_info_xml_gives_attributes_by_the_name_that_was_asked_for(tmp_path: Path) -> None:
    info = '<FileInfo><Path name="foreman"><Info mode="0600" owner="sel"/></Path><Info mode="0640"/></FileInfo>'
    subject = site(tmp_path, {"SEModules/foreman.pp/info.xml": info})
    entry = subject.entry("SEModule", "foreman")
    assert (entry.get("mode"), entry.get("owner")) == ("0600", "sel")
    subject.delete("SEModules/foreman.pp/info.xml")
    assert subject.entry("SEModule", "foreman").get("mode") == "644"


def test_new_and_deleted_modules_take_effect(tmp_path: Path) -> None:
    subject = site(tmp_path)
    subject.write("SEModules/absent.pp/absent.pp", "x")
    assert subject.entry("SEModule", "absent").text == "eA=="
    subject.delete("SEModules/foreman.pp")
    assert subject.entry("SEModule", "foreman").get("failure") == "no matching generator"
    subject.delete("SEModules/absent.pp/absent.pp")
    assert subject.entry("SEModule", "absent").get("failure") == "no matching generator"


def test_a_folder_with_another_name_is_no_module(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        subject = site(tmp_path, {"SEModules/absent/absent": "x"})
    assert subject.entry("SEModule", "absent").get("failure") == "no matching generator"
    assert "SEModules/absent is not used: the folder of a module must have the module's name with .pp" in caplog.text


def test_what_a_module_depends_on(tmp_path: Path) -> None:
    core, subject = plugin(tmp_path, {"m.pp/m.pp": "", "m.pp/m.pp.G10_el7": "", "m.pp/m.pp.H_a": "", "n.pp/n.pp": ""})

    def depends(tag: str, name: str) -> Dependencies | None:
        answer: Dependencies | None = subject.depends_on(etree.Element(tag, name=name))
        return answer

    which = Dependencies(frozenset({"el7"}), frozenset({"a"}))
    assert depends("SEModule", "m") == depends("SEModule", "m.pp") == which
    assert depends("SEModule", "n") == depends("SEModule", "other") == depends("Path", "m") == Dependencies()
    info = '<FileInfo><Group name="web"><Info mode="0600"/></Group><Info/></FileInfo>'
    core.change({"SEModules/m.pp/info.xml": info})
    assert depends("SEModule", "m") == Dependencies(frozenset({"el7", "web"}), frozenset({"a"}))
    core.change({"SEModules/m.pp/info.xml": '<FileInfo xmlns:py="http://genshi.edgewall.org/"><Info/></FileInfo>'})
    assert depends("SEModule", "m") is None
