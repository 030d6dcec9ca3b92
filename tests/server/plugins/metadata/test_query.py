"""Questions about other clients."""

import pytest

from bcfg2.server.plugin import Connector, MetadataConsistencyError, Plugin
from tests.support import Site

FILES = {
    "Metadata/clients.xml": """<Clients>
  <Client name="mon" profile="monitor"/>
  <Client name="web1" profile="web"><Alias name="www"/></Client>
  <Client name="web2" profile="web"/>
  <Client name="db1" profile="db"/>
  <Client name="odd" profile="nowhere"/><!-- so it has the name of the default group as its profile -->
</Clients>""",
    "Metadata/groups.xml": """<Groups>
  <Group name="monitor" profile="true"/>
  <Group name="web" profile="true" default="true"><Group name="exporter"/><Group name="missing" negate="true"/></Group>
  <Group name="db" profile="true"><Group name="exporter"/></Group>
  <Group name="lyon" category="site"/><Group name="paris" category="site"/>
  <Client name="web1"><Group name="lyon"/></Client>
</Groups>""",
}


class Counting(Plugin, Connector):
    """Gives a group to one client, and counts how often it is asked for each."""

    create = False

    def __init__(self, core):
        super().__init__(core)
        self.asked = {}

    def get_additional_groups(self, metadata):
        self.asked[metadata.hostname] = self.asked.get(metadata.hostname, 0) + 1
        return ["probed"] if metadata.hostname == "db1" else []


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, FILES)
    made.core.plugins["Counting"] = Counting(made.core)
    made.core._by_type.clear()
    yield made
    made.stop()


@pytest.fixture
def query(site):
    with site.core.request():
        yield site.core.build_metadata("mon").query


def test_by_name(query):
    assert query.by_name("WEB1").profile == "web"
    assert query.by_name("www").hostname == "web1"


def test_an_unknown_name_is_an_error_and_registers_nobody(site, query):
    with pytest.raises(MetadataConsistencyError, match="no client unknown"):
        query.by_name("unknown")
    assert "unknown" not in (site.repo / "Metadata/clients.xml").read_text()


def test_all(query):
    assert query.all_clients() == ["mon", "web1", "web2", "db1", "odd"]
    assert [metadata.hostname for metadata in query.all()] == query.all_clients()


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        ([], ["mon", "web1", "web2", "db1", "odd"]),
        (["exporter"], ["web1", "web2", "db1"]),
        (("exporter", "lyon"), ["web1"]),
        ({"probed"}, ["db1"]),
        (["exporter", "monitor"], []),
    ],
)
def test_by_groups(query, groups, names):
    assert query.names_by_groups(groups) == names
    assert [metadata.hostname for metadata in query.by_groups(groups)] == names


@pytest.mark.parametrize(
    ("profiles", "names"),
    [(["web"], ["web1", "web2", "odd"]), (["db", "monitor"], ["mon", "db1"]), (["lyon"], []), ([], [])],
)
def test_by_profiles(query, profiles, names):
    assert query.names_by_profiles(profiles) == names
    assert [metadata.hostname for metadata in query.by_profiles(profiles)] == names


def test_by_one_profile(query):
    assert query.names_by_profile("db") == ["db1"]
    assert [metadata.hostname for metadata in query.by_profile("db")] == ["db1"]


def test_groups(query):
    assert set(query.all_groups()) == {"monitor", "web", "db", "exporter", "missing", "lyon", "paris", "nowhere"}
    assert set(query.all_groups_in_category("site")) == {"lyon", "paris"}
    assert query.all_groups_in_category("unknown") == []


def test_answers_can_be_changed_without_harm(query):
    for ask in (query.all_clients, query.all, query.all_groups, lambda: query.all_groups_in_category("site")):
        before = list(ask())
        ask().clear()
        assert ask() == before


def test_a_text_is_taken_letter_by_letter_with_a_warning(query, caplog):
    assert query.names_by_groups("web") == []
    assert query.names_by_groups("web") == []
    assert caplog.text.count("'web', which is taken letter by letter") == 1


def test_each_client_is_built_once_in_a_request(site, query):
    for _ in range(3):
        query.names_by_groups(["exporter"])
        query.all()
        query.by_name("web1")
    assert set(site.core.plugins["Counting"].asked.values()) == {1}


def test_the_next_request_sees_changes(site):
    with site.core.request():
        assert site.core.metadata.query.names_by_profiles(["db"]) == ["db1"]
    site.write("Metadata/clients.xml", '<Clients><Client name="new" profile="db"/></Clients>')
    with site.core.request():
        assert site.core.metadata.query.names_by_profiles(["db"]) == ["new"]


def test_a_client_that_cannot_be_built_fails_the_question(site, query):
    def fail(_metadata):
        raise ZeroDivisionError

    site.core.plugins["Counting"].get_additional_groups = fail
    with pytest.raises(ZeroDivisionError):
        query.all()
