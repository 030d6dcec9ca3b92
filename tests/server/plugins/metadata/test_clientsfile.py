"""clients.xml on disk: how it is followed, and how the server writes it."""

import errno
import itertools
import os
import pickle
import threading
from pathlib import Path

import pytest
from lxml import etree

from bcfg2.server import storage
from bcfg2.server.plugin import MetadataConsistencyError, MetadataRuntimeError
from bcfg2.server.plugin.interfaces import ClientAddress
from bcfg2.server.plugin.services import using
from bcfg2.server.plugins.metadata import editing, snapshot
from bcfg2.server.plugins.metadata.clientsfile import ClientsFile, _Action, _Edit
from bcfg2.server.versioned import writing
from tests.support import Site

GROUPS = (
    '<Groups><Group name="basic" profile="true" public="true" default="true"/>'
    '<Group name="web" profile="true" public="true"/></Groups>'
)
INCLUDING = {
    "Metadata/clients.xml": (
        '<Clients xmlns:xi="http://www.w3.org/2001/XInclude">\n  <!-- base -->\n'
        '  <Client name="gw" profile="basic"/>\n  <xi:include href="sites/*.xml"/>\n'
        '  <xi:include href="lab.xml"><xi:fallback/></xi:include>\n</Clients>\n'
    ),
    "Metadata/sites/paris.xml": '<Clients>\n  <!-- Paris -->\n  <Client name="Web1" profile="web"/>\n</Clients>\n',
    "Metadata/sites/oslo.xml": (
        '<Clients xmlns:xi="http://www.w3.org/2001/XInclude">\n  <xi:include href="deeper/all.xml"/>\n'
        '  <Client name="web2" profile="web"><Alias name="www"/></Client>\n</Clients>\n'
    ),
    "Metadata/sites/deeper/all.xml": '<Clients><Client name="web3" profile="web"/></Clients>\n',
    "Metadata/groups.xml": GROUPS,
}


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, {"Metadata/groups.xml": GROUPS})
    yield made
    made.stop()


@pytest.fixture
def including(tmp_path):
    made = Site(tmp_path, INCLUDING)
    yield made
    made.stop()


def text(site, name="clients.xml"):
    return (site.repo / "Metadata" / name).read_text()


def clients(site, name="clients.xml"):
    """Name -> attributes of all clients of one file."""
    root = etree.fromstring(text(site, name).encode())
    return {element.get("name"): dict(element.attrib) for element in root.iter("Client")}


@pytest.fixture
def readings(monkeypatch):
    """A list that grows with each reading of a clients.xml."""
    made = []
    read = ClientsFile.read

    def counted(self):
        made.append(self.name)
        read(self)

    monkeypatch.setattr(ClientsFile, "read", counted)
    return made


# following


def test_a_changed_file_is_in_force(site):
    site.write("Metadata/clients.xml", '<Clients><Client name="other" profile="web"/></Clients>')
    assert site.core.metadata.list_clients() == ["other"]


def test_a_broken_file_leaves_the_last_good_state_in_force_and_says_so_once(site, caplog):
    site.write("Metadata/clients.xml", "<Clients>\n<Client name='a'>\n</Clients>")
    site.apply()
    assert site.metadata().profile == "basic"
    errors = [record.getMessage() for record in caplog.records if "clients.xml" in record.getMessage()]
    assert len(errors) == 1
    assert "line 3" in errors[0]
    site.write("Metadata/clients.xml", '<Clients><Client name="other" profile="web"/></Clients>')
    assert site.core.metadata.list_clients() == ["other"]


@pytest.mark.parametrize("name", ["clients.xml", "groups.xml"])
def test_another_root_element_is_refused(site, name, caplog):
    site.write(f"Metadata/{name}", "<Other/>")
    assert site.metadata().groups == {"basic"}
    assert "the root element is Other" in caplog.text


def test_bad_elements_are_logged_with_their_own_file_and_line(including, caplog):
    including.write(
        "Metadata/sites/paris.xml", '<Clients>\n\n<Client profile="web"/><Client name="ok" profile="web"/></Clients>'
    )
    assert "sites/paris.xml:3: <Client> without a name" in caplog.text
    assert "ok" in including.core.metadata.list_clients()


