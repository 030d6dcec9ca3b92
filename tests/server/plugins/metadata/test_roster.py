"""What groups clients are in, kept across requests: it is right after every change, and costs nothing without one."""

import threading

import pytest

from bcfg2.server.plugin import Connector, Plugin
from bcfg2.server.versioned import Versioned
from bcfg2.xml import parse_string
from tests.support import Site

CLIENTS = '<Clients>{}<Client name="a" profile="web"/><Client name="b" profile="db"/></Clients>'
FILES = {
    "Metadata/clients.xml": CLIENTS.format(""),
    "Metadata/groups.xml": '<Groups><Group name="web" profile="true" default="true" public="true"/>'
    '<Group name="db" profile="true"/></Groups>',
    "GroupPatterns/config.xml": "<GroupPatterns><GroupPattern><NamePattern>a</NamePattern><Group>ay</Group>"
    "</GroupPattern></GroupPatterns>",
    "Probes/p": "#!/bin/sh\n",
}


class Silent(Plugin, Connector):
    """Gives groups to client a, and does not tell when they change."""

    create = False
    groups: Versioned[list[str]] = Versioned([])

    def get_additional_groups(self, metadata):
        return self.groups if metadata.hostname == "a" else []


class Telling(Silent):
    """Tells."""

    announces_groups = True

    def change(self, groups):
        self.groups = groups
        self.core.metadata_cache.expire("a")


class DataOnly(Plugin, Connector):
    create = False


@pytest.fixture
def make(tmp_path):
    made = []

    def make_site(*connectors, mode="off"):
        site = Site(tmp_path, FILES, "Metadata,Bundler,GroupPatterns,Probes", f"[caching]\nclient_metadata = {mode}")
        made.append(site)
        for connector in connectors:
            site.core.plugins[connector.__name__] = connector(site.core)
        site.core._by_type.clear()
        site.built = []
        build = site.core.build_metadata
        site.core.build_metadata = lambda name, register=True: site.built.append(name) or build(name, register=register)
        return site

    yield make_site
    for site in made:
        site.stop()


def ask(site, *groups):
    """The names of those who are in GROUPS, as a request of its own."""
    site.built.clear()
    with site.core.request():
        return site.core.metadata.query.names_by_groups(groups)


@pytest.mark.parametrize("connector", [None, Telling, DataOnly])
def test_without_a_change_nobody_is_built_again(make, connector):
    site = make(*[connector] if connector else [])
    assert ask(site, "ay") == ["a"]
    assert site.built == ["a", "b"]
    assert ask(site, "ay", "web") == ["a"]
    assert ask(site) == ["a", "b"]
    assert site.built == []


@pytest.mark.parametrize("mode", ["off", "initial"])
def test_a_connector_that_does_not_tell_is_asked_for_each_request(make, mode):
    site = make(Silent, mode=mode)
    assert ask(site, "new") == []
    site.core.plugins["Silent"].groups = ["new"]
    assert ask(site, "new") == ["a"]


@pytest.mark.parametrize("mode", ["cautious", "aggressive"])
def test_what_is_cached_is_kept_here_too(make, mode):
    site = make(Silent, mode=mode)
    ask(site, "new")
    site.core.plugins["Silent"].groups = ["new"]
    assert (ask(site, "new"), site.built) == ([], [])
    site.core.metadata_cache.expire("a")
    assert (ask(site, "new"), site.built) == (["a"], ["a"])


def test_of_one_client_that_changes_only_this_one_is_built(make):
    site = make(Telling)
    ask(site)
    site.core.plugins["Telling"].change(["new"])
    assert (ask(site, "new"), site.built) == (["a"], ["a"])
    assert ask(site) == ["a", "b"]


PROBED = '<ProbeData><probe-data name="p" source="Probes">group:probed\n</probe-data></ProbeData>'


def receive_probes(site):
    with site.core.request():
        answers = list(parse_string(PROBED, "probe data"))
        site.plugin("Probes").ReceiveData(site.core.build_metadata("b"), answers)


@pytest.mark.parametrize(
    ("change", "groups", "names"),
    [
        (lambda site: site.core.metadata.set_version("c", "1"), ["web"], ["a", "c"]),
        (lambda site: site.core.metadata.set_profile("b", "web", ("127.0.0.1", 1)), ["web"], ["a", "b"]),
        (lambda site: site.core.metadata.remove_client("a"), [], ["b"]),
        (lambda site: site.write("Metadata/clients.xml", CLIENTS.format('<Client name="z"/>')), [], ["z", "a", "b"]),
        (lambda site: site.write("Metadata/groups.xml", '<Groups><Client name="b"><Group name="x"/></Client></Groups>'),
         ["x"], ["b"]),
        (lambda site: site.write("GroupPatterns/config.xml", FILES["GroupPatterns/config.xml"].replace(">a<", ">b<")),
         ["ay"], ["b"]),
        (receive_probes, ["probed"], ["b"]),
    ],
    ids=["registered", "profile", "removed", "clients.xml", "groups.xml", "patterns", "probes"],
)  # fmt: skip
def test_every_change_counts_in_the_next_request(make, change, groups, names):
    site = make()
    ask(site)
    change(site)
    assert ask(site, *groups) == names


def test_a_request_sees_its_own_change(make):
    site = make()
    with site.core.request():
        assert site.core.metadata.query.names_by_profile("web") == ["a"]
        site.core.metadata.set_profile("b", "web", ("127.0.0.1", 1))
        assert site.core.metadata.query.names_by_profile("web") == ["a", "b"]


def test_a_request_that_began_before_a_change_neither_sees_nor_keeps_anything_wrong(make):
    site = make(Telling)
    ask(site)
    query = site.core.metadata.query
    with site.core.request():
        site.core.metadata.list_clients()
        change = threading.Thread(target=site.core.plugins["Telling"].change, args=(["new"],))
        change.start()
        change.join(20)
        assert query.names_by_groups(["new"]) == []
    assert ask(site, "new") == ["a"]


class Asking(Plugin, Connector):
    """Asks about all clients, and says who was built because nobody asked."""

    create = False

    def get_additional_groups(self, metadata):
        busy, self.busy = getattr(self, "busy", False), True
        if busy:
            return []
        metadata.query.names_by_groups([])
        self.busy = False
        return ["whole"]


def test_what_was_built_because_a_connector_asked_is_not_kept(make):
    site = make(Asking, mode="cautious")
    assert ask(site, "whole") == ["a"]
    assert ask(site, "whole") == ["a", "b"]
