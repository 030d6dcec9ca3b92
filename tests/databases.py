"""Databases for tests: files of SQLite, and servers of PostgreSQL and MariaDB that the tests start themselves.

A server lives in a temporary folder, listens on a socket there and nowhere else, and ends with the tests.  Where its
programs are missing, the tests are skipped; ``.ci/databases`` installs them.
"""

import glob
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.support import await_condition

_numbers = itertools.count()

#: A folder with a short name (sockets want that), in memory where possible.
_FOLDER = next(path for path in ("/dev/shm", "/tmp") if os.access(path, os.W_OK | os.X_OK))


class SQLite:
    """Each database is a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self) -> str:
        """The section ``[database]`` for a database that does not exist yet."""
        return f"[database]\nengine = sqlite3\nname = {self.folder}/db{next(_numbers)}/bcfg2.sqlite\n"


class DatabaseServer:
    """A server in a folder of its own; a subclass says how it is set up and started."""

    programs: ClassVar[Sequence[str]]
    engine: ClassVar[str]

    def __init__(self) -> None:
        self.paths = {name: _program(name) for name in self.programs}
        self.folder = Path(tempfile.mkdtemp(prefix="bcfg2-", dir=_FOLDER))
        # These servers refuse to run as root.
        self.owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        os.chown(self.folder, self.owner.pw_uid, self.owner.pw_gid)
        self.process: subprocess.Popen[bytes] | None = None
        self.log = (self.folder / "log").open("wb")
        subprocess.run(self.setup(), check=True, stdout=self.log, stderr=self.log, **self._as_owner())
        self.start()

    def setup(self) -> list[str]:
        """The command that makes the files of the server."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """The command that runs the server."""
        raise NotImplementedError

    def execute(self, statement: str) -> None:
        """Execute STATEMENT as an administrator."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log, **self._as_owner())
        await_condition(self._answers, 60)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            self.execute("SELECT 1")
        except Exception:  # noqa: BLE001 - whatever the driver raises
            return False
        return True

    def stop(self) -> None:
        """Stop the server at once, as a crash would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT if self.engine == "postgresql" else signal.SIGKILL)
        self.process.wait(30)

    def close(self) -> None:
        """Stop the server for good."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new(self) -> str:
        """The section ``[database]`` for a new, empty database."""
        name = f"bcfg2_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return f"[database]\nengine = {self.engine}\nname = {name}\nuser = root\nhost = {self.host}\n"

    @property
    def host(self) -> str:
        """What stands for the server's socket in the configuration file."""
        return str(self.folder)

    def _as_owner(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {"cwd": self.folder}
        return {"cwd": self.folder, "user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []}


class PostgreSQL(DatabaseServer):
    """PostgreSQL, as Debian installs it or from the PATH."""

    programs = ("initdb", "postgres")
    engine = "postgresql"

    def setup(self) -> list[str]:
        return [self.paths["initdb"], "-D", f"{self.folder}/data", "-U", "root", "-A", "trust", "--no-sync"]

    def command(self) -> list[str]:
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.folder), "fsync": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [self.paths["postgres"], "-D", f"{self.folder}/data", *options]

    def execute(self, statement: str) -> None:
        psycopg = pytest.importorskip("psycopg", reason="the driver psycopg is missing: install bcfg2[postgresql]")
        with psycopg.connect(host=self.host, user="root", dbname="postgres", autocommit=True) as connection:
            connection.execute(statement)


class MariaDB(DatabaseServer):
    """MariaDB, with the driver for MySQL."""

    programs = ("mariadb-install-db", "mariadbd")
    engine = "mysql"

    def setup(self) -> list[str]:
        words = ("--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db")
        return [self.paths["mariadb-install-db"], *words, f"--datadir={self.folder}/data", "--innodb-log-file-size=8M"]

    def command(self) -> list[str]:
        words = ("--no-defaults", "--skip-networking", "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=16M")
        places = {"datadir": "data", "socket": "socket", "pid-file": "pid"}
        return [self.paths["mariadbd"], *words, *(f"--{key}={self.folder}/{name}" for key, name in places.items())]

    @property
    def host(self) -> str:
        return f"{self.folder}/socket"

    def execute(self, statement: str) -> None:
        pymysql = pytest.importorskip("pymysql", reason="the driver PyMySQL is missing: install bcfg2[mysql]")
        with (
            pymysql.connect(unix_socket=self.host, user="root", ssl_disabled=True) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)


def _program(name: str) -> str:
    """The path of the program NAME of a server; without it the test is skipped."""
    versions = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    path = versions[-1] if versions else shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        pytest.skip(f"there is no {name}: this is NOT tested (.ci/databases installs it)")
    return path


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    pytest.importorskip("django.db", reason="Django is missing: install bcfg2[db]")
    server = PostgreSQL()
    yield server
    server.close()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    pytest.importorskip("django.db", reason="Django is missing: install bcfg2[db]")
    server = MariaDB()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Something that has new databases: each kind in turn."""
    pytest.importorskip("django.db", reason="Django is missing: install bcfg2[db]")
    return SQLite(tmp_path) if request.param == "sqlite" else request.getfixturevalue(request.param)
