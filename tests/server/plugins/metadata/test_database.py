"""Clients in the database: one kind of it after the other."""

import contextlib
import sys
import threading
import time
import traceback

import pytest

pytest.importorskip("django", reason="Django is missing: install bcfg2[db]")

from bcfg2.server import database
from bcfg2.server.core import CoreInitError
from bcfg2.server.database import availability
from bcfg2.server.plugin import MetadataConsistencyError, MetadataRuntimeError, PluginExecutionError
from bcfg2.server.plugin.interfaces import ClientAddress
from tests.databases import SQLite
from tests.support import Site, await_condition

GROUPS = """<Groups>
  <Group name="basic" profile="true" public="true" default="true"/>
  <Group name="web" profile="true" public="true"><Bundle name="base"/></Group>
  <Group name="private" profile="true"/>
  <Client name="www"><Group name="web"/></Client>
</Groups>"""
GROUPS_WITHOUT_DEFAULT = GROUPS.replace(' default="true"', "")


@contextlib.contextmanager
def maker(tmp_path, section):
    """Makes sites that share the database that SECTION describes."""
    sites = []

    def made(clients="", groups=GROUPS, conf=""):
        folder = tmp_path / f"site{len(sites)}"
        folder.mkdir()
        files = {"Metadata/groups.xml": groups, "Metadata/clients.xml": f"<Clients>{clients}</Clients>"}
        sites.append(Site(folder, files, conf=f"{conf}\n[metadata]\nuse_database = yes\n{section}"))
        return sites[-1]

    yield made
    for site in sites:
        site.stop()


@pytest.fixture
def make(tmp_path, databases):
    """Make sites over a database, of each kind in turn."""
    with maker(tmp_path, databases.new()) as made:
        yield made


@pytest.fixture
def of_sqlite(tmp_path):
    """The same with SQLite, for what does not depend on the kind of database."""
    with maker(tmp_path, SQLite(tmp_path).new()) as made:
        yield made


def listed(site):
    with site.core.request():
        return sorted(site.core.metadata.list_clients())


def version_of(site, host):
    with site.core.request():
        return site.core.build_metadata(host).version


def add(site, *hosts):
    for host in hosts:
        with site.core.request():
            assert site.core.metadata.add_client(host, {})


# registration


def test_whoever_calls_is_in_the_database_also_after_a_restart(make):
    site = make()
    metadata = site.metadata("New.example.com")
    assert (metadata.hostname, metadata.profile, metadata.groups) == ("new.example.com", "basic", {"basic"})
    site.restart()
    assert listed(site) == ["new.example.com"]
    assert site.metadata("new.example.com").profile == "basic"
    assert "new" not in (site.repo / "Metadata/clients.xml").read_text()


def test_groups_come_from_client_elements_of_groups_xml(make):
    metadata = make().metadata("www")
    assert (metadata.profile, metadata.groups, metadata.bundles) == ("web", {"web"}, {"base"})


def test_without_a_default_group_nobody_is_registered_and_who_is_known_goes_on(make):
    site = make(groups=GROUPS_WITHOUT_DEFAULT)
    with pytest.raises(MetadataConsistencyError, match="no default group"):
        site.metadata("new")
    assert listed(site) == []
    add(site, "www")
    site.restart()
    assert site.metadata("www").profile == "web"


def test_a_profile_in_clients_xml_needs_no_default_group(make):
    site = make('<Client name="new" profile="private"/>', groups=GROUPS_WITHOUT_DEFAULT)
    assert listed(site) == []
    assert site.metadata("new").profile == "private"
    assert listed(site) == ["new"]


