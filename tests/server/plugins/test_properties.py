"""Property files: what templates get, and what becomes of what they write."""

import datetime
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from lxml import etree

from bcfg2.server.keyring import Keyring
from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugins import properties
from tests.support import Site

METADATA = {
    "Metadata/clients.xml": '<Clients><Client name="web1" profile="web" address="127.0.0.2"/>'
    '<Client name="db1" profile="db" address="127.0.0.3"/></Clients>',
    "Metadata/groups.xml": '<Groups><Group name="web" profile="true"><Group name="debian"/></Group>'
    '<Group name="db" profile="true"/></Groups>',
}
EXAMPLE = """<P><r n="1"/><Group name="web"><r n="2"/><Client name="web1"><r n="3"/></Client><r n="4"/></Group>\
<Group name="db"><r n="0"/></Group><r n="5"/></P>"""


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """Makes a site and shuts it down after the test."""
    sites: list[Site] = []

    def make(files: Mapping[str, str | bytes] | None = None, conf: str = "") -> Site:
        prefixed = {f"Properties/{name}": content for name, content in (files or {}).items()}
        sites.append(Site(tmp_path, {**METADATA, **prefixed}, plugins="Metadata,Properties", conf=conf))
        return sites[-1]

    yield make
    for site in sites:
        site.stop()


def numbers(elements: Any) -> str:
    return " ".join(element.get("n") for element in elements)


class Request:
    """What a template does while a configuration of HOST is built."""

    def __init__(self, site: Site, host: str = "web1") -> None:
        self.site = site
        self.host = host

    def __enter__(self) -> Any:
        self.context = self.site.core.request()
        self.context.__enter__()
        self.metadata = self.site.core.build_metadata(self.host)
        return self.metadata.Properties

    def __exit__(self, *error: Any) -> None:
        self.context.__exit__(*error)


# which files


