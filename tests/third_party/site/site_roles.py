"""Plugins of a site that exists since the days of the old server, one for each role.

They know nothing but the documented plugin interface, under its old names, and are written in the old manner: base
classes are initialised one by one, names are reached through the modules.  Each notes in CALLS what it is asked."""

import os
import threading

import lxml.etree

import Bcfg2.Options
import Bcfg2.Server.Plugin
from Bcfg2.Server.Plugin import PluginExecutionError, PluginInitError, ValidationError
from Bcfg2.Server.Plugins.Metadata import MetadataGroup

CALLS = []


def note(plugin, method, *args):
    """remember a call"""
    CALLS.append((plugin.name, method) + args)


class Groups(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.Connector):
    """role Connector"""

    options = [
        Bcfg2.Options.Option(
            cf=("groups", "names"),
            default="night, day",
            type=Bcfg2.Options.Types.comma_list,
            help="Groups of everybody",
        )
    ]

    def __init__(self, core):
        Bcfg2.Server.Plugin.Plugin.__init__(self, core)
        Bcfg2.Server.Plugin.Connector.__init__(self)

    def get_additional_groups(self, metadata):
        note(self, "get_additional_groups", metadata.hostname)
        return Bcfg2.Options.setup.groups_names + [MetadataGroup("shift", bundles=["shift"], category="work")]

    def get_additional_data(self, metadata):
        note(self, "get_additional_data", metadata.group_in_category("work"))
        return dict(shift="shift" in metadata.groups)


class Facts(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.Probing):
    """role Probing"""

    def __init__(self, core):
        Bcfg2.Server.Plugin.Plugin.__init__(self, core)
        Bcfg2.Server.Plugin.Probing.__init__(self)

    def GetProbes(self, metadata):
        note(self, "GetProbes", metadata.hostname)
        probe = lxml.etree.Element("probe", name="fact", source=self.name, interpreter="/bin/sh")
        probe.text = "uname -r"
        return [probe]

    def ReceiveData(self, metadata, datalist):
        note(self, "ReceiveData", metadata.hostname, [(data.get("name"), data.text) for data in datalist])


class Site(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.Structure):
    """role Structure"""

    def BuildStructures(self, metadata):
        note(self, "BuildStructures", metadata.hostname)
        bundle = lxml.etree.Element("Bundle", name="site")
        for name in ("/etc/listed", "/etc/handled", "/etc/refused", "/etc/nobody"):
            lxml.etree.SubElement(bundle, "Path", name=name)
        shift = lxml.etree.Element("Independent", name="shift")
        lxml.etree.SubElement(shift, "BoundService", name="shift", status="on")
        return [bundle, shift]


class Checker(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.StructureValidator):
    """role StructureValidator"""

    def validate_structures(self, metadata, structures):
        note(self, "validate_structures", metadata.hostname, len(structures))
        if os.path.exists(os.path.join(self.data, "refuse")):
            raise ValidationError("structures are refused")
        structures[:] = [item for item in structures if item.get("name") != "unwanted"]


class Binder(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.Generator):
    """role Generator"""

    def __init__(self, core):
        Bcfg2.Server.Plugin.Plugin.__init__(self, core)
        Bcfg2.Server.Plugin.Generator.__init__(self)
        self.Entries["Path"] = {"/etc/listed": self.bind_listed}

    def bind_listed(self, entry, metadata):
        note(self, "bind_listed", entry.get("name"))
        entry.set("type", "file")
        entry.text = metadata.hostname

    def HandlesEntry(self, entry, metadata):
        note(self, "HandlesEntry", entry.get("name"))
        return entry.tag == "Path" and entry.get("name") in ["/etc/handled", "/etc/refused"]

    def HandleEntry(self, entry, metadata):
        note(self, "HandleEntry", entry.get("name"))
        if entry.get("name") == "/etc/refused":
            raise PluginExecutionError("refused")
        entry.set("type", "directory")


class Goals(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.GoalValidator):
    """role GoalValidator"""

    sort_order = 900

    def validate_goals(self, metadata, config):
        note(self, "validate_goals", metadata.hostname, config.tag)
        if os.path.exists(os.path.join(self.data, "refuse")):
            raise ValidationError("goals are refused")
        for path in config.findall("Bundle/Path"):
            path.set("seen", "yes")


class Lists(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.Decision):
    """role Decision"""

    def GetDecisions(self, metadata, mode):
        note(self, "GetDecisions", metadata.hostname, mode)
        return [("Service", "*"), ("Path", "/etc/listed")]


class Hooks(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.ClientRunHooks):
    """role ClientRunHooks; what it raises changes nothing"""

    def start_client_run(self, metadata):
        note(self, "start_client_run", metadata.hostname)
        raise AttributeError("a mistake in a hook")

    def end_client_run(self, metadata):
        note(self, "end_client_run", metadata.hostname)

    def end_statistics(self, metadata):
        note(self, "end_statistics", metadata.hostname)


class Counter(Bcfg2.Server.Plugin.Statistics):
    """role Statistics"""

    __rmi__ = Bcfg2.Server.Plugin.Statistics.__rmi__ + ["count"]
    __child_rmi__ = Bcfg2.Server.Plugin.Statistics.__child_rmi__ + [("count", "count_child")]

    def __init__(self, core):
        Bcfg2.Server.Plugin.Statistics.__init__(self, core)
        self.states = []

    def process_statistics(self, metadata, element):
        note(self, "process_statistics", metadata.hostname)
        self.states.append(element.find(".//Statistics").get("state"))

    def count(self, state="clean"):
        """how many clients reported a state"""
        return self.states.count(state)


