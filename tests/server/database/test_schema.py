"""Plugins that keep data in the database, and their tables: one kind of database after the other."""

import threading

import pytest

pytest.importorskip("django", reason="Django is missing: install bcfg2[db]")

from bcfg2.server import database
from bcfg2.server.plugin import PluginInitError
from tests.support import Site, write_files

#: A plugin as somebody else would write it, with the names of the old suite.
PLUGIN = '''
from django.db import models
import Bcfg2.Server.Plugin
from bcfg2.options import BooleanOption


class SightingModel{number}(models.Model, Bcfg2.Server.Plugin.PluginDatabaseModel):
    hostname = models.CharField(max_length=255)
    place = models.TextField(null=True)


class {name}(Bcfg2.Server.Plugin.DatabaseBacked, Bcfg2.Server.Plugin.Connector):
    create = False
    options = [BooleanOption("{section}", "use_database", default=False)]

    @Bcfg2.Server.Plugin.DatabaseBacked.get_db_lock
    def see(self, host, place):
        """See something."""
        SightingModel{number}.objects.create(hostname=host, place=place)
        return self.core.db_write_lock._is_owned()

    def get_additional_data(self, metadata):
        if not self._use_db:
            return None
        return list(SightingModel{number}.objects.filter(hostname=metadata.hostname).values_list("place", flat=True))
'''


@pytest.fixture
def make(tmp_path, request, monkeypatch):
    """Make a site with a plugin of somebody else's; the database is that of the section given."""
    number = abs(hash(request.node.nodeid))
    name = f"Sightings{number}"
    write_files(tmp_path, {f"module{number}.py": PLUGIN.format(number=number, name=name, section=name.lower())})
    monkeypatch.syspath_prepend(str(tmp_path))
    sites = []

    def made(section, use="yes"):
        conf = f"[{name.lower()}]\nuse_database = {use}\n{section}"
        sites.append(Site(tmp_path, plugins=f"Metadata, module{number}.{name}", conf=conf))
        sites[-1].name, sites[-1].model = name, f"SightingModel{number}"
        return sites[-1]

    yield made
    for site in sites:
        site.stop()


def table_of(site):
    return f"Server_{site.model.lower()}"


def test_a_plugin_of_somebody_else_keeps_data(make, databases):
    site = make(databases.new())
    with site.core.request():
        holds_lock = site.plugin(site.name).see("client.example.com", "räck 7")
    assert holds_lock == (database.engine() == "sqlite3")
    site.restart()
    assert getattr(site.metadata(), site.name) == ["räck 7"]


def test_without_the_option_the_database_is_not_touched(make, tmp_path):
    site = make("[database]\nname = /proc/nowhere/db", use="no")
    assert getattr(site.metadata(), site.name) is None
    assert "database_available" not in vars(site.core)


def test_with_the_option_but_without_a_database_the_plugin_is_not_loaded(make, caplog):
    site = make("[database]\nname = /proc/nowhere/db")
    assert site.name not in site.core.plugins
    assert not site.core.database_available
    assert "cannot use the database" in caplog.text
    assert f"[{site.name.lower()}] use_database is on" in caplog.text


def test_a_table_that_lacks_a_column_gets_it_and_keeps_its_rows(make, databases):
    from django.db import connection

    site = make(databases.new())
    with site.core.request():
        site.plugin(site.name).see("client.example.com", "x")
    table = connection.ops.quote_name(table_of(site))
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DROP COLUMN place")
    site.restart()
    assert getattr(site.metadata(), site.name) == [None]
    with site.core.request():
        site.plugin(site.name).see("client.example.com", "y")
    assert sorted(getattr(site.metadata(), site.name), key=str) == [None, "y"]


def test_servers_that_start_at_once_make_the_tables_once(make, databases):
    from django.db import connection

    site = make(databases.new())
    failed = []

    def prepare(barrier):
        barrier.wait(10)
        try:
            database.make_tables()
        except database.DatabaseUnusable as err:
            failed.append(err)
        finally:
            database.close_connections()

    for _ in range(3):
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {connection.ops.quote_name(table_of(site))}")
        barrier = threading.Barrier(2)
        threads = [threading.Thread(target=prepare, args=(barrier,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        with site.core.request():
            site.plugin(site.name).see("client.example.com", "z")


def test_a_schema_of_postgresql_holds_the_tables(make, postgresql):
    from django.db import connection

    section = postgresql.new()
    site = make(section)
    with connection.cursor() as cursor:
        cursor.execute('CREATE SCHEMA "my own"')
    database.close_connections()
    site.stop()
    site.conf.write_text(site.conf.read_text() + "schema = my own\n")
    site.start()
    with site.core.request():
        site.plugin(site.name).see("client.example.com", "here")
    assert getattr(site.metadata(), site.name) == ["here"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT schemaname FROM pg_tables WHERE tablename = %s ORDER BY 1", [table_of(site)])
        assert [row[0] for row in cursor.fetchall()] == ["my own", "public"]
        cursor.execute(f'SELECT count(*) FROM public."{table_of(site)}"')
        assert cursor.fetchone() == (0,)
    database.close_connections()


def test_what_keeps_tables_from_being_made_is_told_in_one_line(make, tmp_path):
    site = make(f"[database]\nname = {tmp_path}/db")
    (tmp_path / "db").write_bytes(b"this is no database of SQLite" * 100)
    with pytest.raises(PluginInitError, match="cannot prepare the tables of the database: .*not a database") as caught:
        type(site.plugin(site.name))(site.core)
    assert "\n" not in str(caught.value)
