"""Which events clear clients' metadata from the cache in which mode, and which do not."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bcfg2.server.core import Core
from bcfg2.server.versioned import writing
from tests.support import METADATA, Site

HOST, OTHER = "client.example.com", "other.example.com"
ADDRESS = ("127.0.0.2", 1)

CLIENTS = f"""<Clients>
  <Client name="{HOST}" profile="basic" address="127.0.0.2"><Alias name="alias.example.com"/></Client>
  <Client name="{OTHER}" profile="basic" address="127.0.0.3"/>
</Clients>
"""
GROUPS = METADATA["Metadata/groups.xml"]
FILES = {
    "Metadata/clients.xml": CLIENTS,
    "Metadata/groups.xml": GROUPS.replace("</Groups>", '<Group name="second" public="true" profile="true"/></Groups>'),
    "Bundler/base.xml": '<Bundle><BoundService name="x"/></Bundle>',
    "Rules/rules.xml": '<Rules priority="1"/>',
    "Cfg/etc/motd/motd": "hello\n",
    "Probes/kernel": "#!/bin/sh\nuname -r\n",
    "Decisions/whitelist.xml": "<Decisions/>",
    "GroupPatterns/config.xml": "<GroupPatterns/>",
    "Properties/x.xml": "<Properties/>",
}
PLUGINS = "Metadata,Bundler,Rules,Cfg,Probes,Decisions,GroupPatterns,Properties"

PROBE_DATA = '<ProbeData><probe-data name="kernel" source="Probes">6.1</probe-data></ProbeData>'
STATISTICS = '<upload-statistics><Statistics version="2.0" state="clean"/></upload-statistics>'


def call(method, *arguments):
    """The event that HOST calls METHOD."""

    def event(site):
        with site.core.request():
            getattr(site.core, method)(ADDRESS, *arguments)

    return event


def write(name, content):
    """The event that the file NAME of the repository changes."""
    return lambda site: site.write(name, content)


def reread(site):
    site.conf.write_text(site.conf.read_text() + "\n")
    site.core.fam.AddMonitor(site.core.cfile, site.core)
    site.core.fam.handle_event_set()
    site.conf.write_text(site.conf.read_text() + "\n# changed\n")
    site.apply()


NOBODY, ONE, ALL = (False, False), (True, False), (True, True)
CACHING = ("initial", "cautious", "aggressive")
COMPLETE = ("cautious", "aggressive")

#: event -> what it clears (of the caller, of another client), and in which modes
CLEARING = {
    "clients.xml": (write("Metadata/clients.xml", CLIENTS + "<!-- -->"), ALL, CACHING),
    "groups.xml": (write("Metadata/groups.xml", FILES["Metadata/groups.xml"] + "<!-- -->"), ALL, CACHING),
    "bcfg2.conf": (reread, ALL, CACHING),
    "a new version": (call("DeclareVersion", "1.4.0"), ALL, CACHING),
    "a new profile": (call("AssertProfile", "second"), ALL, CACHING),
    "a removed client": (lambda site: site.plugin("Metadata").remove_client("client.example.com"), ALL, CACHING),
    "expire_metadata_cache()": (call("expire_metadata_cache"), ALL, CACHING),
    "expire_metadata_cache(None)": (call("expire_metadata_cache", None), ALL, CACHING),
    "expire_metadata_cache([name])": (call("expire_metadata_cache", [HOST]), ONE, CACHING),
    "expire_metadata_cache(name)": (call("expire_metadata_cache", HOST), ONE, CACHING),
    "expire_metadata_cache([unknown])": (call("expire_metadata_cache", ["nobody"]), NOBODY, CACHING),
    "probe data": (call("RecvProbeData", PROBE_DATA), ONE, CACHING),
    "no probe data, cautious": (call("RecvProbeData", "<ProbeData/>"), ONE, ("cautious",)),
    "no probe data, otherwise": (call("RecvProbeData", "<ProbeData/>"), NOBODY, ("initial", "aggressive")),
    "GroupPatterns": (write("GroupPatterns/config.xml", "<GroupPatterns><!-- --></GroupPatterns>"), ALL, COMPLETE),
    "Properties": (write("Properties/x.xml", "<Properties><a/></Properties>"), ALL, COMPLETE),
    "a bundle": (write("Bundler/base.xml", "<Bundle/>"), NOBODY, CACHING),
    "rules": (write("Rules/rules.xml", '<Rules priority="2"/>'), NOBODY, CACHING),
    "a file of Cfg": (write("Cfg/etc/motd/motd", "bye\n"), NOBODY, CACHING),
    "a probe": (write("Probes/kernel", "#!/bin/sh\nuname -a\n"), NOBODY, CACHING),
    "decisions": (write("Decisions/whitelist.xml", "<Decisions><!-- --></Decisions>"), NOBODY, CACHING),
    "GetProbes": (call("GetProbes"), NOBODY, CACHING),
    "GetConfig": (call("GetConfig"), NOBODY, CACHING),
    "GetDecisionList": (call("GetDecisionList", "whitelist"), NOBODY, CACHING),
    "RecvStats": (call("RecvStats", STATISTICS), NOBODY, CACHING),
    "the same version": (call("DeclareVersion", ""), NOBODY, CACHING),
    "the same profile": (call("AssertProfile", "basic"), NOBODY, CACHING),
}


@pytest.fixture
def make(tmp_path):
    made = []

    def maker(mode):
        made.append(Site(tmp_path, FILES, PLUGINS, conf=f"[caching]\nclient_metadata = {mode}"))
        return made[-1]

    yield maker
    for site in made:
        site.stop()


@pytest.mark.parametrize(
    ("mode", "event", "cleared"),
    [
        pytest.param(mode, event, cleared, id=f"{mode}-{name}")
        for name, (event, cleared, modes) in CLEARING.items()
        for mode in modes
    ],
)
def test_an_event_clears_what_the_documentation_says(make, mode, event, cleared):
    site = make(mode)
    for host in (HOST, OTHER):
        site.metadata(host)
        assert host in site.core.metadata_cache
    before = {host: site.core.metadata_cache[host] for host in (HOST, OTHER)}
    event(site)
    kept = [site.core.metadata_cache.get(host) is before[host] for host in (HOST, OTHER)]
    assert tuple(not item for item in kept) == cleared


@pytest.mark.parametrize("mode", ["off"])
def test_without_a_cache_nothing_is_kept(make, mode):
    site = make(mode)
    site.metadata()
    site.config()
    assert len(site.core.metadata_cache) == 0


@pytest.mark.parametrize("mode", COMPLETE)
def test_what_is_built_under_an_alias_is_kept_under_the_canonical_name(make, mode):
    """Otherwise what clears the client's entry would leave the one of the alias."""
    site = make(mode)
    assert site.metadata("alias.example.com").hostname == HOST
    assert list(site.core.metadata_cache) == [HOST]


