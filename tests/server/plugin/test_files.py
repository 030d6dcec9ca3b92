"""Files and folders in memory: what is on disk, as far as it can be used, follows every change."""

import logging
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from bcfg2 import xml
from bcfg2.server.filemonitor import Event
from bcfg2.server.plugin import DirectoryBacked, FileBacked, PluginExecutionError, XMLDirectoryBacked, XMLFileBacked
from bcfg2.server.schema import Fault, Problem
from bcfg2.server.versioned import reading
from tests.server.plugin.small_core import SmallCore

XI = 'xmlns:xi="http://www.w3.org/2001/XInclude"'


class Plain(XMLFileBacked):
    """Needs no attribute of the root element."""

    __identifier__ = None


class Numbers(FileBacked):
    """Takes numbers only."""

    def Index(self) -> None:
        int(self.data)


@pytest.fixture
def core(tmp_path: Path) -> SmallCore:
    return SmallCore(tmp_path)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# FileBacked


def test_a_file_is_read_again_and_keeps_its_line_ends(core: SmallCore) -> None:
    core.write({"f": "a\r\nb\n"})
    file = core.make(FileBacked, core.path("f"))
    assert (file.data, file.loaded, file.name) == ("", False, core.path("f"))
    file.HandleEvent()
    assert (file.data, file.loaded) == ("a\r\nb\n", True)


@pytest.mark.parametrize("content", ["no number", b"\xff\xfe"])
def test_content_that_is_refused_leaves_the_old_and_one_line(
    core: SmallCore, caplog: pytest.LogCaptureFixture, content: str | bytes
) -> None:
    core.write({"f": "1"})
    file = core.make(Numbers, core.path("f"))
    assert file.reload()
    core.write({"f": content})
    assert not file.reload()
    assert file.data == "1"
    (line,) = errors(caplog)
    assert core.path("f") in line


def test_only_events_that_say_that_the_file_is_there_read_it(core: SmallCore) -> None:
    core.write({"f": "1"})
    file = core.make(FileBacked, core.path("f"))
    for action, data in (("endExist", ""), ("deleted", ""), ("exists", "1"), ("changed", "2"), ("created", "3")):
        core.write({"f": data or "0"})
        file.HandleEvent(Event(1, core.path("f"), action))
        assert file.data == data


def test_a_file_that_cannot_be_read_is_one_line(core: SmallCore, caplog: pytest.LogCaptureFixture) -> None:
    file = core.make(FileBacked, core.path("none"))
    assert not file.reload()
    (line,) = errors(caplog)
    assert core.path("none") in line
    assert not file.loaded


# XMLFileBacked


@pytest.mark.parametrize("kind", [FileBacked, XMLFileBacked])
def test_reading_what_is_no_file_does_not_wait_for_ever(
    core: SmallCore, caplog: pytest.LogCaptureFixture, kind: type[FileBacked]
) -> None:
    os.mkfifo(core.path("x"))
    found = core.make(kind, core.path("x"))
    assert not found.reload()
    assert "not a regular file" in caplog.text


def test_an_xml_file_has_its_root_children_and_label(core: SmallCore) -> None:
    core.write({"f.xml": '<r name="n"><a/><b/></r>'})
    file = core.make(XMLFileBacked, core.path("f.xml"), should_monitor=True)
    assert (file.xdata.tag, [node.tag for node in file], file.label, file.extras) == ("r", ["a", "b"], "n", [])
    core.change({"f.xml": '<r name="m"/>'})
    assert (list(file), file.label) == ([], "m")


def test_the_text_of_an_xml_file_is_the_document_with_what_it_includes(core: SmallCore) -> None:
    include = '<a name="a" xmlns:xi="http://www.w3.org/2001/XInclude"><b/><xi:include href="c.xml"/></a>'
    core.write({"a.xml": include, "c.xml": "<c/>"})
    file = core.make(XMLFileBacked, core.path("a.xml"))
    assert file.data == ""
    file.HandleEvent()
    assert "<b/><c/></a>" in file.data


