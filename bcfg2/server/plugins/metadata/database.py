"""Clients in the database: which there are, their versions, and who has been bootstrapped.

.. code-block:: text

    OptionsFile       clients.xml, which may be missing: options of clients, if these exist
    ClientsDatabase   the clients, shared with other servers and with bcfg2-admin

All rows are kept in memory, as one immutable snapshot; a request sees the same one to its end, unless it asks for what
is newer.  Others may change the tables at any time, so a request looks its own client up again (one row), and reads all
rows again when it asks for the names of all clients.  Each of these is done once per request, and those who wait for
the same reading share it.

While the database does not answer, what was read last stays in force; only those who have something to write suffer.
"""

import logging
import os
import threading
import time
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from itertools import groupby
from typing import Any

from django.db import DataError, transaction

from bcfg2.server import database
from bcfg2.server.database import Availability, DatabaseUnusable, SharedQuery
from bcfg2.server.plugin import MetadataConsistencyError, MetadataRuntimeError
from bcfg2.server.plugin.database import write_lock
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugins.metadata.clients import Client, ClientTable
from bcfg2.server.plugins.metadata.faults import in_clients
from bcfg2.server.plugins.metadata.models import MetadataBootstrapModel, MetadataClientModel
from bcfg2.server.plugins.metadata.snapshot import SnapshotFile
from bcfg2.server.plugins.metadata.store import ClientStore
from bcfg2.server.storage import SharedWriter
from bcfg2.server.versioned import Versioned, request_memo
from bcfg2.xml import legal

_NO_OPTIONS = ClientTable.of_clients({})

_MAX_NAME: int = MetadataClientModel._meta.get_field("hostname").max_length
_MAX_VERSION: int = MetadataClientModel._meta.get_field("version").max_length

#: How often a reading is begun anew because something was changed in memory meanwhile.
_ATTEMPTS = 3


class OptionsFile(SnapshotFile):
    """clients.xml where clients are in the database; never written.

    `table`: what it says, nothing if there is no such file; None as long as there is one that cannot be used.
    """

    root_tag = "Clients"
    is_required = False

    table: Versioned[ClientTable | None] = Versioned(None)

    def __init__(self, name: str) -> None:
        if not os.path.exists(name):
            self.table = _NO_OPTIONS
        super().__init__(name)

    def HandleEvent(self, event: Any = None) -> None:
        super().HandleEvent(event)
        with self.busy:
            if not os.path.exists(self.name) and self.table is not _NO_OPTIONS:
                self.logger.warning("%s is gone, clients have no options any more", self.name)
                self._states.clear()
                self.table = _NO_OPTIONS
                if self.on_load is not None:
                    self.on_load(self)

    def Index(self) -> None:
        self.log_faults(in_clients)
        self.table = ClientTable.of(self.xdata)
        self.forget_document()


class _Action(Enum):
    ADD = "add"
    SET_VERSION = "set version"
    BOOTSTRAP = "bootstrap"
    REMOVE = "remove"


@dataclass(slots=True)
class _Edit:
    """One change of one client, and how it went: the client as it is in the database then, or an error."""

    action: _Action
    name: str
    version: str | None = None
    client: Client | None = None
    error: Exception | None = field(default=None)


class _WithOptions(Mapping[str, Client]):
    """The clients in the database, with what clients.xml says of them."""

    def __init__(self, rows: Mapping[str, Client], options: Mapping[str, Client]) -> None:
        self._rows = rows
        self._options = options

    def __getitem__(self, name: str) -> Client:
        row = self._rows[name]
        options = self._options.get(name)
        return row if options is None else _combined(row, options)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self._rows


def _combined(row: Client, options: Client) -> Client:
    bootstrapped = row.auth is not None and options.auth in (None, "bootstrap")
    return replace(options, version=row.version, auth=row.auth if bootstrapped else options.auth)


@dataclass(frozen=True)
class _Table(ClientTable):
    """Clients of the database, with the other names and addresses that OPTIONS, which is clients.xml, gives them."""

    options: ClientTable

    @cached_property
    def profiles(self) -> frozenset[str]:
        return self.options.profiles


