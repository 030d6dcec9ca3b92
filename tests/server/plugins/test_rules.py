"""Rules: what entries get, by name or pattern, by group and by priority."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugin.priority import with_name
from bcfg2.server.plugins.rules import Rules
from bcfg2.xml import tostring
from tests.server.plugin.small_core import Client, SmallCore


def rules(folder: Path, files: dict[str, str], *, regex: bool = False, replace_name: bool = False) -> Any:
    core = SmallCore(folder, rules_regex=regex, rules_replace_name=replace_name, encryption_lax_decryption=False)
    core.write({f"Rules/{name}": text for name, text in files.items()})
    return core.make(Rules, core)


def bound(subject: Any, tag: str, name: str, metadata: Any = None) -> str:
    entry = etree.Element(tag, name=name)
    subject.BindEntry(entry, metadata or Client())
    return tostring(entry)


def test_with_regex_off_a_name_is_literal(tmp_path: Path) -> None:
    subject = rules(tmp_path, {"a.xml": '<Rules priority="1"><Package name="lib.*" type="deb"/></Rules>'})
    assert bound(subject, "Package", "lib.*") == '<Package name="lib.*" type="deb"/>'
    with pytest.raises(PluginExecutionError):
        bound(subject, "Package", "libc")


def test_with_regex_on_a_name_is_a_pattern_for_the_whole_name(tmp_path: Path) -> None:
    subject = rules(tmp_path, {"a.xml": '<Rules priority="1"><Package name="lib.*" type="deb"/></Rules>'}, regex=True)
    assert bound(subject, "Package", "libc") == '<Package name="libc" type="deb"/>'
    with pytest.raises(PluginExecutionError):
        bound(subject, "Package", "my-libc")


def test_the_slash_at_the_end_of_a_path_does_not_count_for_patterns(tmp_path: Path) -> None:
    subject = rules(tmp_path, {"a.xml": '<Rules priority="1"><Path name="/srv/.*x" owner="o"/></Rules>'}, regex=True)
    assert bound(subject, "Path", "/srv/x") == '<Path name="/srv/x" owner="o"/>'
    with pytest.raises(PluginExecutionError):
        bound(subject, "Path", "/srv/x/")


def test_the_name_replaces_its_mark_in_attributes_only(tmp_path: Path) -> None:
    text = (
        '<Rules priority="1"><Action name=".*" command="run %{name} %name 100%% %other" timing="post">%{name}'
        '<x a="%{name}"/></Action></Rules>'
    )
    assert bound(rules(tmp_path / "on", {"a.xml": text}, regex=True, replace_name=True), "Action", "n") == (
        '<Action name="n" command="run n n 100% %other" timing="post">%{name}<x a="%{name}"/></Action>'
    )
    assert 'command="run %{name} %name 100%% %other"' in bound(
        rules(tmp_path / "off", {"a.xml": text}, regex=True), "Action", "n"
    )


def test_a_mark_in_the_entry_s_own_attributes_stays(tmp_path: Path) -> None:
    subject = rules(tmp_path, {"a.xml": '<Rules priority="1"><Action name="n" x="%name"/></Rules>'}, replace_name=True)
    entry = etree.Element("Action", name="n", own="%name")
    subject.BindEntry(entry, Client())
    assert dict(entry.attrib) == {"name": "n", "own": "%name", "x": "n"}


@given(
    st.lists(st.sampled_from(["%{name}", "%name", "%%", "%", "x", "{name}", "%nam", "%{name"])),
    st.text("ab%{}", max_size=5),
)
def test_replacing_the_name_reads_from_the_left_once(parts: list[str], name: str) -> None:
    def plain(text: str) -> str:
        for mark, replacement in (("%%", "%"), ("%{name}", name), ("%name", name)):
            if text.startswith(mark):
                return replacement + plain(text[len(mark) :])
        return text[0] + plain(text[1:]) if text else ""

    text = "".join(parts)
    assert with_name(text, name) == plain(text)


# any rules, against a plain reading of them

NAMES = ["a", "b", "ab", "/a", "/a/", "a.", "a|b", "a+", ".*"]
rule = st.tuples(
    st.sampled_from(["Package", "Path"]), st.sampled_from(NAMES), st.sampled_from([None, "g", "!g"]), st.integers(0, 3)
)
file = st.tuples(st.integers(-1, 2), st.lists(rule, max_size=4))


@settings(deadline=None)  # it writes files
@given(st.lists(file, max_size=3), st.booleans(), st.sampled_from([Client("host"), Client("host", "g")]))
def test_which_rule_wins_agrees_with_a_plain_reading(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[tuple[int, list[tuple[str, str, str | None, int]]]],
    regex: bool,
    metadata: Client,
) -> None:
    def written(priority: int, contents: list[tuple[str, str, str | None, int]]) -> str:
        lines = []
        for tag, name, group, value in contents:
            element = f'<{tag} name="{name}" v="{value}"/>'
            if group:
                negate = ' negate="true"' if group.startswith("!") else ""
                element = f'<Group name="g"{negate}>{element}</Group>'
            lines.append(element)
        return f'<Rules priority="{priority}">{"".join(lines)}</Rules>'

    def matches(tag: str, rule_name: str, entry_name: str) -> bool:
        if rule_name == entry_name or (tag == "Path" and rule_name.rstrip("/") == entry_name.rstrip("/")):
            return True
        return regex and re.fullmatch(rule_name, entry_name) is not None

    def winner(tag: str, name: str) -> int | None:
        found = [
            (priority, value)
            for priority, contents in files
            for rule_tag, rule_name, group, value in contents
            if rule_tag == tag and matches(tag, rule_name, name)
            if group is None or (group == "g") == ("g" in metadata.groups)
        ]
        best = [value for priority, value in found if priority == max(found)[0]]
        return best[0] if len(best) == 1 else None

    subject = rules(
        tmp_path_factory.mktemp("rules"),
        {f"{number}.xml": written(*content) for number, content in enumerate(files)},
        regex=regex,
    )
    for tag in ("Package", "Path"):
        for name in NAMES:
            entry = etree.Element(tag, name=name)
            expected = winner(tag, name)
            if expected is None:
                with pytest.raises(PluginExecutionError):
                    subject.BindEntry(entry, metadata)
            else:
                subject.BindEntry(entry, metadata)
                assert dict(entry.attrib) == {"name": name, "v": str(expected)}
