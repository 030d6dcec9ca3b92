"""How the database is opened, what is said if that does not work, and that nobody is left with an open connection."""

import logging
import os
import stat
import subprocess
import sys

import pytest

pytest.importorskip("django", reason="Django is missing: install bcfg2[db]")

from bcfg2.options import REPOSITORY, OptionParser
from bcfg2.server import database
from bcfg2.server.database.settings import description


@pytest.fixture
def options(tmp_path):
    """The options that the lines of the section ``[database]`` mean."""

    def made(*lines):
        conf = tmp_path / "bcfg2.conf"
        conf.write_text("\n".join([f"[server]\nrepository = {tmp_path}", "[database]", *lines]))
        parser = OptionParser(
            "test", "", [], components=[type("Component", (), {"options": [REPOSITORY, *database.OPTIONS]})]
        )
        return parser.parse(["-C", str(conf)])

    return made


def run(code, *arguments):
    """Run CODE in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# what Django is told


def test_without_settings_it_is_a_file_of_sqlite_in_the_repository(options, tmp_path):
    told = description(options())
    assert (told["ENGINE"], told["NAME"]) == ("django.db.backends.sqlite3", f"{tmp_path}/etc/bcfg2.sqlite")


@pytest.mark.parametrize("name", ["postgresql", "postgresql_psycopg2", "django.db.backends.postgresql_psycopg2"])
def test_old_names_of_engines_are_understood(options, name):
    assert description(options(f"engine = {name}"))["ENGINE"] == "django.db.backends.postgresql"


def test_an_engine_from_elsewhere_is_taken_as_it_is(options):
    assert description(options("engine = my.engine"))["ENGINE"] == "my.engine"


def test_options_of_the_driver_go_before_our_own(options):
    told = description(options("engine = postgresql", "options = {'connect_timeout': 3, 'sslmode': 'require'}"))
    assert told["OPTIONS"] == {"connect_timeout": 3, "sslmode": "require"}


def test_the_schema_is_where_tables_are_looked_for(options):
    told = description(options("engine = postgresql", 'schema = a "b\\ c'))
    assert told["OPTIONS"]["options"] == '-c search_path="a\\ ""b\\\\\\ c"'


def test_the_password_is_not_shown(options):
    assert "hush" not in repr(options("password = hush"))


# opening it


def test_the_file_is_made_with_its_folder_and_belongs_to_nobody_else(options, tmp_path):
    database.connect(options())
    database.close_connections()
    status = (tmp_path / "etc/bcfg2.sqlite").stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_uid == (tmp_path / "etc").stat().st_uid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for others")
def test_a_file_that_root_makes_belongs_to_the_owner_of_the_folder(options, tmp_path):
    (tmp_path / "etc").mkdir()
    os.chown(tmp_path / "etc", 4711, 4712)
    database.connect(options())
    database.close_connections()
    status = (tmp_path / "etc/bcfg2.sqlite").stat()
    assert (status.st_uid, status.st_gid) == (4711, 4712)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["name = /proc/nowhere/x"], "/proc/nowhere"),
        (["engine = nonsense"], "nonsense"),
        (["engine = postgresql", "name = x", "host = /nonexistent"], "/nonexistent"),
        (["engine = mysql", "host = /nonexistent"], "No such file"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_in_one_line(options, lines, reason):
    with pytest.raises(database.DatabaseUnusable) as caught:
        database.connect(options(*lines, "password = hush"))
    text = str(caught.value)
    assert text.startswith("cannot use the database: ")
    assert reason in text
    assert "\n" not in text and "hush" not in text


def test_a_missing_driver_is_named_by_its_extra(options, monkeypatch):
    for name in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("django.db.backends.postgresql")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(database.DatabaseUnusable, match=r"install bcfg2\[postgresql\]"):
        database.connect(options("engine = postgresql"))


def test_without_django_its_extra_is_named_and_everything_else_goes_on(tmp_path):
    code = """
import sys
sys.modules["django"] = None
from bcfg2.server import database
from bcfg2.server.plugin import DatabaseBacked, PluginDatabaseModel
database.close_connections()
try:
    database.prepare()
except database.DatabaseUnusable as err:
    print(err)
"""
    assert run(code).strip() == "the database needs Django, which is not installed: install bcfg2[db]"


def test_django_is_not_loaded_where_nobody_uses_the_database():
    code = """
import sys
import bcfg2.server.core, bcfg2.server.plugins.metadata, bcfg2.server.plugins.probes
print([name for name in sys.modules if name.startswith("django")])
"""
    assert run(code).strip() == "[]"


def test_logging_and_time_zone_of_the_process_stay_as_they_are(options, monkeypatch):
    before = (os.environ.get("TZ"), list(logging.getLogger().handlers))
    database.connect(options())
    database.close_connections()
    assert (os.environ.get("TZ"), list(logging.getLogger().handlers)) == before


# connections


def test_a_decorated_method_leaves_no_connection_open(options):
    from django.db import connection

    database.connect(options())

    @database.close_db_connection
    def query(fails):
        connection.ensure_connection()
        if fails:
            raise KeyError
        return 42

    assert query(False) == 42
    assert connection.connection is None
    with pytest.raises(KeyError):
        query(True)
    assert connection.connection is None


def test_a_forked_process_inherits_no_connection(options):
    from django.db import connection

    database.connect(options())
    connection.ensure_connection()
    child = os.fork()
    if not child:
        os._exit(0 if connection.connection is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert connection.connection is None


def test_after_an_error_the_next_query_has_a_new_connection(options):
    from django.db import DatabaseError, connection

    database.connect(options())
    connection.ensure_connection()
    with pytest.raises(database.DatabaseUnusable, match="asking: gone"), database.errors("asking"):
        raise DatabaseError("gone")
    assert connection.connection is None


def test_other_databases_may_follow(options, tmp_path):
    from django.db import connection

    for name in ("one", "two"):
        database.connect(options(f"name = {tmp_path}/{name}"))
        assert connection.settings_dict["NAME"] == f"{tmp_path}/{name}"
    database.close_connections()
