"""The plugin API: what plugins inherit, use and raise.

======================  =======================================================
`base`                  :class:`Plugin`
`interfaces`            the roles: what the core calls
`exceptions`            what plugins raise
`services`              what the core hands to plugins
`files`                 files and folders kept in memory
`structfile`            XML files with conditions and templates
`priority`              folders of XML files with priorities
`specific`              files for everybody, for a group or for a host
`entryset`              folders and trees of such files
`statistics`            the roles that take what clients report
`dicts`                 values that are worked out when they are asked for
`modules`               Python modules of the repository
`contents`              what a file holds for a client, as bytes, text and base64
`making`                files that plugins make themselves
`helpers`               the building blocks above, as existing plugins import them
`conditions`            conditional elements, decided once per distinct outcome
`database`              plugins that keep data in the database
======================  =======================================================
"""

from typing import Any

from bcfg2.server.plugin import database
from bcfg2.server.plugin.base import Debuggable, Plugin
from bcfg2.server.plugin.conditions import ConditionalDocument, Selection
from bcfg2.server.plugin.database import DatabaseBacked
from bcfg2.server.plugin.dicts import CallableDict, OnDemandDict
from bcfg2.server.plugin.entryset import MDATA_OPTIONS, EntrySet, GroupSpool, default_file_attributes
from bcfg2.server.plugin.exceptions import (
    MetadataConsistencyError,
    MetadataRuntimeError,
    PluginExecutionError,
    PluginInitError,
    SpecificityError,
    ValidationError,
)
from bcfg2.server.plugin.files import DirectoryBacked, FileBacked, XMLDirectoryBacked, XMLFileBacked
from bcfg2.server.plugin.interfaces import (
    ClientACLs,
    ClientAddress,
    ClientRunHooks,
    Connector,
    Decision,
    Dependencies,
    Generator,
    GoalValidator,
    Metadata,
    Probing,
    PullSource,
    PullTarget,
    Statistics,
    Structure,
    StructureValidator,
    TemplateDataProvider,
    Threaded,
    ThreadedStatistics,
    Version,
)
from bcfg2.server.plugin.priority import Candidate, PrioDir, PriorityFolder, PriorityStructFile
from bcfg2.server.plugin.specific import BestMatch, SpecificData, Specificity, parse_specific, split_specific
from bcfg2.server.plugin.structfile import InfoXML, StrictStructFile, StructFile
from bcfg2.server.statistics import track_statistics

__all__ = [
    "MDATA_OPTIONS",
    "BestMatch",
    "CallableDict",
    "Candidate",
    "ClientACLs",
    "ClientAddress",
    "ClientRunHooks",
    "ConditionalDocument",
    "Connector",
    "DatabaseBacked",
    "Debuggable",
    "Decision",
    "Dependencies",
    "DirectoryBacked",
    "EntrySet",
    "FileBacked",
    "Generator",
    "GoalValidator",
    "GroupSpool",
    "InfoXML",
    "Metadata",
    "MetadataConsistencyError",
    "MetadataRuntimeError",
    "OnDemandDict",
    "Plugin",
    "PluginDatabaseModel",
    "PluginExecutionError",
    "PluginInitError",
    "PrioDir",
    "PriorityFolder",
    "PriorityStructFile",
    "Probing",
    "PullSource",
    "PullTarget",
    "Selection",
    "SpecificData",
    "Specificity",
    "SpecificityError",
    "Statistics",
    "StrictStructFile",
    "StructFile",
    "Structure",
    "StructureValidator",
    "TemplateDataProvider",
    "Threaded",
    "ThreadedStatistics",
    "ValidationError",
    "Version",
    "XMLDirectoryBacked",
    "XMLFileBacked",
    "default_file_attributes",
    "parse_specific",
    "split_specific",
    "track_statistics",
]


def __getattr__(name: str) -> Any:
    if name == "PluginDatabaseModel":  # asking for it loads Django
        return database.PluginDatabaseModel
    raise AttributeError(f"module {__name__} has no attribute {name}")