def test_included_files_come_and_go(including):
    assert including.core.metadata.list_clients() == ["gw", "web3", "web2", "web1"]
    including.write("Metadata/sites/rome.xml", '<Clients><Client name="rome" profile="web"/></Clients>')
    assert "rome" in including.core.metadata.list_clients()
    including.write("Metadata/lab.xml", '<Clients><Client name="bench" profile="web"/></Clients>')
    assert "bench" in including.core.metadata.list_clients()
    including.delete("Metadata/sites/paris.xml")
    assert "web1" not in including.core.metadata.list_clients()
    including.write("Metadata/sites/paris.xml", '<Clients><Client name="again" profile="web"/></Clients>')
    assert "again" in including.core.metadata.list_clients()


def test_missing_files_are_made(tmp_path, caplog):
    site = Site(tmp_path)
    site.stop()
    for name in ("clients.xml", "groups.xml"):
        (site.repo / "Metadata" / name).unlink()
    site.start()
    assert (text(site), text(site, "groups.xml")) == ("<Clients/>\n", "<Groups/>\n")
    assert caplog.text.count(".xml does not exist, creating it") == 2
    assert site.core.metadata.list_clients() == []


def test_files_that_have_been_quiet_are_read_once_at_the_start(including, readings, monkeypatch):
    monkeypatch.setattr(snapshot, "_SKEW", -(10**18))  # all files count as old
    including.restart()
    assert len(readings) == 1
    including.write("Metadata/sites/deeper/all.xml", "<Clients/>")
    assert len(readings) == 2
    assert "web3" not in including.core.metadata.list_clients()


def test_a_file_that_may_have_changed_while_it_was_read_is_read_again(including, readings, monkeypatch):
    monkeypatch.setattr(snapshot, "_SKEW", 10**18)  # all files count as new
    including.restart()
    assert len(readings) == 2


# writing


def test_a_version_is_written_and_in_force_at_once(site, readings):
    site.core.metadata.set_version("client.example.com", "1.4.0")
    assert clients(site)["client.example.com"]["version"] == "1.4.0"
    assert site.metadata().version == "1.4.0"
    site.apply()
    assert readings == []
    assert site.metadata().version == "1.4.0"


def test_the_same_version_again_is_not_written(site, monkeypatch):
    site.core.metadata.set_version("client.example.com", "1.4.0")
    monkeypatch.setattr(editing, "atomic_replace", lambda *_: pytest.fail("written"))
    site.core.metadata.set_version("client.example.com", "1.4.0")
    site.core.metadata.set_profile("client.example.com", "basic", ("127.0.0.2", 1))


def test_a_version_registers_an_unknown_client(site):
    site.core.metadata.set_version("New.example.com", "1.4.0")
    assert clients(site)["new.example.com"] == {"name": "new.example.com", "profile": "basic", "version": "1.4.0"}
    assert site.metadata("new.example.com").groups == {"basic"}


def test_building_metadata_registers_an_unknown_client(site):
    assert site.metadata("new.example.com").profile == "basic"
    assert clients(site)["new.example.com"] == {"name": "new.example.com", "profile": "basic"}


def test_without_a_default_group_nothing_is_registered(tmp_path):
    site = Site(tmp_path)
    before = text(site)
    for call in (site.metadata, lambda name: site.core.metadata.set_version(name, "1")):
        with pytest.raises(MetadataConsistencyError, match="no default group"):
            call("new.example.com")
    assert text(site) == before


@pytest.mark.parametrize("name", ["a/b", "../x", ".hidden", "a b", "a\x00b", "", "x" * 256, "tab\there"])
def test_what_cannot_be_a_host_name_is_not_registered(site, name):
    before = text(site)
    with pytest.raises(MetadataConsistencyError, match="cannot be the name"):
        site.metadata(name)
    assert text(site) == before


@pytest.mark.parametrize("version", ["a\x00b", "x" * 300, "\ud800"])
def test_what_xml_cannot_carry_is_no_version(site, version):
    before = text(site)
    with pytest.raises(MetadataConsistencyError):
        site.core.metadata.set_version("client.example.com", version)
    assert text(site) == before


