"""The core: loading plugins, metadata and its cache, access control, the life cycle."""

import contextlib
import os
import threading

import pytest

from bcfg2.options import OptionParser
from bcfg2.options.common import BASE_OPTIONS
from bcfg2.server import cache as unified_cache
from bcfg2.server import metadata_cache
from bcfg2.server.core import Core, CoreInitError, NetworkCore
from bcfg2.server.plugin import (
    ClientACLs,
    Connector,
    MetadataConsistencyError,
    Plugin,
    PluginInitError,
    Structure,
    Threaded,
    Version,
)
from bcfg2.server.plugin.services import current_core
from bcfg2.server.versioned import Versioned
from tests.support import Site


def named(*classes):
    """The option ``plugins`` for plugins of this module."""
    return ",".join(["Metadata", *(f"{__name__}.{cls.__name__}" for cls in classes)])


class First(Plugin, Structure):
    sort_order = 100


class Zebra(Plugin, Structure):
    pass


class aardvark(Plugin, Structure):
    pass


class Failing(Plugin):
    def __init__(self, core):
        super().__init__(core)
        raise PluginInitError("no working copy")


class Crashing(Plugin):
    def __init__(self, core):
        raise ZeroDivisionError


class Old(Plugin):
    deprecated = True
    stopped = False

    def shutdown(self):
        type(self).stopped = True


class Rival(Plugin):
    conflicts = ["Old"]


class Deny(Plugin, ClientACLs):
    answers = {}

    def check_acl_ip(self, address, rmi):
        answer = self.answers.get("ip", True)
        if answer == "raise":
            raise RuntimeError("broken")
        return answer

    def check_acl_metadata(self, metadata, rmi):
        return self.answers.get("metadata", True)


class Groups(Plugin, Connector):
    calls = 0
    group = "probed"

    def get_additional_groups(self, metadata):
        Groups.calls += 1
        return [self.group]

    def get_additional_data(self, metadata):
        return {"count": Groups.calls}


class Revision(Version):
    revision = "abc"

    def get_revision(self):
        if self.revision is None:
            raise RuntimeError("no head")
        return self.revision


@pytest.fixture
def make(tmp_path):
    made = []

    def maker(*args, **kwargs):
        made.append(Site(tmp_path, *args, **kwargs))
        return made[-1]

    yield maker
    for site in made:
        site.stop()


def test_plugins_of_a_role_are_ordered_by_sort_order_then_name_capitals_first(make):
    site = make(plugins=named(aardvark, Zebra, First))
    assert [plugin.name for plugin in site.core.plugins_by_type(Structure)] == ["First", "Zebra", "aardvark"]


def test_a_plugin_that_cannot_be_made_is_left_out_with_its_reason(make, caplog):
    site = make(plugins=named(Failing, Crashing, First))
    assert set(site.core.plugins) == {"Metadata", "First", "DefaultACL"}
    assert "Plugin Failing is not loaded: no working copy" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("order", [(Old, Rival), (Rival, Old)])
def test_of_plugins_that_conflict_the_one_that_says_so_stays_in_either_order(make, caplog, order):
    Old.stopped = False
    site = make(plugins=named(*order))
    assert "Rival" in site.core.plugins
    assert "Old" not in site.core.plugins
    assert "Old is not loaded: it conflicts with Rival" in caplog.text
    assert Old.stopped


def test_deprecated_plugins_are_named(make, caplog):
    caplog.set_level("INFO")
    make(plugins=named(Old))
    assert "These plugins are deprecated: Old" in caplog.text


def test_data_folders_are_made_with_a_warning(make, caplog):
    site = make(plugins=named(First))
    assert (site.repo / "First").is_dir()
    assert "First does not exist, creating it" in caplog.text


def test_without_a_metadata_plugin_there_is_no_core(tmp_path):
    (tmp_path / "bcfg2.conf").write_text(f"[server]\nrepository={tmp_path}\nplugins={__name__}.First\n")
    parser = OptionParser("test", "A test.", BASE_OPTIONS, components=[Core])
    core = Core(parser.parse(["-C", str(tmp_path / "bcfg2.conf")]))
    with pytest.raises(CoreInitError, match="no Metadata plugin"):
        core.load_plugins()
    core.shutdown()


def test_remote_names_are_those_that_plugins_and_the_monitor_list(make):
    site = make(plugins=named(First, Revision))
    assert {"First.toggle_debug", "First.set_debug", "Revision.get_revision", "Pseudo.list_event_handlers"} <= set(
        site.core.rmi
    )


# revision


def test_the_revision_is_asked_at_every_batch_and_minus_one_on_error(make):
    site = make(plugins=named(Revision))
    assert site.config().get("revision") == "abc"
    site.plugin("Revision").revision = None
    site.apply()
    assert site.config().get("revision") == "-1"