def test_a_root_without_the_label_is_refused(core: SmallCore, caplog: pytest.LogCaptureFixture) -> None:
    core.write({"f.xml": "<r/>"})
    file = core.make(XMLFileBacked, core.path("f.xml"), should_monitor=True)
    assert not file.loaded
    assert "no attribute name" in errors(caplog)[0]


def test_without_should_monitor_nobody_watches_the_file(core: SmallCore) -> None:
    core.write({"f.xml": "<r/>"})
    file = core.make(Plain, core.path("f.xml"))
    assert not file.loaded


@pytest.mark.parametrize("template", ["Clients", etree.Element("Clients", version="3")])
def test_a_missing_file_is_made_if_the_class_says_so(core: SmallCore, template: object) -> None:
    file = core.make(Plain, core.path("sub/f.xml"), should_monitor=True, create=template)
    assert file.loaded
    assert file.xdata.tag == "Clients"
    assert dict(etree.parse(core.path("sub/f.xml")).getroot().attrib) == dict(file.xdata.attrib)


def test_an_existing_file_is_never_made_anew(core: SmallCore) -> None:
    core.write({"f.xml": "<mine/>"})
    assert core.make(Plain, core.path("f.xml"), should_monitor=True, create="Clients").xdata.tag == "mine"


def test_broken_xml_leaves_the_old_and_names_file_and_line(core: SmallCore, caplog: pytest.LogCaptureFixture) -> None:
    core.write({"f.xml": "<r><a/></r>"})
    file = core.make(Plain, core.path("f.xml"), should_monitor=True)
    core.change({"f.xml": "<r>\n<a></r>"})
    assert [node.tag for node in file] == ["a"]
    (line,) = errors(caplog)
    assert f"{core.path('f.xml')}: line 2: " in line
    core.change({"f.xml": "<r><b/></r>"})
    assert [node.tag for node in file] == ["b"]


