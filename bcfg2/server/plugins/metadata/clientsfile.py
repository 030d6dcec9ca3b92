"""clients.xml, followed as it changes, and written by the server.

Many requests that change something at the same time share one write.  The files are always read before they are
written, so what somebody else has changed there is kept, and comes into force together with the server's own change.
"""

import errno
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from bcfg2.server.plugin import MetadataConsistencyError, MetadataRuntimeError
from bcfg2.server.plugins.metadata.clients import REPLACEABLE, Client, ClientTable, client_of
from bcfg2.server.plugins.metadata.editing import EditableFile, Overtaken, locked
from bcfg2.server.plugins.metadata.faults import in_clients
from bcfg2.server.plugins.metadata.snapshot import SnapshotFile, State
from bcfg2.server.plugins.metadata.store import ClientStore
from bcfg2.server.storage import SharedWriter
from bcfg2.server.versioned import Versioned, after_publish
from bcfg2.xml import XMLError, legal

#: How often a write is begun anew because somebody else has changed a file meanwhile.
_ATTEMPTS = 10


#: What to do, by the reason why a file cannot be written; {} is its folder.
_ADVICE = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "let the user of the server write files in {}"),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room in {}"),
}


class _Action(Enum):
    ADD = "add"
    UPDATE = "update"
    REMOVE = "remove"


@dataclass(slots=True)
class _Edit:
    """One change of one client, and how it went: the client as it is then, or the error to raise."""

    action: _Action
    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    client: Client | None = None
    error: MetadataConsistencyError | MetadataRuntimeError | None = None


