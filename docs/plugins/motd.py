"""Motd: the message of the day, from Motd/message."""

from typing import Any

from bcfg2.server.plugin import Dependencies, FileBacked, Generator, Plugin, PluginExecutionError


class Motd(Plugin, Generator):
    """Binds the entry ``/etc/motd``, which is the same on all clients."""

    def __init__(self, core: Any) -> None:
        super().__init__(core)
        self.file = FileBacked(f"{self.data}/message")
        core.fam.AddMonitor(self.file.name, self.file)
        self.Entries["Path"] = {"/etc/motd": self.bind}

    def bind(self, entry: Any, metadata: Any) -> None:
        if not self.file.loaded:
            raise PluginExecutionError(f"there is no {self.file.name}")
        entry.attrib.update({"type": "file", "owner": "root", "group": "root", "mode": "0644"})
        entry.text = self.file.data

    def depends_on(self, entry: Any) -> Dependencies:
        return Dependencies()  # on nothing but the file: no group and no name of a host
