"""Templates in Genshi's text language."""

from bcfg2.server.plugins.cfg.genshitext import GenshiTextEngine
from bcfg2.server.plugins.cfg.templates import CfgTemplateGenerator


class CfgGenshiGenerator(CfgTemplateGenerator):
    """A file with the suffix ``.genshi``."""

    __extensions__ = ["genshi"]
    __ignore__ = ["genshi_include"]
    __priority__ = 50
    engine = GenshiTextEngine
