"""What clients have answered, and what is asked of a place where that is kept.

.. code-block:: text

    Storage
      ProbedFile       xmlfile.py    Probes/probed.xml
      ProbesSQLite     sqlite.py     etc/probes.sqlite, the embedded store
      ProbesDatabase   database.py   the tables of the suite's database

Which of them counts, and how one is opened: ``places.py``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Record:
    """What one client has answered.

    `timestamp`: when, in seconds since the epoch.  `groups`: in the order in which the client named them.
    `data`: probe name -> text.
    """

    timestamp: int = 0
    groups: tuple[str, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)


NOTHING = Record()


class StorageError(Exception):
    """The storage cannot be used; the text is one line that says which and why."""


class Storage:
    """A place where the records of all clients are kept.

    `is_shared`: whether another process may change it while a server is using it.
    """

    is_shared: ClassVar[bool] = True

    def get(self, host: str) -> Record:
        """The record of HOST; an empty one if there is none."""
        raise NotImplementedError

    def put(self, host: str, record: Record) -> None:
        """Replace the record of HOST; it is in force, and as safe as it can be, when this returns."""
        raise NotImplementedError

    def take(self, host: str, record: Record) -> None:
        """Put the record of HOST in force that another process of this server has put."""

    def catch_up(self) -> None:
        """Take what other processes of this server have put since the storage was opened."""

    def close(self) -> None:
        """Let go of the storage, until it is used again."""

    # for bcfg2-admin: all or nothing, and StorageError if it fails

    def records(self) -> Mapping[str, Record]:
        """Host -> record, of all clients."""
        raise NotImplementedError

    def replace(self, records: Mapping[str, Record]) -> None:
        """Keep RECORDS, and no others."""
        raise NotImplementedError

    def remove(self, hosts: Collection[str]) -> None:
        """Forget the records of HOSTS."""
        raise NotImplementedError
