"""How a file of clients.xml looks after the server has changed it."""

import fcntl
import os

import pytest

from bcfg2.server.plugins.metadata import editing
from bcfg2.server.plugins.metadata.editing import EditableFile, Overtaken, locked
from bcfg2.server.plugins.metadata.snapshot import state_of


@pytest.fixture
def edit(tmp_path):
    """Write a text, change it, and give what it is then."""
    path = tmp_path / "clients.xml"

    def change(text, *changes):
        path.write_text(text)
        file = EditableFile(str(path))
        for method, *arguments in changes:
            getattr(file, method)(*arguments)
        assert file.write() == state_of(str(path))
        return path.read_text()

    change.path = path
    return change


def test_a_new_client_is_the_last_child_on_a_line_of_its_own(edit):
    text = '<Clients>\n  <Client name="a"/>\n  <!-- end -->\n</Clients>\n'
    assert edit(text, ("add", {"name": "b", "profile": "p"}), ("add", {"name": "c"})) == (
        '<Clients>\n  <Client name="a"/>\n  <!-- end -->\n'
        '  <Client name="b" profile="p"/>\n  <Client name="c"/>\n</Clients>\n'
    )


@pytest.mark.parametrize("text", ["<Clients/>", "<Clients></Clients>", "<Clients>\n</Clients>\n"])
def test_the_first_client_of_a_file(edit, text):
    assert edit(text, ("add", {"name": "a"})) == '<Clients>\n  <Client name="a"/>\n</Clients>\n'


def test_a_client_is_added_to_a_file_without_line_breaks(edit):
    assert edit('<Clients><Client name="a"/></Clients>', ("add", {"name": "b"})) == (
        '<Clients><Client name="a"/>\n  <Client name="b"/>\n</Clients>\n'
    )


def test_the_indentation_of_the_file_is_kept(edit):
    assert '\n\t<Client name="b"/>\n' in edit('<Clients>\n\t<Client name="a"/>\n</Clients>', ("add", {"name": "b"}))


def test_everything_but_the_changed_attributes_stays(edit):
    text = (
        "<!-- head -->\n<?pi x?>\n"
        '<Clients xmlns:xi="http://www.w3.org/2001/XInclude" version="3.0">\n'
        "  <!-- é: kept -->\n\n"
        '  <Client uuid="u" name="Web1" profile="old" odd="&lt;1&gt;"><!-- inner -->\n    <Alias name="w"/>\n'
        "  </Client>\n"
        '  <xi:include href="sites/*.xml"/>\n'
        '  <Clients><Client name="deep" profile="old"/></Clients> \n'
        "</Clients>\n<!-- tail -->\n"
    )
    assert edit(
        text, ("update", "web1", {"profile": "new", "version": "1"}), ("update", "deep", {"profile": "new"})
    ) == (
        text.replace('profile="old" odd="&lt;1&gt;"', 'profile="new" odd="&lt;1&gt;" version="1"').replace(
            '"old"', '"new"'
        )
    )


def test_a_document_type_is_kept(edit):
    text = '<!DOCTYPE Clients [\n<!ELEMENT Clients ANY>\n]>\n<Clients><Client name="a"/></Clients>\n'
    assert edit(text, ("update", "a", {"version": "1"})) == text.replace('"a"', '"a" version="1"')


def test_all_elements_of_a_name_are_changed(edit):
    assert edit('<Clients><Client name="a"/><Client name="A"/></Clients>', ("update", "a", {"version": "1"})) == (
        '<Clients><Client name="a" version="1"/><Client name="A" version="1"/></Clients>\n'
    )


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("a", '<Clients>\n  <Client name="b"/>\n  <Client name="c"/>\n</Clients>\n'),
        ("b", '<Clients>\n  <Client name="a"/>\n  <Client name="c"/>\n</Clients>\n'),
        ("c", '<Clients>\n  <Client name="a"/>\n  <Client name="b"/>\n</Clients>\n'),
    ],
)
def test_a_removed_client_leaves_no_gap(edit, name, left):
    text = '<Clients>\n  <Client name="a"/>\n  <Client name="b"/>\n  <Client name="c"/>\n</Clients>\n'
    assert edit(text, ("remove", name)) == left


def test_the_only_client_is_removed(edit):
    assert edit('<Clients>\n  <Client name="a"/>\n</Clients>\n', ("remove", "a")) == "<Clients>\n</Clients>\n"


def test_a_comment_beside_a_removed_client_stays(edit):
    assert "note" in edit('<Clients>\n  <Client name="a"/> <!-- note -->\n</Clients>\n', ("remove", "a"))


@pytest.mark.parametrize(
    "change", [("update", "a", {"version": "1"}), ("remove", "z"), ("update", "z", {"version": "2"})]
)
def test_what_changes_nothing_is_not_written(edit, change):
    edit.path.write_text("")
    text = '<Clients><Client version="1"  name="a"/></Clients>'
    assert edit(text, change) == text


def test_a_file_that_somebody_else_has_changed_is_not_overwritten(tmp_path):
    path = tmp_path / "clients.xml"
    path.write_text("<Clients/>")
    file = EditableFile(str(path))
    file.add({"name": "a"})
    path.write_text('<Clients><Client name="admin"/></Clients>')
    with pytest.raises(Overtaken):
        file.write()
    assert path.read_text() == '<Clients><Client name="admin"/></Clients>'


def test_another_process_is_waited_for_but_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(editing, "LOCK_PATIENCE", 0.05)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="another process"), locked(str(tmp_path)):
            pass
    finally:
        os.close(fd)
    with locked(str(tmp_path)):  # its lock ended with its descriptor
        pass
