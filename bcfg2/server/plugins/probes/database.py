"""The answers of all clients in the database.

They are read when the server starts and kept in memory.  Other servers may write, too, so a request reads the answers
of the client that it is about again; those of other clients are what this server knew last.  While the database does
not answer, new answers are kept in memory, and written with the next ones when it answers again.
"""

import datetime
import logging
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice

from django.db import DataError, transaction

from bcfg2.server import database
from bcfg2.server.database import Availability, DatabaseUnusable, SharedQuery
from bcfg2.server.plugin.database import write_lock
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugins.probes.models import ProbesDataModel, ProbesGroupsModel
from bcfg2.server.plugins.probes.storage import NOTHING, Record, Storage, StorageError
from bcfg2.server.storage import SharedWriter
from bcfg2.server.versioned import request_memo

_MAX_NAME: int = ProbesDataModel._meta.get_field("probe").max_length

#: How many clients are written in one transaction.
_CHUNK = 200


class ProbesDatabase(Storage):
    """The records of all clients.  Raises :exc:`~bcfg2.server.database.DatabaseUnusable` if they cannot be read."""

    def __init__(self, core: CoreInterface, logger: logging.Logger) -> None:
        self.logger = logger
        self._core = core
        self._availability = Availability(logger, "Probe data stay as they were read last")
        self._writer: SharedWriter[str] = SharedWriter(self._write)
        self._records_now = SharedQuery(self._read_some)
        self._lock = threading.Lock()
        #: Hosts whose records are not in the database yet, and those whose records it refuses.
        self._unwritten: dict[str, Record] = {}
        self._refused: set[str] = set()
        self._changes = 0
        self._records = read_records()

    def get(self, host: str) -> Record:
        """The record of HOST, the same throughout a request; an empty one if there is none."""
        memo = request_memo()
        if (self, host) not in memo:
            if (self, "first") not in memo:  # who the request is about is asked for first
                memo[self, "first"] = host
                self.follow(host)
            memo[self, host] = self._records.get(host, NOTHING)
        found: Record = memo[self, host]
        return found

    def put(self, host: str, record: Record) -> None:
        """Replace the record of HOST; it is in force, and in the database, when this returns.

        If the database refuses, that is logged and the record is in force all the same.
        """
        if too_long := [name for name in (*record.data, *record.groups) if len(name) > _MAX_NAME]:
            self.logger.error("%s: names that are too long for the database are ignored: %.80r...", host, too_long[0])
            record = Record(
                record.timestamp,
                tuple(name for name in record.groups if name not in too_long),
                {name: text for name, text in record.data.items() if name not in too_long},
            )
        with self._lock:
            self._records[host] = self._unwritten[host] = record
            self._refused.discard(host)
            self._changes += 1
        self._writer.submit(host)
        request_memo()[self, host] = record

    def take(self, host: str, record: Record) -> None:
        """Put the record of HOST, which another process has put into the database, in force."""
        with self._lock:
            self._records[host] = record
            self._changes += 1

    def catch_up(self) -> None:
        """Read all records again."""
        try:
            found = read_records()
        except DatabaseUnusable as err:
            self._availability.has_failed(err)
            return
        self._availability.has_answered()
        with self._lock:
            self._records = {**found, **self._unwritten}
            self._changes += 1

    def follow(self, host: str) -> None:
        """See whether another server has changed the record of HOST."""
        if self._availability.pauses() or "\0" in host:
            return
        try:
            self._records_now.ask(host)
        except DatabaseUnusable as err:
            self._availability.has_failed(err)
            return
        self._availability.has_answered()

    def _read_some(self, hosts: list[str]) -> Mapping[str, Record]:
        """Read the records of HOSTS, and note them, unless this server has newer ones."""
        changes = self._changes
        found = read_records(hosts)
        changed = []
        with self._lock:
            for host in hosts:
                known, read = self._records.get(host, NOTHING), found.get(host, NOTHING)
                is_ours = changes != self._changes or host in self._unwritten or host in self._refused
                if not is_ours and (known.groups, known.data) != (read.groups, read.data):
                    self._records[host] = read
                    changed.append(host)
        for host in changed:
            self._core.metadata_cache.expire(host)
        return found

    def _write(self, _hosts: list[str]) -> None:
        """Write all records that are not in the database yet."""
        with self._lock:
            todo = dict(self._unwritten)
        for chunk in _chunks(todo):
            try:
                self._store(chunk)
            except DatabaseUnusable as err:
                if not isinstance(err.__cause__, DataError):
                    self._availability.has_failed(err)
                    self.logger.error("The server has probe data of %d clients in memory only: %s", len(todo), err)
                    return
                self._write_singly(chunk)
            self._availability.has_answered()

    def _write_singly(self, records: Mapping[str, Record]) -> None:
        for host, record in records.items():
            try:
                self._store({host: record})
            except DatabaseUnusable as err:
                self.logger.error("The server has the probe data of %s in memory only: %s", host, err)
                with self._lock:
                    self._refused.add(host)
                    self._unwritten.pop(host, None)

    def _store(self, records: Mapping[str, Record]) -> None:
        """Bring the tables up to date with RECORDS; what has not changed there stays as it is."""
        with database.errors("cannot write probe data to the database"), write_lock(self._core):
            # Read before the transaction begins: SQLite does not let one that has read wait for its turn to write.
            data = _Differences(records)
            groups = _kept_groups(records)
            with transaction.atomic():
                data.write()
                changed = [host for host, record in records.items() if groups.get(host, ()) != record.groups]
                ProbesGroupsModel.objects.filter(hostname__in=changed).delete()
                ProbesGroupsModel.objects.bulk_create(
                    ProbesGroupsModel(hostname=host, group=group) for host in changed for group in records[host].groups
                )
        with self._lock:
            self._changes += 1  # what somebody has read before counts no more
            for host, record in records.items():
                if self._unwritten.get(host) is record:
                    del self._unwritten[host]

    # for bcfg2-admin

    def records(self) -> Mapping[str, Record]:
        try:
            return read_records()
        except DatabaseUnusable as err:
            raise StorageError(str(err)) from err

    def replace(self, records: Mapping[str, Record]) -> None:
        unstorable = [
            host for host, record in records.items() if any(map(_is_too_long, (host, *record.data, *record.groups)))
        ]
        if unstorable:
            raise StorageError(f"names among the probe data of {unstorable[0]} are too long for the database")
        with self._changing():
            ProbesDataModel.objects.all().delete()
            ProbesGroupsModel.objects.all().delete()
            for chunk in _chunks(records):
                ProbesDataModel.objects.bulk_create(
                    ProbesDataModel(
                        hostname=host,
                        probe=probe,
                        data=text,
                        timestamp=_moment(record),
                    )
                    for host, record in chunk.items()
                    for probe, text in record.data.items()
                )
                ProbesGroupsModel.objects.bulk_create(
                    ProbesGroupsModel(hostname=host, group=group)
                    for host, record in chunk.items()
                    for group in record.groups
                )

    def remove(self, hosts: Collection[str]) -> None:
        with self._changing():
            for host in hosts:
                ProbesDataModel.objects.filter(hostname=host).delete()
                ProbesGroupsModel.objects.filter(hostname=host).delete()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One transaction; StorageError if it fails."""
        try:
            with (
                database.errors("cannot write probe data to the database"),
                write_lock(self._core),
                transaction.atomic(),
            ):
                yield
        except DatabaseUnusable as err:
            raise StorageError(str(err)) from err


def _is_too_long(name: str) -> bool:
    return len(name) > _MAX_NAME


class _Differences:
    """What has to be done so that the data of the clients in RECORDS are in the table, each once."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        self._moments = {host: _moment(record) for host, record in records.items()}
        self._surplus: list[int] = []
        self._changed: list[tuple[int, str, datetime.datetime]] = []
        wanted = {(host, probe): text for host, record in records.items() for probe, text in record.data.items()}
        rows = ProbesDataModel.objects.filter(hostname__in=list(records)).order_by("pk")
        for key, host, probe, text in rows.values_list("pk", "hostname", "probe", "data"):
            if (host, probe) not in wanted:
                self._surplus.append(key)
            elif wanted.pop((host, probe)) != text:
                self._changed.append((key, records[host].data[probe], self._moments[host]))
        self._new = wanted

    def write(self) -> None:
        """Do it."""
        if self._surplus:
            ProbesDataModel.objects.filter(pk__in=self._surplus).delete()
        for key, text, moment in self._changed:
            ProbesDataModel.objects.filter(pk=key).update(data=text, timestamp=moment)
        ProbesDataModel.objects.bulk_create(
            ProbesDataModel(hostname=host, probe=probe, data=text, timestamp=self._moments[host])
            for (host, probe), text in self._new.items()
        )


