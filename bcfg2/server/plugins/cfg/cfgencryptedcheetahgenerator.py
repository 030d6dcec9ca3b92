"""Encrypted templates in the language of Cheetah."""

from bcfg2.server.plugins.cfg.cfgcheetahgenerator import CheetahEngine
from bcfg2.server.plugins.cfg.encrypted import CfgEncryptedFile
from bcfg2.server.plugins.cfg.templates import CfgTemplateGenerator


class CfgEncryptedCheetahGenerator(CfgTemplateGenerator, CfgEncryptedFile):
    """A file with the suffixes ``.cheetah`` and ``.crypt``, in either order."""

    __extensions__ = ["cheetah.crypt", "crypt.cheetah"]
    engine = CheetahEngine
