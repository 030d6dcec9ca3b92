"""Racks: in which rack each machine stands, from Racks/racks.xml."""

from typing import Any, ClassVar

from bcfg2.options import Option
from bcfg2.server.plugin import Connector, Plugin, StructFile


class Racks(Plugin, Connector):
    """Makes clients members of a group for their rack, and tells templates the rack's name."""

    options: ClassVar[list[Option]] = [
        Option("racks", "prefix", default="rack-", help="What the names of the groups begin with"),
    ]
    __rmi__: ClassVar[list[str]] = [*Plugin.__rmi__, "where_is"]

    def __init__(self, core: Any) -> None:
        super().__init__(core)
        self.file = StructFile(f"{self.data}/racks.xml", should_monitor=True, create="Racks")

    def get_additional_groups(self, metadata: Any) -> list[str]:
        return [self.settings.racks_prefix + rack for rack in self._racks(metadata)]

    def get_additional_data(self, metadata: Any) -> dict[str, Any]:
        return {"racks": self._racks(metadata)}

    def where_is(self, client: str) -> list[str]:
        """Over XML-RPC: the racks of a client."""
        return self._racks(self.core.metadata.query.by_name(client))

    def _racks(self, metadata: Any) -> list[str]:
        return [element.get("name") for element in self.file.Match(metadata) if element.tag == "Rack"]
