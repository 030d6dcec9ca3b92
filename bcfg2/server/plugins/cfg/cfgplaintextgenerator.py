"""Plain files, which clients get as they are."""

from bcfg2.server.plugin import Dependencies
from bcfg2.server.plugins.cfg.handlers import CfgGenerator

#: Bytes from which on a file is large.
_LARGE = 1 << 20


class CfgPlaintextGenerator(CfgGenerator):
    """A file whose name has no suffix."""

    __priority__ = 100

    def depends_on(self) -> Dependencies | None:
        """Nothing; but a large file is bound for each request, so that no copies of it are kept."""
        return Dependencies() if len(self.raw) <= _LARGE else None
