"""The steps from a path to a complete entry."""

import base64
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugin.contents import Contents
from bcfg2.server.plugins.cfg import CfgCreator, CfgFilter, CfgGenerator, CfgInfo, CfgVerificationError, CfgVerifier
from bcfg2.xml import Element
from tests.server.plugin.small_core import Client
from tests.server.plugins.cfg.conftest import MakeBench

# attributes


def test_defaults_replace_what_the_bundle_says_and_the_rest_survives(
    bench: MakeBench, defaults: dict[str, str]
) -> None:
    made = bench({"a/a": "A"})
    entry = made.bind("/a", owner="nobody", mode="0777", important="true", priority="5", encoding="ascii")
    assert dict(entry.attrib) == {"name": "/a", **defaults, "priority": "5", "encoding": "ascii"}


def test_info_xml_replaces_defaults_but_not_the_type(bench: MakeBench, defaults: dict[str, str]) -> None:
    made = bench({"a/a": "A", "a/info.xml": '<FileInfo><Info mode="preserve" type="weird" site="berlin"/></FileInfo>'})
    assert dict(made.bind("/a").attrib) == {"name": "/a", **defaults, "mode": "preserve", "site": "berlin"}


def test_an_info_xml_that_does_not_cover_the_client_fails_the_entry_with_the_defaults_set(bench: MakeBench) -> None:
    made = bench({"a/a": "A", "a/info.xml": '<FileInfo><Group name="g"><Info owner="g"/></Group></FileInfo>'})
    entry = etree.Element("Path", name="/a")
    with pytest.raises(PluginExecutionError, match=r"no Info element of .*/a/info\.xml applies to host"):
        made.cfg.Entries["Path"]["/a"](entry, Client("host"))
    assert entry.get("owner") == "root"
    assert entry.get("type") is None
    assert made.bind("/a", Client("host", "g")).get("owner") == "g"


def test_where_no_file_applies_the_attributes_stay(bench: MakeBench, defaults: dict[str, str]) -> None:
    made = bench({"a/a.H_h": "H"})
    entry = etree.Element("Path", name="/a")
    with pytest.raises(PluginExecutionError, match="No matching entries in .*/Cfg/a for other"):
        made.cfg.Entries["Path"]["/a"](entry, Client("other"))
    assert dict(entry.attrib) == {"name": "/a", **defaults}
    assert entry.text is None


# contents

UNCHANGED = [
    "plain\n",
    "no newline at the end",
    "\n",
    "\n\n  blanks \t\n\n",
    "dos\r\nline\r\nends\rand old ones",
    "<a href=\"x\">&amp; ]]> & 'q'</a>\n<!-- c -->\n",
    "Gr\u00fc\u00dfe \u65e5\u672c \U0001f512\n",
    "\ufeffbyte order mark",
    "del \x7f and \x85",
]


@pytest.mark.parametrize("text", UNCHANGED)
def test_text_reaches_the_client_unchanged(bench: MakeBench, text: str) -> None:
    entry = bench({"a/a": text}).bind("/a")
    assert entry.text == text
    assert etree.fromstring(etree.tostring(entry)).text == text
    assert entry.get("empty") is None


@pytest.mark.parametrize("files", [{"a/a": ""}, {"a/a.genshi": "{% if False %}x{% end %}"}])
@pytest.mark.parametrize("encoding", ["ascii", "base64"])
def test_empty_contents_are_marked(bench: MakeBench, files: dict[str, str | bytes], encoding: str) -> None:
    entry = bench(files).bind("/a", encoding=encoding)
    assert entry.text is None
    assert entry.get("empty") == "true"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"good\nstra\xdfe\n", r"a/a:2: not UTF-8 \(byte 0xdf\)"),
        (b"a\nb\nc\0d", r"a/a: the character U\+0000 in line 3"),
        (b"bell \x07", r"a/a: the character U\+0007 in line 1"),
        ("not a character \uffff".encode(), r"a/a: the character U\+FFFF in line 1"),
    ],
)
def test_what_is_no_text_fails_with_the_cure_and_base64_is_the_cure(
    bench: MakeBench, content: bytes, reason: str
) -> None:
    made = bench({"a/a": content})
    with pytest.raises(PluginExecutionError, match=reason) as failure:
        made.bind("/a")
    assert 'encoding="base64"' in str(failure.value)
    made.change({"a/info.xml": '<FileInfo><Info encoding="base64"/></FileInfo>'})
    assert base64.b64decode(made.text("/a")) == content


