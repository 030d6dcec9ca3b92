"""Folders of XML files with priorities: one candidate wins as a whole, or the entry fails."""

from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from bcfg2.server.plugin import PluginExecutionError, PrioDir, priority
from bcfg2.server.plugin.interfaces import Dependencies
from bcfg2.server.versioned import reading
from bcfg2.xml import Element, tostring
from tests.server.plugin.small_core import Client, SmallCore

PY = 'xmlns:py="http://genshi.edgewall.org/"'


class Lookup(PrioDir):
    """As it is."""


class Patterns(PrioDir):
    use_patterns = True


class CaseBlind(PrioDir):
    def _matches(self, entry: Element, metadata: Any, candidate: Element) -> bool:
        return candidate.get("name", "").lower() == entry.get("name", "").lower()


@pytest.fixture
def core(tmp_path: Path) -> SmallCore:
    return SmallCore(tmp_path, encryption_lax_decryption=False)


def plugin(core: SmallCore, kind: type[PrioDir] = Lookup, **files: str) -> Any:
    core.write({f"{kind.__name__}/{name}.xml": text for name, text in files.items()})
    return core.make(kind, core)


def bound(subject: Any, tag: str, name: str, metadata: Any = None, **attributes: str) -> str:
    entry = etree.Element(tag, {"name": name, **attributes})
    subject.BindEntry(entry, metadata or Client())
    return tostring(entry)


def test_attributes_that_the_entry_has_win_and_text_and_children_are_added(core: SmallCore) -> None:
    subject = plugin(
        core, a='<R priority="1"><E name="n" a="rule" b="rule">text<x/><Group name="g"><y/></Group></E></R>'
    )
    entry = etree.fromstring('<E name="n" a="entry">old<mine/></E>')
    subject.BindEntry(entry, Client("host", "g"))
    assert tostring(entry) == '<E name="n" a="entry" b="rule">text<mine/><x/><y/></E>'
    assert bound(subject, "E", "n") == '<E name="n" a="rule" b="rule">text<x/></E>'


def test_blank_text_replaces_nothing(core: SmallCore) -> None:
    subject = plugin(core, a='<R priority="1"><E name="n">  </E></R>')
    entry = etree.fromstring('<E name="n">old</E>')
    subject.BindEntry(entry, Client())
    assert entry.text == "old"


def test_the_highest_priority_wins_as_a_whole(core: SmallCore) -> None:
    subject = plugin(
        core,
        low='<R priority="-5"><E name="n" a="low" only="low">low</E></R>',
        high='<R priority="3"><E name="n" a="high"/></R>',
    )
    assert bound(subject, "E", "n") == '<E name="n" a="high"/>'


@pytest.mark.parametrize(
    "files",
    [
        {"a": '<R priority="1"><E name="n"/><E name="n"/></R>'},
        {"a": '<R priority="1"><E name="n"/></R>', "b": '<R priority="1"><Group name="g"><E name="n"/></Group></R>'},
    ],
)
def test_two_of_the_highest_priority_are_a_conflict_that_names_them(core: SmallCore, files: dict[str, str]) -> None:
    subject = plugin(core, low='<R priority="0"><E name="n"/></R>', **files)
    with pytest.raises(PluginExecutionError, match=r"priority 1 for E n: .*a\.xml:1, .*\.xml:1"):
        bound(subject, "E", "n", Client("host", "g"))


def test_what_does_not_apply_is_no_candidate(core: SmallCore) -> None:
    subject = plugin(
        core,
        a='<R priority="2"><Group name="g"><Client name="web"><E name="n" a="both"/></Client></Group></R>',
        b='<R priority="1"><E name="n" a="rest"/><Group name="g" negate="true"><F name="f"/></Group></R>',
    )
    assert bound(subject, "E", "n", Client("web", "g")) == '<E name="n" a="both"/>'
    assert bound(subject, "E", "n", Client("web")) == '<E name="n" a="rest"/>'
    assert bound(subject, "E", "n", Client("db", "g")) == '<E name="n" a="rest"/>'
    entry = etree.Element("F", name="f")
    assert subject.HandlesEntry(entry, Client())
    assert not subject.HandlesEntry(entry, Client("web", "g"))
    with pytest.raises(PluginExecutionError, match="nothing for F f"):
        subject.HandleEntry(entry, Client("web", "g"))


def test_candidates_stand_at_any_depth(core: SmallCore) -> None:
    subject = plugin(core, a='<R priority="1"><R priority="9"><any><E name="n" a="deep"/></any></R></R>')
    assert bound(subject, "E", "n") == '<E name="n" a="deep"/>'