def _moment(record: Record) -> datetime.datetime:
    """When RECORD came, as the database has it; now, if its own time makes no sense."""
    try:
        return datetime.datetime.fromtimestamp(record.timestamp)
    except (OverflowError, ValueError, OSError):
        return datetime.datetime.now()


def _kept_groups(hosts: Iterable[str] | None) -> dict[str, tuple[str, ...]]:
    """Host -> its groups, in their order, of HOSTS or of all."""
    rows = ProbesGroupsModel.objects.order_by("pk").values_list("hostname", "group")
    if hosts is not None:
        rows = rows.filter(hostname__in=list(hosts))
    found: dict[str, list[str]] = {}
    for host, group in rows:
        found.setdefault(host, []).append(group)
    return {host: tuple(groups) for host, groups in found.items()}


def read_records(hosts: list[str] | None = None) -> dict[str, Record]:
    """Host -> record, of HOSTS or of all that are in the database."""
    with database.errors("cannot read the probe data in the database"):
        groups = _kept_groups(hosts)
        rows = ProbesDataModel.objects.order_by("pk").values_list("hostname", "probe", "data", "timestamp")
        if hosts is not None:
            rows = rows.filter(hostname__in=hosts)
        data: dict[str, dict[str, str]] = {}
        times: dict[str, int] = {}
        for host, probe, text, moment in rows.iterator():
            data.setdefault(host, {})[probe] = text or ""
            times[host] = max(times.get(host, 0), int(moment.timestamp()))
    return {
        host: Record(times.get(host, 0), tuple(dict.fromkeys(groups.get(host, ()))), data.get(host, {}))
        for host in groups.keys() | data.keys()
    }


def _chunks(records: Mapping[str, Record]) -> Iterator[dict[str, Record]]:
    """RECORDS in parts."""
    rest = iter(records.items())
    while chunk := dict(islice(rest, _CHUNK)):
        yield chunk
