"""Plugins of the same site, over the building blocks that the interface has for files and data."""

import copy
import os
import re

import Bcfg2.Server.Cache
import Bcfg2.Server.Statistics
from Bcfg2.Server.Plugin import (
    CallableDict,
    Connector,
    Debuggable,
    DirectoryBacked,
    EntrySet,
    FileBacked,
    Generator,
    GroupSpool,
    InfoXML,
    OnDemandDict,
    Plugin,
    PluginExecutionError,
    PrioDir,
    PriorityStructFile,
    SpecificData,
    StructFile,
    XMLDirectoryBacked,
    XMLFileBacked,
    track_statistics,
)


class Lines(FileBacked):
    """a file of lines"""

    def Index(self):
        lines = self.data.splitlines()
        if "bad" in lines:
            raise PluginExecutionError("there is a bad line")
        self.lines = lines


class Notes(Plugin, DirectoryBacked, Connector):
    """a folder of them"""

    __child__ = Lines
    patterns = re.compile(r"\.txt$")
    ignore = re.compile(r"^README")

    def __init__(self, core):
        Plugin.__init__(self, core)
        Connector.__init__(self)
        DirectoryBacked.__init__(self, self.data)
        self.cache = Bcfg2.Server.Cache.Cache("Notes")

    @track_statistics()
    def get_additional_data(self, metadata):
        self.cache[metadata.hostname] = len(self)
        return OnDemandDict(
            all=lambda: sorted((name, note.lines) for name, note in self),
            first=lambda: self["first.txt"].lines[0],
            here="first.txt" in self.entries,
        )


class Wiring(XMLFileBacked):
    """an XML file with a name"""

    __identifier__ = "rack"


class Racks(Plugin, XMLDirectoryBacked, Connector):
    """a folder of XML files"""

    __child__ = Wiring

    def __init__(self, core):
        Plugin.__init__(self, core)
        Connector.__init__(self)
        XMLDirectoryBacked.__init__(self, self.data)

    def get_additional_data(self, metadata):
        return CallableDict(
            racks=lambda: dict(
                (rack.label, [port.get("n") for port in rack.entries]) for rack in self.entries.values()
            ),
            roots=lambda: sorted(rack.xdata.tag for rack in self.entries.values()),
            extras=lambda: sorted(os.path.basename(path) for rack in self.entries.values() for path in rack.extras),
        )


class AgedFile(StructFile):
    """conditions of its own"""

    _include_tests = copy.copy(StructFile._include_tests)
    _include_tests["Rack"] = lambda el, md, *args: el.get("row") in args or md.hostname == el.get("of")


class Aged(Plugin, Connector):
    """a file with conditions, which is made where it is missing"""

    def __init__(self, core):
        Plugin.__init__(self, core)
        Connector.__init__(self)
        self.file = AgedFile(os.path.join(self.data, "aged.xml"), should_monitor=True, create="Aged")

    def get_additional_data(self, metadata):
        return dict(
            match=[el.get("n") for el in self.file.Match(metadata, "3")],
            xmlmatch=[el.get("n") for el in self.file.XMLMatch(metadata, "3")],
        )


class Users(PrioDir):
    """rules of its own kind"""

    name = "Users"

    def _matches(self, entry, metadata, candidate):
        return entry.get("name") in candidate.get("name").split("|")

    def _apply(self, entry, candidate):
        PrioDir._apply(self, entry, candidate)
        entry.set("by", self.name)


class KeyData(SpecificData):
    """a file of a tree"""

    def bind_entry(self, entry, metadata):
        entry.set("type", "file")
        entry.text = self.data.upper()


class Keys(GroupSpool):
    """a tree of files, of which each client gets one"""

    filename_pattern = "key"
    es_child_cls = KeyData


class Single(Plugin, Generator):
    """one folder of files, followed by the plugin itself"""

    def __init__(self, core):
        Plugin.__init__(self, core)
        Generator.__init__(self)
        self.set = EntrySet("motd", self.data, KeyData)
        self.info = InfoXML(os.path.join(self.data, "own.xml"), should_monitor=True)
        core.fam.AddMonitor(self.data, self)
        self.Entries["Path"] = {"/etc/motd": self.set.bind_entry, "/etc/own": self.bind_own}

    def HandleEvent(self, event):
        if not event.filename.startswith("/") and event.code2str() != "endExist" and event.filename != "own.xml":
            self.set.handle_event(event)

    def bind_own(self, entry, metadata):
        self.info.BindEntry(entry, metadata)
        entry.text = ",".join(os.path.basename(item.name) for item in self.set.get_matching(metadata))


class Settings(PriorityStructFile):
    """a file with a priority"""


class Ranked(Plugin, XMLDirectoryBacked, Connector):
    """a folder of those"""

    __child__ = Settings

    def __init__(self, core):
        Plugin.__init__(self, core)
        Connector.__init__(self)
        XMLDirectoryBacked.__init__(self, self.data)

    def get_additional_data(self, metadata):
        ranked = sorted(self.entries.values(), key=lambda item: -item.priority)
        return [el.get("n") for item in ranked for el in item.Match(metadata)]


class Meter(Plugin, Debuggable):
    """timing, debugging, expiry"""

    __rmi__ = Plugin.__rmi__ + ["expire"]

    def __init__(self, core):
        Plugin.__init__(self, core)
        self.expired = []
        self.Entries["Gauge"] = Gauge()
        Bcfg2.Server.Cache.add_expire_hook(self.note)

    def note(self, tags, exact, count):
        self.expired.append((tags, exact, count))

    def expire(self, host):
        """forget what is known of a host"""
        Bcfg2.Server.Statistics.stats.add_value("Meter:expire", 0.5)
        return Bcfg2.Server.Cache.expire("Notes", host)


class Gauge(Debuggable):
    """something that can be debugged"""

    def __init__(self):
        Debuggable.__init__(self)
