"""The roles of plugins that take what clients report at the end of their runs, at once or in a thread.

.. code-block:: text

    request                                        thread of the plugin
    -------                                        --------------------
    process_statistics
      file in <repository>/etc/<Plugin>.pending
      its path -> queue -------------------------> handle_statistic
    the client is answered                         the file is removed

What a client was told that the server has is in a file by then, so it survives whatever happens to the server; the next
one begins with the files that it finds.  A document that was being handled when the server was killed is handled again.
"""

import itertools
import queue
import threading
import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lxml import etree

from bcfg2 import xml
from bcfg2.server.database import close_db_connection
from bcfg2.server.plugin.base import Plugin
from bcfg2.server.plugin.exceptions import MetadataConsistencyError, MetadataRuntimeError
from bcfg2.server.plugin.services import CoreInterface, using
from bcfg2.server.storage import atomic_write, remove_leftovers
from bcfg2.server.versioned import reading

_SUFFIX = ".xml"


class Statistics(Plugin):
    """Takes the statistics that clients upload."""

    create: ClassVar[bool] = False

    def process_statistics(self, client: Any, xdata: xml.Element) -> None:
        """Take the uploaded document XDATA of CLIENT, its metadata."""
        raise NotImplementedError


class Threaded:
    """Has threads of its own, which may start only after the server has become a daemon."""

    def start_threads(self) -> None:
        """Called once."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class _Pending:
    """The statistics of one client, in the file `path`.  `metadata`: None if another server has taken them."""

    path: Path
    metadata: Any


class ThreadedStatistics(Statistics, Threaded):
    """Takes statistics at once and handles them one after the other in a thread: :meth:`handle_statistic`."""

    #: How many documents wait at most; what comes on top of that is dropped with a warning.
    max_pending: ClassVar[int] = 100_000
    #: Seconds between two tries while the metadata of clients cannot be had.
    retry_delay: ClassVar[float] = 5.0

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        #: Where the documents wait, one file each.
        self.pending_folder = Path(core.options.server_repository) / "etc" / f"{self.name}.pending"
        self._queue: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._numbers = itertools.count()
        self._is_full = False

    def handle_statistic(self, metadata: Any, data: xml.Element) -> None:
        """Do something with the uploaded document DATA of a client; an exception is logged, and DATA given up."""
        raise NotImplementedError

    def process_statistics(self, client: Any, xdata: xml.Element) -> None:
        if self._queue.qsize() >= self.max_pending:
            if not self._is_full:
                self._is_full = True
                self.logger.warning(
                    "%d statistics wait already: those of %s, and further ones, are dropped until there is room",
                    self.max_pending,
                    client.hostname,
                )
            return
        self._is_full = False
        try:
            path = self._save(client.hostname, xdata)
        except OSError as err:
            self.logger.error("The statistics of %s are lost, they cannot be written: %s", client.hostname, err)
            return
        self._queue.put(_Pending(path, client))

    def _save(self, client: str, document: xml.Element) -> Path:
        """Write the DOCUMENT of CLIENT into a new file, whose name sorts behind those of older ones."""
        root = etree.Element("Pending", client=client)
        root.append(deepcopy(document))
        root[0].tail = None
        path = self.pending_folder / f"{time.time_ns():020d}-{next(self._numbers):06d}{_SUFFIX}"
        self._make_folder()
        atomic_write(path, etree.tostring(root))
        return path

    def _make_folder(self) -> None:
        """Make the folder; what an older server has left in its place, a file, is put aside."""
        if self.pending_folder.is_file():
            aside = self.pending_folder.with_suffix(".pending.old")
            self.logger.warning(
                "%s was left by an older server and cannot be read; it is now %s", self.pending_folder, aside
            )
            self.pending_folder.rename(aside)
        self.pending_folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    # the thread

    def start_threads(self) -> None:
        for path in self._left_over():
            self._queue.put(_Pending(path, None))
        self._thread = threading.Thread(target=self._work, name=f"{self.name} statistics", daemon=True)
        self._thread.start()

    def _left_over(self) -> list[Path]:
        """The files of an earlier server, the oldest first."""
        if not self.pending_folder.is_dir():
            return []
        remove_leftovers(self.pending_folder)
        found = sorted(path for path in self.pending_folder.iterdir() if path.suffix == _SUFFIX)
        if found:
            self.logger.info("%d statistics wait in %s", len(found), self.pending_folder)
        return found

    def _work(self) -> None:
        """Handle one document after the other until the server stops; what is left then stays in its file."""
        while self.running and (item := self._queue.get()) is not None:
            try:
                self._take(item)
            except Exception:  # or no further ones would be handled
                self.logger.exception("Cannot handle the statistics in %s", item.path)

    def _take(self, item: _Pending) -> None:
        """Handle ITEM and remove its file; if the server stops while the metadata cannot be had, leave it."""
        try:
            while not self._handled(item):
                if self.core.terminate.wait(self.retry_delay):
                    return
            item.path.unlink(missing_ok=True)
        except (OSError, xml.XMLError) as err:
            self.logger.error("Cannot handle the statistics in %s: %s", item.path, err)

    @close_db_connection
    def _handled(self, item: _Pending) -> bool:
        """Handle ITEM; False if the client's metadata cannot be had just now."""
        root = xml.parse_file(str(item.path))
        client = root.get("client", "")
        with reading(), using(self.core):
            try:
                metadata = item.metadata or self.core.build_metadata(client, register=False)
            except MetadataRuntimeError:
                return False
            except MetadataConsistencyError as err:
                self.logger.error("The statistics of %s are dropped: %s", client, err)
                return True
            try:
                self.handle_statistic(metadata, root[0])
            except Exception:
                self.logger.exception("Cannot handle the statistics of %s, they are dropped", client)
        return True

    def shutdown(self) -> None:
        super().shutdown()
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(5)


__all__ = ["Statistics", "Threaded", "ThreadedStatistics"]
