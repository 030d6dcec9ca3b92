"""What probes print, taken apart and read as XML, JSON and YAML."""

import copy
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.server.plugins.probes import data as probe_data
from bcfg2.server.plugins.probes.data import ProbeData, ProbesOfClient, parse_output


@pytest.mark.parametrize(
    ("line", "group"),
    [
        ("group:debian-12", "debian-12"),
        ("group: debian-12", "debian-12"),
        ("group:\tdebian-12 rest", "debian-12"),
        ("group:ubuntu:22.04", "ubuntu:22.04"),
        ("group:a group:b", "a"),
        ("group:group:x", "group:x"),
        ("group:gr\u00fcn", "gr\u00fcn"),
    ],
)
def test_a_line_that_begins_with_group_names_the_first_word_behind_it(line: str, group: str) -> None:
    assert parse_output(line) == ([group], "")


@pytest.mark.parametrize(
    "line", ["  group:x", "Group:x", "groups:x", "#group:x", "group:", "group: \t", "group :x", ""]
)
def test_any_other_line_is_text(line: str) -> None:
    assert parse_output(line) == ([], line)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("group:a\nhi\n", "hi\n"),
        ("group:a\ngroup:b\n", ""),
        ("group:a\ngroup:b", ""),
        ("one\n\ngroup:a\n\ntwo", "one\n\n\ntwo"),
        ("\n", "\n"),
    ],
)
def test_the_text_keeps_its_blank_lines_and_its_end(text: str, rest: str) -> None:
    assert parse_output(text)[1] == rest


def test_a_group_line_does_not_reach_into_the_next_line() -> None:
    assert parse_output("group:\nnext") == ([], "group:\nnext")


_lines = st.text(st.characters(exclude_characters="\n", exclude_categories=("Cs",)), max_size=12)
_group_lines = st.tuples(
    st.sampled_from(["", " ", "\t "]), st.from_regex(r"\A\S+\Z"), st.sampled_from(["", " rest"])
).map(lambda parts: "group:" + "".join(parts))


@given(st.lists(st.one_of(_lines, _group_lines)))
def test_what_is_not_a_group_line_stays_in_its_order(lines: list[str]) -> None:
    groups, rest = parse_output("\n".join(lines))
    kept = [line for line in "\n".join(lines).split("\n") if not re.match(r"group:\s*\S", line)]
    assert rest == "\n".join(kept)
    assert all(group and not re.search(r"\s", group) for group in groups)
    assert len(groups) == len("\n".join(lines).split("\n")) - len(kept)


@given(st.lists(_group_lines), st.lists(_lines.filter(lambda line: not line.startswith("group:"))))
def test_text_without_group_lines_comes_through_unchanged(groups: list[str], lines: list[str]) -> None:
    text = "\n".join(lines)
    assert parse_output(text) == ([], text)
    assert parse_output("\n".join([*groups, text]))[1] == text


def test_a_datum_is_a_string() -> None:
    datum = ProbeData("Some text\n")
    assert datum == "Some text\n"
    assert datum.strip().upper() == "SOME TEXT"
    assert len(datum) == 10
    assert {datum: 1}["Some text\n"] == 1
    assert datum.data == "Some text\n"
    assert type(datum.data) is str


@pytest.mark.parametrize(
    ("text", "value"),
    [("41\n", 41), ('{"a": [1, null]}', {"a": [1, None]}), ("words", None), ("", None), ("[" * 100_000, None)],
)
def test_json_is_the_value_or_none(text: str, value: object) -> None:
    assert ProbeData(text).json == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("41\n", 41),
        ("---\na: yes\n", {"a": True}),
        ("words", "words"),
        ('{"a": [1, null]}', {"a": [1, None]}),
        ("key: value: broken {", None),
        ("a: 1\n---\nb: 2\n", None),
        ("", None),
        ("!!python/object/apply:os.getcwd []", None),
        ("!!bool maybe", None),
        ("!!float ''", None),
        ("d: 2023-99-99", None),
        ("[" * 10_000, None),
    ],
)
def test_yaml_is_the_value_or_none(text: str, value: object) -> None:
    assert ProbeData(text).yaml == value


def test_without_pyyaml_a_template_that_asks_for_yaml_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_data, "yaml", None)
    datum = ProbeData("41")
    assert datum.json == 41
    with pytest.raises(ImportError, match=r"install bcfg2\[yaml\]"):
        datum.yaml  # noqa: B018


def test_xdata_is_the_root_element_or_none() -> None:
    assert ProbeData("<raid><array dev='md0'/></raid>\n").xdata.find("array").get("dev") == "md0"
    assert ProbeData('<?xml version="1.0" encoding="iso-8859-1"?><a>\u20ac</a>').xdata.text == "\u20ac"
    assert ProbeData("words").xdata is None
    assert ProbeData("").xdata is None


def test_xdata_expands_no_entities() -> None:
    assert ProbeData('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>').xdata is None


def test_a_datum_is_parsed_once() -> None:
    datum = ProbeData('{"a": []}')
    assert datum.json is datum.json
    assert datum.yaml is datum.yaml
    datum = ProbeData("<a/>")
    assert datum.xdata is datum.xdata


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda datum: pickle.loads(pickle.dumps(datum))])
def test_a_datum_can_be_copied(clone) -> None:
    datum = clone(ProbeData('{"a": 1}'))
    assert datum.json == {"a": 1}


def test_the_probes_of_a_client_are_a_mapping() -> None:
    probes = ProbesOfClient({"cpu": "16\n", "kernel": "6.1\n"})
    assert sorted(probes) == ["cpu", "kernel"]
    assert "cpu" in probes
    assert "disk" not in probes
    assert probes.get("disk", "none") == "none"
    assert probes["cpu"].json == 16
    assert len(probes) == 2
    assert repr(probes) == repr({"cpu": "16\n", "kernel": "6.1\n"})
    with pytest.raises(KeyError):
        probes["disk"]


def test_the_probes_of_a_client_cannot_be_replaced() -> None:
    probes = ProbesOfClient({"cpu": "16\n"})
    with pytest.raises(TypeError):
        probes["cpu"] = "17"  # type: ignore[index]


def test_what_is_done_to_a_parsed_value_does_not_reach_other_metadata() -> None:
    texts = {"disks": '{"all": ["sda"]}'}
    first, second = ProbesOfClient(texts), ProbesOfClient(texts)
    first["disks"].json["all"].append("sdb")
    assert first["disks"].json == {"all": ["sda", "sdb"]}
    assert second["disks"].json == {"all": ["sda"]}