# access control


@pytest.mark.parametrize(
    ("ip", "metadata", "allowed"),
    [
        (True, False, True),
        (False, True, False),
        (None, True, True),
        (None, False, False),
        ("raise", True, False),
    ],
)
def test_access_is_decided_by_address_then_by_metadata_and_errors_deny(make, ip, metadata, allowed):
    site = make(plugins=named(Deny))
    Deny.answers = {"ip": ip, "metadata": metadata}
    assert site.core.check_acls(("127.0.0.2", 1), "GetConfig") is allowed


def test_a_client_that_cannot_be_resolved_is_denied_by_the_metadata_phase(make):
    site = make(plugins=named(Deny))
    Deny.answers = {"ip": None, "metadata": True}
    assert site.core.check_acls(("127.0.0.99", 1), "GetConfig") is False


@pytest.mark.parametrize("method", ["GetConfig", "NoSuchMethod", "DeclareVersion"])
def test_by_default_everybody_may_call_what_clients_call(make, method):
    assert make().core.check_acls(("192.0.2.1", 1), method)


@pytest.mark.parametrize(
    "method", ["Metadata.list_clients", "toggle_debug", "set_core_debug", "get_statistics", "expire_metadata_cache"]
)
@pytest.mark.parametrize("address", ["127.0.0.2", "192.0.2.1", "::1"])
def test_by_default_only_127_0_0_1_may_administer(make, method, address):
    core = make().core
    assert core.check_acls(("127.0.0.1", 1), method) is True
    assert core.check_acls((address, 1), method) is False


# metadata


def test_connectors_groups_and_data_are_merged(make):
    metadata = make(plugins=named(Groups)).metadata()
    assert "probed" in metadata.groups
    assert metadata.Groups == {"count": Groups.calls}
    assert "Groups" in metadata.connectors


def test_metadata_is_built_once_per_request(make):
    site = make(plugins=named(Groups))
    with site.core.request():
        before = Groups.calls
        assert site.core.build_metadata("client.example.com") is site.core.build_metadata("client.example.com")
        assert Groups.calls == before + 1


@pytest.mark.parametrize(
    ("mode", "builds"), [("off", 2), ("initial", 2), ("cautious", 1), ("on", 1), ("aggressive", 1)]
)
def test_each_cache_mode_keeps_what_it_says(make, mode, builds):
    site = make(plugins=named(Groups), conf=f"[caching]\nclient_metadata = {mode}")
    before = Groups.calls
    site.metadata()
    site.metadata()
    assert Groups.calls == before + builds


def test_initial_metadata_in_the_cache_is_not_touched_by_connectors(make):
    site = make(plugins=named(Groups), conf="[caching]\nclient_metadata = initial")
    assert "probed" in site.metadata().groups
    Groups.group = "other"
    try:
        assert "probed" not in site.metadata().groups
    finally:
        Groups.group = "probed"


@pytest.mark.parametrize("mode", ["initial", "cautious", "aggressive"])
def test_a_change_of_groups_xml_is_seen_in_every_cache_mode(make, mode):
    site = make(conf=f"[caching]\nclient_metadata = {mode}")
    assert site.metadata().bundles == {"base"}
    site.write(
        "Metadata/groups.xml", '<Groups><Group name="basic" profile="true"><Bundle name="other"/></Group></Groups>'
    )
    assert site.metadata().bundles == {"other"}


def test_expiring_names_or_all_forgets_metadata(make):
    site = make(plugins=named(Groups), conf="[caching]\nclient_metadata = aggressive")
    for names, builds in ((None, 1), (["client.example.com"], 1), ("client.example.com", 1), (["nobody"], 0), ([], 0)):
        site.metadata()
        before = Groups.calls
        site.core.expire_metadata_cache(("127.0.0.1", 1), names)
        site.metadata()
        assert Groups.calls == before + builds, names


@pytest.mark.parametrize(
    ("expired", "stored"), [(("client.example.com",), False), ((), False), (("somebody.else",), True)]
)
def test_what_was_built_before_an_expiry_that_concerns_it_is_not_stored_after_it(make, expired, stored):
    cache = make(conf="[caching]\nclient_metadata = aggressive").core.metadata_cache
    begun = cache.begin()
    cache.expire(*expired)
    cache.store("client.example.com", object(), begun)
    assert ("client.example.com" in cache) is stored


