"""The names and signatures that the documentation of the server core promises to plugins, sites and other cores.

The lists below are the documentation's.  Its names are those of the modules ``Bcfg2.Server.Core`` and
``Bcfg2.Server.BuiltinCore``, which are ``bcfg2.server.core`` and ``bcfg2.server.builtin_core`` here.
"""

import inspect
import logging
import threading
from importlib.util import find_spec

import pytest
from lxml import etree

from bcfg2.options import OptionParser
from bcfg2.options.common import BASE_OPTIONS
from bcfg2.server import core as core_module
from bcfg2.server.builtin_core import BuiltinCore
from bcfg2.server.cache import Cache
from bcfg2.server.core import (
    Core,
    CoreInitError,
    DefaultACL,
    NetworkCore,
    NoExposedMethod,
    close_db_connection,
    exposed,
    sort_xml,
)
from bcfg2.server.filemonitor import FileMonitor
from bcfg2.server.plugin import ClientACLs, Plugin
from bcfg2.server.statistics import stats
from tests.support import Site

#: Methods of Core and their arguments; what clients call begins with the caller's address.
CORE_METHODS = {
    "_run": [],
    "_block": [],
    "_file_monitor_thread": [],
    "_perflog_thread": [],
    "_update_vcs_revision": [],
    "AssertProfile": ["address", "profile"],
    "Bind": ["entry", "metadata"],
    "BindStructure": ["structure", "metadata"],
    "BindStructures": ["structures", "metadata", "config"],
    "BuildConfiguration": ["client"],
    "DeclareVersion": ["address", "version"],
    "GetConfig": ["address"],
    "GetDecisionList": ["address", "mode"],
    "GetDecisions": ["metadata", "mode"],
    "GetProbes": ["address"],
    "GetStructures": ["metadata"],
    "HandleEvent": ["event"],
    "RecvProbeData": ["address", "probedata"],
    "RecvStats": ["address", "document"],
    "block_for_fam_events": ["handle_events"],
    "build_metadata": ["client_name"],
    "check_acls": ["address", "rmi"],
    "client_run_hook": ["hook", "metadata"],
    "critical_error": ["message"],
    "expire_metadata_cache": ["address", "hostnames"],
    "get_statistics": ["address"],
    "init_plugin": ["plugin"],
    "listMethods": ["address"],
    "load_plugins": [],
    "methodHelp": ["address", "method_name"],
    "plugins_by_type": ["base_cls"],
    "process_statistics": ["client_name", "statistics"],
    "resolve_client": ["address", "cleanup_cache", "metadata"],
    "run": [],
    "set_core_debug": ["address", "debug"],
    "set_debug": ["address", "debug"],
    "set_fam_debug": ["address", "debug"],
    "shutdown": [],
    "toggle_core_debug": ["address"],
    "toggle_debug": ["address"],
    "toggle_fam_debug": ["address"],
    "validate_goals": ["metadata", "data"],
    "validate_structures": ["metadata", "data"],
}

EXPOSED = {
    *("AssertProfile", "DeclareVersion", "GetConfig", "GetDecisionList", "GetProbes", "RecvProbeData", "RecvStats"),
    *("expire_metadata_cache", "get_statistics", "listMethods", "methodHelp", "set_core_debug", "set_debug"),
    *("set_fam_debug", "toggle_core_debug", "toggle_debug", "toggle_fam_debug"),
}

NETWORK_METHODS = {"_daemonize": [], "authenticate": ["cert", "user", "password", "address"], "run": []}
BUILTIN_METHODS = {"_daemonize": [], "_run": [], "_block": [], "_dispatch": ["method", "arguments", "address"]}

CORE_ATTRIBUTES = {
    *("cfile", "database_available", "db_write_lock", "debug_flag", "fam", "fam_thread", "lock", "logger", "metadata"),
    *("metadata_cache", "metadata_cache_mode", "name", "perflog_thread", "plugin_blacklist", "plugins", "revision"),
    "terminate",
}

#: Names under which the statistics of the parts of building a configuration are kept.
TRACKED = {
    *("check_acls", "resolve_client", "build_metadata", "GetStructures", "validate_structures", "BindStructures"),
    *("BindStructure", "validate_goals", "DeclareVersion", "_update_vcs_revision"),
}


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, files={"Bundler/base.xml": '<Bundle><BoundService name="x"/></Bundle>'})
    yield made
    made.stop()


def make(kind, site):
    """A core of the class KIND over the repository of SITE, without its plugins."""
    parser = OptionParser("test", "A core.", BASE_OPTIONS, components=[kind])
    return kind(parser.parse(["-C", str(site.conf)]), parser.reread)


@pytest.mark.parametrize(
    ("owner", "name", "arguments"),
    [
        (owner, name, arguments)
        for owner, methods in ((Core, CORE_METHODS), (NetworkCore, NETWORK_METHODS), (BuiltinCore, BUILTIN_METHODS))
        for name, arguments in methods.items()
    ],
)
def test_a_documented_method_takes_the_documented_arguments(owner, name, arguments):
    parameters = list(inspect.signature(getattr(owner, name)).parameters.values())[1:]
    assert [parameter.name for parameter in parameters[: len(arguments)]] == arguments
    assert all(parameter.default is not parameter.empty for parameter in parameters[len(arguments) :])


