"""Probe data in the database: one kind of it after the other."""

import contextlib
import itertools
import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("django", reason="Django is missing: install bcfg2[db]")

from lxml import etree

from bcfg2.server.database import DatabaseUnusable, availability
from bcfg2.server.plugins.probes.storage import NOTHING, Record, StorageError
from bcfg2.server.versioned import reading
from tests.databases import SQLite
from tests.support import Site

HOST = "client.example.com"
CLIENTS = f"""<Clients>
  <Client name="{HOST}" profile="basic" address="127.0.0.2"/><Client name="other" profile="basic"/>
</Clients>"""


@contextlib.contextmanager
def maker(tmp_path, section):
    """Makes sites that share the database that SECTION describes."""
    sites = []

    def made(conf=""):
        folder = tmp_path / f"site{len(sites)}"
        folder.mkdir()
        conf = f"{conf}\n[probes]\nuse_database = yes\n{section}"
        sites.append(Site(folder, {"Metadata/clients.xml": CLIENTS}, plugins="Metadata,Probes", conf=conf))
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


def upload(site, host=HOST, **answers):
    elements = []
    for name, text in answers.items():
        element = etree.Element("probe-data", name=name, source="Probes")
        element.text = text
        elements.append(element)
    with site.core.request():
        site.plugin("Probes").ReceiveData(site.core.build_metadata(host), elements)


def data(site, host=HOST):
    return dict(site.metadata(host).Probes)


def rows():
    """What the tables hold: {(host, probe): (data, timestamp)} and [(host, group)]."""
    from bcfg2.server.plugins.probes.models import ProbesDataModel, ProbesGroupsModel

    found = ProbesDataModel.objects.values_list("hostname", "probe", "data", "timestamp")
    groups = ProbesGroupsModel.objects.order_by("pk").values_list("hostname", "group")
    return {row[:2]: row[2:] for row in found}, list(groups)


def test_answers_are_in_the_tables_and_survive_a_restart(make):
    site = make()
    upload(site, net="group:zz\ngroup:aa\nIP übergroß\n", empty="")
    upload(site, "other", net="nothing")
    for _ in range(2):
        assert data(site) == {"net": "IP übergroß\n", "empty": ""}
        assert site.metadata().groups == {"basic", "zz", "aa"}
        assert data(site, "other") == {"net": "nothing"}
        site.restart()
    kept, groups = rows()
    assert {key: value[0] for key, value in kept.items()} == {
        (HOST, "net"): "IP übergroß\n",
        (HOST, "empty"): "",
        ("other", "net"): "nothing",
    }
    assert groups == [(HOST, "zz"), (HOST, "aa")]
    assert not (site.repo / "Probes/probed.xml").exists()


def test_an_upload_replaces_all_and_touches_nothing_that_is_the_same(make, monkeypatch):
    seconds = itertools.count(1_700_000_000)
    monkeypatch.setattr("bcfg2.server.plugins.probes.time", SimpleNamespace(time=lambda: next(seconds)))
    site = make()
    upload(site, same="1", changed="1", gone="1", groups="group:a\ngroup:b")
    upload(site, "other", same="1", groups="group:a")
    before = rows()[0]
    upload(site, same="1", changed="2", new="1", groups="group:b\ngroup:c")
    after, groups = rows()
    assert {probe: text for (host, probe), (text, _) in after.items() if host == HOST} == {
        "same": "1",
        "changed": "2",
        "new": "1",
        "groups": "",
    }
    assert after[HOST, "same"] == before[HOST, "same"]
    assert after[HOST, "changed"][1] > before[HOST, "changed"][1]
    assert after["other", "same"] == before["other", "same"]
    assert sorted(groups) == [(HOST, "b"), (HOST, "c"), ("other", "a")]
    assert site.restart() and site.metadata().groups == {"basic", "b", "c"}


def test_the_order_of_groups_is_kept(make):
    site = make()
    for order in (["x", "y"], ["y", "x"], ["y", "z", "x"]):
        upload(site, net="\n".join(f"group:{name}" for name in order))
        site.restart()
        assert site.plugin("Probes").get_additional_groups(site.metadata()) == order


def test_rows_that_an_older_server_has_doubled_are_made_one(make):
    from bcfg2.server.plugins.probes.models import ProbesDataModel, ProbesGroupsModel

    site = make()
    for _ in range(2):
        ProbesDataModel.objects.create(hostname=HOST, probe="net", data=None)
        ProbesGroupsModel.objects.create(hostname=HOST, group="a")
    assert data(site) == {"net": ""}
    assert site.metadata().groups == {"basic", "a"}
    upload(site, net="group:a\n1")
    assert ProbesDataModel.objects.count() == ProbesGroupsModel.objects.count() == 1
    assert rows()[0][HOST, "net"][0] == "1"


def test_what_a_client_tells_another_server_is_seen_at_once(make):
    one, other = make(), make()
    upload(one, net="group:a\n1")
    assert (data(other), other.metadata().groups) == ({"net": "1"}, {"basic", "a"})
    upload(other, net="2")
    assert (data(one), one.metadata().groups) == ({"net": "2"}, {"basic"})