def test_it_is_known_whose_metadata_was_expired_since_when(make, monkeypatch):
    monkeypatch.setattr(metadata_cache, "_MAX_EACH", 2)
    cache = make(conf="[caching]\nclient_metadata = aggressive").core.metadata_cache
    cache.expire()
    first = cache.begin()
    assert cache.changed_since(first) == frozenset()
    cache.expire("a")
    second = cache.begin()
    cache.expire("b")
    assert (cache.changed_since(first), cache.changed_since(second)) == ({"a", "b"}, {"b"})
    cache.expire("c")  # one too many to be told from each other
    assert cache.changed_since(first) is cache.changed_since(second) is None
    third = cache.begin()
    unified_cache.expire("a")
    assert cache.changed_since(third) is None


def test_a_request_that_began_before_a_change_does_not_store_what_it_sees(make):
    site = make(plugins=named(Groups), conf="[caching]\nclient_metadata = aggressive")
    groups = '<Groups><Group name="basic" profile="true"><Bundle name="other"/></Group></Groups>'
    with site.core.request():
        change = threading.Thread(target=site.write, args=("Metadata/groups.xml", groups))
        change.start()
        change.join()
        assert site.core.build_metadata("client.example.com").bundles == {"base"}
    assert site.metadata().bundles == {"other"}


# debugging and stopping


def test_debug_switches_reach_plugins_and_monitor_and_turn_against_the_core(make):
    core = make(plugins=named(First)).core
    here = ("127.0.0.1", 1)
    assert core.toggle_debug(here) is True
    assert core.plugins["First"].debug_flag and core.fam.debug_flag
    assert core.toggle_core_debug(here) is False
    assert core.plugins["First"].debug_flag
    assert core.set_debug(here, "False") is False
    assert not core.plugins["First"].debug_flag
    assert core.set_fam_debug(here, "true").endswith("\nTrue")


def test_shutting_down_twice_stops_plugins_once(make):
    site = make(plugins=named(First))
    calls = []
    site.plugin("First").shutdown = lambda: calls.append(1)
    site.core.shutdown()
    site.core.shutdown()
    assert calls == [1]


# what plugins may do wrong


class Registering(Plugin):
    """Asks to be told of a file, as does what it owns, and then fails."""

    told = []

    def __init__(self, core):
        super().__init__(core)
        core.fam.AddMonitor(core.cfile, self)
        core.fam.AddMonitor(f"{self.data}/x", self)
        raise PluginInitError("no working copy")

    def HandleEvent(self, event):
        self.told.append(event)


class OldRegistering(Registering):
    """Is left out because of another plugin."""

    def __init__(self, core):
        with contextlib.suppress(PluginInitError):
            super().__init__(core)


class RivalOfRegistering(Plugin):
    conflicts = ["OldRegistering"]


@pytest.mark.parametrize("classes", [(Registering,), (OldRegistering, RivalOfRegistering)])
def test_a_plugin_that_is_left_out_is_told_of_no_files(make, classes):
    Registering.told.clear()
    site = make(plugins=named(*classes))
    site.write("Registering/x", "1")
    assert Registering.told == []
    assert not any("/x" in path for path in site.core.fam.list_event_handlers())
    assert any("clients.xml" in path for path in site.core.fam.list_event_handlers())


class Ambitious(Plugin, Threaded):
    def start_threads(self):
        raise RuntimeError("no more threads")


class Diligent(Plugin, Threaded):
    started = 0

    def start_threads(self):
        Diligent.started += 1


def test_a_plugin_that_cannot_start_its_threads_costs_only_itself(make, caplog):
    site = make(plugins=named(Ambitious, Diligent))
    site.core._run = lambda: True
    served = []
    site.core._block = lambda: served.append(Diligent.started)
    site.core.load_plugins = lambda: None  # they are loaded
    site.core.run()
    assert served == [1]
    assert "Plugin Ambitious cannot start its threads" in caplog.text


class Slow(Plugin):
    """Takes its time over each file event, and must not be told of one after it was shut down."""

    order = []

    def __init__(self, core):
        super().__init__(core)
        self.begun = threading.Event()
        core.fam.AddMonitor(f"{self.data}/x", self)

    def HandleEvent(self, event):
        self.begun.set()
        threading.Event().wait(0.2)
        self.order.append("event")

    def shutdown(self):
        self.order.append("shutdown")


def test_plugins_are_shut_down_after_the_batch_that_is_being_applied(make):
    Slow.order.clear()
    site = make(plugins=named(Slow))
    core = site.core
    core.fam_thread = threading.Thread(target=core._file_monitor_thread)
    core.fam_thread.start()
    (site.repo / "Slow" / "x").write_text("1")
    Slow.order.clear()
    site.plugin("Slow").begun.clear()
    core.fam.rescan()
    assert site.plugin("Slow").begun.wait(10)
    core.shutdown()
    assert Slow.order == ["event", "shutdown"]