@pytest.mark.parametrize("mode", CACHING)
def test_names_that_nobody_has_leave_nothing_in_the_cache(make, mode):
    site = make(mode)
    for number in range(20):
        with pytest.raises(Exception, match="default group"):
            site.metadata(f"nobody{number}")
    assert len(site.core.metadata_cache) == 0


def test_a_change_counts_for_the_next_call_of_the_same_run(make):
    core: Core = make("aggressive").core
    with core.request():
        core.GetConfig(ADDRESS)
    with core.request():
        core.AssertProfile(ADDRESS, "second")
    with core.request():
        assert core.build_metadata(HOST).profile == "second"


def in_another_thread(function, *arguments):
    """What FUNCTION returns there."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


@pytest.mark.parametrize("mode", CACHING)
def test_a_request_that_sees_the_state_before_a_change_is_given_nothing_that_was_built_after_it(make, mode):
    site = make(mode)
    with site.core.request():
        in_another_thread(site.write, "Metadata/groups.xml", GROUPS.replace('name="base"', 'name="new"'))
        assert in_another_thread(site.metadata).bundles == {"new"}
        assert site.core.build_metadata(HOST).bundles == {"base"}
    assert site.metadata().bundles == {"new"}


@pytest.mark.parametrize("mode", CACHING)
def test_a_request_that_sees_a_change_is_given_nothing_that_was_built_before_it(make, mode, monkeypatch):
    site = make(mode)
    site.metadata()
    seen = []
    dropped = site.core.metadata_cache._expire_all
    # The moment between the publishing of a change and the dropping of what was built before it.
    monkeypatch.setattr(
        site.core.metadata_cache, "_expire_all", lambda: (seen.append(in_another_thread(site.metadata)), dropped())
    )
    with writing():
        site.write("Metadata/groups.xml", GROUPS.replace('name="base"', 'name="new"'))
        in_another_thread(site.metadata)  # put back what was built before
    assert seen and all(metadata.bundles == {"new"} for metadata in seen)