class ClientsDatabase(ClientStore):
    """The clients in the database.  Raises MetadataRuntimeError if they cannot be read."""

    keeps_attributes = False

    def __init__(self, options: OptionsFile, core: CoreInterface) -> None:
        self.logger = logging.getLogger("bcfg2.Metadata")
        self._options = options
        self._core = core
        self._writer = SharedWriter(self._write)
        self._rows_now = SharedQuery(self._read_some)
        #: Held by those who read all rows, or write.
        self._busy = threading.RLock()
        self._reading_since = 0.0
        self._availability = Availability(self.logger, "The list of clients stays as it was read last")
        # The rows that are known, and how often they have changed.
        self._guard = threading.Lock()
        self._rows: Mapping[str, Client] = {}
        self._changes = 0
        self.catch_up()

    # what is known

    @property
    def table(self) -> ClientTable | None:
        return self._table(everybody=False)

    @property
    def identities(self) -> ClientTable | None:
        return self._table(everybody=True)

    def _table(self, *, everybody: bool) -> ClientTable | None:
        options = self._options.table
        if options is None:
            return None
        rows: Mapping[str, Client] = request_memo().setdefault((self, "rows"), self._rows)
        clients = _WithOptions(rows, options.clients) if options.clients else rows
        if everybody and options.clients:
            clients = ChainMap(clients, options.clients)  # type: ignore[arg-type]  # nobody writes to it
        return _Table(clients, options.aliases, options.addresses, options.uuids, options)

    def find(self, name: str, *, certainly: bool = False) -> Client | None:
        table = self.table
        if table is None:
            return None
        name = table.canonical(name)
        if certainly or name not in table.clients:
            self._look_up(name)
        table = self.table
        return None if table is None else table.clients.get(name)

    def names(self) -> list[str]:
        memo = request_memo()
        if (self, "listed") not in memo:
            memo[self, "listed"] = True
            self._read_all()
            self._see_newest()
        table = self.table
        return [] if table is None else list(table.clients)

    def catch_up(self) -> None:
        problem = self._read_all()
        self._see_newest()
        if problem is not None:
            raise MetadataRuntimeError(str(problem)) from problem

    def _see_newest(self) -> None:
        """Let this request see what is known now."""
        request_memo()[self, "rows"] = self._rows

    # reading

    def _look_up(self, name: str) -> None:
        """See whether somebody else has changed the client NAME; once per request."""
        memo = request_memo()
        pauses = name in self._rows and self._availability.pauses()  # who is unknown is about to be written
        if pauses or (self, name) in memo or not _is_storable(name):
            return
        memo[self, name] = True
        try:
            self._rows_now.ask(name)
        except DatabaseUnusable as err:
            self._availability.has_failed(err)
            return
        self._availability.has_answered()
        self._see_newest()

    def _read_some(self, names: list[str]) -> Mapping[str, Client]:
        """Read the rows of the clients NAMES, and note them."""
        for attempt in range(_ATTEMPTS):
            changes = self._changes
            found = _query(names)
            if self._take({name: found.get(name) for name in names}, changes if attempt < _ATTEMPTS - 1 else None):
                break
        return found

    def _read_all(self) -> DatabaseUnusable | None:
        """Read all rows, unless somebody has begun to do so after this call; why that was not possible."""
        called = time.monotonic()
        with self._busy:
            if self._reading_since > called or self._availability.pauses():
                return None
            for attempt in range(_ATTEMPTS):
                self._reading_since = time.monotonic()
                changes = self._changes
                try:
                    found = _query()
                except DatabaseUnusable as err:
                    self._availability.has_failed(err)
                    return err
                if self._replace(found, changes if attempt < _ATTEMPTS - 1 else None):
                    break
            self._availability.has_answered()
        return None

    def _take(self, rows: Mapping[str, Client | None], expected: int | None = None) -> bool:
        """Note ROWS, name -> client or None, unless there have been other than EXPECTED changes; whether they count."""
        with self._guard:
            changed = {name: client for name, client in rows.items() if self._rows.get(name) != client}
            if not changed:
                return True
            if expected is not None and self._changes != expected:
                return False
            known = {name: client for name, client in self._rows.items() if name not in changed}
            self._rows = known | {name: client for name, client in changed.items() if client is not None}
            self._changes += 1
        self._expire(changed)
        return True

    def _replace(self, rows: Mapping[str, Client], expected: int | None) -> bool:
        """Note that ROWS are all there are, unless there have been other than EXPECTED changes; whether they count."""
        with self._guard:
            if expected is not None and self._changes != expected:
                return False
            known = self._rows
            if rows == known:
                return True
            self._rows = rows
            self._changes += 1
        self._expire(name for name in {**known, **rows} if known.get(name) != rows.get(name))
        return True

    def _expire(self, names: Iterable[str]) -> None:
        for name in names:
            self._core.metadata_cache.expire(name)

    # writing

    def add(self, attributes: Mapping[str, str]) -> Client:
        name = attributes["name"].lower()
        if not _is_storable(name):
            raise MetadataConsistencyError(f"{name[:80]!r} cannot be the name of a client in the database")
        row = self._submit(_Edit(_Action.ADD, name, _storable_version(name, attributes.get("version"))))
        assert row is not None
        options = self._options.table
        found = None if options is None else options.clients.get(name)
        return row if found is None else _combined(row, found)

    def update(self, name: str, attributes: Mapping[str, str]) -> Client:
        """As for all stores; ATTRIBUTES are ``version``, or ``auth`` with the value ``cert`` after a bootstrap."""
        table = self.table
        name = name.lower() if table is None else table.canonical(name)
        if attributes.keys() == {"version"}:
            edit = _Edit(_Action.SET_VERSION, name, _storable_version(name, attributes["version"]))
        elif attributes == {"auth": "cert"}:
            edit = _Edit(_Action.BOOTSTRAP, name)
        else:
            raise MetadataConsistencyError(
                "attributes of clients are not in the database: they can be given in clients.xml"
            )
        row = self._submit(edit)
        assert row is not None
        return row

    def remove(self, name: str) -> None:
        self._submit(_Edit(_Action.REMOVE, name if name in self._rows else name.lower()))

    def _submit(self, edit: _Edit) -> Client | None:
        self._writer.submit(edit)
        self._see_newest()
        if edit.error is not None:
            raise edit.error
        return edit.client

    def _write(self, edits: list[_Edit]) -> None:
        """Make EDITS in one transaction; if the database refuses the data of one of them, in one for each."""
        with self._busy:
            try:
                self._commit(edits)
            except DatabaseUnusable as err:
                if len(edits) > 1 and isinstance(err.__cause__, DataError):
                    self._write_singly(edits)
                else:
                    raise _not_written(err) from err

    def _write_singly(self, edits: list[_Edit]) -> None:
        for edit in edits:
            try:
                self._commit([edit])
            except DatabaseUnusable as err:
                edit.error = _not_written(err)

    def _commit(self, edits: list[_Edit]) -> None:
        names = list(dict.fromkeys(edit.name for edit in edits))
        with (
            database.errors("cannot write clients to the database"),
            write_lock(self._core),
            transaction.atomic(),
        ):
            for action, group in groupby(edits, lambda edit: edit.action):
                _MAKERS[action](list(group))
            found = _query(names)
        self._take({name: found.get(name) for name in names})
        for edit in edits:
            edit.client = found.get(edit.name)
            if edit.client is None and edit.action is not _Action.REMOVE:
                edit.error = _unknown(edit.name)


