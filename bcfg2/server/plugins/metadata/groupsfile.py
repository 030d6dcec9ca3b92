"""groups.xml, followed as it changes."""

from bcfg2.server.plugins.metadata.faults import in_groups
from bcfg2.server.plugins.metadata.groups import GroupTable
from bcfg2.server.plugins.metadata.snapshot import SnapshotFile
from bcfg2.server.versioned import Versioned


class GroupsFile(SnapshotFile):
    """groups.xml; `table` is what it says, None as long as it has never been read."""

    schema = "metadata"
    root_tag = "Groups"

    table: Versioned[GroupTable | None] = Versioned(None)

    def Index(self) -> None:
        table = GroupTable(self.xdata)
        self.log_faults(lambda sources: in_groups(sources, table.groups))
        self.table = table
        self.forget_document()