def test_a_profile_is_written_and_in_force_at_once(site):
    site.core.metadata.set_profile("CLIENT.example.com", "web", ("127.0.0.2", 1))
    assert clients(site)["client.example.com"]["profile"] == "web"
    assert site.metadata().profile == "web"
    site.restart()
    assert site.metadata().profile == "web"


def test_an_included_file_is_edited_where_it_is(including, readings):
    base = text(including)
    metadata = including.core.metadata
    metadata.set_version("web1", "1.4.0")
    metadata.set_version("www", "1.3.0")
    metadata.set_profile("web3", "basic", ("127.0.0.2", 1))
    assert text(including, "sites/paris.xml") == (
        '<Clients>\n  <!-- Paris -->\n  <Client name="Web1" profile="web" version="1.4.0"/>\n</Clients>\n'
    )
    assert clients(including, "sites/oslo.xml") == {"web2": {"name": "web2", "profile": "web", "version": "1.3.0"}}
    assert clients(including, "sites/deeper/all.xml")["web3"]["profile"] == "basic"
    assert text(including) == base
    including.apply()
    assert readings == []


def test_a_new_client_goes_to_the_base_file_in_front_of_nothing(including):
    before = text(including)
    including.metadata("new")
    assert text(including) == before.replace("</Clients>", '  <Client name="new" profile="basic"/>\n</Clients>')
    including.core.metadata.set_version("new", "1")
    assert clients(including)["new"]["version"] == "1"


@pytest.mark.parametrize(
    ("name", "file"), [("gw", "clients.xml"), ("WEB1", "sites/paris.xml"), ("web3", "sites/deeper/all.xml")]
)
def test_a_removed_client_is_gone_from_its_file(including, name, file):
    including.core.metadata.remove_client(name)
    assert name.lower() not in {found.lower() for found in clients(including, file)}
    assert name.lower() not in including.core.metadata.list_clients()
    with pytest.raises(MetadataConsistencyError, match="no client"):
        including.core.metadata.remove_client(name)


def test_an_alias_is_not_enough_to_remove_a_client(including):
    with pytest.raises(MetadataConsistencyError):
        including.core.metadata.remove_client("www")
    assert "web2" in including.core.metadata.list_clients()


def test_a_removed_client_may_come_again(including):
    including.core.metadata.remove_client("web1")
    including.metadata("web1")
    assert clients(including)["web1"]["profile"] == "basic"
    including.core.metadata.set_version("web1", "2")
    assert clients(including)["web1"]["version"] == "2"


def test_all_elements_of_a_client_are_edited_and_removed(including):
    including.write("Metadata/lab.xml", '<Clients><Client name="GW" profile="web" version="1"/></Clients>')
    including.core.metadata.set_version("gw", "2")
    assert clients(including)["gw"]["version"] == clients(including, "lab.xml")["GW"]["version"] == "2"
    assert including.metadata("gw").version == "2"
    including.core.metadata.remove_client("gw")
    assert "gw" not in including.core.metadata.list_clients()
    assert clients(including, "lab.xml") == {}


def test_other_attributes_than_the_server_s_own_are_read_back(site):
    file = site.core.metadata.clients_xml
    file.update("client.example.com", {"address": "127.0.0.9", "uuid": "u", "password": "p", "secure": "true"})
    metadata = site.metadata()
    assert (metadata.addresses, metadata.uuid, metadata.password) == ({"127.0.0.9"}, "u", "p")
    assert site.core.metadata.resolve_client(("127.0.0.9", 1)) == "client.example.com"


def test_adding_a_known_client_changes_nothing(including):
    before = {path: path.read_text() for path in (including.repo / "Metadata").rglob("*.xml")}
    for name in ("gw", "WWW"):
        including.core.metadata.clients_xml.add({"name": name, "profile": "basic", "uuid": "x"})
    assert {path: path.read_text() for path in before} == before


def test_updating_an_unknown_client_is_an_error(site):
    with pytest.raises(MetadataConsistencyError, match="no client unknown"):
        site.core.metadata.clients_xml.update("unknown", {"version": "1"})