def test_the_exposed_methods_are_the_documented_ones():
    for kind in (Core, BuiltinCore):
        found = {name for name, value in inspect.getmembers(kind) if getattr(value, "exposed", False)}
        assert found == EXPOSED


def test_every_exposed_method_has_help(site):
    for name in EXPOSED:
        assert site.core.methodHelp(("127.0.0.1", 1), name).strip()
    for name in ("shutdown", "plugins", "nothing", "__init__", ""):
        assert site.core.methodHelp(("127.0.0.1", 1), name) == ""


def test_a_core_has_the_documented_attributes(site):
    core = site.core
    assert {name for name in CORE_ATTRIBUTES if not hasattr(core, name)} == set()
    assert Core.name == core.name == "Core"
    assert core.cfile == str(site.conf)
    assert core.database_available is (find_spec("django") is not None)
    assert core.debug_flag is False
    assert isinstance(core.fam, FileMonitor)
    assert isinstance(core.logger, logging.Logger)
    assert core.metadata is core.plugins["Metadata"]
    assert isinstance(core.metadata_cache, Cache)
    assert core.revision == "-1"
    assert isinstance(core.terminate, threading.Event) and not core.terminate.is_set()
    assert core.fam_thread is None and core.perflog_thread is None  # nothing is served


def test_the_locks_are_of_the_documented_kinds(site):
    assert type(site.core.lock) is type(threading.Lock())
    assert type(site.core.db_write_lock) is type(threading.RLock())


def test_the_lock_is_held_while_file_events_are_handled(site):
    held = []

    class Owner:
        def HandleEvent(self, event):
            held.append(site.core.lock.locked())

    site.core.fam.AddMonitor(site.repo, Owner())
    site.apply()
    assert held and all(held)
    assert not site.core.lock.locked()


@pytest.mark.parametrize(("configured", "mode"), [("on", "cautious"), ("off", "off"), ("initial", "initial")])
def test_on_is_another_word_for_the_cautious_cache(tmp_path, configured, mode):
    site = Site(tmp_path, conf=f"[caching]\nclient_metadata = {configured}")
    assert site.core.metadata_cache_mode == mode
    site.stop()


def test_the_first_documented_steps_are_for_implementations_to_override(site):
    core = make(NetworkCore, site)
    for method in (core._run, core._block, core._daemonize):
        with pytest.raises(NotImplementedError):
            method()
    core.shutdown()


def test_a_network_core_knows_its_ca_and_the_builtin_one_its_server_and_context(site):
    core = make(BuiltinCore, site)
    assert issubclass(BuiltinCore, NetworkCore) and issubclass(NetworkCore, Core)
    assert core.ca is None
    assert core.server is None
    assert core.context is None
    core.shutdown()


def test_the_parts_of_building_are_tracked(site):
    site.core.check_acls(("127.0.0.2", 1), "GetConfig")
    with site.core.request():
        site.core.DeclareVersion(("127.0.0.2", 1), "1.4.0")
        site.core.GetConfig(("127.0.0.2", 1))
        site.core.BuildConfiguration("client.example.com")
        site.core.process_statistics(
            "client.example.com", etree.fromstring('<upload><Statistics state="clean" version="2.0"/></upload>')
        )
    names = set(stats.display())
    hooks = {f"client_run_hook:{hook}" for hook in ("start_client_run", "end_client_run", "end_statistics")}
    assert {f"Core:{name}" for name in TRACKED | hooks} <= names


def test_the_default_acl_is_a_plugin_with_remote_methods(site):
    acl = site.core.plugins["DefaultACL"]
    assert isinstance(acl, DefaultACL) and isinstance(acl, Plugin) and isinstance(acl, ClientACLs)
    assert acl.check_acl_ip(("127.0.0.1", 1), "Metadata.list_clients") is True
    assert acl.check_acl_ip(("127.0.0.2", 1), "Metadata.list_clients") is False
    assert {"DefaultACL.toggle_debug", "DefaultACL.set_debug"} <= set(site.core.rmi)


def test_the_module_offers_the_documented_functions_and_exceptions():
    assert set(core_module.__all__) >= {
        *("Core", "CoreInitError", "DefaultACL", "NetworkCore", "NoExposedMethod"),
        *("close_db_connection", "exposed", "sort_xml"),
    }
    assert issubclass(CoreInitError, Exception) and issubclass(NoExposedMethod, Exception)

    @exposed
    @close_db_connection
    def method(first, second=2):
        """Help."""
        return first + second

    assert method.exposed is True
    assert method(1) == 3
    assert (method.__name__, method.__doc__) == ("method", "Help.")


def test_sort_xml_sorts_elements_and_trees_in_place_by_name_or_by_a_key():
    text = '<a><b name="2"><d name="y" n="1"/><c name="x" n="2"/></b><b name="1"/></a>'
    root = etree.fromstring(text)
    assert sort_xml(root) is None
    assert [node.get("name") for node in root.iter("b")] == ["1", "2"]
    assert [node.tag for node in root[1]] == ["c", "d"]
    sort_xml(etree.ElementTree(root), key=lambda node: node.get("n") or "")
    assert [node.tag for node in root[1]] == ["d", "c"]
