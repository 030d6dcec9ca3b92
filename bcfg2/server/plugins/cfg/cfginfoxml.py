"""``info.xml``: the attributes of the path that its folder serves."""

from typing import Any

from bcfg2.server.plugin import Dependencies, InfoXML, Specificity
from bcfg2.server.plugins.cfg.handlers import CfgInfo
from bcfg2.xml import Element


class CfgInfoXML(CfgInfo):
    """The ``info.xml`` of a folder, which follows its includes by itself."""

    __basenames__ = ["info.xml"]
    persistent = True

    def __init__(self, name: str, specific: Specificity) -> None:
        super().__init__(name, specific)
        self.infoxml = InfoXML(name)

    def handle_event(self, event: Any = None) -> None:
        self.infoxml.HandleEvent(event)

    def depends_on(self) -> Dependencies | None:
        return self.infoxml.depends_on()

    def bind_info_to_entry(self, entry: Element, metadata: Any) -> None:
        self.infoxml.BindEntry(entry, metadata)