# other people's changes


def test_a_change_that_nobody_has_told_of_is_kept(site):
    path = site.repo / "Metadata/clients.xml"
    path.write_text(
        '<Clients>\n  <Client name="client.example.com" profile="web" password="new"/>\n'
        '  <Client name="admin" profile="web"/>\n</Clients>\n'
    )
    site.core.metadata.set_version("client.example.com", "1.4.0")
    assert path.read_text() == (
        '<Clients>\n  <Client name="client.example.com" profile="web" password="new" version="1.4.0"/>\n'
        '  <Client name="admin" profile="web"/>\n</Clients>\n'
    )
    assert site.metadata().password == "new"
    assert "admin" in site.core.metadata.list_clients()


def save_by_rename(path, text):
    """Save TEXT as careful editors do."""
    beside = path.with_name("saved")
    beside.write_text(text)
    beside.rename(path)


@pytest.fixture
def at_the_last_moment(monkeypatch):
    """Have a function called right before each exchange of the file in place for the new one."""
    exchange = storage.exchange

    def arrange(function):
        def interrupted(temporary, target):
            function()
            return exchange(temporary, target)

        monkeypatch.setattr(storage, "exchange", interrupted)

    return arrange


@pytest.mark.parametrize("save", [save_by_rename, Path.write_text], ids=["renamed", "in place"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_change_at_the_last_moment_is_kept(site, at_the_last_moment, save, times):
    """Somebody saves the file after the server has looked at it and before, or while, it is replaced."""
    path = site.repo / "Metadata/clients.xml"
    saves = iter(
        [f'<Clients><Client name="client.example.com" profile="web" uuid="{n}"/></Clients>' for n in range(times)]
    )
    at_the_last_moment(lambda: [save(path, content) for content in itertools.islice(saves, 1)])
    site.core.metadata.set_version("client.example.com", "1.4.0")
    assert clients(site)["client.example.com"] == {
        "name": "client.example.com", "profile": "web", "uuid": str(times - 1), "version": "1.4.0"
    }  # fmt: skip
    assert site.metadata().profile == "web"
    assert not [name for name in os.listdir(path.parent) if name.startswith(".")]


def test_a_file_that_changes_all_the_time_is_left_alone(site, at_the_last_moment):
    path = site.repo / "Metadata/clients.xml"
    count = itertools.count()

    def save():
        save_by_rename(
            path, f'<Clients><Client name="client.example.com" profile="web" uuid="{next(count)}"/></Clients>'
        )

    at_the_last_moment(lambda: save() if next(turns) % 2 == 0 else None)  # not when its save is put back
    turns = itertools.count()
    with pytest.raises(MetadataRuntimeError, match="changes all the time"):
        site.core.metadata.set_version("client.example.com", "1.4.0")
    assert clients(site)["client.example.com"] == {
        "name": "client.example.com", "profile": "web", "uuid": str(next(count) - 1)
    }  # fmt: skip


@pytest.mark.parametrize("known", [True, False], ids=["event seen", "event not seen"])
def test_a_broken_file_is_left_alone(site, known):
    broken = "<Clients><Client name='admin is typing"
    (site.repo / "Metadata/clients.xml").write_text(broken)
    if known:
        site.apply()
    for call in (
        lambda: site.core.metadata.set_version("client.example.com", "1.4.0"),
        lambda: site.metadata("new.example.com"),
        lambda: site.core.metadata.remove_client("client.example.com"),
    ):
        with pytest.raises(MetadataRuntimeError, match=r"clients\.xml cannot be used"):
            call()
    assert text(site) == broken
    assert site.metadata().version is None


def test_a_broken_included_file_costs_only_its_own_clients(including):
    """What the others say is written, and in force, before and after it is repaired."""
    metadata, broken = including.core.metadata, "<Clients>"
    including.write("Metadata/sites/paris.xml", broken)
    metadata.set_version("gw", "1")
    metadata.set_version("web2", "2")
    assert including.metadata("new").profile == "basic"
    for call in (
        lambda: metadata.set_version("web1", "3"),
        lambda: metadata.remove_client("gw"),
        lambda: metadata.update_client("gw", {"uuid": "u"}),
    ):
        with pytest.raises(MetadataRuntimeError, match="left alone"):
            call()
    assert text(including, "sites/paris.xml") == broken
    for _ in range(2):
        assert [including.metadata(name).version for name in ("gw", "web2", "web1")] == ["1", "2", None]
        assert {"web1", "new"} <= set(metadata.list_clients())
        including.write("Metadata/sites/paris.xml", INCLUDING["Metadata/sites/paris.xml"])


def test_a_client_that_waits_in_the_file_for_a_repair_is_not_added_twice(including):
    including.write("Metadata/sites/paris.xml", "<Clients>")
    base = text(including).replace("</Clients>", '  <Client name="late" profile="web" uuid="u"/>\n</Clients>')
    including.write("Metadata/clients.xml", base)
    assert including.metadata("late").profile == "basic"
    assert text(including).count("late") == 1


def test_a_full_disk_is_told_and_changes_nothing(site, monkeypatch):
    def full(path, data, known):
        raise OSError(errno.ENOSPC, "No space left on device", path)

    before = text(site)
    monkeypatch.setattr(editing, "atomic_replace", full)
    with pytest.raises(MetadataRuntimeError, match="No space left"):
        site.core.metadata.set_version("client.example.com", "1.4.0")
    assert text(site) == before
    assert site.metadata().version is None
    monkeypatch.undo()
    site.core.metadata.set_version("client.example.com", "1.4.0")
    assert site.metadata().version == "1.4.0"


def test_a_file_that_cannot_be_written_costs_only_its_own_clients(including, monkeypatch):
    """Two files are to be written, and the second cannot be."""
    atomic_replace = editing.atomic_replace

    def full(path, data, known):
        if path.endswith("paris.xml"):
            raise OSError(errno.ENOSPC, "No space left on device", path)
        return atomic_replace(path, data, known)

    monkeypatch.setattr(editing, "atomic_replace", full)
    edits = [_Edit(_Action.UPDATE, name, {"version": "1"}) for name in ("gw", "web1")]
    including.core.metadata.clients_xml._write(edits)
    assert edits[0].error is None
    assert "No space left" in str(edits[1].error)
    assert including.metadata("gw").version == clients(including)["gw"].get("version") == "1"
    assert including.metadata("web1").version is None


def test_a_client_is_removed_and_comes_again_in_one_write(including):
    edits = [
        _Edit(_Action.REMOVE, "web1"),
        _Edit(_Action.UPDATE, "web1", {"version": "0"}),
        _Edit(_Action.ADD, "web1", {"name": "web1", "profile": "basic"}),
        _Edit(_Action.UPDATE, "web1", {"version": "1"}),
        _Edit(_Action.UPDATE, "gw", {"version": "2"}),
    ]
    including.core.metadata.clients_xml._write(edits)
    assert [edit.error is None for edit in edits] == [True, False, True, True, True]
    assert clients(including)["web1"] == {"name": "web1", "profile": "basic", "version": "1"}
    assert clients(including, "sites/paris.xml") == {}
    assert including.metadata("web1").version == "1"
    assert including.metadata("gw").version == "2"


def test_a_change_right_after_the_server_s_own_is_noticed(site, monkeypatch):
    """Somebody saves the file between the server's write and its next look at it."""
    path = site.repo / "Metadata/clients.xml"
    atomic_replace = editing.atomic_replace

    def overtaken(name, data, known):
        replaced = atomic_replace(name, data, known)
        path.write_text('<Clients><Client name="admin" profile="web"/></Clients>')
        return replaced

    monkeypatch.setattr(editing, "atomic_replace", overtaken)
    site.core.metadata.set_version("client.example.com", "1.4.0")
    monkeypatch.undo()
    site.apply()
    assert site.core.metadata.list_clients() == ["admin"]


def test_mode_and_symbolic_links_are_kept(site):
    path = site.repo / "Metadata/clients.xml"
    real = site.repo / "elsewhere.xml"
    path.rename(real)
    path.symlink_to(Path("../elsewhere.xml"))
    real.chmod(0o640)
    site.core.metadata.set_version("client.example.com", "1.4.0")
    assert path.is_symlink()
    assert 'version="1.4.0"' in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640


# many at once


def test_concurrent_changes_are_all_kept_and_share_writes(site, monkeypatch):
    writes, broken, done = [], [], threading.Event()
    atomic_replace = editing.atomic_replace
    monkeypatch.setattr(editing, "atomic_replace", lambda *given: writes.append(given) or atomic_replace(*given))
    path = site.repo / "Metadata/clients.xml"

    def watch():
        while not done.is_set():
            try:
                etree.parse(str(path))
            except etree.XMLSyntaxError as err:
                broken.append(err)

    def work(number):
        name = f"host{number}"
        with site.core.request():
            assert site.core.build_metadata(name).hostname == name
            site.core.metadata.set_version(name, f"1.0.{number}")
            site.core.metadata.set_profile(name, "web", ("127.0.0.1", 1))
            assert site.core.metadata.query.by_name(name).version == f"1.0.{number}"

    watcher = threading.Thread(target=watch)
    watcher.start()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    done.set()
    watcher.join(20)
    assert not broken
    expected = {
        f"host{number}": {"name": f"host{number}", "profile": "web", "version": f"1.0.{number}"} for number in range(16)
    }
    assert {name: found for name, found in clients(site).items() if name.startswith("host")} == expected
    for number in range(16):
        assert site.metadata(f"host{number}").version == f"1.0.{number}"
    assert len(writes) < 3 * 16
    assert [name for name in os.listdir(path.parent) if name.startswith(".")] == []


def test_a_request_sees_its_own_change_even_if_another_request_wrote_it(site, monkeypatch):
    """Two requests pin the same state; the changes of both are written by one of them."""
    file = site.core.metadata.clients_xml
    together, seen = threading.Barrier(2), {}
    make = ClientsFile._make
    first = threading.Event()

    def make_together(self, edits):
        if not first.is_set():
            first.set()  # an unrelated write that both have to wait for
            assert waiting.wait(20)
        make(self, edits)

    monkeypatch.setattr(ClientsFile, "_make", make_together)
    waiting = threading.Event()
    submit = file._writer.submit
    submitted = []

    def counted(edit):
        submitted.append(edit)
        if len(submitted) == 3:
            waiting.set()
        submit(edit)

    monkeypatch.setattr(file._writer, "submit", counted)

    def work(name):
        with site.core.request():
            site.core.metadata.list_clients()
            together.wait(20)
            site.core.build_metadata(name)
            seen[name] = site.core.metadata.list_clients()

    unrelated = threading.Thread(target=site.core.metadata.set_version, args=("client.example.com", "1"))
    unrelated.start()
    assert first.wait(20)
    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in [*threads, unrelated]:
        thread.join(20)
    assert "one" in seen["one"] and "two" in seen["two"]


def in_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def test_a_change_during_a_batch_of_file_events_neither_loses_nor_foretells_anything(site):
    metadata = site.core.metadata
    path = site.repo / "Metadata/clients.xml"
    with writing():
        path.write_text(path.read_text().replace("</Clients>", '<Client name="admin" profile="web"/></Clients>'))
        metadata.clients_xml.HandleEvent()
        seen = []
        in_thread(metadata.set_version, "client.example.com", "1.4.0")
        in_thread(lambda: seen.append((site.metadata().version, metadata.list_clients())))
        assert seen == [("1.4.0", ["client.example.com"])]
    assert site.metadata().version == "1.4.0"
    assert metadata.list_clients() == ["client.example.com", "admin"]
    assert set(clients(site)) == {"client.example.com", "admin"}


def test_a_request_can_change_what_came_with_a_file_that_it_does_not_see_yet(including):
    metadata = including.core.metadata
    with including.core.request():
        assert "rome" not in metadata.list_clients()
        new = '<Clients><Client name="rome" profile="web"/></Clients>'
        in_thread(including.write, "Metadata/sites/rome.xml", new)
        assert "rome" not in metadata.list_clients()
        metadata.set_version("rome", "1.4.0")
        assert including.metadata("rome").version == "1.4.0"
    assert clients(including, "sites/rome.xml")["rome"]["version"] == "1.4.0"
    assert "rome" not in clients(including)


def test_before_the_first_batch_of_events_is_over_nothing_is_visible(tmp_path):
    site = Site(tmp_path, {"Metadata/groups.xml": GROUPS})
    with writing():
        with using(site.core):
            file = ClientsFile(str(site.repo / "Metadata/clients.xml"))
        file.HandleEvent()
        seen = []
        in_thread(lambda: seen.append((file.update("client.example.com", {"version": "1"}).version, file.table)))
        assert seen == [("1", None)]
    assert file.table.get("client.example.com").version == "1"
    site.stop()


def test_a_change_made_while_file_events_are_handled_does_not_hide_others(site):
    """A plugin's event handler registers a client; meanwhile a request registers another one."""
    metadata = site.core.metadata
    with writing():
        metadata.get_initial_metadata("from-the-handler")
        in_thread(metadata.get_initial_metadata, "from-a-request")
    assert set(metadata.list_clients()) == {"client.example.com", "from-the-handler", "from-a-request"}


# caching


@pytest.mark.parametrize(
    "change",
    [
        lambda site: site.core.metadata.set_version("client.example.com", "2"),
        lambda site: site.core.metadata.set_profile("client.example.com", "web", ("127.0.0.1", 1)),
        lambda site: site.core.metadata.remove_client("client.example.com"),
        lambda site: site.core.metadata.get_initial_metadata("new"),
        lambda site: site.write("Metadata/groups.xml", GROUPS + "\n"),
        lambda site: site.write("Metadata/clients.xml", "<Clients/>"),
    ],
)
def test_every_change_expires_cached_metadata(tmp_path, change):
    site = Site(tmp_path, {"Metadata/groups.xml": GROUPS}, conf="[caching]\nclient_metadata = aggressive")
    site.metadata()
    assert list(site.core.metadata_cache) == ["client.example.com"]
    change(site)
    assert list(site.core.metadata_cache) == []
    site.stop()


def test_what_changes_nothing_leaves_cached_metadata(tmp_path):
    site = Site(tmp_path, {"Metadata/groups.xml": GROUPS}, conf="[caching]\nclient_metadata = aggressive")
    kept = site.metadata()
    site.core.metadata.set_profile("client.example.com", "basic", ClientAddress(("127.0.0.2", 1)))
    assert site.metadata() is kept
    site.stop()


# several processes


@pytest.fixture
def processes(tmp_path, monkeypatch):
    """Two cores over one repository, of which the second is told what the first one does as a child would be."""
    first, second = Site(tmp_path, INCLUDING), Site(tmp_path, INCLUDING)
    told = []

    def tell(owner, method, *arguments):
        told.append(pickle.loads(pickle.dumps(arguments)))
        getattr(second.core.plugins[owner], method)(*told[-1])

    monkeypatch.setattr(first.core, "tell_children", tell)
    first.told = told
    yield first, second
    first.stop()
    second.stop()


def test_another_process_has_changes_in_force_without_reading(processes, readings):
    first, second = processes
    for site in processes:
        site.core.metadata.clients_xml.catch_up()
    readings.clear()
    first.core.metadata.set_version("gw", "1")
    first.core.metadata.set_version("web1", "2")
    first.core.metadata.set_version("fresh", "3")
    second.apply()
    assert [second.metadata(name).version for name in ("gw", "web1", "fresh")] == ["1", "2", "3"]
    assert len(first.told) == 3
    assert readings == []
    second.core.metadata.set_version("gw", "4")  # it goes on from there
    assert clients(first)["gw"]["version"] == "4" and "fresh" in clients(first)


def test_another_process_that_knows_another_state_reads_the_files(processes):
    first, second = processes
    path = first.repo / "Metadata/clients.xml"
    path.write_text(text(first).replace("</Clients>", '<Client name="admin" profile="web"/></Clients>'))
    first.core.metadata.set_version("gw", "1")
    assert second.metadata("gw").version == "1"
    assert second.metadata("admin").profile == "web"
