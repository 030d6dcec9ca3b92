"""The embedded store: the answers of all clients in one file of SQLite, ``etc/probes.sqlite`` in the repository.

.. code-block:: text

    clients    host TEXT, timestamp INTEGER, groups TEXT (JSON, a list), data TEXT (JSON, probe name -> text)

One row per client, so an upload costs the same however many clients there are; those that arrive at the same time share
a transaction.  The file has a write-ahead log that is flushed to the disk before an upload is acknowledged.  Nothing of
it is held in memory but what could not be written: a row is read when a request asks for it, and all processes see what
any of them has written.
"""

import contextlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from bcfg2.server.plugin import MetadataRuntimeError
from bcfg2.server.plugins.probes.storage import NOTHING, Record, Storage, StorageError
from bcfg2.server.storage import SharedWriter, make_file
from bcfg2.server.versioned import request_memo

#: What ``PRAGMA user_version`` says of a file that has the table below.
_VERSION = 1
_TABLE = """CREATE TABLE clients (
    host TEXT NOT NULL PRIMARY KEY, timestamp INTEGER NOT NULL, groups TEXT NOT NULL, data TEXT NOT NULL
)"""
_PUT = "INSERT OR REPLACE INTO clients (host, timestamp, groups, data) VALUES (?, ?, ?, ?)"
_GET = "SELECT timestamp, groups, data FROM clients WHERE host = ?"
_GET_ALL = "SELECT host, timestamp, groups, data FROM clients ORDER BY host"

#: Seconds to wait for another process that is writing.
_PATIENCE = 20.0

_Row = tuple[str, int, str, str]


class ProbesSQLite(Storage):
    """The records of all clients in the file PATH, which is made with the first record.

    Raises :exc:`~bcfg2.server.plugins.probes.storage.StorageError` if the file is there and cannot be opened.  One that
    is damaged is kept under another name when there is something to write.
    """

    def __init__(self, path: str, logger: logging.Logger) -> None:
        self.path = path
        self.logger = logger
        self._reader = _Connection(path)
        self._changer = _Connection(path)  # one of its own: who reads does not wait for the disk
        #: The file that they are connected to, and what to hold while that changes.
        self._file: tuple[int, int] | None = None
        self._looking = threading.Lock()
        self._writer: SharedWriter[str] = SharedWriter(self._write)
        self._lock = threading.Lock()
        #: What the disk has refused so far.
        self._unwritten: dict[str, Record] = {}
        self._is_broken = False
        self._check()

    def _check(self) -> None:
        try:
            self._ask(_GET, "")
        except (OSError, sqlite3.OperationalError) as err:
            raise StorageError(f"cannot use {self.path}: {err}") from err
        except sqlite3.DatabaseError as err:
            self.logger.error(
                "Cannot use %s, starting without the probe data in it; it will be kept under another name: %s",
                self.path,
                err,
            )
            self._is_broken = True
        finally:
            self.close()  # the server's children are not to inherit it
        place = os.path.abspath(self.path)
        while not os.path.exists(place):
            place = os.path.dirname(place)
        if not os.access(place, os.W_OK):
            self.logger.error("Cannot write %s, the server will have new probe data in memory only", place)

    def get(self, host: str) -> Record:
        """The record of HOST, the same throughout a request; an empty one if there is none.

        MetadataRuntimeError if it cannot be read.
        """
        memo = request_memo()
        if (self, host) not in memo:
            record = self._unwritten.get(host)
            memo[self, host] = self._read(host) if record is None else record
        found: Record = memo[self, host]
        return found

    def _read(self, host: str) -> Record:
        if self._is_broken:
            return NOTHING
        try:
            rows = self._ask(_GET, host)
            return _record(*rows[0]) if rows else NOTHING
        except (OSError, sqlite3.Error, StorageError, ValueError) as err:
            raise MetadataRuntimeError(f"cannot read the probe data of {host} in {self.path}: {err}") from err

    def put(self, host: str, record: Record) -> None:
        """Replace the record of HOST; it is in force, and on disk, when this returns.

        If the disk refuses, that is logged and the record is in force all the same; it is written with the next one.
        """
        with self._lock:
            self._unwritten[host] = record
        self._writer.submit(host)
        request_memo()[self, host] = record

    def take(self, host: str, record: Record) -> None:
        """Put the record of HOST in force should it not be in the file, because the disk has refused it."""
        is_written = False
        with contextlib.suppress(MetadataRuntimeError):
            is_written = self._read(host) == record
        with self._lock:
            if is_written:
                self._unwritten.pop(host, None)
            else:
                self._unwritten[host] = record

    def close(self) -> None:
        with self._reader.lock, self._changer.lock:
            self._reader.drop()
            self._changer.drop()

    def _ask(self, query: str, *arguments: str) -> list[Any]:
        """The rows of QUERY; none if there is no file."""
        self._look()
        if self._file is None:
            return []
        with self._reader.opened() as connection:
            return connection.execute(query, arguments).fetchall()

    def _look(self) -> None:
        """Let go of a file that has been replaced or removed, and of its log, which is not that of the new one."""
        if _identity(self.path) == self._file:
            return
        with self._looking:
            found = _identity(self.path)
            if found == self._file:
                return
            log = _identity(f"{self.path}-wal")  # while it is open, no other file can have the same identity
            is_left = log is not None and log in (self._reader.log, self._changer.log)
            self.close()
            if is_left:
                for suffix in ("-wal", "-shm"):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self.path + suffix)
            self._file = found

    def _write(self, _hosts: list[str]) -> None:
        """Write all records that are not in the file yet."""
        with self._lock:
            todo = dict(self._unwritten)
        try:
            self._change(lambda connection: connection.executemany(_PUT, _rows(todo)))
        except StorageError as err:
            self.logger.error("%s; the server has the probe data of %d clients in memory only", err, len(todo))
            return
        with self._lock:
            for host, record in todo.items():
                if self._unwritten.get(host) is record:
                    del self._unwritten[host]

    # for bcfg2-admin

    def records(self) -> Mapping[str, Record]:
        if self._is_broken:
            raise StorageError(f"{self.path} cannot be used")
        try:
            return {host: _record(*rest) for host, *rest in self._ask(_GET_ALL)}
        except (OSError, sqlite3.Error, ValueError) as err:
            raise StorageError(f"cannot read {self.path}: {err}") from err

    def replace(self, records: Mapping[str, Record]) -> None:
        def change(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM clients")
            connection.executemany(_PUT, _rows(records))

        self._change(change)

    def remove(self, hosts: Collection[str]) -> None:
        self._change(
            lambda connection: connection.executemany("DELETE FROM clients WHERE host = ?", ((host,) for host in hosts))
        )

    def _change(self, change: Callable[[sqlite3.Connection], object]) -> None:
        """Do CHANGE in one transaction, which is on disk when this returns; StorageError if that cannot be."""
        try:
            if self._is_broken:
                self._set_aside()
            make_file(self.path)
            self._look()
            with self._changer.opened() as connection, _transaction(connection):
                change(connection)
        except (OSError, sqlite3.Error) as err:
            raise StorageError(f"cannot write probe data to {self.path}: {err}") from err

    def _set_aside(self) -> None:
        kept = f"{self.path}.broken-{int(time.time())}"
        for suffix in ("-wal", "-shm", ""):  # in this order: never a log without the file that it belongs to
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.path + suffix, kept + suffix)
        self._is_broken = False
        self.logger.warning("%s could not be used, it is now %s", self.path, kept)


