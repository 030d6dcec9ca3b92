"""Plain files, which clients get as they are."""

from bcfg2.server.plugin import Dependencies
from bcfg2.server.plugins.cfg.handlers import CfgGenerator


class CfgPlaintextGenerator(CfgGenerator):
    """A file whose name has no suffix."""

    __priority__ = 100

    def depends_on(self) -> Dependencies | None:
        return Dependencies()