def test_files_are_known_by_their_suffix_and_listed_by_their_path(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["a.xml", "dns/zones.xml", "b.json", "c/d/e.yaml", "f.yml"]
    others = ["README.txt", "json", "x.json.old", "x.xmlx", ".xml"]
    site = make_site({**dict.fromkeys([*names, "a.xsd"], "<P/>"), **dict.fromkeys(others, "")})
    with Request(site) as listed:
        assert sorted(listed) == sorted(names)
        assert len(listed) == len(names)
        assert "a.xml" in listed
        assert listed.get("no.xml") is None
        with pytest.raises(KeyError):
            listed["no.xml"]
        assert repr(listed) == repr(sorted(names))
        assert listed["dns/zones.xml"].name == str(site.repo / "Properties/dns/zones.xml")
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert all(any(message.startswith(f"{site.repo}/Properties/{name}:") for message in warned) for name in others)
    assert not any("xsd" in message for message in warned)


def test_changes_on_disk_are_followed(make_site: MakeSite) -> None:
    site = make_site({"a.xml": "<P/>", "b.json": "1"})
    site.change({"Properties/a.xml": "<P><x/></P>", "Properties/b.json": "2", "Properties/sub/c.yml": "- 3\n"})
    with Request(site) as files:
        assert len(files["a.xml"].xdata) == 1
        assert files["b.json"].json == 2
        assert files["sub/c.yml"].yaml == [3]
    site.delete("Properties/sub")
    site.delete("Properties/b.json")
    with Request(site) as files:
        assert list(files) == ["a.xml"]


def test_a_request_sees_the_files_as_they_were_when_it_began(make_site: MakeSite) -> None:
    site = make_site({"a.json": "1", "b.xml": "<P/>"})
    with Request(site) as files:
        change = threading.Thread(
            target=lambda: site.change({"Properties/a.json": "2", "Properties/b.xml": "<Q/>", "Properties/c.json": "3"})
        )
        change.start()
        change.join()
        assert files["a.json"].json == 1
        assert files["a.json"].data == "1"
        assert files["b.xml"].xdata.tag == "P"
        assert files["b.xml"].data == "<P/>"
        assert "c.json" not in files
    with Request(site) as files:
        assert (files["a.json"].json, files["b.xml"].xdata.tag, files["c.json"].json) == (2, "Q", 3)


# XML


def test_match_keeps_the_order_of_the_document_and_xmlmatch_moves_what_is_conditional_to_the_end(
    make_site: MakeSite,
) -> None:
    site = make_site({"a.xml": EXAMPLE})
    request = Request(site)
    with request as files:
        assert numbers(files["a.xml"].Match(request.metadata)) == "1 2 3 4 5"
        assert numbers(files["a.xml"].XMLMatch(request.metadata)) == "1 5 2 3 4"


def test_matching_looks_at_all_depths_and_drops_comments_and_loose_text(make_site: MakeSite) -> None:
    site = make_site(
        {
            "a.xml": "<P><!-- one --><Group name='web'>loose<!-- two -->"
            "<o><Group name='debian' negate='TRUE'><x/></Group>"
            "<Group name='debian'><y/></Group><z/></o></Group>"
            "<options>timeout:2 <Client name='db1'>rotate </Client><Group name='web'>edns0 <k/>lost</Group></options>"
            "</P>"
        },
    )
    request = Request(site)
    with request as files:
        first, second = files["a.xml"].Match(request.metadata)
        assert [child.tag for child in first] == ["y", "z"]
        assert second.tag == "options"
        matched = files["a.xml"].XMLMatch(request.metadata)
        assert [child.tag for child in matched] == ["options", "o"]
        assert [child.tag for child in matched.find("o")] == ["z", "y"]
        assert matched.findtext("options") == "timeout:2 edns0 "
        assert matched.text == "loose"
        assert not list(matched.iter(etree.Comment))


def test_every_match_is_a_fresh_copy(make_site: MakeSite) -> None:
    site = make_site({"a.xml": EXAMPLE})
    request = Request(site)
    with request as files:
        files["a.xml"].Match(request.metadata)[0].set("n", "changed")
        files["a.xml"].XMLMatch(request.metadata)[0].set("n", "changed")
        assert numbers(files["a.xml"].Match(request.metadata)) == "1 2 3 4 5"
        assert numbers(files["a.xml"].XMLMatch(request.metadata)) == "1 5 2 3 4"


def test_the_raw_document_is_there_too(make_site: MakeSite) -> None:
    text = "<Properties>\n  <a/>\n  <Group name='web'><b/></Group>\n</Properties>\n"
    with Request(make_site({"a.xml": text})) as files:
        assert files["a.xml"].data == text
        assert files["a.xml"].xdata.tag == "Properties"
        assert [entry.tag for entry in files["a.xml"].entries] == ["a", "Group"]


def test_the_text_is_decoded_as_the_document_says(make_site: MakeSite) -> None:
    text = '<?xml version="1.0" encoding="iso-8859-1"?><P>caf\u00e9</P>'
    with Request(make_site({"a.xml": text.encode("iso-8859-1")})) as files:
        assert files["a.xml"].data == text
        assert files["a.xml"].xdata.text == "caf\u00e9"


def test_a_template_is_rendered_for_the_client_when_it_is_matched(make_site: MakeSite) -> None:
    site = make_site(
        {
            "t.xml": '<P xmlns:py="http://genshi.edgewall.org/"><py:for each="n in (1, 2)"><r n="${n}"/></py:for>'
            '<Group name="web"><r n="${metadata.hostname}"/></Group></P>'
        },
    )
    for host, expected in (("web1", "1 2 web1"), ("db1", "1 2")):
        request = Request(site, host)
        with request as files:
            assert numbers(files["t.xml"].XMLMatch(request.metadata)) == expected
            assert numbers(files["t.xml"].Match(request.metadata)) == expected
            assert len(files["t.xml"].xdata) == 2  # as written
            assert numbers(files["t.xml"].XMLMatch(request.metadata)) == expected


def test_included_files_are_followed_and_are_files_of_their_own(make_site: MakeSite) -> None:
    site = make_site(
        {
            "zones.xml": '<P xmlns:xi="http://www.w3.org/2001/XInclude"><z n="1"/><xi:include href="sub/*.xml"/></P>',
            "sub/berlin.xml": '<Zones><z n="2"/></Zones>',
        },
    )
    site.write("Properties/sub/berlin.xml", '<Zones><z n="3"/></Zones>')
    with Request(site) as files:
        assert numbers(files["zones.xml"].xdata.iter("z")) == "1 3"
        assert numbers(files["sub/berlin.xml"].xdata) == "3"


@pytest.mark.parametrize(
    ("conf", "root", "matched"),
    [
        ("", "<P>", False),
        ("", '<P automatch="TRUE">', True),
        ("[properties]\nautomatch = yes\n", "<P>", True),
        ("[properties]\nautomatch = yes\n", '<P automatch="false">', False),
        ("[properties]\nautomatch = yes\n", '<P automatch="yes">', False),
    ],
)
def test_automatch_gives_the_matching_document(make_site: MakeSite, conf: str, root: str, matched: bool) -> None:
    site = make_site({"a.xml": EXAMPLE.replace("<P>", root), "b.json": "1"}, conf)
    with Request(site) as files:
        assert etree.iselement(files["a.xml"]) is matched
        if matched:
            assert numbers(files["a.xml"]) == "1 5 2 3 4"
        assert files["b.json"].json == 1


def test_an_automatched_template_that_fails_costs_only_those_who_ask_for_it(make_site: MakeSite) -> None:
    bad = '<P automatch="true" xmlns:py="http://genshi.edgewall.org/"><r n="${1 / 0}"/></P>'
    with Request(make_site({"bad.xml": bad, "good.xml": "<P/>"})) as files:
        assert sorted(files) == ["bad.xml", "good.xml"]
        assert files["good.xml"].xdata.tag == "P"
        with pytest.raises(PluginExecutionError, match=r"bad\.xml"):
            files["bad.xml"]


# broken files


def test_a_broken_xml_file_is_left_out_until_it_is_mended(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site({"bad.xml": "<P><x></P>", "good.xml": "<P/>"})
    assert [r for r in caplog.records if r.levelno == logging.ERROR and "bad.xml" in r.getMessage()]
    with Request(site) as files:
        assert list(files) == ["good.xml"]
    site.write("Properties/bad.xml", "<P/>")
    with Request(site) as files:
        assert sorted(files) == ["bad.xml", "good.xml"]


@pytest.mark.parametrize("bad", ["<P><x></P>", '<P><x encrypted="n">U2FsdGVkX18=</x></P>'])
def test_what_an_xml_file_was_stays_in_force_while_it_is_broken(
    make_site: MakeSite, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site({"a.xml": "<P><good/></P>"})
    site.write("Properties/a.xml", bad)
    assert [r for r in caplog.records if r.levelno == logging.ERROR and "a.xml" in r.getMessage()]
    request = Request(site)
    with request as files:
        assert [entry.tag for entry in files["a.xml"].entries] == ["good"]
        assert files["a.xml"].data == "<P><good/></P>"
        assert [entry.tag for entry in files["a.xml"].Match(request.metadata)] == ["good"]


@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
@pytest.mark.parametrize("bad", ['{"a": ', b"\xff"])
def test_a_broken_value_is_none_or_what_it_was(
    make_site: MakeSite, name: str, bad: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site({name: bad})

    def value() -> Any:
        with Request(site) as files:
            return files[name].json if name == "a.json" else files[name].yaml

    assert [r for r in caplog.records if r.levelno == logging.ERROR and name in r.getMessage()]
    assert value() is None
    site.write(f"Properties/{name}", '{"a": 1}')
    assert value() == {"a": 1}
    caplog.clear()
    site.write(f"Properties/{name}", bad)
    assert [r for r in caplog.records if r.levelno == logging.ERROR and name in r.getMessage()]
    assert value() == {"a": 1}


def test_yaml_without_pyyaml_is_an_error_line_that_names_it(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(properties, "yaml", None)
    with Request(make_site({"a.yaml": "1"})) as files:
        assert files["a.yaml"].yaml is None
    assert "bcfg2[yaml]" in caplog.text


# JSON and YAML


def test_values(make_site: MakeSite) -> None:
    text = "a: &a {check: yes}\nb: {<<: *a, day: 2024-02-29, port: 0o777}\n"
    with Request(make_site({"a.yaml": text, "a.json": '{"x": [null, "zo\\u00eb", 0.25]}'})) as files:
        assert files["a.yaml"].yaml == {
            "a": {"check": True},
            "b": {"check": True, "day": datetime.date(2024, 2, 29), "port": "0o777"},
        }
        assert files["a.yaml"].data == text
        assert files["a.json"].json == {"x": [None, "zo\u00eb", 0.25]}


def test_yaml_makes_plain_values_only(make_site: MakeSite) -> None:
    with Request(make_site({"a.yaml": "!!python/object/apply:os.getcwd []"})) as files:
        assert files["a.yaml"].yaml is None


# changing and writing

FILES = {
    "a.xml": "<!-- head -->\n<Properties>\n  <!-- kept -->\n  <m n='1'/>\n</Properties>\n",
    "a.json": '{"next": 1}',
    "a.yml": "next: 1\n",
}


def written(site: Site, name: str) -> str:
    return (site.repo / "Properties" / name).read_text()


def change(files: Any) -> None:
    etree.SubElement(files["a.xml"].xdata, "m", n="2")
    files["a.json"].json["next"] = 2
    files["a.yml"].yaml["next"] = 2


def state(files: Any) -> tuple[Any, Any, Any]:
    return numbers(files["a.xml"].xdata.iter("m")), files["a.json"].json["next"], files["a.yml"].yaml["next"]


@pytest.mark.parametrize("mode", ["off", "aggressive"])
def test_changes_without_write_last_as_long_as_the_request(make_site: MakeSite, mode: str) -> None:
    site = make_site(FILES, f"[caching]\nclient_metadata = {mode}\n")
    with Request(site) as files:
        change(files)
        assert state(files) == ("1 2", 2, 2)
        with Request(site, "db1") as others:
            assert state(others) == ("1", 1, 1)
    with Request(site) as files:
        assert state(files) == ("1", 1, 1)


@pytest.mark.parametrize("mode", ["off", "aggressive"])
def test_what_is_written_is_in_force_at_once_and_after_a_restart(make_site: MakeSite, mode: str) -> None:
    site = make_site(FILES, f"[caching]\nclient_metadata = {mode}\n")
    request = Request(site)
    with request as files:
        change(files)
        for name in FILES:
            assert files[name].write() is True
            assert files[name].data == written(site, name)
    for _ in range(2):
        for host in ("web1", "db1"):
            request = Request(site, host)
            with request as files:
                assert state(files) == ("1 2", 2, 2)
                assert numbers(files["a.xml"].Match(request.metadata)) == "1 2"
        site.restart()


def test_how_it_is_written(make_site: MakeSite) -> None:
    site = make_site(FILES)
    (site.repo / "Properties/a.xml").chmod(0o640)
    with Request(site) as files:
        change(files)
        for name in FILES:
            files[name].write()
    assert written(site, "a.xml") == (
        '<!-- head -->\n<Properties>\n  <!-- kept -->\n  <m n="1"/>\n  <m n="2"/>\n</Properties>\n'
    )
    assert (site.repo / "Properties/a.xml").stat().st_mode & 0o777 == 0o640
    assert json.loads(written(site, "a.json")) == {"next": 2}
    assert yaml.safe_load(written(site, "a.yml")) == {"next": 2}
    assert "\n" not in written(site, "a.json").strip()


def test_one_request_can_write_a_file_several_times(make_site: MakeSite) -> None:
    site = make_site(FILES)
    with Request(site) as files:
        document = files["a.xml"]
        for number in ("2", "3"):
            etree.SubElement(document.xdata, "m", n=number)
            document.write()
        files["a.json"].json = {"next": 8}  # whatever was there before
        files["a.json"].write()
    with Request(site) as files:
        assert state(files)[:2] == ("1 2 3", 8)


def test_a_changed_document_is_what_is_matched(make_site: MakeSite) -> None:
    site = make_site({"a.xml": EXAMPLE})
    request = Request(site)
    with request as files:
        etree.SubElement(files["a.xml"].xdata.find("Group"), "r", n="9")
        assert numbers(files["a.xml"].Match(request.metadata)) == "1 2 3 4 9 5"
        assert numbers(files["a.xml"].XMLMatch(request.metadata)) == "1 5 2 3 4 9"


def test_nothing_is_lost_when_two_clients_change_a_file_at_the_same_time(make_site: MakeSite) -> None:
    site = make_site(FILES)
    with Request(site) as files:
        mine = [files[name] for name in FILES]
        change(files)
    with Request(site, "db1") as files:
        change(files)
        for name in FILES:
            files[name].write()
    for item in mine:
        with pytest.raises(PluginExecutionError, match="changed meanwhile"):
            item.write()
    with Request(site) as files:
        assert state(files) == ("1 2", 2, 2)


def test_many_clients_that_try_again_all_get_their_change_in(make_site: MakeSite) -> None:
    site = make_site(FILES)

    def add(mine: str) -> None:
        for number in range(5):
            done = False
            while not done:
                with Request(site) as files:
                    files["a.json"].json[f"{mine}{number}"] = number
                    try:
                        done = files["a.json"].write()
                    except PluginExecutionError:
                        continue

    threads = [threading.Thread(target=add, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads(written(site, "a.json"))) == 1 + 4 * 5


def test_what_cannot_be_used_after_writing_is_told(make_site: MakeSite) -> None:
    site = make_site(FILES)
    with Request(site) as files:
        etree.SubElement(files["a.xml"].xdata, "x", encrypted="name").text = "U2FsdGVkX18="
        with pytest.raises(PluginExecutionError, match="cannot be used"):
            files["a.xml"].write()
    with Request(site) as files:
        assert numbers(files["a.xml"].xdata.iter("m")) == "1"


def test_an_edit_that_was_not_read_yet_is_not_overwritten(make_site: MakeSite) -> None:
    site = make_site(FILES)
    for name in FILES:
        path = site.repo / "Properties" / name
        path.write_text("an edit that does not parse: {<")
        with Request(site) as files:
            change(files)
            with pytest.raises(PluginExecutionError, match="changed meanwhile"):
                files[name].write()
        path.unlink()
        with Request(site) as files:
            change(files)
            with pytest.raises(PluginExecutionError, match="changed meanwhile"):
                files[name].write()
        assert not path.exists()


def test_a_file_that_was_never_readable_can_be_written(make_site: MakeSite) -> None:
    site = make_site({"a.json": "{"})
    with Request(site) as files:
        value = files["a.json"]
        value.json = [1]
        value.write()
    with Request(site) as files:
        assert files["a.json"].json == [1]


def test_writing_can_be_switched_off(make_site: MakeSite) -> None:
    site = make_site(FILES, "[properties]\nwrites_enabled = no\n")
    with Request(site) as files:
        change(files)
        for name, content in FILES.items():
            with pytest.raises(PluginExecutionError, match="writes_enabled"):
                files[name].write()
            assert written(site, name) == content


SCHEMA = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="P"><xs:complexType>
<xs:sequence><xs:element name="m" maxOccurs="2"/></xs:sequence></xs:complexType></xs:element></xs:schema>"""


def test_what_violates_the_schema_is_not_written(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site({"sub/a.xml": "<P><m/></P>", "sub/a.xsd": SCHEMA})
    with Request(site) as files:
        document = files["sub/a.xml"]
        assert document.validate_data() is True
        etree.SubElement(document.xdata, "m")
        assert document.write() is True
        before = written(site, "sub/a.xml")
        etree.SubElement(document.xdata, "m")
        assert document.validate_data() is False
        assert "a.xsd" in caplog.text
        with pytest.raises(PluginExecutionError, match=r"a\.xsd"):
            document.write()
    assert written(site, "sub/a.xml") == before
    with Request(site) as files:
        assert len(files["sub/a.xml"].xdata) == 2


def test_a_schema_is_not_needed_to_load_a_file(make_site: MakeSite) -> None:
    with Request(make_site({"a.xml": "<Q/>", "a.xsd": SCHEMA})) as files:
        assert files["a.xml"].xdata.tag == "Q"
        assert files["a.xml"].validate_data() is False


@pytest.mark.parametrize("schema", ["", "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema'><x/></xs:schema>"])
def test_with_a_schema_that_is_unusable_nothing_is_written(make_site: MakeSite, schema: str) -> None:
    site = make_site({"a.xml": "<P/>", "a.xsd": schema})
    with Request(site) as files:
        with pytest.raises(PluginExecutionError, match=r"a\.xsd"):
            files["a.xml"].validate_data()
        with pytest.raises(PluginExecutionError, match=r"a\.xsd"):
            files["a.xml"].write()


@pytest.mark.parametrize("name", list(FILES))
def test_a_value_that_cannot_be_written_down_is_refused(make_site: MakeSite, name: str) -> None:
    site = make_site(FILES)
    with Request(site) as files:
        item = files[name]
        setattr(item, {"a.xml": "xdata", "a.json": "json", "a.yml": "yaml"}[name], object())
        with pytest.raises(PluginExecutionError, match=name):
            item.write()
    assert written(site, name) == FILES[name]


@pytest.mark.parametrize("name", list(FILES))
def test_an_error_of_the_disk_is_refused_too(make_site: MakeSite, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(FILES)

    def refuse(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(properties, "atomic_write", refuse)
    with Request(site) as files:
        change(files)
        with pytest.raises(PluginExecutionError, match="No space left"):
            files[name].write()
    with Request(site) as files:
        assert state(files) == ("1", 1, 1)


def test_a_replaced_document_is_written_without_what_is_around_it(make_site: MakeSite) -> None:
    site = make_site(FILES)
    with Request(site) as files:
        document = files["a.xml"]
        document.xdata = etree.fromstring("<all><Properties><m n='7'/></Properties>tail</all>")[0]
        document.write()
    assert written(site, "a.xml") == '<Properties>\n  <m n="7"/>\n</Properties>\n'


# caches


@pytest.mark.parametrize(("mode", "kept"), [("initial", True), ("cautious", False), ("aggressive", False)])
def test_each_reading_expires_cached_metadata_of_all_clients(make_site: MakeSite, mode: str, kept: bool) -> None:
    site = make_site(FILES, f"[caching]\nclient_metadata = {mode}\n")

    def cached() -> bool:
        return "web1" in site.core.metadata_cache

    site.metadata("web1")
    assert cached()
    site.write("Properties/a.json", "5")
    assert cached() is kept
    site.metadata("web1")
    with Request(site, "db1") as files:
        files["a.json"].write()
    assert cached() is kept
    site.metadata("web1")
    site.delete("Properties/a.json")
    assert cached() is kept


# encryption


ENCRYPTION = "[encryption]\nops = o-phrase\n"


def encrypted_file() -> str:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    return f"<P><!-- c --><x encrypted='ops'>{Keyring({'ops': 'o-phrase'}).encrypt('first', 'ops')}</x></P>"


def test_a_template_reads_what_is_encrypted_and_writes_it_encrypted(make_site: MakeSite) -> None:
    site = make_site({"a.xml": encrypted_file()}, ENCRYPTION)
    cipher_text = etree.fromstring(written(site, "a.xml")).findtext("x")
    with Request(site) as files:
        assert files["a.xml"].xdata.findtext("x") == "first"
        etree.SubElement(files["a.xml"].xdata, "y", encrypted="ops").text = "second"
        files["a.xml"].write()
        assert files["a.xml"].xdata.findtext("y") == "second"
    with Request(site) as files:
        assert files["a.xml"].xdata.findtext("x") == "first"
        assert files["a.xml"].xdata.findtext("y") == "second"
    stored = etree.fromstring(written(site, "a.xml"))
    assert stored.findtext("x") == cipher_text
    assert Keyring({"ops": "o-phrase"}).decrypt(stored.findtext("y"), "ops") == b"second"


def test_what_cannot_be_encrypted_is_not_written(make_site: MakeSite) -> None:
    site = make_site({"a.xml": encrypted_file()}, ENCRYPTION)
    before = written(site, "a.xml")
    with Request(site) as files:
        etree.SubElement(files["a.xml"].xdata, "y", encrypted="nobody").text = "second"
        with pytest.raises(PluginExecutionError, match=r"is not written.*no passphrase nobody"):
            files["a.xml"].write()
    assert written(site, "a.xml") == before


def test_new_passphrases_in_the_configuration_file_take_effect_in_the_running_server(make_site: MakeSite) -> None:
    site = make_site({"a.xml": encrypted_file()}, "[encryption]\nops = wrong\n")
    site.core.fam.AddMonitor(site.core.cfile, site.core)
    site.apply()
    with Request(site) as files:
        assert "a.xml" not in files
    site.conf.write_text(site.conf.read_text().replace("wrong", "o-phrase"))
    site.apply()
    with Request(site) as files:
        assert files["a.xml"].xdata.findtext("x") == "first"
    site.conf.write_text(site.conf.read_text().replace("ops = o-phrase", "lax_decryption = yes"))
    site.apply()
    with Request(site) as files:
        assert files["a.xml"].xdata.findtext("x").startswith("U2FsdGVkX1")