def test_base64_is_one_line_and_may_come_from_the_bundle(bench: MakeBench) -> None:
    content = bytes(range(256)) * 20
    entry = bench({"a/a": content}).bind("/a", encoding="base64")
    assert entry.text == base64.b64encode(content).decode()
    assert "\n" not in entry.text


def test_one_file_is_given_in_every_form_that_is_asked_for(bench: MakeBench) -> None:
    made = bench({"a/a": "A"})
    assert [made.bind("/a", encoding=form).text for form in ("x", "base64", "x", "base64")] == ["A", "QQ=="] * 2


@pytest.mark.parametrize("suffix", ["", ".genshi", ".jinja2"])
def test_the_encoding_of_the_repository_counts(bench: MakeBench, suffix: str) -> None:
    made = bench({f"a/a{suffix}": "stra\u00dfe".encode("latin-1")}, components_encoding="latin-1")
    assert made.text("/a") == "stra\u00dfe"
    assert base64.b64decode(made.bind("/a", encoding="base64").text or "") == "stra\u00dfe".encode("latin-1")


def test_rendered_text_that_the_encoding_lacks_fails_only_where_bytes_are_needed(bench: MakeBench) -> None:
    made = bench({"a/a.genshi": "x\n${u'\\u2603'}"}, components_encoding="latin-1")
    assert made.text("/a") == "x\n\u2603"
    with pytest.raises(PluginExecutionError, match=r"U\+2603 in line 2 cannot be written in latin-1"):
        made.bind("/a", encoding="base64")


@given(st.text())
def test_every_text_is_either_delivered_exactly_or_refused(text: str) -> None:
    entry = etree.Element("Path")
    try:
        Contents(text, "utf-8", "f").put_into(entry)
    except PluginExecutionError as err:
        assert "cannot be sent" in str(err)
        assert any(
            not (char in "\t\n\r" or char >= " ") or char in "\ufffe\uffff" or "\ud800" <= char <= "\udfff"
            for char in text
        )
    else:
        assert (etree.fromstring(etree.tostring(entry)).text or "") == text


# choosing


def test_files_of_all_kinds_compete_on_equal_terms(bench: MakeBench) -> None:
    made = bench(
        {
            "a/a": "plain",
            "a/a.G10_g.genshi": "genshi $metadata.hostname",
            "a/a.G20_k.jinja2": "jinja2 {{ metadata.hostname }}",
            "a/a.H_special": "${literally}",
        }
    )
    assert made.text("/a", Client("x")) == "plain"
    assert made.text("/a", Client("x", "g")) == "genshi x"
    assert made.text("/a", Client("x", "g", "k")) == "jinja2 x"
    assert made.text("/a", Client("special", "g", "k")) == "${literally}"