class ClientsFile(SnapshotFile, ClientStore):
    """clients.xml; `table` is what it says, None as long as it has never been read.

    :meth:`add`, :meth:`update` and :meth:`remove` return when the change is on disk and in force.  They raise
    MetadataConsistencyError if the change makes no sense, MetadataRuntimeError if it cannot be written.
    """

    schema = "clients"
    root_tag = "Clients"

    table: Versioned[ClientTable | None] = Versioned(None)

    def __init__(self, name: str) -> None:
        self._writer = SharedWriter(self._write)
        self._files: tuple[str, ...] = ()
        self._editable: dict[str, EditableFile] = {}
        # What requests see from now on, and what was read or written last; they differ while file events are applied.
        self._tables = threading.Lock()
        self._visible: ClientTable | None = None
        self._newest = ClientTable.of_clients({})
        super().__init__(name)

    # reading

    def Index(self) -> None:
        self.log_faults(in_clients)
        table = ClientTable.of(self.xdata)
        self.forget_document()
        self._files, self._editable = (self.name, *self.extras), {}
        with self._tables:
            self._newest = table
        self.table = table
        after_publish(self._publish_newest)

    def _publish_newest(self) -> None:
        """What was read is visible now; see to it that what was written meanwhile is, too."""
        with self._tables:
            self._visible = self._newest
            self.table = self._visible

    def _publish_again(self) -> None:
        """Let the request of this thread see what any thread has written."""
        with self._tables:
            self.table = self._visible

    def catch_up(self) -> None:
        """Read the files again if they have changed; MetadataRuntimeError if they cannot be used."""
        with self.busy:
            if (self.broken or not self.is_current()) and not self.reload():
                raise MetadataRuntimeError(f"{self.name} cannot be used as it is now and was left alone; see the log")

    # writing

    def add(self, attributes: Mapping[str, str]) -> Client:
        """Make a client with ATTRIBUTES known, ``name`` first; one that is known stays as it is.  Return it."""
        client = self._submit(_Edit(_Action.ADD, attributes["name"].lower(), attributes))
        assert client is not None
        return client

    def update(self, name: str, attributes: Mapping[str, str]) -> Client:
        """Set ATTRIBUTES of the client with the name or alias NAME.  Return it as it is then."""
        client = self._submit(_Edit(_Action.UPDATE, name.lower(), attributes))
        assert client is not None
        return client

    def remove(self, name: str) -> None:
        """Remove the client NAME."""
        self._submit(_Edit(_Action.REMOVE, name.lower()))

    def _submit(self, edit: _Edit) -> Client | None:
        for key, value in edit.attributes.items():
            if legal(value) != value:
                raise MetadataConsistencyError(f"{key}={value!r} of {edit.name} has characters that XML cannot carry")
        self._writer.submit(edit)
        after_publish(self._publish_again)
        if edit.error is not None:
            raise edit.error
        return edit.client

    def _write(self, edits: list[_Edit]) -> None:
        """Make EDITS, in order, as one change of the files."""
        try:
            with self.busy, locked(os.path.dirname(os.path.realpath(self.name))):
                for _ in range(_ATTEMPTS):
                    if not self.is_current():
                        self.reload()
                    if not self._files:
                        raise MetadataRuntimeError(f"{self.name} cannot be used as it is now; see the log")
                    try:
                        self._make(edits)
                        return
                    except Overtaken:
                        continue
        except OSError as err:
            raise MetadataRuntimeError(f"cannot change {self.name}: {err}") from err
        finally:
            self.core.metadata_cache.expire()
        raise MetadataRuntimeError(f"cannot change {self.name}: it changes all the time")

    def _make(self, edits: list[_Edit]) -> None:
        """Make EDITS, unless a file is found to be changed by somebody else: then :exc:`Overtaken`.

        A file that cannot be read or written costs only the edits that concern it.
        """
        batch = _Batch(self, self._newest)
        try:
            for edit in edits:
                edit.client = edit.error = None
                batch.take(edit)
            known = {path: file.state for path, file in batch.files.items()}
            for path, file in batch.files.items():
                try:
                    self.wrote(path, file.write())
                except OSError as err:
                    batch.fail(path, err)
        except BaseException:
            self._start_over()
            self.core.share(self.name, *self.extras)
            raise
        changes = {name: client for name, client in batch.changes.items() if name not in batch.failed}
        if not batch.must_read or not self._start_over():
            self._apply(changes)
        if not batch.must_read:
            states = {path: (known[path], file.state) for path, file in batch.files.items()}
            self.core.tell_children("Metadata", "take_written", changes, states)
        self.core.share(self.name, *self.extras, told=not batch.must_read)

    def take(self, changes: Mapping[str, Client], states: Mapping[str, tuple[State, State]]) -> None:
        """Another process has made CHANGES in files; STATES: path -> the state before and after that."""
        with self.busy:
            if any(self.known_state(path) != before for path, (before, _after) in states.items()):
                self.HandleEvent()
                return
            for path, (_before, after) in states.items():
                self.wrote(path, after)
            self._apply(changes)

    def _start_over(self) -> bool:
        """Read everything again, as files were written, or not, in ways that the state in memory does not tell."""
        self._editable = {}
        return self.reload()

    def _apply(self, changes: Mapping[str, Client]) -> None:
        """Bring CHANGES, which are on disk, into force."""
        if not changes:
            return
        with self._tables:
            before, self._newest = self._newest, self._newest.replaced(changes)
            if self._visible is before:
                self.table = self._visible = self._newest
            elif self._visible is not None:
                self.table = self._visible = self._visible.replaced(changes)

    def editable(self, path: str) -> EditableFile:
        """The file PATH as it was read or written last; :exc:`Overtaken` if it has changed since."""
        file = self._editable.get(path)
        if file is None or file.state != self.known_state(path):
            file = self._editable[path] = EditableFile(path)
            if file.state != self.known_state(path):
                raise Overtaken(path)
        return file

    def homes(self, name: str) -> list[str]:
        """The files that hold elements of the client NAME, which is known; of those that can be read."""
        if len(self._files) == 1:
            return [self.name]
        found: list[str] = []
        fault: OSError | XMLError | None = None
        for path in self._files:
            try:
                if name in self.editable(path):
                    found.append(path)
            except (OSError, XMLError) as err:
                fault = err
        if fault is not None and not found:
            raise fault
        return found


