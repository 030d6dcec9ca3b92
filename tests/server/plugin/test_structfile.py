"""XML files whose content depends on the client: conditions, Genshi templates, info.xml."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from bcfg2.server.plugin import InfoXML, PluginExecutionError, StructFile, TemplateDataProvider
from bcfg2.server.plugin.interfaces import Dependencies
from bcfg2.server.plugin.structfile import entry_name
from bcfg2.server.versioned import reading
from bcfg2.xml import Element, tostring
from tests.server.plugin.small_core import Client, SmallCore

PY = 'xmlns:py="http://genshi.edgewall.org/"'
XI = 'xmlns:xi="http://www.w3.org/2001/XInclude"'


@pytest.fixture
def core(tmp_path: Path) -> SmallCore:
    return SmallCore(tmp_path, encryption_lax_decryption=False)


def structfile(core: SmallCore, text: str, kind: type[StructFile] = StructFile) -> Any:
    core.write({"f.xml": text})
    return core.make(kind, core.path("f.xml"), should_monitor=True)


def matching(file: Any, *arguments: Any) -> str:
    return "".join(tostring(node) for node in file.Match(*arguments))


def test_what_applies_is_handed_out_as_copies(core: SmallCore) -> None:
    file = structfile(core, '<r><Group name="g"><a/></Group><b/></r>')
    for _ in range(2):
        whole = file.XMLMatch(Client("host", "g"))
        assert tostring(whole) == "<r><b/><a/></r>"
        assert matching(file, Client("host", "g")) == "<a/><b/>"
        whole[0].set("changed", "yes")
        file.Match(Client("host", "g"))[0].set("changed", "yes")
    assert tostring(file.XMLMatch(Client())) == "<r><b/></r>"


def test_a_file_that_was_never_read_has_nothing_to_say(core: SmallCore) -> None:
    file = structfile(core, "<broken>")
    with pytest.raises(PluginExecutionError, match=r"f\.xml has not been read"):
        file.Match(Client())
    with pytest.raises(PluginExecutionError, match="has not been read"):
        file.XMLMatch(Client())


def test_a_template_is_rendered_for_the_client_and_filtered_then(core: SmallCore) -> None:
    file = structfile(
        core, f'<r {PY}><Group name="g"><e py:for="n in (1, 2)" n="$n" h="${{metadata.hostname}}"/></Group>$repo</r>'
    )
    assert matching(file, Client("web", "g")) == '<e n="1" h="web"/><e n="2" h="web"/>'
    assert matching(file, Client("web")) == ""
    assert tostring(file.XMLMatch(Client("web"))) == f"<r>{core.repo}</r>"


def test_a_template_is_rendered_once_for_a_request(core: SmallCore) -> None:
    calls: list[str] = []
    metadata = Client("web", count=lambda: calls.append("rendered") or len(calls))
    file = structfile(core, f"<r {PY}><e>${{metadata.count()}}</e></r>")
    with reading():
        assert matching(file, metadata) == matching(file, metadata) == "<e>1</e>"
        assert tostring(file.XMLMatch(metadata)) == "<r><e>1</e></r>"
    assert matching(file, metadata) == "<e>2</e>"


def test_an_error_in_a_template_is_one_error_that_names_it(core: SmallCore) -> None:
    file = structfile(core, f"<r {PY}><e>${{metadata.none}}</e></r>")
    with pytest.raises(PluginExecutionError, match=r"f\.xml:1: .*none"):
        file.Match(Client())


def test_a_template_that_does_not_compile_leaves_the_last_good_one(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    file = structfile(core, f"<r {PY}><e>${{metadata.hostname}}</e></r>")
    core.change({"f.xml": f'<r {PY}><e py:if="1 +"/></r>'})
    assert matching(file, Client("web")) == "<e>web</e>"
    assert core.path("f.xml") in caplog.messages[-1]


def test_whether_a_file_is_a_template_is_decided_on_each_reading(core: SmallCore) -> None:
    file = structfile(core, f"<r {PY}><e>${{metadata.hostname}}</e></r>")
    core.change({"f.xml": "<r><e>$plain</e></r>"})
    assert matching(file, Client()) == "<e>$plain</e>"
    core.change({"f.xml": f"<r {PY}><e>${{1 + 1}}</e></r>"})
    assert matching(file, Client()) == "<e>2</e>"


def test_a_template_with_includes_keeps_its_python_code(core: SmallCore) -> None:
    core.write({"part.xml": f"<p {PY}><e n='${{number}}'/></p>"})
    file = structfile(core, f"<r {PY} {XI}><?python number = 7 ?><xi:include href='part.xml'/></r>")
    assert [node.get("n") for node in file.XMLMatch(Client()).iter("e")] == ["7"]


def test_a_file_that_a_template_would_include_counts_when_its_appearance_is_noticed(core: SmallCore) -> None:
    file = structfile(core, f"<r {PY} {XI}><xi:include href='part.xml'/><e/></r>")
    assert matching(file, Client()) == "<e/>"
    core.write({"part.xml": "<p/>"})  # as in the middle of a batch of changes
    assert matching(file, Client()) == "<e/>"
    core.apply()
    assert "<p/>" in matching(file, Client())


def test_the_xml_declaration_of_a_template_tells_its_encoding(core: SmallCore) -> None:
    core.write({"f.xml": f"<?xml version='1.0' encoding='iso-8859-1'?><r {PY}>caf\xe9</r>".encode("latin-1")})
    file = core.make(StructFile, core.path("f.xml"), should_monitor=True)
    assert file.XMLMatch(Client()).text == "caf\xe9"


def test_included_files_see_the_variables_of_the_template(core: SmallCore) -> None:
    core.write({"sub/i.xml": "<i>${metadata.hostname}</i>"})
    file = structfile(core, f'<r {PY} {XI}><xi:include href="sub/i.xml"/></r>')
    assert matching(file, Client("web")) == "<i>web</i>"
    core.change({"sub/i.xml": "<j>${metadata.hostname}</j>"})
    assert matching(file, Client("web")) == "<j>web</j>"


def test_plugins_add_variables_and_the_first_of_a_name_counts(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    class Provider(TemplateDataProvider):
        def __init__(self, name: str, **data: Any) -> None:
            self.name = name
            self.data = data

        def get_xml_template_data(self, structfile: Any, metadata: Any) -> dict[str, Any]:
            return self.data | {"path": structfile.name}

    core.plugins = [Provider("A", mine="A", metadata=None), Provider("B", mine="B", other=metadata_name)]
    file = structfile(core, f"<r {PY}><e>$mine ${{other(metadata)}} $path</e></r>")
    assert matching(file, Client("web")) == f"<e>A web {core.path('f.xml')}</e>"
    taken = [message for message in caplog.messages if "taken already" in message]
    assert [("metadata of plugin A" in text, "mine of plugin B" in text) for text in taken][:2] == [
        (True, False),
        (False, True),
    ]


def metadata_name(metadata: Any) -> str:
    return str(metadata.hostname)


def test_a_batch_seen_in_the_middle_of_a_request_does_not_change_it(core: SmallCore) -> None:
    file = structfile(core, "<r><old/></r>")
    with reading():
        assert matching(file, Client()) == "<old/>"
        thread = threading.Thread(target=core.change, args=({"f.xml": "<r><new/></r>"},))
        thread.start()
        thread.join(10)
        assert matching(file, Client()) == "<old/>"
    assert matching(file, Client()) == "<new/>"


ENCRYPTED = '<r{lax}><plain>x</plain><e encrypted="name">U2FsdGVkX18=</e></r>'


@pytest.mark.parametrize(
    ("option", "lax", "used"),
    [
        (False, "", False),
        (False, ' lax_decryption="true"', True),
        (True, "", True),
        (True, ' lax_decryption="no"', False),
    ],
)
def test_cipher_text_is_handed_out_only_where_lax_decryption_is_chosen(
    tmp_path: Path, option: bool, lax: str, used: bool
) -> None:
    core = SmallCore(tmp_path, encryption_lax_decryption=option)
    file = structfile(core, ENCRYPTED.format(lax=lax))
    assert file.loaded is used
    if used:
        assert "U2FsdGVkX18=" in matching(file, Client())


def test_an_empty_encrypted_element_needs_no_decryption(core: SmallCore) -> None:
    assert structfile(core, '<r><e encrypted="name"/></r>').loaded


# info.xml


def infoxml(core: SmallCore, text: str) -> Any:
    return structfile(core, f"<FileInfo>{text}</FileInfo>", InfoXML)


def bound(file: Any, metadata: Any, **attributes: str) -> Element:
    entry = etree.Element("Path", attributes)
    file.BindEntry(entry, metadata)
    return entry


def test_the_first_info_that_applies_gives_all_its_attributes(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    file = infoxml(
        core,
        '<Group name="g"><Info owner="g" mode="0600"/></Group><Client name="web"><Info owner="web"/></Client>'
        '<Group name="g" negate="true"><Info owner="rest" x="y"/></Group>',
    )
    assert dict(bound(file, Client("other"), name="/a", owner="mine").attrib) == {
        "name": "/a",
        "owner": "rest",
        "x": "y",
    }
    assert bound(file, Client("other", "g"), name="/a").get("owner") == "g"
    caplog.clear()
    assert dict(bound(file, Client("web", "g"), name="/a").attrib) == {"name": "/a", "owner": "g", "mode": "0600"}
    assert "2 Info elements apply" in caplog.text


def test_the_path_condition_compares_the_true_name(core: SmallCore) -> None:
    file = infoxml(
        core,
        '<Path name="/true"><Info owner="true"/></Path><Path name="/true" negate="true"><Info owner="other"/></Path>',
    )
    assert bound(file, Client(), name="/source", realname="/true").get("owner") == "true"
    assert bound(file, Client(), name="/true", realname="/other").get("owner") == "other"
    assert bound(file, Client(), name="/true").get("owner") == "true"


def test_no_info_that_applies_is_an_error(core: SmallCore) -> None:
    file = infoxml(core, '<Group name="g"><Info owner="g"/></Group>')
    with pytest.raises(PluginExecutionError, match=r"f\.xml applies to web"):
        bound(file, Client("web"), name="/a")


def test_acls_are_appended_with_their_conditions_resolved(core: SmallCore) -> None:
    file = infoxml(
        core,
        '<Info owner="o"><ACL type="access" user="a"/><Group name="g"><ACL type="default"/></Group></Info>',
    )
    assert [child.get("type") for child in bound(file, Client("web", "g"), name="/a")] == ["access", "default"]
    assert [child.get("type") for child in bound(file, Client("web"), name="/a")] == ["access"]


def test_included_file_infos_are_transparent(core: SmallCore) -> None:
    core.write({"i.xml": '<FileInfo><Info owner="included"/></FileInfo>'})
    file = infoxml(core, f'<xi:include {XI} href="i.xml"/>')
    assert bound(file, Client(), name="/a").get("owner") == "included"


def test_an_info_xml_may_be_a_template(core: SmallCore) -> None:
    file = structfile(
        core, f'<FileInfo {PY}><Info py:attrs="{{\'owner\': metadata.hostname}}" mode="0600"/></FileInfo>', InfoXML
    )
    assert bound(file, Client("web"), name="/a").get("owner") == "web"


def test_which_attributes_apply_depends_on_groups_and_hosts(core: SmallCore) -> None:
    file = infoxml(core, '<Group name="g"><Info/></Group><Client name="web"><Path name="/a"><Info/></Path></Client>')
    assert file.depends_on() == Dependencies(frozenset({"g"}), frozenset({"web"}))
    core.change({"f.xml": f"<FileInfo {PY}><Info/></FileInfo>"})
    assert file.depends_on() is None


def test_an_info_xml_that_becomes_broken_fails_until_it_is_repaired(core: SmallCore) -> None:
    for good in ('<FileInfo><Info owner="o"/></FileInfo>', f'<FileInfo {PY}><Info owner="o"/></FileInfo>'):
        file = structfile(core, good, InfoXML)
        core.change({"f.xml": "<FileInfo><Info owner='broken'>"})
        with pytest.raises(PluginExecutionError, match=r"f\.xml cannot be used"):
            bound(file, Client(), name="/a")
        assert file.depends_on() is None
        core.change({"f.xml": good})
        assert bound(file, Client(), name="/a").get("owner") == "o"


def test_an_info_xml_is_never_decrypted(core: SmallCore) -> None:
    file = infoxml(core, '<Info owner="o"><ACL encrypted="name">cipher</ACL></Info>')
    assert bound(file, Client(), name="/a")[0].text == "cipher"


def test_an_info_xml_that_cannot_be_read_is_an_error(core: SmallCore) -> None:
    file = infoxml(core, "<Info>")
    with pytest.raises(PluginExecutionError, match=r"f\.xml"):
        bound(file, Client(), name="/a")


def test_the_true_name_of_an_entry_is_what_the_client_asked_for() -> None:
    assert entry_name(etree.Element("Path", name="/a", realname="/b")) == "/b"
    assert entry_name(etree.Element("Path", name="/a")) == "/a"


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        ("<Inof mode='0600'/>", "f.xml:1: <Inof> is not known in <FileInfo>, did you mean <Info>?"),
        ("<Info mode='rw-r'/>", "f.xml:1: mode='rw-r' of <Info> is not valid"),
        ("<Info mod='0600'/>", "f.xml:1: <Info> has no attribute mod, did you mean mode?"),
        ("<Role name='g'><Info/></Role>", "f.xml:1: <Role> is not known in <FileInfo>"),
        ("<Group name='g' negated='true'><Info/></Group>", "did you mean negate?"),
    ],
)
def test_a_slip_that_could_open_a_file_fails_its_entries_until_it_is_repaired(
    core: SmallCore, caplog: pytest.LogCaptureFixture, slip: str, said: str
) -> None:
    file = infoxml(core, '<Info owner="o"/>')
    core.change({"f.xml": f"<FileInfo>{slip}<Info owner='x'/></FileInfo>"})
    with pytest.raises(PluginExecutionError, match=re.escape(said)):
        file.BindEntry(etree.Element("Path", name="/a"), Client("web"))
    assert said in caplog.text
    core.change({"f.xml": "<FileInfo><Info owner='again'/></FileInfo>"})
    entry = etree.Element("Path", name="/a")
    file.BindEntry(entry, Client("web"))
    assert entry.get("owner") == "again"


@pytest.mark.parametrize("mode", ["${'rw-r'}", "${'0' * 9}", "${'064' + '4 '}", "${''}"])
def test_a_mode_that_is_none_does_not_get_out_of_a_template(core: SmallCore, mode: str) -> None:
    file = structfile(core, f'<FileInfo {PY}><Info mode="{mode}"/></FileInfo>', InfoXML)
    with pytest.raises(PluginExecutionError, match=re.escape("of an Info element is none")):
        file.BindEntry(etree.Element("Path", name="/a"), Client("web"))


def test_a_mode_that_only_a_template_could_fill_in_is_refused_where_there_is_none(core: SmallCore) -> None:
    with pytest.raises(PluginExecutionError, match=re.escape("${mode}")):
        infoxml(core, '<Info mode="${mode}"/>').BindEntry(etree.Element("Path", name="/a"), Client("web"))


def test_attributes_that_no_schema_knows_are_copied_with_a_warning(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    entry = etree.Element("Path", name="/a")
    infoxml(core, '<Info mode="preserve" site="berlin"/>').BindEntry(entry, Client("web"))
    assert (entry.get("mode"), entry.get("site")) == ("preserve", "berlin")
    assert [record.levelname for record in caplog.records if "site" in record.getMessage()] == ["WARNING"]