@pytest.mark.parametrize(("rule", "entry"), [("/a/", "/a"), ("/a", "/a/"), ("/a//", "/a/"), ("/", "/")])
def test_paths_are_equal_without_regard_to_slashes_at_the_end(core: SmallCore, rule: str, entry: str) -> None:
    subject = plugin(core, a=f'<R priority="1"><Path name="{rule}" owner="o"/></R>')
    assert bound(subject, "Path", entry) == f'<Path name="{entry}" owner="o"/>'


def test_other_names_are_compared_exactly(core: SmallCore) -> None:
    subject = plugin(core, a='<R priority="1"><E name="/a/"/><E name="n.*"/><Path name="/b"/></R>')
    for tag, name in (("E", "/a"), ("E", "nn"), ("E", "N.*"), ("Path", "/B"), ("Path", "/b/c")):
        with pytest.raises(PluginExecutionError):
            bound(subject, tag, name)
    assert bound(subject, "E", "n.*") == '<E name="n.*"/>'


def test_patterns_match_whole_names_and_have_no_lower_rank(core: SmallCore) -> None:
    subject = plugin(
        core,
        Patterns,
        a='<R priority="2"><E name="a|bc" from="pattern"/></R>',
        b='<R priority="1"><E name="bc" from="name"/></R>',
    )
    assert bound(subject, "E", "bc") == '<E name="bc" from="pattern"/>'
    for name in ("abc", "ac", "xa", "bcd", "bc\n"):
        with pytest.raises(PluginExecutionError):
            bound(subject, "E", name)