def test_a_request_sees_one_state(make):
    site = make()
    upload(site, net="1")
    with site.core.request():
        assert site.core.build_metadata(HOST).Probes["net"] == "1"
        thread = threading.Thread(target=upload, args=(site,), kwargs={"net": "2"})
        thread.start()
        thread.join()
        assert site.plugin("Probes").storage.get(HOST).data == {"net": "1"}
    assert data(site) == {"net": "2"}


def test_cached_metadata_follows_at_the_next_run(of_sqlite):
    from bcfg2.server.plugins.probes.models import ProbesDataModel

    site = of_sqlite("[caching]\nclient_metadata = aggressive\n")
    upload(site, net="1")
    assert data(site) == {"net": "1"}
    ProbesDataModel.objects.update(data="2")  # as another server would
    assert data(site) == {"net": "1"}
    site.config()
    assert data(site) == {"net": "2"}


def test_only_the_client_that_a_request_is_about_is_asked_for(of_sqlite):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    site = of_sqlite()
    upload(site, net="1")
    upload(site, "other", net="2")
    with site.core.request(), CaptureQueriesContext(connection) as queries:
        metadata = site.core.build_metadata(HOST)
        assert {found.Probes["net"] for found in metadata.query.all()} == {"1", "2"}
        assert len(queries) == 2


def test_many_uploads_at_once_are_all_kept(make):
    site = make()
    storage = site.plugin("Probes").storage
    threads = [
        threading.Thread(target=storage.put, args=(f"host{number}", Record(0, ("a",), {"p": str(number)})))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept, groups = rows()
    assert {key: value[0] for key, value in kept.items()} == {(f"host{n}", "p"): str(n) for n in range(20)}
    assert sorted(groups) == sorted((f"host{n}", "a") for n in range(20))


def test_names_that_do_not_fit_cost_themselves_only(make, caplog):
    site = make()
    upload(site, **{"x" * 256: "1", "net": f"group:{'g' * 256}\ngroup:a\n2"})
    assert (data(site), site.metadata().groups) == ({"net": "2"}, {"basic", "a"})
    assert "too long for the database" in caplog.text
    assert site.restart() and data(site) == {"net": "2"}


def test_answers_that_cannot_be_written_are_in_force_and_written_later(of_sqlite, monkeypatch, caplog):
    monkeypatch.setattr(availability, "PAUSE", 0.0)
    site = of_sqlite()
    storage = site.plugin("Probes").storage
    upload(site, net="1")
    original = storage._store

    def fail(_records):
        raise DatabaseUnusable("it does not answer")

    monkeypatch.setattr(storage, "_store", fail)
    upload(site, net="2")
    assert "in memory only" in caplog.text
    assert (data(site), rows()[0][HOST, "net"][0]) == ({"net": "2"}, "1")
    monkeypatch.setattr(storage, "_store", original)
    upload(site, "other", net="3")
    assert {key: value[0] for key, value in rows()[0].items()} == {(HOST, "net"): "2", ("other", "net"): "3"}


def test_data_that_the_database_refuses_cost_themselves_only(of_sqlite, monkeypatch, caplog):
    from django.db import DataError

    from bcfg2.server.plugins.probes import database as module

    site = of_sqlite()
    original = module._Differences.write

    def write(self):
        if any("bad" in text for text in self._new.values()):
            raise DataError("no such character")
        original(self)

    monkeypatch.setattr(module._Differences, "write", write)
    storage = site.plugin("Probes").storage
    storage._unwritten[HOST] = storage._records[HOST] = module.Record(0, (), {"net": "bad"})
    upload(site, "other", net="good")
    assert "in memory only: cannot write probe data to the database: no such character" in caplog.text
    assert data(site) == {"net": "bad"}
    assert set(rows()[0]) == {("other", "net")}


def test_what_another_process_of_the_server_has_kept_is_taken(of_sqlite):
    one, other = of_sqlite(), of_sqlite()
    upload(one, net="1")
    storage = other.plugin("Probes").storage

    def known():
        with reading():
            storage.get("somebody")  # whom the request is about: only that one is looked up in the database
            return storage.get(HOST)

    assert known() == NOTHING
    other.plugin("Probes").catch_up()
    assert known().data == {"net": "1"}
    other.plugin("Probes").take(HOST, Record(1, ("a",), {"net": "2"}))
    assert known().groups == ("a",)


def test_all_records_are_replaced_and_removed_at_once(make):
    site = make()
    upload(site, net="old")
    storage = site.plugin("Probes").storage
    records = {f"h{number}": Record(1_700_000_000 + number, ("zz", "aa"), {"p": f"ü{number}"}) for number in range(450)}
    storage.replace(records)
    assert storage.records() == records
    with pytest.raises(StorageError, match="too long"):
        storage.replace({"new": Record(1), "h1": Record(1, ("x" * 300,))})
    storage.remove(["h1", "h2", "unknown"])
    assert storage.records() == {host: record for host, record in records.items() if host not in ("h1", "h2")}
