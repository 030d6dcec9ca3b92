"""Encrypted templates in Genshi's text language."""

from bcfg2.server.plugins.cfg.encrypted import CfgEncryptedFile
from bcfg2.server.plugins.cfg.genshitext import GenshiTextEngine
from bcfg2.server.plugins.cfg.templates import CfgTemplateGenerator


class CfgEncryptedGenshiGenerator(CfgTemplateGenerator, CfgEncryptedFile):
    """A file with the suffixes ``.genshi`` and ``.crypt``, in either order."""

    __extensions__ = ["genshi.crypt", "crypt.genshi"]
    engine = GenshiTextEngine