def _add(edits: list[_Edit]) -> None:
    MetadataClientModel.objects.bulk_create(
        [MetadataClientModel(hostname=edit.name, version=edit.version) for edit in edits], ignore_conflicts=True
    )


def _set_version(edits: list[_Edit]) -> None:
    for edit in edits:
        MetadataClientModel.objects.filter(pk=edit.name).update(version=edit.version)


def _bootstrap(edits: list[_Edit]) -> None:
    MetadataBootstrapModel.objects.bulk_create(
        [MetadataBootstrapModel(hostname=edit.name) for edit in edits], ignore_conflicts=True
    )


def _remove(edits: list[_Edit]) -> None:
    for edit in edits:
        edit.error = None
        if not MetadataClientModel.objects.filter(pk=edit.name).delete()[0]:
            edit.error = _unknown(edit.name)
        MetadataBootstrapModel.objects.filter(pk=edit.name).delete()


_MAKERS = {
    _Action.ADD: _add,
    _Action.SET_VERSION: _set_version,
    _Action.BOOTSTRAP: _bootstrap,
    _Action.REMOVE: _remove,
}


def _query(names: list[str] | None = None) -> dict[str, Client]:
    """Name -> client of NAMES, by default of all, as far as they are in the database."""
    with database.errors("cannot read the clients in the database"):
        rows = MetadataClientModel.objects.order_by("hostname").values_list("hostname", "version")
        bootstrapped = MetadataBootstrapModel.objects.values_list("hostname", flat=True)
        if names is not None:
            rows, bootstrapped = rows.filter(pk__in=names), bootstrapped.filter(pk__in=names)
        certain = frozenset(bootstrapped)
        return {
            name: Client(name, version=version or None, auth="cert" if name in certain else None)
            for name, version in rows
        }


def _is_storable(name: str) -> bool:
    return 0 < len(name) <= _MAX_NAME and legal(name) == name


def _storable_version(name: str, version: str | None) -> str | None:
    if version is not None and (len(version) > _MAX_VERSION or legal(version) != version):
        raise MetadataConsistencyError(f"{name} declares {version[:80]!r}, which cannot be a version in the database")
    return version


def _unknown(name: str) -> MetadataConsistencyError:
    return MetadataConsistencyError(f"there is no client {name} in the database")


def _not_written(err: DatabaseUnusable) -> MetadataRuntimeError:
    return MetadataRuntimeError(str(err))