def test_a_name_that_is_no_pattern_matches_itself_and_is_said_once(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    subject = plugin(core, Patterns, a='<R priority="1"><E name="lib(c++" from="a"/><E name="x.*" from="b"/></R>')
    assert bound(subject, "E", "lib(c++") == '<E name="lib(c++" from="a"/>'
    assert bound(subject, "E", "xy") == '<E name="xy" from="b"/>'
    assert len([text for text in caplog.messages if "no regular expression" in text]) == 1


def test_what_is_remembered_is_limited_and_stays_right(core: SmallCore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priority, "_MAX_REMEMBERED", 3)
    monkeypatch.setattr(priority, "_MAX_VIEWS", 2)
    groups = "".join(f'<Group name="g{number}"><E name="n[0-9]" in="{number}"/></Group>' for number in range(5))
    subject = plugin(core, Patterns, a=f'<R priority="1">{groups}</R>')
    for _ in range(2):
        for number in range(5):
            for name in ("n1", "n2", "n3", "n4", "n5"):
                expected = f'<E name="{name}" in="{number}"/>'
                assert bound(subject, "E", name, Client("host", f"g{number}")) == expected
            index = subject._index
            assert len(index._found) <= 3
            assert len(index._views) <= 2
            assert all(len(view._found) <= 3 for view in index._views.values())


def test_what_a_binding_depends_on_is_what_its_candidates_ask_for(core: SmallCore) -> None:
    subject = plugin(
        core,
        a='<R priority="2"><Group name="g"><E name="n"><Client name="web"><x/></Client></E></Group></R>',
        b='<R priority="1"><E name="n"/><Group name="h"><E name="m"/></Group></R>',
    )
    assert subject.conditions_for(etree.Element("E", name="n")) == Dependencies(frozenset("g"), frozenset({"web"}))
    assert subject.conditions_for(etree.Element("E", name="m")) == Dependencies(frozenset("h"), frozenset())
    assert subject.conditions_for(etree.Element("E", name="none")) == Dependencies()
    core.change({"Lookup/t.xml": f'<R {PY} priority="0"/>'})
    assert subject.conditions_for(etree.Element("E", name="n")) is None


def test_a_plugin_that_matches_in_its_own_way_depends_on_anything(core: SmallCore) -> None:
    subject = plugin(core, CaseBlind, a='<R priority="1"><E name="n"/></R>')
    assert subject.conditions_for(etree.Element("E", name="n")) is None


def test_a_plugin_may_match_in_its_own_way(core: SmallCore) -> None:
    subject = plugin(core, CaseBlind, a='<R priority="1"><E name="Name" from="a"/><F name="name"/></R>')
    assert bound(subject, "E", "nAME") == '<E name="nAME" from="a"/>'


def test_a_plugin_may_apply_what_it_found_in_its_own_way(core: SmallCore) -> None:
    class Loud(PrioDir):
        def _apply(self, entry: Element, candidate: Element) -> None:
            super()._apply(entry, candidate)
            entry.set("from", candidate.get("name", ""))
            candidate.clear()  # it is this plugin's own copy

    rule = '<R priority="1"><E name="n" a="1"><x/><Group name="g"><y/></Group></E><E name="m"/></R>'
    subject = plugin(core, Loud, a=rule)
    for _ in range(2):
        assert bound(subject, "E", "n", Client("host", "g")) == '<E name="n" a="1" from="n"><x/><y/></E>'
        assert bound(subject, "E", "m") == '<E name="m" from="m"/>'
    assert subject.conditions_for(etree.Element("E", name="n")) is None


def test_only_plain_children_of_the_root_are_listed_by_name(core: SmallCore) -> None:
    subject = plugin(core, a='<R priority="1"><E name="n"/><Group name="g"><E name="m"/></Group><F/></R>')
    assert {tag: set(names) for tag, names in subject.Entries.items()} == {"E": {"n"}}
    entry = etree.Element("E", name="n")
    subject.Entries["E"]["n"](entry, Client())


@pytest.mark.parametrize("priority", ["", 'priority=""', 'priority="high"', 'priority="1.5"'])
def test_a_file_without_an_integer_priority_is_refused_alone(
    core: SmallCore, caplog: pytest.LogCaptureFixture, priority: str
) -> None:
    subject = plugin(
        core, a=f'<R {priority}><E name="n" from="a"/></R>', b='<R priority="1"><E name="n" from="b"/></R>'
    )
    assert bound(subject, "E", "n") == '<E name="n" from="b"/>'
    assert "a.xml" in caplog.text
    assert "integer attribute priority" in caplog.text


def test_a_priority_that_is_spoiled_later_leaves_file_and_priority_as_they_were(core: SmallCore) -> None:
    subject = plugin(
        core, a='<R priority="5"><E name="n" from="a"/></R>', b='<R priority="1"><E name="n" from="b"/></R>'
    )
    core.change({"Lookup/a.xml": '<R priority="x"><E name="n" from="spoiled"/></R>'})
    core.change({"Lookup/b.xml": '<R priority="2"><E name="n" from="newer"/></R>'})
    assert bound(subject, "E", "n") == '<E name="n" from="a"/>'


def test_changes_take_effect_and_deleted_files_are_gone(core: SmallCore) -> None:
    subject = plugin(core, a='<R priority="1"><E name="n" from="a"/></R>')
    core.change({"Lookup/sub/b.xml": '<R priority="2"><E name="n" from="b"/></R>'})
    assert bound(subject, "E", "n") == '<E name="n" from="b"/>'
    core.change({"Lookup/sub/b.xml": '<R priority="0"><E name="n" from="b"/></R>'})
    assert bound(subject, "E", "n") == '<E name="n" from="a"/>'
    core.delete("Lookup/a.xml")
    assert bound(subject, "E", "n") == '<E name="n" from="b"/>'
    core.delete("Lookup/sub")
    with pytest.raises(PluginExecutionError):
        bound(subject, "E", "n")
    assert subject.Entries == {}


def test_a_plugin_is_debugged_from_the_start_if_the_options_say_so(tmp_path: Path) -> None:
    subject = plugin(SmallCore(tmp_path, logging_debug=True, encryption_lax_decryption=False))
    assert subject.debug_flag is True
    assert plugin(SmallCore(tmp_path, encryption_lax_decryption=False)).debug_flag is False


def test_templates_are_rendered_once_for_a_request_and_compete_with_plain_files(core: SmallCore) -> None:
    rendered: list[int] = []
    metadata = Client("web", names=lambda: rendered.append(1) or ["n", "m"])
    subject = plugin(
        core,
        a=f'<R {PY} priority="2"><E py:for="name in metadata.names()" name="$name" from="${{metadata.hostname}}"/></R>',
        b='<R priority="1"><E name="n" from="b"/><E name="o" from="b"/></R>',
    )
    with reading():
        results = [bound(subject, "E", name, metadata) for name in ("n", "m", "o")]
    assert results == ['<E name="n" from="web"/>', '<E name="m" from="web"/>', '<E name="o" from="b"/>']
    assert rendered == [1]


def test_a_template_that_fails_is_left_out_and_costs_no_other_file(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    subject = plugin(
        core,
        a=f'<R {PY} priority="2"><E name="n" from="${{metadata.none}}"/></R>',
        b='<R priority="1"><E name="n" from="b"/></R>',
    )
    assert bound(subject, "E", "n", Client("web")) == '<E name="n" from="b"/>'
    assert "a.xml" in caplog.text
    assert "for web" in caplog.text


def test_what_is_bound_is_never_part_of_the_rules(core: SmallCore) -> None:
    subject = plugin(core, a='<R priority="1"><E name="n"><x/></E></R>')
    entry = etree.Element("E", name="n")
    subject.BindEntry(entry, Client())
    entry[0].set("changed", "yes")
    assert bound(subject, "E", "n") == '<E name="n"><x/></E>'