def test_an_included_file_that_changes_appears_or_breaks_counts(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    core.write({"f.xml": f'<r {XI}><xi:include href="sub/i.xml"/></r>'})
    file = core.make(Plain, core.path("f.xml"), should_monitor=True)
    assert (list(file), len(errors(caplog))) == ([], 1)
    core.change({"sub/i.xml": "<i/>"})
    assert [node.tag for node in file] == ["i"]
    assert file.extras == [core.path("sub/i.xml")]
    caplog.clear()
    core.change({"sub/i.xml": "<i>"})
    assert [node.tag for node in file] == ["i"]
    (line,) = errors(caplog)
    assert "i.xml" in line
    assert f"included from {core.path('f.xml')}:1" in line
    core.change({"sub/i.xml": "<j/>"})
    assert [node.tag for node in file] == ["j"]
    core.delete("sub/i.xml")
    assert list(file) == []


def test_a_file_that_cannot_be_used_from_the_start_is_used_once_what_it_includes_is_repaired(core: SmallCore) -> None:
    core.write({"f.xml": f'<r {XI}><xi:include href="i.xml"/></r>', "i.xml": "<broken>"})
    file = core.make(Plain, core.path("f.xml"), should_monitor=True)
    assert not file.loaded
    core.change({"i.xml": "<whole/>"})
    assert [node.tag for node in file] == ["whole"]


def test_new_matches_of_a_wildcard_count(core: SmallCore) -> None:
    core.write({"f.xml": f'<r {XI}><xi:include href="d/*.xml"/></r>', "d/2.xml": "<two/>"})
    file = core.make(Plain, core.path("f.xml"), should_monitor=True)
    core.change({"d/1.xml": "<one/>"})
    assert [node.tag for node in file] == ["one", "two"]
    core.delete("d/2.xml")
    assert [node.tag for node in file] == ["one"]


def test_a_batch_of_changes_of_included_files_is_read_once_and_complained_of_once(
    core: SmallCore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"parts/{number}.xml" for number in range(5)]
    core.write(dict.fromkeys(names, "<a/>"))
    core.write({"x.xml": f'<x {XI}><xi:include href="parts/*.xml"/></x>'})
    found = core.make(Plain, core.path("x.xml"), should_monitor=True)
    readings = []
    monkeypatch.setattr(found, "Index", lambda: readings.append(len(found.xdata)))
    core.write(dict.fromkeys([*names, "parts/new.xml"], "<b/>"))
    time.sleep(0.05)  # as monitors do: what was written just now may be written again without showing it
    core.apply()
    assert readings == [6]
    core.write(dict.fromkeys(names, "<broken"))
    time.sleep(0.05)
    core.apply()
    assert caplog.text.count("keeping what was read before") == 1


def test_an_included_file_that_changes_while_it_is_read_is_read_again(
    core: SmallCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    core.write({"x.xml": f'<x {XI}><xi:include href="part.xml"/></x>', "part.xml": "<old/>"})
    load = xml.load

    def slow_load(path: str, **more: Any) -> Any:
        document = load(path, **more)
        monkeypatch.setattr(xml, "load", load)
        core.write({"part.xml": "<new/>"})
        return document

    monkeypatch.setattr(xml, "load", slow_load)
    found = core.make(Plain, core.path("x.xml"), should_monitor=True)
    assert found.xdata[0].tag == "new"


def test_two_files_may_include_one(core: SmallCore) -> None:
    including = f'<r {XI}><xi:include href="i.xml"/></r>'
    core.write({"f.xml": including, "g.xml": including, "i.xml": "<i/>"})
    files = [core.make(Plain, core.path(name), should_monitor=True) for name in ("f.xml", "g.xml")]
    core.change({"i.xml": "<j/>"})
    assert [[node.tag for node in file] for file in files] == [["j"], ["j"]]


def test_a_report_of_a_state_that_was_read_long_after_it_was_written_reads_nothing(
    core: SmallCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10**12)
    core.write({"f.xml": "<r><a/></r>"})
    file = core.make(Plain, core.path("f.xml"), should_monitor=True)
    first = file.xdata
    report = Event(1, core.path("f.xml"), "exists")
    file.HandleEvent(report)
    assert file.xdata is first
    core.write({"f.xml": "<r><b/><b/></r>"})
    file.HandleEvent(report)
    assert [node.tag for node in file] == ["b", "b"]


def test_a_file_that_was_read_just_when_it_was_written_is_read_again(
    core: SmallCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    core.write({"f.xml": "<r><a/></r>"})
    written = os.stat(core.path("f.xml")).st_ctime_ns
    monkeypatch.setattr(time, "time_ns", lambda: written)  # what the clock of the file system cannot tell apart
    file = core.make(Plain, core.path("f.xml"), should_monitor=True)
    first = file.xdata
    file.HandleEvent(Event(1, core.path("f.xml"), "changed"))
    assert file.xdata is not first


def test_a_deleted_file_stays_in_force_and_counts_again_when_it_is_back(core: SmallCore) -> None:
    core.write({"f.xml": "<r><a/></r>"})
    file = core.make(Plain, core.path("f.xml"), should_monitor=True)
    core.delete("f.xml")
    assert [node.tag for node in file] == ["a"]
    core.change({"f.xml": "<r><b/></r>"})
    assert [node.tag for node in file] == ["b"]


# DirectoryBacked


class Folder(XMLDirectoryBacked):
    __child__ = Plain
    ignore = re.compile(r"^ignored")

    def __init__(self, data: str) -> None:
        self.changes: list[set[str]] = []
        super().__init__(data)

    def on_change(self) -> None:
        self.changes.append({path for path, _ in self})


def test_a_missing_folder_is_made(core: SmallCore, caplog: pytest.LogCaptureFixture) -> None:
    folder = core.make(Folder, core.path("d"))
    assert (core.repo / "d").is_dir()
    assert (len(folder), bool(folder)) == (0, True)
    assert "does not exist" in warnings(caplog)[0]


def test_files_at_any_depth_are_children_by_their_relative_path(core: SmallCore) -> None:
    core.write({"d/a.xml": "<a/>", "d/x/y/b.xml": "<b/>"})
    folder = core.make(Folder, core.path("d"))
    assert {path: child.xdata.tag for path, child in folder} == {"a.xml": "a", "x/y/b.xml": "b"}
    assert folder["x/y/b.xml"].name == core.path("d/x/y/b.xml")
    core.change({"d/new/deep/c.xml": "<c/>"})
    assert folder["new/deep/c.xml"].xdata.tag == "c"


def test_a_file_that_does_not_belong_is_warned_about_once(core: SmallCore, caplog: pytest.LogCaptureFixture) -> None:
    core.write({"d/a.txt": "", "d/ignored.txt": "", "d/.a.xml.swp": ""})
    folder = core.make(Folder, core.path("d"))
    core.change({"d/a.txt": "changed", "d/ignored.xml": "<r/>"})
    assert len(folder) == 0
    (line,) = warnings(caplog)
    assert core.path("d/a.txt") in line


def test_one_unusable_file_is_absent_and_costs_no_other(core: SmallCore, caplog: pytest.LogCaptureFixture) -> None:
    core.write({"d/a.xml": "<a/>", "d/b.xml": "<b>"})
    folder = core.make(Folder, core.path("d"))
    assert [path for path, _ in folder] == ["a.xml"]
    assert core.path("d/b.xml") in errors(caplog)[0]
    core.change({"d/b.xml": "<b/>"})
    assert {path for path, _ in folder} == {"a.xml", "b.xml"}
    core.change({"d/b.xml": "<b>"})
    assert folder["b.xml"].xdata.tag == "b"


def test_deleting_drops_a_file_or_all_below_a_folder_and_nothing_with_a_similar_name(core: SmallCore) -> None:
    core.write({f"d/{name}": "<r/>" for name in ("a/1.xml", "a/b/2.xml", "ab/3.xml", "a.xml", "c.xml")})
    folder = core.make(Folder, core.path("d"))
    core.delete("d/a")
    assert {path for path, _ in folder} == {"ab/3.xml", "a.xml", "c.xml"}
    core.delete("d/c.xml")
    assert {path for path, _ in folder} == {"ab/3.xml", "a.xml"}
    core.change({"d/a/4.xml": "<r/>"})
    assert {path for path, _ in folder} == {"ab/3.xml", "a.xml", "a/4.xml"}


def test_a_broken_file_that_is_deleted_is_forgotten_and_may_come_back_whole(core: SmallCore) -> None:
    core.write({"d/a.xml": "<broken>", "d/x/b.xml": "<broken>", "d/c.xml": "<r/>"})
    folder = core.make(Folder, core.path("d"))
    core.delete("d/a.xml")
    core.delete("d/x")
    assert folder._unusable == {}
    core.change({"d/a.xml": "<whole/>", "d/x/b.xml": "<whole/>"})
    assert {path for path, _ in folder} == {"a.xml", "x/b.xml", "c.xml"}


def test_a_file_that_is_gone_follows_its_includes_no_more(core: SmallCore, caplog: pytest.LogCaptureFixture) -> None:
    text = f"<r {XI}><xi:include href='../i.xml'/></r>"
    core.write({"d/a.xml": text, "i.xml": "<i/>"})
    folder = core.make(Folder, core.path("d"))
    for _ in range(3):
        core.delete("d/a.xml")
        assert core.path("i.xml") not in core.fam.list_event_handlers()
        core.change({"d/a.xml": text})
    core.change({"d/a.xml": "<r>"})
    core.change({"i.xml": "<j/>", "d/a.xml": text})
    caplog.clear()
    core.change({"i.xml": "<i>"})
    assert len(caplog.records) == 1
    core.delete("d/a.xml")  # with a file that it includes in one batch
    core.change({"i.xml": "<k/>", "d/a.xml": text})
    (core.repo / "i.xml").unlink()
    core.delete("d/a.xml")
    assert len(folder) == 0
    core.change({"i.xml": "<l/>", "d/a.xml": text})
    assert [node.tag for node in folder["a.xml"].xdata] == ["l"]


def test_every_kind_of_change_is_told_once_at_the_end(core: SmallCore) -> None:
    folder = core.make(Folder, core.path("d"))
    core.change({"d/a.xml": "<r/>", "d/b.xml": "<r/>"})
    core.change({"d/a.xml": "<s/>"})
    core.delete("d/b.xml")
    core.change({"elsewhere/a.xml": "<r/>"})
    assert folder.changes == [{"a.xml", "b.xml"}, {"a.xml", "b.xml"}, {"a.xml"}]


def test_renaming_moves_what_is_below(core: SmallCore) -> None:
    core.write({"d/a/1.xml": "<r/>"})
    folder = core.make(Folder, core.path("d"))
    core.move("d/a", "d/b")
    assert [path for path, _ in folder] == ["b/1.xml"]
    core.change({"d/b/1.xml": "<s/>"})
    assert folder["b/1.xml"].xdata.tag == "s"


def test_the_whole_folder_may_go_and_come_back(core: SmallCore) -> None:
    core.write({"d/a/1.xml": "<r/>"})
    folder = core.make(Folder, core.path("d"))
    core.delete("d")
    assert len(folder) == 0
    core.change({"d/a/1.xml": "<s/>"})
    assert folder["a/1.xml"].xdata.tag == "s"


def test_a_batch_is_one_change_for_requests_and_one_call_of_on_change(core: SmallCore) -> None:
    core.write({"d/a.xml": "<old/>", "d/b.xml": "<old/>"})
    folder = core.make(Folder, core.path("d"))
    assert folder.changes == [{"a.xml", "b.xml"}]
    with reading():
        # the batch is applied by another thread while this request goes on
        thread = threading.Thread(target=core.change, args=({"d/a.xml": "<newer/>", "d/c.xml": "<newer/>"},))
        thread.start()
        thread.join(10)
        assert {path: child.xdata.tag for path, child in folder} == {"a.xml": "old", "b.xml": "old"}
    assert {path: child.xdata.tag for path, child in folder} == {"a.xml": "newer", "b.xml": "old", "c.xml": "newer"}
    assert len(folder.changes) == 2


def test_children_need_not_be_files_in_memory(core: SmallCore) -> None:
    class Child:
        def __init__(self, path: str) -> None:
            self.path = path
            self.events: list[str] = []

        def HandleEvent(self, event: object) -> None:
            self.events.append(event.code2str())  # type: ignore[attr-defined]

    class Any(DirectoryBacked):
        __child__ = Child

    core.write({"d/f": ""})
    folder = core.make(Any, core.path("d"))
    core.change({"d/f": "changed"})
    assert (folder["f"].path, folder["f"].events) == (core.path("d/f"), ["exists", "changed"])


def test_debugging_is_passed_on(core: SmallCore) -> None:
    core.write({"d/a.xml": "<a/>"})
    folder = core.make(Folder, core.path("d"))
    assert folder.set_debug(True) is True
    assert folder["a.xml"].debug_flag is True


class Picky(Plain):
    def Index(self) -> None:
        super().Index()
        if self.xdata.tag == "bad":
            raise PluginExecutionError("bad")


class PickyFolder(Folder):
    __child__ = Picky


names = st.sampled_from(["a.xml", "b.xml", "x/a.xml", "x/y/c.xml", "xy/a.xml"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), names, st.sampled_from(["one", "two", "bad"])),
        st.tuples(st.just("delete"), st.sampled_from(["a.xml", "b.xml", "x", "x/y", "x/a.xml", "xy"]), st.none()),
        st.tuples(st.just("apply"), st.none(), st.none()),
    ),
    max_size=15,
)


@settings(deadline=None)  # it writes files
@given(steps)
def test_whatever_happens_on_disk_the_last_usable_content_is_in_memory(
    tmp_path_factory: pytest.TempPathFactory, sequence: list[tuple[str, str | None, str | None]]
) -> None:
    core = SmallCore(tmp_path_factory.mktemp("repo"))
    folder = core.make(PickyFolder, core.path("d"))
    on_disk: dict[str, str] = {}
    in_force: dict[str, str] = {}
    for number, (action, name, tag) in enumerate([*sequence, ("apply", None, None)]):
        path = core.repo / "d" / (name or "")
        if action == "write":
            core.write({f"d/{name}": f"<{tag}>{number}</{tag}>"})  # no two states of a file look the same
            on_disk[str(name)] = str(tag)
        elif action == "delete" and path.exists():
            core.delete(f"d/{name}")
            on_disk = {
                known: tag for known, tag in on_disk.items() if known != name and not known.startswith(f"{name}/")
            }
        core.apply()
        in_force = {known: tag if tag != "bad" else in_force.get(known, "") for known, tag in on_disk.items()}
        expected = {known: tag for known, tag in in_force.items() if tag}
        assert {known: child.xdata.tag for known, child in folder} == expected


# schemas


class Decisions(Plain):
    schema = "decisions"


def test_what_the_schema_does_not_know_is_one_warning_and_the_file_is_used(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = '<Decision tpye="t" type="t" name="n"/>\n'
    core.write({"f.xml": f"<Decisions>\n{wrong * 30}<Decsion/></Decisions>"})
    file = core.make(Decisions, core.path("f.xml"))
    file.HandleEvent()
    assert file.loaded and len(file.entries) == 31
    [line] = warnings(caplog)
    assert line.startswith(f"{core.path('f.xml')}:2: <Decision> has no attribute tpye, did you mean type?; the file is")
    assert "in line 3, line 4," in line and "and 20 other places" in line
    assert not errors(caplog)


def test_every_reading_is_checked_anew_and_a_good_file_is_no_news(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    core.write({"f.xml": "<Decisions><Decision/></Decisions>"})
    file = core.make(Decisions, core.path("f.xml"))
    for content, said in (("<Decisions><Deciison/></Decisions>", 1), ("<Decisions/>", 0), ("<Decisions>", 0)):
        caplog.clear()
        core.write({"f.xml": content})
        file.HandleEvent()
        assert len(warnings(caplog)) == said


def test_a_problem_of_an_included_file_names_that_file(core: SmallCore, caplog: pytest.LogCaptureFixture) -> None:
    core.write(
        {
            "f.xml": f'<Decisions {XI}>\n\n<xi:include href="i.xml"/><Odd/></Decisions>',
            "i.xml": "<Decisions>\n<Decision/></Decisions>",
        }
    )
    core.make(Decisions, core.path("f.xml")).HandleEvent()
    [line] = warnings(caplog)
    assert line.startswith(f"{core.path('f.xml')}:3: <Odd>") and f"{core.path('i.xml')}:2" in line


def test_a_plugin_names_a_schema_of_its_own_and_may_refuse_files(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    core.write(
        {
            "s.xsd": '<s:schema xmlns:s="http://www.w3.org/2001/XMLSchema"><s:element name="a"/></s:schema>',
            "f.xml": "<a/>",
        }
    )

    class Strict(Plain):
        schema = core.path("s.xsd")

        def refuses(self, problem: Problem) -> bool:
            return problem.fault is Fault.ROOT

    file = core.make(Strict, core.path("f.xml"))
    file.HandleEvent()
    core.write({"f.xml": "\n<b/>"})
    file.HandleEvent()
    assert file.xdata.tag == "a"
    [line] = errors(caplog)
    assert "f.xml:2: the root element is <b>, call it <a>" in line


def test_a_schema_that_cannot_be_used_keeps_no_file_from_being_used(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    class Lost(Plain):
        schema = core.path("none.xsd")

    core.write({"f.xml": "<a/>"})
    file = core.make(Lost, core.path("f.xml"))
    file.HandleEvent()
    assert file.loaded
    [line] = errors(caplog)
    assert "f.xml is not checked" in line and "none.xsd" in line