def test_many_first_contacts_at_once_are_all_registered(make):
    site = make()
    names = [f"host{number}" for number in range(20)]
    failed = []

    def contact(name):
        try:
            with site.core.request():
                site.core.metadata.set_version(name, "1.4.0")
        except Exception as err:  # noqa: BLE001 - all are wrong
            failed.append(err)

    threads = [threading.Thread(target=contact, args=(name,)) for name in names for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(listed(site)) == sorted(names)
    assert {version_of(site, name) for name in names} == {"1.4.0"}


def test_asking_about_a_name_registers_nobody(make):
    site = make()
    query = site.metadata("a").query
    with site.core.request(), pytest.raises(MetadataConsistencyError):
        query.by_name("b")
    assert listed(site) == ["a"]


@pytest.mark.parametrize("name", ["x" * 256, "a b", "a/b", "a\0b"])
def test_a_name_that_cannot_be_one_is_refused(make, name):
    site = make()
    with pytest.raises(MetadataConsistencyError):
        site.metadata(name)
    assert listed(site) == []


# versions


def test_versions_are_kept(make):
    site = make()
    with site.core.request():
        site.core.metadata.set_version("new", "1.3.6")
    assert version_of(site, "new") == "1.3.6"
    with site.core.request():
        site.core.metadata.set_version("new", "1.4.0pre2")
    site.restart()
    assert version_of(site, "new") == "1.4.0pre2"


@pytest.mark.parametrize("version", ["1" * 32, "1\0", "\ud800"])
def test_a_version_that_does_not_fit_is_refused_and_nothing_is_written(make, version):
    site = make()
    with site.core.request(), pytest.raises(MetadataConsistencyError):
        site.core.metadata.set_version("new", version)
    assert listed(site) == []


def test_a_version_in_clients_xml_does_not_count_and_registers_nobody(make):
    site = make('<Client name="www" profile="web" version="1.2.0"/><Client name="a" profile="web" version="1"/>')
    assert listed(site) == []
    assert site.metadata("www").version is None
    assert listed(site) == ["www"]


# profiles and attributes


def test_a_known_client_cannot_assert_a_profile(make):
    site = make()
    address = ClientAddress(("127.0.0.1", 1))
    address.client = "www"
    add(site, "www")
    with site.core.request(), pytest.raises(PluginExecutionError, match="not kept in the database"):
        site.core.AssertProfile(address, "web")


def test_a_new_client_may_assert_a_public_profile_which_is_not_kept(make):
    site = make()
    address = ClientAddress(("127.0.0.1", 1))
    with site.core.request():
        with pytest.raises(MetadataConsistencyError):
            site.core.metadata.set_profile("new", "private", address)
        assert site.core.metadata.list_clients() == []
        site.core.metadata.set_profile("new", "web", address)
    assert site.metadata("new").profile == "basic"


def test_clients_xml_gives_options_to_clients_that_exist(make):
    site = make(
        '<Client name="www" profile="private" uuid="u" password="p" address="127.0.0.9">'
        '<Alias name="alias" address="127.0.0.8"/></Client>'
    )
    add(site, "www")
    metadata = site.metadata("ALIAS")
    assert metadata.hostname == "www"
    assert metadata.groups == {"private", "web"}
    assert (metadata.uuid, metadata.password, metadata.aliases) == ("u", "p", {"alias"})
    assert metadata.addresses == {"127.0.0.9", "127.0.0.8"}
    assert site.core.metadata.resolve_client(("127.0.0.8", 1)) == "www"
    assert "private" in metadata.query.all_groups()


def test_clients_xml_may_be_missing_appear_and_vanish(make):
    site = make()
    site.stop()
    path = site.repo / "Metadata/clients.xml"
    path.unlink()
    site.start()
    add(site, "www")
    assert site.metadata("www").uuid is None
    assert not path.exists()
    site.write("Metadata/clients.xml", '<Clients><Client name="www" profile="web" uuid="u"/></Clients>')
    assert site.metadata("www").uuid == "u"
    site.delete("Metadata/clients.xml")
    assert site.metadata("www").uuid is None
    assert not path.exists()


def test_a_clients_xml_that_was_never_good_fails_all_calls_until_it_is(of_sqlite):
    site = of_sqlite("<Client")  # or else whoever has a password of its own there would need none
    with pytest.raises(MetadataRuntimeError, match=r"clients\.xml"):
        site.metadata("www")
    site.write("Metadata/clients.xml", "<Clients/>")
    assert site.metadata("www").profile == "web"


# administration


def test_clients_are_added_and_removed_without_attributes(make):
    site = make()
    metadata = site.core.metadata
    add(site, "a", "b")
    with site.core.request():
        assert not metadata.add_client("A", {})
        with pytest.raises(MetadataConsistencyError, match="attributes"):
            metadata.add_client("c", {"profile": "web"})
        with pytest.raises(MetadataConsistencyError, match="attributes"):
            metadata.update_client("a", {"profile": "web"})
        metadata.remove_client("A")
        with pytest.raises(MetadataConsistencyError, match="no client a "):
            metadata.remove_client("a")
        assert metadata.list_clients() == ["b"]


# who it is


def test_the_password_of_a_client_that_does_not_exist_yet_counts(make):
    site = make('<Client name="www" profile="web" secure="true" password="own" address="127.0.0.9"/>')
    authenticate = site.core.metadata.AuthenticateConnection
    assert not authenticate(None, "root", "secret", ("127.0.0.9", 1))
    assert not authenticate(None, "www", "secret", ("127.0.0.8", 1))
    assert authenticate(None, "root", "own", ("127.0.0.9", 1))
    assert listed(site) == []


def test_nobody_takes_the_name_of_a_client_that_another_server_has_registered(make):
    one, other = make(), make()
    authenticate = other.core.metadata.AuthenticateConnection
    address = ("127.0.0.99", 1)
    with other.core.request():
        assert authenticate(None, "www.example.net", "secret", address)
    add(one, "www.example.net")
    with other.core.request():
        assert not authenticate(None, "www.example.net", "secret", address)


def test_a_bootstrapped_client_must_show_its_certificate_on_all_servers(make):
    clients = '<Client name="www" profile="web" address="127.0.0.9" auth="bootstrap"/>'
    one, other = make(clients), make(clients)
    metadata = one.metadata("www")
    assert other.metadata("www").profile == "web"
    for site in (one, other):
        with site.core.request():
            assert site.core.metadata.AuthenticateConnection(None, "root", "secret", ("127.0.0.9", 1))
    with one.core.request():
        one.core.metadata.end_statistics(metadata)
    for site in (one, other, one):
        with site.core.request():
            assert not site.core.metadata.AuthenticateConnection(None, "root", "secret", ("127.0.0.9", 1))
        site.restart()
    with one.core.request():
        one.core.metadata.remove_client("www")
    add(one, "www")
    with one.core.request():
        assert one.core.metadata.AuthenticateConnection(None, "root", "secret", ("127.0.0.9", 1))


# several servers


def test_servers_see_what_others_register_and_remove(make):
    one, other = make(), make()
    one.metadata("a")
    assert listed(other) == ["a"]
    other.metadata("b")
    with one.core.request():
        assert one.core.metadata.query.by_name("b").hostname == "b"
        one.core.metadata.remove_client("a")
    assert listed(other) == ["b"]
    with other.core.request(), pytest.raises(MetadataConsistencyError):
        other.core.metadata.query.by_name("a")


def test_a_version_declared_to_another_server_is_seen_at_once(make):
    one, other = make(), make()
    other.metadata("a")
    with one.core.request():
        one.core.metadata.set_version("a", "1.3.6")
    assert version_of(other, "a") == "1.3.6"
    with other.core.request():
        other.core.metadata.set_version("a", "1.4.0")
    with one.core.request():
        one.core.metadata.set_version("a", "1.3.6")
    assert version_of(other, "a") == "1.3.6"


def test_a_client_that_another_server_has_registered_keeps_its_version(make):
    one, other = make(), make()
    with one.core.request():
        one.core.metadata.set_version("a", "1.3.6")
    assert other.metadata("a").version == "1.3.6"


def test_cached_metadata_follows_at_the_next_run(of_sqlite):
    from bcfg2.server.plugins.metadata.models import MetadataClientModel

    site = of_sqlite(conf="[caching]\nclient_metadata = aggressive\n")
    for _ in range(2):  # the first one registers it
        assert version_of(site, "a") is None
    MetadataClientModel.objects.update(version="1.3.6")  # as another server would
    assert version_of(site, "a") is None
    site.config("a")
    assert version_of(site, "a") == "1.3.6"


def test_a_request_sees_one_list(make):
    site = make()
    add(site, "a")
    with site.core.request():
        assert site.core.metadata.list_clients() == ["a"]
        other = threading.Thread(target=add, args=(site, "b"))
        other.start()
        other.join()
        assert site.core.metadata.list_clients() == ["a"]
    assert listed(site) == ["a", "b"]


def test_a_build_asks_once_and_queries_about_others_do_not_ask(of_sqlite):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    site = of_sqlite()
    add(site, *(f"host{number}" for number in range(20)))
    with site.core.request(), CaptureQueriesContext(connection) as queries:
        metadata = site.core.build_metadata("host3")
        site.core.client_run_hook("start_client_run", metadata)
        assert len(queries) == 2  # its row, and whether it has been bootstrapped
        assert len(metadata.query.all()) == 20
        assert len(metadata.query.by_groups(["basic"])) == 20
        assert metadata.query.all_clients() == metadata.query.all_clients()
        assert len(queries) == 4
    with site.core.request():
        assert connection.connection is None


# faults


def test_a_database_that_goes_away_and_comes_back_costs_only_who_writes(tmp_path, postgresql, caplog, monkeypatch):
    monkeypatch.setattr(availability, "PAUSE", 0.0)
    conf = f"[metadata]\nuse_database = yes\n{postgresql.new()}"
    site = Site(tmp_path, {"Metadata/groups.xml": GROUPS}, conf=conf)
    with site.core.request():
        site.core.metadata.set_version("www", "1.3.6")
    postgresql.stop()
    try:
        caplog.clear()
        for _ in range(3):
            metadata = site.metadata("www")
            assert (metadata.profile, metadata.version) == ("web", "1.3.6")
            assert listed(site) == ["www"]
            with site.core.request():
                site.core.metadata.set_version("www", "1.3.6")
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "stays as it was read last: cannot read the clients" in caplog.text
        with site.core.request(), pytest.raises(MetadataRuntimeError, match="cannot write clients to the database"):
            site.core.metadata.set_version("www", "1.4.0")
        with pytest.raises(MetadataRuntimeError, match="cannot write clients to the database"):
            site.metadata("new")
    finally:
        postgresql.start()
    caplog.clear()
    assert site.metadata("new").profile == "basic"
    assert listed(site) == ["new", "www"]
    assert "The database answers again" in caplog.text
    site.stop()


def test_after_a_failure_nothing_is_read_for_a_moment(of_sqlite, monkeypatch):
    from bcfg2.server.plugins.metadata import database as module

    site = of_sqlite()
    add(site, "a")
    asked = []

    def query(names=None):
        asked.append(names)
        raise database.DatabaseUnusable("it does not answer")

    monkeypatch.setattr(module, "_query", query)
    begun = time.monotonic()
    for _ in range(5):
        assert site.metadata("a").profile == "basic"
        assert listed(site) == ["a"]
    if time.monotonic() - begun < availability.PAUSE:
        assert asked == [["a"]]


def test_what_one_client_sends_does_not_keep_others_from_being_written(of_sqlite, monkeypatch):
    from django.db import DataError

    from bcfg2.server.plugins.metadata import database as module

    site = of_sqlite()
    add(site, "a", "b")
    original = module._set_version

    def set_version(edits):
        original(edits)
        if any(edit.version == "bad" for edit in edits):
            raise DataError("no such character")

    monkeypatch.setitem(module._MAKERS, module._Action.SET_VERSION, set_version)
    store = site.core.metadata.store
    edits = [module._Edit(module._Action.SET_VERSION, name, version) for name, version in (("a", "bad"), ("b", "1"))]
    store._write(edits)
    assert [type(edit.error) for edit in edits] == [MetadataRuntimeError, type(None)]
    assert (version_of(site, "a"), version_of(site, "b")) == (None, "1")


def test_what_was_written_while_all_rows_were_read_is_not_lost(of_sqlite, monkeypatch):
    from bcfg2.server.plugins.metadata import database as module

    site = of_sqlite()
    add(site, "a")
    original, interfered = module._query, []

    def query(names=None):
        rows = original(names)
        if names is None and not interfered:
            interfered.append(True)
            site.core.metadata.store._take({"b": module.Client("b")})
            module._add([module._Edit(module._Action.ADD, "b")])
        return rows

    monkeypatch.setattr(module, "_query", query)
    assert listed(site) == ["a", "b"]


def test_a_server_without_its_database_does_not_start(tmp_path, postgresql, caplog):
    section = postgresql.new().replace("name = ", "name = not_")
    with pytest.raises(CoreInitError):
        Site(tmp_path, conf=f"[metadata]\nuse_database = yes\n{section}")
    assert "cannot use the database" in caplog.text and "does not exist" in caplog.text
    assert "[metadata] use_database is on" in caplog.text


def test_those_who_wait_for_the_list_share_one_reading(of_sqlite, monkeypatch):
    from bcfg2.server.plugins.metadata import database as module

    site = of_sqlite()
    add(site, "a")
    store = site.core.metadata.store
    original, count, lists = module._query, [], []

    def query(names=None):
        count.append(names)
        return original(names)

    monkeypatch.setattr(module, "_query", query)
    with store._busy:  # as if somebody was writing
        threads = [threading.Thread(target=lambda: lists.append(listed(site))) for _ in range(8)]
        for thread in threads:
            thread.start()
        await_condition(lambda: sum("_read_all" in frames_of(thread) for thread in threads) == 8)
    for thread in threads:
        thread.join()
    assert lists == [["a"]] * 8
    assert count == [None]


def frames_of(thread):
    """The names of the functions that THREAD is in."""
    frame = sys._current_frames().get(thread.ident)
    return [found.f_code.co_name for found, _ in traceback.walk_stack(frame)] if frame else []


# the tables of older servers


def test_the_table_of_an_older_server_is_used_as_it_is(make):
    from django.db import connection

    site = make()
    with connection.cursor() as cursor:
        quote = connection.ops.quote_name
        cursor.execute(f"DROP TABLE {quote('Server_metadataclientmodel')}")
        cursor.execute(f"DROP TABLE {quote('Server_metadatabootstrapmodel')}")
        cursor.execute(
            f"CREATE TABLE {quote('Server_metadataclientmodel')} "
            "(hostname varchar(255) NOT NULL PRIMARY KEY, version varchar(31) NULL)"
        )
        cursor.execute(f"INSERT INTO {quote('Server_metadataclientmodel')} VALUES ('www', '1.3.4'), ('a', NULL)")
    site.restart()
    assert listed(site) == ["a", "www"]
    assert (version_of(site, "www"), version_of(site, "a")) == ("1.3.4", None)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {quote('Server_metadataclientmodel')} (hostname) VALUES ('by-hand')")
    assert listed(site) == ["a", "by-hand", "www"]
