"""The building blocks of plugins under the one name that existing plugins import them from.

Each family has a module of its own: see :mod:`bcfg2.server.plugin`.
"""

from typing import Any

from bcfg2.log import Debuggable
from bcfg2.server.plugin import database
from bcfg2.server.plugin.database import DatabaseBacked
from bcfg2.server.plugin.dicts import CallableDict, OnDemandDict
from bcfg2.server.plugin.entryset import EntrySet, GroupSpool, default_file_attributes
from bcfg2.server.plugin.files import DirectoryBacked, FileBacked, XMLDirectoryBacked, XMLFileBacked
from bcfg2.server.plugin.priority import PrioDir, PriorityStructFile
from bcfg2.server.plugin.specific import SpecificData, Specificity
from bcfg2.server.plugin.statistics import ThreadedStatistics
from bcfg2.server.plugin.structfile import InfoXML, StructFile
from bcfg2.server.statistics import track_statistics

__all__ = [
    "CallableDict",
    "DatabaseBacked",
    "Debuggable",
    "DirectoryBacked",
    "EntrySet",
    "FileBacked",
    "GroupSpool",
    "InfoXML",
    "OnDemandDict",
    "PluginDatabaseModel",  # noqa: F822 - made by __getattr__
    "PrioDir",
    "PriorityStructFile",
    "SpecificData",
    "Specificity",
    "StructFile",
    "ThreadedStatistics",
    "XMLDirectoryBacked",
    "XMLFileBacked",
    "default_file_attributes",
    "track_statistics",
]


def __getattr__(name: str) -> Any:
    if name == "PluginDatabaseModel":  # asking for it loads Django
        return database.PluginDatabaseModel
    raise AttributeError(f"module {__name__} has no attribute {name}")