def test_the_revision_changes_together_with_the_files(make):
    site = make(plugins=named(Revision), files={"Bundler/base.xml": "<Bundle/>"})
    core = site.core
    with core.request():
        site.plugin("Revision").revision = "def"
        try:
            applied = threading.Thread(target=site.write, args=("Metadata/x", "1"))
            applied.start()
            applied.join()
            assert core.revision == "abc"
        finally:
            site.plugin("Revision").revision = "abc"
    assert core.revision == "def"


class Observing(Plugin, ClientACLs):
    """Looks at one versioned attribute in both phases while it changes."""

    generation = Versioned(0)
    seen = []

    def check_acl_ip(self, address, rmi):
        self.seen.append(self.generation)
        change = threading.Thread(target=setattr, args=(self, "generation", self.generation + 1))
        change.start()
        change.join()
        return

    def check_acl_metadata(self, metadata, rmi):
        self.seen.append(self.generation)
        return current_core() is self.core


def test_both_phases_of_access_control_see_one_state_of_the_repository(make):
    Observing.seen.clear()
    site = make(plugins=named(Observing))
    assert site.core.check_acls(("127.0.0.2", 1), "GetConfig")
    assert Observing.seen == [0, 0]


def test_an_unknown_caller_is_denied_without_a_traceback(make, caplog):
    site = make(plugins=named(Observing))
    site.core.metadata.resolve_client = lambda address, cleanup_cache=False: nobody()
    assert not site.core.check_acls(("127.0.0.9", 1), "GetConfig")
    assert "127.0.0.9" in caplog.text
    assert "Traceback" not in caplog.text


def nobody():
    raise MetadataConsistencyError("nobody is there")


def network_core(site):
    parser = OptionParser("test", "A core.", BASE_OPTIONS, components=[NetworkCore])
    core = NetworkCore(parser.parse(["-C", str(site.conf)]))
    core.load_plugins()
    core.block_for_fam_events(handle_events=True)
    return core


def test_a_fault_in_authentication_denies(make, caplog):
    core = network_core(make())
    assert core.authenticate(None, "root", "secret", ("127.0.0.2", 1))
    core.metadata.AuthenticateConnection = lambda *arguments: 1 / 0
    assert not core.authenticate(None, "root", "secret", ("127.0.0.2", 1))
    assert "Cannot authenticate root from 127.0.0.2" in caplog.text
    assert "secret" not in caplog.messages[-1]
    core.shutdown()


def test_a_signal_that_interrupts_the_waiting_for_it_stops_the_server(make):
    """The event's own lock may be held by the very thread that runs the signal's handler."""
    core = network_core(make())

    def interrupted():
        with core.terminate._cond:
            core.handle_signal(15, None)

    thread = threading.Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert core.terminate.wait(5)
    core.shutdown()


def test_unfinished_files_of_a_killed_server_are_removed_at_the_start(make, tmp_path):
    site = make()
    left, young, foreign = (site.repo / "Metadata" / name for name in (".#a.bcfg2-new", ".#b.bcfg2-new", ".#c"))
    for path in (left, young, foreign):
        path.write_text("x")
    for path in (left, foreign):
        os.utime(path, (1, 1))
    site.restart()
    assert [path.exists() for path in (left, young, foreign)] == [False, True, True]


# the configuration file


def test_a_configuration_file_that_vanishes_and_returns_is_read_when_it_is_back(make, caplog):
    site = make()
    core = site.core
    core.fam.AddMonitor(core.cfile, core)
    site.apply()
    text = site.conf.read_text()
    site.conf.unlink()
    site.apply()
    assert core.metadata_cache_mode == "off"
    site.conf.write_text(f"{text}[caching]\nclient_metadata = aggressive\n")
    site.apply()
    assert core.metadata_cache_mode == "aggressive"
    site.conf.write_text(f"{text}[caching]\nclient_metadata = nonsense\n")
    site.apply()
    assert core.metadata_cache_mode == "aggressive"
    assert "keeping the options in force" in caplog.text


def test_a_configuration_file_given_by_a_relative_path_is_followed(make, monkeypatch):
    site = make()
    monkeypatch.chdir(site.conf.parent)
    parser = OptionParser("test", "A core.", BASE_OPTIONS, components=[Core])
    core = Core(parser.parse(["-C", site.conf.name]), parser.reread)
    core.fam.AddMonitor(core.cfile, core)
    core.block_for_fam_events(handle_events=True)
    monkeypatch.chdir("/")  # as a daemon does
    site.conf.write_text(f"{site.conf.read_text()}[caching]\nclient_metadata = initial\n")
    core.fam.rescan()
    core.block_for_fam_events(handle_events=True)
    assert core.metadata_cache_mode == "initial"
    core.shutdown()
