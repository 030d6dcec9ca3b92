"""Folders and trees of files of which each client gets one."""

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lxml import etree

from bcfg2.server.plugin import EntrySet, GroupSpool, PluginExecutionError, SpecificData, default_file_attributes
from bcfg2.server.versioned import reading
from bcfg2.xml import Element
from tests.server.plugin.small_core import Client, SmallCore

DEFAULTS = {
    "owner": "root",
    "group": "root",
    "mode": "644",
    "secontext": "__default__",
    "important": "false",
    "paranoid": "true",
    "sensitive": "false",
}


class Module(SpecificData):
    """A file whose text goes into the entry."""

    def bind_entry(self, entry: Element, metadata: Any) -> None:
        entry.text = str(self.data)


class Refusing(Module):
    """A file that may not hold the word bad."""

    def handle_event(self, event: Any = None) -> None:
        super().handle_event(event)
        if b"bad" in self.raw:
            raise ValueError("bad word")


class Modules(GroupSpool):
    """A plugin of one's own."""

    es_child_cls = Refusing
    entry_type = "Module"


class Patterns(GroupSpool):
    """The files of a folder have names of their own."""

    filename_pattern = r"[a-z]+\.pp"
    es_child_cls = Module


@pytest.fixture
def core(tmp_path: Path) -> SmallCore:
    return SmallCore(tmp_path, **{f"mdata_{name}": value for name, value in DEFAULTS.items()})


def modules(core: SmallCore, files: dict[str, str | bytes], kind: type[GroupSpool] = Modules) -> GroupSpool:
    core.write({f"{kind.__name__}/{name}": content for name, content in files.items()})
    plugin: GroupSpool = core.make(kind, core)
    return plugin


def bind(plugin: GroupSpool, name: str, client: Client) -> Element:
    entry = etree.Element(plugin.entry_type, name=name)
    plugin.Entries[plugin.entry_type][name](entry, client)
    return entry


def listed(plugin: GroupSpool) -> list[str]:
    return sorted(plugin.Entries.get(plugin.entry_type, {}))


def test_each_folder_with_files_serves_the_entry_of_its_path(core: SmallCore) -> None:
    plugin = modules(core, {"a/a": "A", "a/b/b": "B", "a/b/b.H_h": "H", "x y/x y": "blank"})
    assert listed(plugin) == ["/a", "/a/b", "/x y"]
    assert bind(plugin, "/a/b", Client("h")).text == "H"
    assert bind(plugin, "/a/b", Client("x")).text == "B"


def test_attributes_are_the_defaults_then_those_of_info_xml(core: SmallCore) -> None:
    plugin = modules(core, {"a/a": "A", "b/b": "B", "b/info.xml": '<FileInfo><Info owner="bob" x="y"/></FileInfo>'})
    assert dict(bind(plugin, "/a", Client()).attrib) == {"name": "/a", **DEFAULTS}
    assert dict(bind(plugin, "/b", Client()).attrib) == {"name": "/b", **DEFAULTS, "owner": "bob", "x": "y"}
    core.delete("Modules/b/info.xml")
    assert bind(plugin, "/b", Client()).get("owner") == "root"


def test_defaults_follow_the_options(core: SmallCore) -> None:
    plugin = modules(core, {"a/a": "A"})
    core.options = SimpleNamespace(**{**vars(core.options), "mdata_mode": "0600"})
    assert default_file_attributes(core.options)["mode"] == "0600"
    assert bind(plugin, "/a", Client()).get("mode") == "0600"


