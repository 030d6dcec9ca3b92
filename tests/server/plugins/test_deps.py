"""Deps: what entries need is added, directly and indirectly, unless it is there."""

import logging
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.server.plugins import deps
from bcfg2.server.plugins.deps import Deps, DepsFile, Requirement
from tests.support import Site

PY = 'xmlns:py="http://genshi.edgewall.org/"'


def site(tmp_path: Path, bundle: str = '<Package name="a"/>', **files: str) -> Site:
    repository: dict[str, str | bytes] = {f"Deps/{name}.xml": text for name, text in files.items()}
    repository["Bundler/base.xml"] = f"<Bundle>{bundle}</Bundle>"
    repository["Rules/r.xml"] = '<Rules priority="0"><Package name="b" type="deb"/></Rules>'
    return Site(tmp_path, repository, "Metadata,Bundler,Rules,Deps")


def added(subject: Site, host: str = "client.example.com") -> list[str]:
    [structure] = [item for item in subject.config(host) if item.tag == "Independent"]
    assert structure.get("name") == "Deps"
    return sorted(f"{entry.tag} {entry.get('name')}" for entry in structure)


def problems(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("bcfg2.Deps")]


def needs(name: str, *prerequisites: str) -> str:
    return f'<Package name="{name}">{"".join(f"<Package name={item!r}/>" for item in prerequisites)}</Package>'


def test_what_is_added_is_bound_and_has_no_other_attributes(tmp_path: Path) -> None:
    text = '<Package name="a"><Package name="b" version="9"/></Package>'
    subject = site(tmp_path, d=f'<Dependencies priority="0">{text}</Dependencies>')
    assert dict(subject.entry("Package", "b").attrib) == {"name": "b", "type": "deb"}


def test_it_goes_on_through_what_is_added_and_through_what_is_there_and_ends_with_cycles(tmp_path: Path) -> None:
    text = needs("a", "b", "there") + needs("b", "c", "a") + needs("there", "d") + needs("c", "c") + needs("x", "y")
    subject = site(
        tmp_path,
        '<Package name="a"/><BoundPackage name="there"/>',
        d=f'<Dependencies priority="0">{text}</Dependencies>',
    )
    assert added(subject) == ["Package b", "Package c", "Package d"]


def test_the_tag_counts_and_bound_entries_count_as_others(tmp_path: Path) -> None:
    text = '<Service name="a"><Package name="no"/></Service><Path name="/p"><Service name="a"/></Path>'
    subject = site(
        tmp_path,
        '<Package name="a"/><BoundPath name="/p"/>',
        d=f'<Dependencies priority="0">{text}</Dependencies>',
    )
    assert added(subject) == ["Package no", "Service a"]


def test_conditions_count_around_entries_and_around_what_they_need(tmp_path: Path) -> None:
    text = (
        f'<Group name="basic">{needs("a", "b")}</Group><Group name="basic" negate="true">{needs("a", "no")}</Group>'
        '<Package name="b"><Client name="client.example.com"><Package name="mine"/></Client>'
        '<Client name="other"><Package name="theirs"/></Client></Package>'
    )
    subject = site(tmp_path, d=f'<Dependencies priority="0">{text}</Dependencies>')
    assert added(subject) == ["Package b", "Package mine"]


def test_clients_of_different_groups_get_different_answers(tmp_path: Path) -> None:
    text = f'<Client name="client.example.com">{needs("a", "b")}</Client>{needs("b", "c")}'
    subject = site(tmp_path, d=f'<Dependencies priority="0">{text}</Dependencies>')
    clients = '<Client name="{}" profile="basic"/>'
    subject.write(
        "Metadata/clients.xml", "<Clients>" + clients.format("client.example.com") + clients.format("o") + "</Clients>"
    )
    for _ in range(2):
        assert added(subject) == ["Package b", "Package c"]
        assert added(subject, "o") == []


def test_several_elements_of_one_file_add_up(tmp_path: Path) -> None:
    text = f'{needs("a", "b")}<Group name="basic">{needs("a", "c", "b")}</Group>'
    assert added(site(tmp_path, d=f'<Dependencies priority="0">{text}</Dependencies>')) == ["Package b", "Package c"]


def test_of_several_files_that_list_an_entry_only_the_highest_priority_counts(tmp_path: Path) -> None:
    subject = site(
        tmp_path,
        a=f'<Dependencies priority="-2">{needs("a", "low")}{needs("high", "more")}</Dependencies>',
        b=f'<Dependencies priority="7">{needs("a", "high")}</Dependencies>',
        c=f'<Dependencies priority="-2">{needs("a", "low")}</Dependencies>',
    )
    assert added(subject) == ["Package high", "Package more"]


