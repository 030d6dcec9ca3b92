"""The old import names, alone and as an existing plugin uses them."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import bcfg2.log
import bcfg2.server.builtin_core
import bcfg2.server.cache
import bcfg2.server.core
import bcfg2.server.old_options
import bcfg2.server.plugin
import bcfg2.server.plugins.metadata
import bcfg2.server.ssl_server
import bcfg2.server.statistics
from tests.support import Site

MODULES = {
    "Bcfg2": bcfg2,
    "Bcfg2.Logger": bcfg2.log,
    "Bcfg2.Options": bcfg2.server.old_options,
    "Bcfg2.Server": bcfg2.server,
    "Bcfg2.Server.BuiltinCore": bcfg2.server.builtin_core,
    "Bcfg2.Server.Cache": bcfg2.server.cache,
    "Bcfg2.Server.Core": bcfg2.server.core,
    "Bcfg2.Server.Plugin": bcfg2.server.plugin,
    "Bcfg2.Server.Plugins.Metadata": bcfg2.server.plugins.metadata,
    "Bcfg2.Server.SSLServer": bcfg2.server.ssl_server,
    "Bcfg2.Server.Statistics": bcfg2.server.statistics,
}

#: Where the documentation of the plugin interface says that names are.
NAMES = {
    "base": ["Plugin"],
    "exceptions": [
        *("MetadataConsistencyError", "MetadataRuntimeError", "PluginExecutionError", "PluginInitError"),
        *("SpecificityError", "ValidationError"),
    ],
    "helpers": [
        *("DirectoryBacked", "EntrySet", "FileBacked", "GroupSpool", "InfoXML", "PrioDir", "PriorityStructFile"),
        *("SpecificData", "Specificity", "StructFile", "XMLDirectoryBacked", "XMLFileBacked"),
    ],
    "interfaces": [
        *("ClientACLs", "ClientRunHooks", "Connector", "Decision", "Generator", "GoalValidator", "Metadata", "Probing"),
        *("PullSource", "PullTarget", "Statistics", "Structure", "StructureValidator", "TemplateDataProvider"),
        *("Threaded", "Version"),
    ],
}

#: A plugin of several roles as sites have them, which knows nothing but the documented old names.
PLUGIN = '''
import os
import sys

import lxml.etree

import Bcfg2.Server
import Bcfg2.Server.Plugin
import Bcfg2.Server.Cache
from Bcfg2.Server.Plugin import PluginExecutionError
from Bcfg2.Server.Plugins.Metadata import ClientMetadata
from Bcfg2.Server.Statistics import track_statistics


class NoteFile(Bcfg2.Server.Plugin.FileBacked):
    def Index(self):
        if "bad" in self.data:
            raise PluginExecutionError("bad note")
        self.words = self.data.split()


class Notes(Bcfg2.Server.Plugin.DirectoryBacked):
    __child__ = NoteFile


class OldStyle(Bcfg2.Server.Plugin.Plugin,
               Bcfg2.Server.Plugin.Connector,
               Bcfg2.Server.Plugin.Structure,
               Bcfg2.Server.Plugin.Generator,
               Bcfg2.Server.Plugin.Probing,
               Bcfg2.Server.Plugin.ClientRunHooks,
               Bcfg2.Server.Plugin.TemplateDataProvider):
    """ a plugin of the old days """
    __author__ = "somebody@example.com"
    sort_order = 600
    __rmi__ = Bcfg2.Server.Plugin.Plugin.__rmi__ + ["count"]

    def __init__(self, core):
        Bcfg2.Server.Plugin.Plugin.__init__(self, core)
        Bcfg2.Server.Plugin.Connector.__init__(self)
        Bcfg2.Server.Plugin.Structure.__init__(self)
        Bcfg2.Server.Plugin.Generator.__init__(self)
        Bcfg2.Server.Plugin.Probing.__init__(self)
        Bcfg2.Server.Plugin.ClientRunHooks.__init__(self)
        Bcfg2.Server.Plugin.TemplateDataProvider.__init__(self)
        self.notes = Notes(os.path.join(self.data, "notes"))
        self.groups = Bcfg2.Server.Plugin.StructFile(
            os.path.join(self.data, "groups.xml"), should_monitor=True, create="Groups")
        self.cache = Bcfg2.Server.Cache.Cache("OldStyle")
        self.Entries = {"Path": {"/etc/old": self.bind}}
        self.runs = []

    def get_additional_groups(self, metadata):
        assert isinstance(metadata, ClientMetadata)
        return [el.get("name") for el in self.groups.Match(metadata)]

    def get_additional_data(self, metadata):
        return dict((name, note.words) for name, note in self.notes.entries.items())

    @track_statistics()
    def BuildStructures(self, metadata):
        bundle = lxml.etree.Element("Bundle", name="old")
        lxml.etree.SubElement(bundle, "Path", name="/etc/old")
        lxml.etree.SubElement(bundle, "Path", name="/etc/none")
        return [bundle]

    def HandlesEntry(self, entry, metadata):
        return entry.get("name") == "/etc/none"

    def HandleEntry(self, entry, metadata):
        raise PluginExecutionError("nothing for %s" % metadata.hostname)

    def bind(self, entry, metadata):
        entry.set("type", "file")
        entry.text = " ".join(metadata.OldStyle["a"])

    def GetProbes(self, metadata):
        probe = lxml.etree.Element("probe", name="old", source=self.name, interpreter="/bin/sh")
        probe.text = "date"
        return [probe]

    def ReceiveData(self, metadata, datalist):
        for data in datalist:
            parsed = lxml.etree.XML(data.text, parser=Bcfg2.Server.XMLParser)
            self.cache[metadata.hostname] = parsed.get("n")

    def end_client_run(self, metadata):
        self.runs.append(metadata.hostname)

    def get_template_data(self, entry, metadata, template):
        return dict(old=self.cache.get(metadata.hostname))

    def count(self):
        return len(self.runs)
'''


@pytest.mark.parametrize("old", MODULES)
def test_an_old_name_is_the_module_itself(old: str) -> None:
    module = MODULES[old]
    spec = module.__spec__
    assert importlib.import_module(old) is module
    assert module.__spec__ is spec
    assert module.__name__ == module.__name__.lower()


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in NAMES.items() for name in names])
def test_documented_names_are_in_the_package_and_in_their_module(module: str, name: str) -> None:
    package = importlib.import_module("Bcfg2.Server.Plugin")
    part = importlib.import_module(f"Bcfg2.Server.Plugin.{module}")
    assert getattr(part, name) is getattr(package, name) is getattr(bcfg2.server.plugin, name)


def test_what_is_not_there_is_named_as_it_was_asked_for() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"Bcfg2\.Server\.Nothing") as raised:
        importlib.import_module("Bcfg2.Server.Nothing")
    assert raised.value.name == "Bcfg2.Server.Nothing"


def test_an_installed_old_package_is_not_picked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("Bcfg2", "Bcfg2/Server"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("raise SystemExit('the old package')")
    (tmp_path / "Bcfg2/Server/Ancient.py").write_text("")
    text = "import bcfg2.server.core, Bcfg2.Server.Plugin as p; print(p.__name__); import Bcfg2.Server.Ancient"
    root = str(Path(bcfg2.__file__).parents[1])
    result = subprocess.run(
        [sys.executable, "-c", text],
        env={"PYTHONPATH": f"{tmp_path}:{root}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.stdout == "bcfg2.server.plugin\n"
    assert "this version has no module Bcfg2.Server.Ancient" in result.stderr


def test_only_the_server_has_the_old_names() -> None:
    text = "import bcfg2.options, bcfg2.rpc, bcfg2.server.plugin, sys; sys.exit('Bcfg2' in repr(sys.meta_path))"
    assert subprocess.run([sys.executable, "-c", text], timeout=30, check=False).returncode == 0
    text = "import bcfg2.options, bcfg2.server.plugin\ntry:\n import Bcfg2\nexcept ImportError:\n print('none')"
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=30, check=False)
    assert found.stdout == "none\n"


def test_a_plugin_that_knows_the_old_names_only_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old_site").mkdir()
    (tmp_path / "old_site/oldstyle.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path / "old_site"))
    files = {
        "OldStyle/notes/a": "one two",
        "OldStyle/groups.xml": '<Groups><Client name="client.example.com"><Aged name="aged"/></Client></Groups>',
        "Bundler/base.xml": '<Bundle><Path name="/etc/new"/></Bundle>',
        "Cfg/etc/new/new.jinja2": "{{ old }} {{ 'aged' in metadata.groups }}",
    }
    site = Site(tmp_path, files, "Metadata, Bundler, Cfg, oldstyle.OldStyle")
    address = ("127.0.0.2", 1)
    assert site.metadata().groups == {"basic", "aged"}
    assert site.metadata().OldStyle == {"a": ["one", "two"]}
    assert "<probe" in site.core.GetProbes(address) and 'source="OldStyle"' in site.core.GetProbes(address)
    probe_data = '<ProbeData><probe-data name="old" source="OldStyle">&lt;x n="7"/&gt;</probe-data></ProbeData>'
    assert site.core.RecvProbeData(address, probe_data)
    assert site.entry("Path", "/etc/old").text == "one two"
    assert site.entry("Path", "/etc/none").get("failure") == "bind error: nothing for client.example.com"
    assert site.entry("Path", "/etc/new").text == "7 True"
    assert site.core.rmi["OldStyle.count"]() == 3
    site.change({"OldStyle/notes/a": "bad", "OldStyle/notes/b": "three"})
    assert site.metadata().OldStyle == {"a": ["one", "two"], "b": ["three"]}
    site.stop()
    assert site.core.plugins["OldStyle"].running is False
