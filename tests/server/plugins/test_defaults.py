"""Defaults: what bound entries get besides, and that it never makes one fail."""

import logging
from pathlib import Path

import pytest

from bcfg2.server.plugin import Generator
from bcfg2.server.plugins.defaults import Defaults
from bcfg2.server.versioned import reading
from bcfg2.xml import Element, parse_string, tostring
from bcfg2.xml import attributes as xml_attributes
from tests.server.plugin.small_core import Client, SmallCore
from tests.support import Site

PY = 'xmlns:py="http://genshi.edgewall.org/"'
BUNDLE = {
    "Bundler/base.xml": '<Bundle><BoundService name="sshd"/><BoundService name="ntpd"/></Bundle>',
}


def site(tmp_path: Path, conf: str = "", bundle: str = BUNDLE["Bundler/base.xml"], **files: str) -> Site:
    defaults = {f"Defaults/{name}.xml": text for name, text in files.items()}
    return Site(tmp_path, {"Bundler/base.xml": bundle, **defaults}, "Metadata,Bundler,Rules,Defaults", conf)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def attributes(entry: Element) -> dict[str, str]:
    return {key: value for key, value in xml_attributes(entry).items() if key != "name"}


def test_bound_failed_and_rule_bound_entries_get_the_attributes_that_they_lack(tmp_path: Path) -> None:
    subject = site(
        tmp_path,
        bundle='<Bundle><BoundService name="a" status="off"/><Service name="b"/><Service name="c"/></Bundle>',
        d='<Defaults priority="0"><Service name=".*" status="on" type="systemd"/></Defaults>',
    )
    subject.write("Rules/r.xml", '<Rules priority="9"><Service name="b" type="deb"/></Rules>')
    assert attributes(subject.entry("Service", "a")) == {"status": "off", "type": "systemd"}
    assert attributes(subject.entry("Service", "b")) == {"status": "on", "type": "deb"}
    assert attributes(subject.entry("Service", "c")) == {
        "failure": "no matching generator",
        "status": "on",
        "type": "systemd",
    }


def test_names_are_patterns_for_the_whole_name_and_slashes_at_the_end_of_literal_paths_do_not_count(
    tmp_path: Path,
) -> None:
    subject = site(
        tmp_path,
        bundle='<Bundle><BoundPath name="/srv/"/><BoundPackage name="libc"/><BoundPackage name="my-libc"/></Bundle>',
        d='<Defaults priority="0"><Path name="/srv" owner="o"/><Package name="lib.*|x" type="t"/></Defaults>',
    )
    assert attributes(subject.entry("Path", "/srv/")) == {"owner": "o"}
    assert attributes(subject.entry("Package", "libc")) == {"type": "t"}
    assert attributes(subject.entry("Package", "my-libc")) == {}


def test_text_replaces_and_children_are_added(tmp_path: Path) -> None:
    subject = site(
        tmp_path,
        bundle='<Bundle><BoundPath name="/a">own<ACL type="access"/></BoundPath></Bundle>',
        d='<Defaults priority="0"><Path name="/a">new<ACL type="default"/>'
        '<Group name="no"><ACL type="x"/></Group></Path></Defaults>',
    )
    assert tostring(subject.entry("Path", "/a")) == (
        '<Path name="/a">new<ACL type="access"/><ACL type="default"/></Path>'
    )


def test_only_what_stands_directly_in_a_structure_is_an_entry(tmp_path: Path) -> None:
    subject = site(
        tmp_path,
        bundle='<Bundle><BoundPath name="/a"><ACL name="x"/></BoundPath></Bundle>',
        d='<Defaults priority="0"><ACL name=".*" perms="rwx"/></Defaults>',
    )
    assert tostring(subject.entry("Path", "/a")) == '<Path name="/a"><ACL name="x"/></Path>'


def test_conditions_and_the_highest_priority_decide_as_a_whole(tmp_path: Path) -> None:
    subject = site(
        tmp_path,
        low='<Defaults priority="-5"><Service name=".*" type="low" status="on"/></Defaults>',
        high='<Defaults priority="3"><Group name="basic"><Service name="s.*" type="high"/></Group>'
        '<Group name="basic" negate="true"><Service name=".*" type="never"/></Group></Defaults>',
    )
    assert attributes(subject.entry("Service", "sshd")) == {"type": "high"}
    assert attributes(subject.entry("Service", "ntpd")) == {"type": "low", "status": "on"}