@pytest.mark.builds_once
def test_two_files_of_one_priority_add_nothing_to_clients_that_have_the_entry(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = f'<Dependencies priority="3">{needs("a", "b")}{{}}</Dependencies>'
    subject = site(tmp_path, a=text.format(needs("z", "b")), b=text.format(""))
    assert added(subject) == []
    [line] = problems(caplog)
    assert "client.example.com" in line
    assert "Deps/a.xml and " in line and "Deps/b.xml both list Package a" in line and "priority 3" in line
    subject.write("Bundler/base.xml", '<Bundle><Package name="z"/></Bundle>')
    assert added(subject) == ["Package b"]


def test_what_an_inner_entry_needs_is_not_taken_from_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = '<Package name="a">\n<Package name="b">\n<Package name="c"/></Package></Package>'
    subject = site(tmp_path, d=f'<Dependencies priority="0">{text}</Dependencies>')
    assert added(subject) == ["Package b"]
    [line] = problems(caplog)
    assert "Deps/d.xml:2: " in line


def test_elements_without_a_name_are_told_of_and_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = '<Package name="a"><Package/><!-- c --><Package name="b"/></Package>\n<Group name="basic"><Path/></Group>'
    subject = site(tmp_path, d=f'<Dependencies priority="0">{text}</Dependencies>')
    assert added(subject) == ["Package b"]
    [line] = problems(caplog)
    assert "d.xml:1: <Package> lacks the attribute name" in line
    assert "in line 2" in line


def test_included_files_count_as_part_of_the_including_one(tmp_path: Path) -> None:
    include = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="../more.xml"/>'
    subject = site(tmp_path)
    subject.change(
        {
            "more.xml": f'<Dependencies priority="99">{needs("a", "b")}</Dependencies>',
            "Deps/d.xml": f'<Dependencies priority="0">{include}</Dependencies>',
            "Deps/e.xml": f'<Dependencies priority="1">{needs("b", "c")}</Dependencies>',
        }
    )
    assert added(subject) == ["Package b", "Package c"]
    subject.write("more.xml", f'<Dependencies priority="99">{needs("a", "d")}</Dependencies>')
    assert added(subject) == ["Package d"]


def test_files_come_change_and_go(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    subject = site(tmp_path)
    assert added(subject) == []
    subject.write("Deps/sub/d.xml", f'<Dependencies priority="0">{needs("a", "b")}</Dependencies>')
    assert added(subject) == ["Package b"]
    subject.write("Deps/sub/d.xml", f'<Dependencies priority="0">{needs("a", "c")}</Dependencies>')
    assert added(subject) == ["Package c"]
    caplog.clear()
    for broken in ("<Dependencies", f"<Dependencies>{needs('a', 'b')}</Dependencies>"):
        subject.write("Deps/sub/d.xml", broken)
        assert added(subject) == ["Package c"]
    assert len([record for record in caplog.records if "sub/d.xml" in record.getMessage()]) == 2
    subject.delete("Deps/sub")
    assert added(subject) == []


def test_a_template_is_rendered_for_each_client_and_a_broken_one_costs_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    subject = site(
        tmp_path,
        a=f'<Dependencies priority="1" {PY}><Package name="a"><py:for each="n in (1, 2)"><Package '
        'name="${metadata.profile}-$n"/></py:for></Package></Dependencies>',
        b=f'<Dependencies priority="9" {PY}><Package name="a"><Package name="${{nowhere}}"/></Package></Dependencies>',
        c=f'<Dependencies priority="0">{needs("basic-1", "c")}</Dependencies>',
    )
    assert added(subject) == ["Package basic-1", "Package basic-2", "Package c"]
    assert any("b.xml" in line and "client.example.com" in line for line in problems(caplog))


def test_entries_that_other_validators_add_count(tmp_path: Path) -> None:
    subject = site(
        tmp_path,
        '<Path glob="/srv/*"/>',
        d='<Dependencies priority="0"><Path name="/srv/x"><Package name="b"/></Path></Dependencies>',
    )
    subject.write("Rules/p.xml", '<Rules priority="0"><Path name="/srv/x" type="directory"/></Rules>')
    assert added(subject) == ["Package b"]


def test_answers_for_many_outcomes_are_not_kept_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deps, "MAX_OUTCOMES", 2)
    names = [f"h{number}" for number in range(6)]
    text = "".join(f'<Client name="{name}">{needs("a", f"for-{name}")}</Client>' for name in names)
    subject = site(tmp_path, d=f'<Dependencies priority="0">{text}</Dependencies>')
    clients = "".join(f'<Client name="{name}" profile="basic"/>' for name in names)
    subject.write("Metadata/clients.xml", f"<Clients>{clients}</Clients>")
    for name in names * 2:
        assert added(subject, name) == [f"Package for-{name}"]
    assert len(subject.plugin("Deps")._required) <= 2


def test_requests_see_one_state_of_the_files_while_these_change(tmp_path: Path) -> None:
    def state(name: str) -> dict[str, str]:
        return {
            "Deps/a.xml": f'<Dependencies priority="0">{needs("a", name)}</Dependencies>',
            "Deps/b.xml": f'<Dependencies priority="0">{needs(name, f"{name}-2")}</Dependencies>',
        }

    subject = site(tmp_path)
    subject.change(state("x"))
    seen: set[tuple[str, ...]] = set()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.add(tuple(added(subject)))

    asking = threading.Thread(target=ask)
    asking.start()
    for number in range(20):
        subject.change(state("xy"[number % 2]))
    stop.set()
    asking.join()
    assert seen <= {("Package x", "Package x-2"), ("Package y", "Package y-2")}


graph = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdefgh"), unique=True))


@given(graph, st.sets(st.sampled_from("abcdefgh")))
def test_what_is_missing_is_what_can_be_reached_and_is_not_there(
    edges: dict[str, list[str]], present: set[str]
) -> None:
    reached = set(present)
    while more := {need for name in reached for need in edges.get(name, [])} - reached:
        reached |= more
    file = DepsFile.__new__(DepsFile)
    required = {
        ("Package", name): Requirement(tuple(("Package", need) for need in found), file)
        for name, found in edges.items()
    }
    missing = Deps._missing([("Package", name) for name in sorted(present)], required)
    assert sorted(name for _, name in missing) == sorted(reached - present)


def test_the_log_is_silent_where_nothing_is_wrong(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    added(site(tmp_path, d=f'<Dependencies priority="0">{needs("a", "b")}</Dependencies>'))
    assert problems(caplog) == []