class _Batch:
    """Edits that are made together.

    `changes`: name -> client afterwards.  `failed`: names of clients whose file could not be written.  `must_read`:
    whether the new state has to be read from the files.
    """

    def __init__(self, owner: ClientsFile, table: ClientTable) -> None:
        self._owner = owner
        self._table = table
        self._added: set[str] = set()
        self._removed: set[str] = set()
        self._users: dict[str, list[_Edit]] = {}
        self.files: dict[str, EditableFile] = {}
        self.changes: dict[str, Client] = {}
        self.failed: set[str] = set()
        self.must_read = False

    def take(self, edit: _Edit) -> None:
        """Make one edit, in memory."""
        try:
            self._take(edit)
        except (OSError, XMLError) as err:
            edit.error = MetadataRuntimeError(f"{self._owner.name} cannot be used as it is now, left alone: {err}")

    def fail(self, path: str, err: OSError) -> None:
        """The file PATH cannot be written because of ERR."""
        advice = _ADVICE.get(err.errno or 0, "nothing was changed there").format(
            os.path.dirname(os.path.realpath(path))
        )
        for edit in self._users[path]:
            edit.error = MetadataRuntimeError(f"cannot write {path}: {err}: {advice}")
            self.failed.add(self._table.canonical(edit.name))
        self.must_read = True

    def _take(self, edit: _Edit) -> None:
        if edit.action is _Action.REMOVE:
            self._remove(edit)
        else:
            name = self._table.canonical(edit.name) if edit.name not in self.changes else edit.name
            client = self._known(name)
            if edit.action is _Action.ADD:
                edit.client = client or self._add(edit)
            elif client is None:
                edit.error = _unknown(edit.name)
            else:
                edit.client = self._update(client, edit)

    def _known(self, name: str) -> Client | None:
        if name in self._removed:
            return None
        return self.changes.get(name) or self._table.clients.get(name)

    def _add(self, edit: _Edit) -> Client:
        file = self._file(self._owner.name, edit)
        if edit.name in file and edit.name not in self._removed:  # in what is not in force, as another file is broken
            file.update(edit.name, edit.attributes)
        else:
            file.add(edit.attributes)
        self._removed.discard(edit.name)
        self._added.add(edit.name)
        client = self.changes[edit.name] = client_of(edit.attributes.get)
        return client

    def _update(self, client: Client, edit: _Edit) -> Client:
        replaceable = edit.attributes.keys() <= REPLACEABLE
        for file in self._holding(client.name, edit, must_read=not replaceable):
            file.update(client.name, edit.attributes)
        if not replaceable:
            return client
        changed = client.with_attributes(edit.attributes)
        if changed != client:
            self.changes[client.name] = changed
        return changed

    def _remove(self, edit: _Edit) -> None:
        if self._known(edit.name) is None:
            edit.error = _unknown(edit.name)
            return
        for file in self._holding(edit.name, edit, must_read=True):
            file.remove(edit.name)
        self.changes.pop(edit.name, None)
        self._removed.add(edit.name)

    def _holding(self, name: str, edit: _Edit, *, must_read: bool) -> Iterable[EditableFile]:
        """The files that hold the client NAME, to be changed by EDIT; MUST_READ: what they say then has to be read."""
        if must_read and self._owner.broken:
            raise XMLError("one of its files is broken, see the log")
        self.must_read |= must_read
        paths = (self._owner.name,) if name in self._added else self._owner.homes(name)
        return [self._file(path, edit) for path in paths]

    def _file(self, path: str, edit: _Edit) -> EditableFile:
        if path not in self.files:
            self.files[path] = self._owner.editable(path)
        self._users.setdefault(path, []).append(edit)
        return self.files[path]


def _unknown(name: str) -> MetadataConsistencyError:
    return MetadataConsistencyError(f"there is no client {name} in clients.xml")