class _Connection:
    """A connection to the file PATH, opened when it is needed, by each process its own."""

    def __init__(self, path: str) -> None:
        self.lock = threading.Lock()
        #: The write-ahead log that it uses.
        self.log: tuple[int, int] | None = None
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        #: What a parent process has opened must be neither used nor closed here.
        self._inherited: list[sqlite3.Connection] = []

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone; the file, which has to be there, has its table."""
        with self.lock:
            if self._process != os.getpid():
                self.drop()
            if self._connection is None:
                self._connection = self._open()
                self._process = os.getpid()
                self.log = _identity(f"{self._path}-wal")
            yield self._connection

    def drop(self) -> None:
        """Close it; the caller has the lock."""
        if self._connection is None:
            return
        if self._process == os.getpid():
            self._connection.close()
        else:
            self._inherited.append(self._connection)
        self._connection = None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(self._path)}?mode=rw",
            uri=True,
            timeout=_PATIENCE,
            isolation_level=None,  # transactions begin where it is said
            check_same_thread=False,
        )
        try:
            if _version(connection) == 0:
                connection.execute("PRAGMA journal_mode=WAL")
                _make_table(connection)
            if _version(connection) > _VERSION:
                raise StorageError(f"{self._path} was made by a newer version of bcfg2")
            connection.execute("PRAGMA synchronous=FULL")
        except BaseException:
            connection.close()
            raise
        return connection


def _identity(path: str) -> tuple[int, int] | None:
    """Device and number of the file PATH, which tell it from others; None if it is missing."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _make_table(connection: sqlite3.Connection) -> None:
    with _transaction(connection):
        if _version(connection) == 0:  # nobody else has been faster
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA user_version={_VERSION}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _rows(records: Mapping[str, Record]) -> Iterator[_Row]:
    for host, record in records.items():
        yield host, record.timestamp, json.dumps(record.groups), json.dumps(dict(record.data))


def _record(timestamp: int, groups: str, data: str) -> Record:
    return Record(timestamp, tuple(json.loads(groups)), json.loads(data))
