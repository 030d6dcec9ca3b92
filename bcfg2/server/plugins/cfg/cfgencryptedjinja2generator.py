"""Encrypted templates in the language of Jinja2."""

from bcfg2.server.plugins.cfg.cfgjinja2generator import Jinja2Engine
from bcfg2.server.plugins.cfg.encrypted import CfgEncryptedFile
from bcfg2.server.plugins.cfg.templates import CfgTemplateGenerator


class CfgEncryptedJinja2Generator(CfgTemplateGenerator, CfgEncryptedFile):
    """A file with the suffixes ``.jinja2`` and ``.crypt``, in either order."""

    __extensions__ = ["jinja2.crypt", "crypt.jinja2"]
    engine = Jinja2Engine
