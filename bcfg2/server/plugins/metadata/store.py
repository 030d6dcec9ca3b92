"""Where clients are kept."""

from collections.abc import Mapping
from typing import ClassVar

from bcfg2.server.plugins.metadata.clients import Client, ClientTable


class ClientStore:
    """What the plugin asks of the place where clients are kept: clients.xml, or the database.

    `keeps_attributes`: whether profiles and other attributes of clients are kept, too, and not just names and versions.
    """

    keeps_attributes: ClassVar[bool] = True

    @property
    def table(self) -> ClientTable | None:
        """The clients that exist; None as long as that is not known."""
        raise NotImplementedError

    @property
    def identities(self) -> ClientTable | None:
        """What is known of who clients are; may have clients that do not exist yet."""
        return self.table

    def find(self, name: str, *, certainly: bool = False) -> Client | None:
        """The client with the name or alias NAME; with CERTAINLY as it is now, if others may change it elsewhere."""
        return None if self.table is None else self.table.get(name)

    def names(self) -> list[str]:
        """The names of all clients as they are now."""
        return [] if self.table is None else list(self.table.clients)

    def catch_up(self) -> None:
        """Read everything again that may have changed; MetadataRuntimeError if it cannot be used."""
        raise NotImplementedError

    # The following return when the change is durable and in force.  They raise MetadataConsistencyError if it makes no
    # sense, MetadataRuntimeError if it cannot be written.

    def add(self, attributes: Mapping[str, str]) -> Client:
        """Make a client with ATTRIBUTES known, ``name`` first; one that is known stays as it is.  Return it."""
        raise NotImplementedError

    def update(self, name: str, attributes: Mapping[str, str]) -> Client:
        """Set ATTRIBUTES of the client with the name or alias NAME.  Return it as it is then."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Remove the client NAME."""
        raise NotImplementedError
