"""Cfg: the contents of files, from a tree of plain files, templates and their like.

.. code-block:: text

    Cfg (plugin)              the tree
      CfgEntrySet (entryset)  a folder: the files that serve one path, and the steps of binding it
        HandlerTable (lookup)   which handler a file is for
        CfgHandler (handlers)   the kinds of handlers, one module `cfg<name>` for each handler of ours
    templates, includes       what template handlers share

A handler of one's own is a class derived from one of the kinds below, named in ``[cfg] handlers``.
"""

from bcfg2.server.plugins.cfg.entryset import CfgEntrySet
from bcfg2.server.plugins.cfg.handlers import (
    CfgCreator,
    CfgFilter,
    CfgGenerator,
    CfgHandler,
    CfgInfo,
    CfgVerificationError,
    CfgVerifier,
)
from bcfg2.server.plugins.cfg.plugin import Cfg
from bcfg2.server.plugins.cfg.templates import CfgTemplateGenerator

__all__ = [
    "Cfg",
    "CfgCreator",
    "CfgEntrySet",
    "CfgFilter",
    "CfgGenerator",
    "CfgHandler",
    "CfgInfo",
    "CfgTemplateGenerator",
    "CfgVerificationError",
    "CfgVerifier",
]