def test_an_entry_without_a_name_does_not_get_one(tmp_path: Path) -> None:
    core = SmallCore(tmp_path, defaults_replace_name=False, encryption_lax_decryption=False)
    core.write({"Defaults/d.xml": '<Defaults priority="0"><Package name=".*" type="t"/></Defaults>'})
    config = parse_string('<Configuration><Bundle name="b"><Package group="g"/></Bundle></Configuration>', "test")
    subject = core.make(Defaults, core)
    with reading():
        subject.validate_goals(Client(), config)
    assert tostring(config[0][0]) == '<Package group="g" type="t"/>'


@pytest.mark.parametrize(("conf", "home"), [("", "/home/%{name}"), ("[defaults]\nreplace_name = yes", "/home/eve")])
def test_the_name_is_filled_in_where_that_is_chosen(tmp_path: Path, conf: str, home: str) -> None:
    subject = site(
        tmp_path,
        conf,
        bundle='<Bundle><BoundPOSIXUser name="eve"/></Bundle>',
        d='<Defaults priority="0"><POSIXUser name=".*" home="/home/%{name}"/></Defaults>',
    )
    assert attributes(subject.entry("POSIXUser", "eve")) == {"home": home}


def test_the_name_that_is_filled_in_is_the_delivered_one(tmp_path: Path) -> None:
    subject = site(
        tmp_path,
        "[defaults]\nreplace_name = yes",
        bundle='<Bundle><Package name="mine" altsrc="other"/></Bundle>',
        d='<Defaults priority="0"><Package name=".*" url="%name"/></Defaults>',
    )
    subject.write("Rules/r.xml", '<Rules priority="0"><Package name="other" type="deb"/></Rules>')
    assert attributes(subject.entry("Package", "mine")) == {"type": "deb", "url": "mine"}


def test_a_conflict_gives_nothing_and_is_told_once_per_load(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    subject = site(
        tmp_path,
        a='<Defaults priority="1">\n<Service name="s.*" type="a"/></Defaults>',
        b='<Defaults priority="1"><Service name=".*" type="b"/></Defaults>',
    )
    for _ in range(3):
        assert attributes(subject.entry("Service", "sshd")) == {}
        assert attributes(subject.entry("Service", "ntpd")) == {"type": "b"}
    [line] = errors(caplog)
    assert "priority 1 for Service sshd" in line
    assert "Defaults/a.xml:2" in line and "Defaults/b.xml:1" in line
    subject.write("Defaults/c.xml", '<Defaults priority="0"/>')
    subject.config()
    assert len(errors(caplog)) == 2


def test_a_conflict_of_many_entries_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = '<Defaults priority="1"><Service name=".*" type="x"/></Defaults>'
    site(tmp_path, a=text, b=text).config()
    assert len(errors(caplog)) == 1


def test_files_come_change_and_go(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    subject = site(tmp_path)
    assert attributes(subject.entry("Service", "sshd")) == {}
    subject.write("Defaults/deep/d.xml", '<Defaults priority="1"><Service name="sshd" type="a"/></Defaults>')
    assert attributes(subject.entry("Service", "sshd")) == {"type": "a"}
    for broken in ("<Defaults", '<Defaults><Service name="sshd" type="b"/></Defaults>'):
        subject.write("Defaults/deep/d.xml", broken)
        assert attributes(subject.entry("Service", "sshd")) == {"type": "a"}
    assert len(errors(caplog)) == 2
    subject.delete("Defaults/deep")
    assert attributes(subject.entry("Service", "sshd")) == {}


def test_a_template_is_rendered_for_each_client_and_a_broken_one_costs_itself(tmp_path: Path) -> None:
    subject = site(
        tmp_path,
        a=f'<Defaults priority="1" {PY}><Service name="sshd" type="${{metadata.hostname}}"/></Defaults>',
        b=f'<Defaults priority="9" {PY}><Service name="sshd" type="${{nowhere}}"/></Defaults>',
    )
    assert attributes(subject.entry("Service", "sshd")) == {"type": "client.example.com"}


def test_it_is_no_generator(tmp_path: Path) -> None:
    subject = site(tmp_path, d='<Defaults priority="1"><Service name="x" type="a"/></Defaults>')
    assert [plugin.name for plugin in subject.core.plugins_by_type(Generator)] == ["Rules"]
    subject.write("Bundler/base.xml", '<Bundle><Path glob="/*"/></Bundle>')
    assert list(subject.config()[0]) == []