class Slow(Bcfg2.Server.Plugin.ThreadedStatistics):
    """role ThreadedStatistics"""

    def handle_statistic(self, metadata, element):
        note(self, "handle_statistic", metadata.hostname, threading.current_thread() is threading.main_thread())


class Worker(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.Threaded):
    """role Threaded"""

    def __init__(self, core):
        Bcfg2.Server.Plugin.Plugin.__init__(self, core)
        Bcfg2.Server.Plugin.Threaded.__init__(self)
        self.thread = None

    def start_threads(self):
        self.thread = threading.Thread(target=self.work)
        self.thread.daemon = True
        self.thread.start()

    def work(self):
        """may use options, and make files, although nobody says for which core"""
        Bcfg2.Server.Plugin.FileBacked(os.path.join(self.data, "nothing"))
        note(self, "work", Bcfg2.Options.setup.repository == os.path.dirname(self.data))
        self.core.terminate.wait()

    def shutdown(self):
        Bcfg2.Server.Plugin.Plugin.shutdown(self)
        if self.thread:
            self.thread.join()


class Tape(Bcfg2.Server.Plugin.Version):
    """role Version"""

    __vcs_metadata_path__ = ".tape"

    def get_revision(self):
        with open(os.path.join(os.path.dirname(self.data), ".tape")) as tape:
            revision = tape.read().strip()
        if not revision:
            raise PluginExecutionError("the tape is empty")
        return revision


class Pull(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.PullSource, Bcfg2.Server.Plugin.PullTarget):
    """roles PullSource and PullTarget"""

    def GetCurrentEntry(self, client, e_type, e_name):
        return ("root", "root", "0644", None, "%s on %s" % (e_name, client))

    def AcceptChoices(self, entry, metadata):
        return [Bcfg2.Server.Plugin.Specificity(hostname=metadata.hostname)]

    def AcceptPullData(self, specific, new_entry, verbose):
        note(self, "AcceptPullData", specific.hostname, new_entry["name"], verbose)


class Doors(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.ClientACLs):
    """role ClientACLs"""

    def check_acl_ip(self, address, rmi):
        note(self, "check_acl_ip", address[0], rmi)
        if address[0] == "127.0.0.9":
            return False
        if address[0] == "127.0.0.8":
            raise KeyError("a mistake in the rules")
        return True if address[0] == "127.0.0.1" else None

    def check_acl_metadata(self, metadata, rmi):
        note(self, "check_acl_metadata", metadata.hostname, rmi)
        return rmi != "GetDecisionList"


class Words(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.TemplateDataProvider):
    """role TemplateDataProvider"""

    def get_template_data(self, entry, metadata, template):
        note(self, "get_template_data", entry.get("name"), os.path.basename(template))
        return dict(word="text", name="not this one")

    def get_xml_template_data(self, structfile, metadata):
        note(self, "get_xml_template_data", os.path.basename(structfile.name))
        return dict(word="xml")


class Broken(Bcfg2.Server.Plugin.Plugin):
    """a plugin that cannot work"""

    def __init__(self, core):
        Bcfg2.Server.Plugin.Plugin.__init__(self, core)
        raise PluginInitError("nothing to work with")


class Boastful(Bcfg2.Server.Plugin.Plugin):
    """offers a method that it does not have, and needs no folder"""

    __rmi__ = Bcfg2.Server.Plugin.Plugin.__rmi__ + ["nothing"]
    create = False
    experimental = True
    conflicts = ["Broken"]


class Phonebook(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.Metadata):
    """role Metadata: all machines are alike"""

    class Client(object):
        """one of them"""

        profile = "all"
        version_info = None

        def __init__(self, hostname):
            self.hostname = hostname
            self.groups = set(["all"])
            self.bundles = set(["base"])
            self.connectors = []

        def inGroup(self, group):
            return group in self.groups

        def group_in_category(self, category):
            return ""

    def __init__(self, core):
        Bcfg2.Server.Plugin.Plugin.__init__(self, core)
        Bcfg2.Server.Plugin.Metadata.__init__(self)
        self.versions = {}

    def get_initial_metadata(self, client_name):
        note(self, "get_initial_metadata", client_name)
        if client_name.startswith("unknown"):
            raise Bcfg2.Server.Plugin.MetadataConsistencyError("no %s" % client_name)
        return self.Client(client_name)

    def merge_additional_groups(self, imd, groups):
        imd.groups.update(str(group) for group in groups)

    def merge_additional_data(self, imd, source, data):
        setattr(imd, source, data)
        imd.connectors.append(source)

    def resolve_client(self, addresspair, cleanup_cache=False):
        note(self, "resolve_client", addresspair[0], cleanup_cache)
        return "host-%s" % addresspair[0].split(".")[-1]

    def AuthenticateConnection(self, cert, user, password, addresspair):
        return password == "secret"

    def set_version(self, client, version):
        self.versions[client] = version

    def set_profile(self, client, profile, addresspair):
        raise Bcfg2.Server.Plugin.MetadataRuntimeError("all machines are alike")

    def viz(self, hosts, bundles, key, only_client, colors):
        return "all;"

    def update_client_list(self):
        pass