def test_of_two_files_for_all_the_smaller_name_is_used_with_a_warning(
    bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    made = bench({"a/a": "plain", "a/a.genshi": "template"})
    assert [made.text("/a"), made.text("/a")] == ["plain", "plain"]
    assert [record.levelno for record in caplog.records if "a.genshi" in record.message] == [logging.WARNING]


def test_names_that_are_not_understood_are_named_and_disturb_nobody(
    bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    made = bench({"a/a": "A", "a/README": "?", "a/a.cat": "?", "a/a.genshi_include": "?", "a/x.jinja2_include": "?"})
    named = [record.message.split(" is ignored")[0] for record in caplog.records if record.levelno == logging.ERROR]
    assert named == [made.path("a/README"), made.path("a/a.cat")]
    assert made.text("/a") == "A"


def test_a_path_is_claimed_only_while_something_can_serve_it(bench: MakeBench) -> None:
    made = bench({"etc/README": "?", "etc/info.xml": "<FileInfo><Info/></FileInfo>", "etc/:test": "?", "etc/a/a": "A"})
    assert made.listed() == ["/etc/a"]
    made.change({"etc/etc.H_h": "now"})
    assert made.listed() == ["/etc", "/etc/a"]
    made.delete("etc/etc.H_h")
    assert made.listed() == ["/etc/a"]


# handlers of one's own


class Upper(CfgFilter):
    __extensions__ = ["upper"]

    def modify_data(self, entry: Element, metadata: Any, data: str | bytes) -> str | bytes:
        assert isinstance(data, bytes)
        return data.upper() + self.raw


class Owner(CfgInfo):
    __basenames__ = ["owner"]

    def bind_info_to_entry(self, entry: Element, metadata: Any) -> None:
        entry.set("owner", self.raw.decode().strip())


class Maker(CfgCreator):
    __basenames__ = ["make.xml"]

    def create_data(self, entry: Element, metadata: Any) -> str:
        if metadata.hostname == "unlucky":
            raise PluginExecutionError("cannot make it")
        return f"made for {metadata.hostname}"


class Short(CfgVerifier):
    __basenames__ = ["limit"]

    def verify_entry(self, entry: Element, metadata: Any, data: bytes) -> None:
        if len(data) > int(self.raw):
            raise CfgVerificationError(f"{len(data)} bytes")


class Old(CfgGenerator):
    __extensions__ = ["old"]
    deprecated = True


class Numbers(CfgGenerator):
    """Refuses what is no number when it is read."""

    __extensions__ = ["number"]

    def handle_event(self, event: Any = None) -> None:
        super().handle_event(event)
        int(self.raw)


def test_filters_change_what_a_less_specific_generator_yields(bench: MakeBench) -> None:
    made = bench(
        {"a/a": "all ", "a/a.G5_g": "group ", "a/a.upper": "1", "a/a.G9_k.upper": "2", "a/a.H_h.upper": "3"}, [Upper]
    )
    assert made.text("/a", Client("x")) == "ALL 1"
    assert made.text("/a", Client("x", "g")) == "group "
    assert made.text("/a", Client("x", "g", "k")) == "GROUP 2"
    assert made.text("/a", Client("h")) == "ALL 13"
    assert made.text("/a", Client("x")) == "ALL 1"


def test_a_creator_is_asked_only_where_no_generator_applies_and_without_filters(bench: MakeBench) -> None:
    made = bench({"a/make.xml": "<x/>", "a/a.H_h": "static", "a/a.H_h.upper": "!", "a/a.upper": "?"}, [Maker, Upper])
    assert made.listed() == ["/a"]
    assert made.text("/a", Client("h")) == "STATIC!"
    assert made.text("/a", Client("x")) == "made for x"
    with pytest.raises(PluginExecutionError, match="cannot make it"):
        made.bind("/a", Client("unlucky"))


def test_an_info_handler_takes_the_place_of_info_xml(bench: MakeBench) -> None:
    assert bench({"a/a": "A", "a/owner": "bob\n"}, [Owner]).bind("/a").get("owner") == "bob"


def test_one_verifier_of_each_class_is_asked_the_most_specific(bench: MakeBench) -> None:
    made = bench({"a/a": "12345", "a/limit": "3", "a/limit.G1_g": "9", "a/make.xml": "<x/>"}, [Short, Maker])
    with pytest.raises(PluginExecutionError, match=r"^Failed to verify /a for host: 5 bytes$"):
        made.bind("/a")
    assert made.text("/a", Client("host", "g")) == "12345"
    made.delete("a/a")
    with pytest.raises(PluginExecutionError, match="Failed to verify /a for host: 13 bytes"):
        made.bind("/a")


def test_verifiers_can_be_switched_off(bench: MakeBench) -> None:
    assert bench({"a/a": "12345", "a/limit": "3"}, [Short], cfg_validation=False).text("/a") == "12345"


def test_a_deprecated_handler_is_named_when_a_file_uses_it_and_once(
    bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    made = bench({"a/a": "A"}, [Old])
    assert "Old" not in caplog.text
    made.change({"a/a.H_h.old": "1", "b/b.old": "2"})
    assert [record.message for record in caplog.records if "Old" in record.message and "deprecated" in record.message]
    assert caplog.text.count("Old") == 1
    assert made.text("/b") == "2"


@pytest.mark.parametrize("handler", [Short, Upper, Owner])
def test_a_helper_that_cannot_be_read_fails_the_entry(
    bench: MakeBench, handler: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, event: Any = None) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr(handler, "handle_event", fail)
    made = bench({"a/a": "A", "a/limit": "3", "a/a.upper": "", "a/owner": "bob"}, [handler])
    with pytest.raises(PluginExecutionError, match="cannot be used: disk on fire"):
        made.bind("/a")


def test_whatever_a_handler_raises_when_it_reads_costs_its_own_file(
    bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    made = bench({"a/a.number": "x", "b/b.number": "7", "a/a.H_h": "H"}, [Numbers])
    assert made.text("/b") == "7"
    assert made.text("/a", Client("h")) == "H"
    with pytest.raises(PluginExecutionError, match=r"a/a\.number cannot be used"):
        made.bind("/a")
    made.change({"b/b.number": "no"})
    assert made.text("/b") == "7"
    assert "keeping what was read before" in caplog.text
