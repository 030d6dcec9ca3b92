"""The building blocks of plugins under the one name that existing plugins import them from.

Each family has a module of its own: see :mod:`bcfg2.server.plugin`.
"""

from bcfg2.log import Debuggable
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
    "Debuggable",
    "DirectoryBacked",
    "EntrySet",
    "FileBacked",
    "GroupSpool",
    "InfoXML",
    "OnDemandDict",
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
