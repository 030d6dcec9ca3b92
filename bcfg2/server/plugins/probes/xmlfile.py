"""The answers of all clients in memory, and in ``Probes/probed.xml``.

.. code-block:: text

    <Probed>
      <Client name="HOST" timestamp="SECONDS">
        <Probe name="NAME" value="DATA"/>
        <Group name="GROUP"/>
      </Client>
    </Probed>

The file is read once, and written as a whole when a client has answered.  Each client's part of it is kept as text, so
a write costs the joining of these; clients that answer at the same time share a write.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from lxml import etree

from bcfg2.server.plugins.probes.storage import NOTHING, Record, Storage, StorageError
from bcfg2.server.storage import SharedWriter, atomic_write, is_read_only, make_file
from bcfg2.server.versioned import Versioned, writing
from bcfg2.xml import Element


class _Client:
    """The record of one client, as requests see it and as it is to be written."""

    record: Versioned[Record] = Versioned(NOTHING)

    def __init__(self) -> None:
        self.latest = NOTHING
        #: The client's part of the file.
        self.part = b""


class ProbedFile(Storage):
    """The records of all clients and the file at PATH that they survive in."""

    is_shared: ClassVar[bool] = False

    def __init__(self, path: str, logger: logging.Logger) -> None:
        self.path = path
        self.logger = logger
        self._clients: dict[str, _Client] = {}
        self._lock = threading.Lock()
        self._writer: SharedWriter[str] = SharedWriter(self._write)
        self._is_broken = False
        self._stamp: Any = None
        self._load()

    def get(self, host: str) -> Record:
        """The record of HOST; an empty one if there is none."""
        client = self._clients.get(host)
        return NOTHING if client is None else client.record

    def put(self, host: str, record: Record) -> None:
        """Replace the record of HOST; it is in force, and on disk, when this returns.

        If the disk refuses, that is logged and the record is in force all the same.
        """
        self.take(host, record)
        self._writer.submit(host)

    def take(self, host: str, record: Record) -> None:
        """Put the record of HOST, which is on disk already or will be, in force."""
        with self._lock:
            client = self._clients.get(host)
            if client is None:
                client = self._clients[host] = _Client()
                client.record = NOTHING  # for requests that have begun already
            client.latest = client.record = record

    def catch_up(self) -> None:
        """Take what another process has written since the file was read."""
        if _stamp(self.path) != self._stamp:
            self._load()

    def records(self) -> Mapping[str, Record]:
        """Host -> record, of all clients."""
        if self._is_broken:
            raise StorageError(f"{self.path} cannot be used")
        with self._lock:
            return {host: client.latest for host, client in self._clients.items() if client.part}

    def replace(self, records: Mapping[str, Record]) -> None:
        """Keep RECORDS, and no others."""
        clients = {}
        for host, record in records.items():
            clients[host] = client = _Client()
            client.latest = client.record = record
            try:
                client.part = _part(host, record)
            except ValueError as err:
                raise StorageError(f"what {host} has answered cannot be in an XML file: {err}") from err
        former = self._clients
        with self._lock:
            self._clients = clients
        try:
            self._save()
        except OSError as err:
            self._clients = former
            raise StorageError(f"cannot write {self.path}: {err}") from err

    def remove(self, hosts: Collection[str]) -> None:
        """Forget the records of HOSTS."""
        self.replace({host: record for host, record in self.records().items() if host not in hosts})

    def _load(self) -> None:
        self._stamp = _stamp(self.path)
        try:
            records = _read(self.path)
        except FileNotFoundError:
            if not is_read_only():
                self.logger.warning("%s does not exist, creating it", self.path)
                self._create()
            return
        except (OSError, etree.XMLSyntaxError, ValueError) as err:
            self.logger.error(
                "Cannot use %s, starting without the probe data in it; it will be kept under another name: %s",
                self.path,
                err,
            )
            self._is_broken = True
            return
        with writing():
            for host, record in records.items():
                client = self._clients[host] = _Client()
                client.latest = client.record = record
                client.part = _part(host, record)

    def _create(self) -> None:
        with contextlib.suppress(OSError):  # which the write is going to tell
            make_file(self.path)
        self._write([])

    def _write(self, hosts: list[str]) -> None:
        """Bring the file up to date with what HOSTS have answered."""
        for host in set(hosts):
            client = self._clients[host]
            client.part = _part(host, client.latest)
        try:
            self._save()
        except OSError as err:
            self.logger.error("Cannot write probe data to %s, the server has them in memory only: %s", self.path, err)

    def _save(self) -> None:
        if self._is_broken:
            self._set_aside()
        atomic_write(self.path, self._content())

    def _set_aside(self) -> None:
        target = os.path.realpath(self.path)
        kept = f"{target}.broken-{int(time.time())}"
        os.rename(target, kept)
        self._is_broken = False
        self.logger.warning("%s could not be used, it is now %s", target, kept)

    def _content(self) -> bytes:
        with self._lock:
            clients = sorted(self._clients.items())
        parts = [client.part for _, client in clients]
        return b"".join([b"<Probed>\n", *parts, b"</Probed>\n"]) if any(parts) else b"<Probed/>\n"


def _stamp(path: str) -> Any:
    """What tells one state of the file PATH from another; it is always replaced, never changed."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _read(path: str) -> dict[str, Record]:
    """Host -> record, of all clients in the file PATH; :exc:`OSError`, or XMLSyntaxError or ValueError if unusable."""
    records = {}
    # Our own file: what it holds came in small pieces, but as a whole it may pass the limits set for other documents.
    reader = etree.iterparse(
        path,
        tag="Client",
        huge_tree=True,
        remove_comments=True,
        remove_pis=True,
        resolve_entities=False,
        no_network=True,
    )
    for _, element in reader:
        if host := element.get("name"):
            records[host] = _record(element)
        element.clear()
        while (done := element.getprevious()) is not None:
            element.getparent().remove(done)
    if reader.root.tag != "Probed":
        raise ValueError(f"the root element is {reader.root.tag}, not Probed")
    return records


def _record(element: Element) -> Record:
    timestamp = element.get("timestamp", "")
    names = [group.get("name") for group in element.iterchildren("Group")]
    probes = [(probe.get("name"), probe.get("value", "")) for probe in element.iterchildren("Probe")]
    return Record(
        int(timestamp) if timestamp.isdecimal() else 0,
        tuple(name for name in names if name),
        {name: value for name, value in probes if name is not None},
    )


def _part(host: str, record: Record) -> bytes:
    """The element for one client, indented as it stands in the file."""
    element = etree.Element("Client", name=host, timestamp=str(record.timestamp))
    for name, value in sorted(record.data.items()):
        etree.SubElement(element, "Probe", name=name, value=value)
    for group in record.groups:  # in their order, which decides between groups of one category
        etree.SubElement(element, "Group", name=group)
    etree.indent(element, level=1)
    return b"  " + etree.tostring(element, encoding="utf-8", xml_declaration=False) + b"\n"
