"""Encrypted files."""

from bcfg2.server.plugin import Dependencies
from bcfg2.server.plugins.cfg.encrypted import CfgEncryptedFile


class CfgEncryptedGenerator(CfgEncryptedFile):
    """A file with the suffix ``.crypt``."""

    __extensions__ = ["crypt"]
    __priority__ = 50

    def depends_on(self) -> Dependencies | None:
        return Dependencies()
