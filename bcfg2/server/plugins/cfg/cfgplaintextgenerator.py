"""Plain files, which clients get as they are."""

from bcfg2.server.plugins.cfg.handlers import CfgGenerator


class CfgPlaintextGenerator(CfgGenerator):
    """A file whose name has no suffix."""

    __priority__ = 100