def test_files_that_do_not_belong_are_named_once_and_disturb_nobody(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = modules(core, {"a/a": "A", "a/README": "?", "a/a.genshi_include": "?", "TOP": "?", "only/README": "?"})
    assert [
        record.getMessage().split(" is ignored")[0] for record in caplog.records if "ignored" in record.message
    ] == [core.path(name) for name in ("Modules/TOP", "Modules/a/README", "Modules/only/README")]
    assert listed(plugin) == ["/a"]
    caplog.clear()
    core.change({"Modules/a/README": "edited"})
    assert not caplog.records


def test_an_info_xml_alone_claims_nothing(core: SmallCore) -> None:
    plugin = modules(core, {"a/info.xml": "<FileInfo><Info/></FileInfo>"})
    assert listed(plugin) == []
    core.change({"Modules/a/a": "A"})
    assert listed(plugin) == ["/a"]
    core.delete("Modules/a/a")
    assert listed(plugin) == []


def test_a_client_without_a_file_fails(core: SmallCore) -> None:
    plugin = modules(core, {"a/a.H_h": "H"})
    with pytest.raises(PluginExecutionError, match="No matching entries in .*/a for other"):
        bind(plugin, "/a", Client("other"))


def test_a_changed_file_that_cannot_be_used_keeps_the_old_content(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = modules(core, {"a/a": "good"})
    core.change({"Modules/a/a": "bad"})
    assert bind(plugin, "/a", Client()).text == "good"
    assert [record.levelname for record in caplog.records if "bad word" in record.message] == ["ERROR"]
    core.change({"Modules/a/a": "mended"})
    assert bind(plugin, "/a", Client()).text == "mended"


def test_a_file_that_never_could_be_used_fails_those_who_should_get_it_and_nobody_else(core: SmallCore) -> None:
    plugin = modules(core, {"a/a": "everybody", "a/a.H_h": "bad"})
    with pytest.raises(PluginExecutionError, match=r"a\.H_h cannot be used: bad word"):
        bind(plugin, "/a", Client("h"))
    assert bind(plugin, "/a", Client("x")).text == "everybody"


def test_a_broken_info_xml_fails_the_entry_until_it_is_mended(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = modules(core, {"a/a": "A", "a/info.xml": '<FileInfo><Info owner="first"/></FileInfo>'})
    core.change({"Modules/a/info.xml": "<FileInfo>"})
    assert "info.xml" in caplog.text
    with pytest.raises(PluginExecutionError, match=r"info\.xml cannot be used"):
        bind(plugin, "/a", Client())
    core.change({"Modules/a/info.xml": '<FileInfo><Info owner="second"/></FileInfo>'})
    assert bind(plugin, "/a", Client()).get("owner") == "second"


def test_an_edited_include_of_info_xml_takes_effect(core: SmallCore) -> None:
    core.write({"common.xml": '<FileInfo><Info owner="one"/></FileInfo>'})
    xinclude = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="../../common.xml"/>'
    plugin = modules(core, {"a/a": "A", "a/info.xml": f"<FileInfo>{xinclude}</FileInfo>"})
    assert bind(plugin, "/a", Client()).get("owner") == "one"
    core.change({"common.xml": '<FileInfo><Info owner="two"/></FileInfo>'})
    assert bind(plugin, "/a", Client()).get("owner") == "two"


def test_an_info_xml_that_is_edited_often_follows_its_includes_once(core: SmallCore) -> None:
    core.write({"common.xml": '<FileInfo><Info owner="one"/></FileInfo>'})
    xinclude = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="../../common.xml"/>'
    plugin = modules(core, {"a/a": "A"})
    for number in range(3):
        core.change({"Modules/a/info.xml": f"<FileInfo><!-- {number} -->{xinclude}</FileInfo>"})
    assert bind(plugin, "/a", Client()).get("owner") == "one"
    assert core.fam.list_event_handlers()[core.path("common.xml")].count("InfoXML") == 1


def test_files_come_go_and_change_their_names(core: SmallCore) -> None:
    plugin = modules(core, {"a/a": "A", "a/a.G1_g": "G"})
    client = Client("h", "g", "k")
    assert bind(plugin, "/a", client).text == "G"
    core.change({"Modules/a/a.H_h": "H"})
    assert bind(plugin, "/a", client).text == "H"
    core.move("Modules/a/a.H_h", "Modules/a/a.G2_k")
    assert bind(plugin, "/a", client).text == "H"
    assert bind(plugin, "/a", Client("h")).text == "A"
    core.delete("Modules/a/a.G2_k")
    assert bind(plugin, "/a", client).text == "G"


def test_folders_come_go_and_come_again(core: SmallCore) -> None:
    plugin = modules(core, {"a/a": "A"})
    core.change({"Modules/b/c/d/d": "D", "Modules/b/b": "B"})
    assert listed(plugin) == ["/a", "/b", "/b/c/d"]
    core.delete("Modules/b")
    assert listed(plugin) == ["/a"]
    core.change({"Modules/b/c/d/d": "new D"})
    assert listed(plugin) == ["/a", "/b/c/d"]
    core.change({"Modules/b/c/d/d": "newer D"})
    assert bind(plugin, "/b/c/d", Client()).text == "newer D"


def test_deleting_a_folder_spares_those_whose_names_begin_alike(core: SmallCore) -> None:
    plugin = modules(core, {"a/a": "A", "ab/ab": "AB", "a.d/a.d": "AD"})
    core.delete("Modules/a")
    assert listed(plugin) == ["/a.d", "/ab"]


def test_a_folder_that_is_replaced_in_one_batch_is_followed_on(core: SmallCore) -> None:
    plugin = modules(core, {"a/b/b": "old", "a/gone/gone": "old"})
    os.rename(core.path("Modules/a"), core.path("elsewhere"))
    core.change({"Modules/a/b/b": "new"})
    assert listed(plugin) == ["/a/b"]
    assert bind(plugin, "/a/b", Client()).text == "new"
    core.change({"Modules/a/b/b": "newer", "Modules/a/c/c": "C"})
    assert bind(plugin, "/a/b", Client()).text == "newer"
    assert listed(plugin) == ["/a/b", "/a/c"]


def test_a_moved_folder_serves_its_new_path(core: SmallCore) -> None:
    plugin = modules(core, {"a/b/b": "B"})
    core.move("Modules/a", "Modules/c")
    assert listed(plugin) == ["/c/b"]
    core.change({"Modules/c/b/b": "new"})
    assert bind(plugin, "/c/b", Client()).text == "new"


def test_a_folder_that_becomes_a_file_and_the_reverse(core: SmallCore) -> None:
    plugin = modules(core, {"a/a/a": "deep"})
    os.unlink(core.path("Modules/a/a/a"))
    os.rmdir(core.path("Modules/a/a"))
    core.change({"Modules/a/a": "flat"})
    assert listed(plugin) == ["/a"]
    os.unlink(core.path("Modules/a/a"))
    core.change({"Modules/a/a/a": "deep"})
    assert listed(plugin) == ["/a/a"]


def test_a_file_in_the_place_of_a_folder_that_went_with_its_parent_can_be_deleted(core: SmallCore) -> None:
    plugin = modules(core, {"a/a/a": "deep"})
    core.delete("Modules/a")
    core.change({"Modules/a/a": "flat", "Modules/a/a.H_h": "host"})
    assert bind(plugin, "/a", Client("x")).text == "flat"
    core.delete("Modules/a/a")
    with pytest.raises(PluginExecutionError):
        bind(plugin, "/a", Client("x"))
    assert bind(plugin, "/a", Client("h")).text == "host"


def test_symbolic_links_are_followed(core: SmallCore) -> None:
    core.write({"elsewhere/b": "B"})
    plugin = modules(core, {"a/a": "A"})
    os.symlink(core.path("elsewhere"), core.path("Modules/b"))
    os.symlink(core.path("elsewhere/b"), core.path("Modules/a/a.H_h"))
    core.apply()
    assert listed(plugin) == ["/a", "/b"]
    assert bind(plugin, "/a", Client("h")).text == "B"


def test_a_request_sees_a_batch_as_a_whole_or_not_at_all(core: SmallCore) -> None:
    plugin = modules(core, {"a/a": "A", "b/b": "B"})
    with reading():
        assert listed(plugin) == ["/a", "/b"]
        os.unlink(core.path("Modules/b/b"))
        thread = threading.Thread(target=core.change, args=({"Modules/a/a": "new", "Modules/c/c": "C"},))
        thread.start()
        thread.join(10)
        assert listed(plugin) == ["/a", "/b"]
        assert bind(plugin, "/a", Client()).text == "A"
        assert bind(plugin, "/b", Client()).text == "B"
    assert listed(plugin) == ["/a", "/c"]
    assert bind(plugin, "/a", Client()).text == "new"


def test_base_names_may_be_a_pattern(core: SmallCore) -> None:
    plugin = modules(core, {"a/one.pp": "1", "a/two.pp.H_h": "2", "a/README": "?"}, Patterns)
    assert bind(plugin, "/a", Client("x")).text == "1"
    assert bind(plugin, "/a", Client("h")).text == "2"
    assert [file.name for file in plugin.entries["a"].get_matching(Client("h"))] == [
        core.path("Patterns/a/two.pp.H_h"),
        core.path("Patterns/a/one.pp"),
    ]


def test_an_entry_set_of_one_folder_is_of_use_by_itself(core: SmallCore) -> None:
    core.write({"keys/k": "K", "keys/k.H_h": "H"})
    entries: EntrySet = core.make(EntrySet, "k", core.path("keys"), Module)
    for name in ("k", "k.H_h"):
        core.make(lambda name=name: entries.handle_event(SimpleNamespace(filename=name, code2str=lambda: "exists")))
    assert entries.best_matching(Client("h")).data == "H"
    assert entries.best_matching(Client("x")).data == "K"


def test_debugging_reaches_the_entry_sets(core: SmallCore) -> None:
    plugin = modules(core, {"a/a": "A"})
    plugin.set_debug(True)
    core.change({"Modules/b/b": "B"})
    assert [entry_set.debug_flag for entry_set in plugin.entries.values()] == [True, True]
