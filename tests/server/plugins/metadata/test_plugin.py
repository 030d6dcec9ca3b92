"""How a client's metadata is built, and what the plugin answers to the core."""

import copy
import logging

import pytest

from bcfg2.options import OptionError
from bcfg2.server.plugin import Connector, MetadataConsistencyError, MetadataRuntimeError, Plugin
from bcfg2.server.plugin.interfaces import ClientAddress
from bcfg2.server.plugins.metadata import ClientMetadata, Metadata, MetadataGroup
from tests.support import Site

HOST = "client.example.com"
ADDRESS = ("127.0.0.2", 4711)


@pytest.fixture
def make(tmp_path):
    """Make a site from what groups.xml and clients.xml hold."""
    sites = []

    def made(groups, clients=f'<Client name="{HOST}" profile="basic" address="127.0.0.2"/>', **options):
        files = {
            "Metadata/groups.xml": f"<Groups>{groups}</Groups>",
            "Metadata/clients.xml": f"<Clients>{clients}</Clients>",
        }
        sites.append(Site(tmp_path, files, **options))
        return sites[-1]

    yield made
    for site in sites:
        site.stop()


BASIC = '<Group name="basic" profile="true" public="true" default="true"/>'


class Stub(Plugin, Connector):
    """A connector that answers what it was given; `seen` has the groups that it saw."""

    create = False

    def __init__(self, core, name, groups=(), data=None, sort_order=500):
        super().__init__(core)
        self.name, self.groups, self.data_, self.sort_order, self.seen = name, groups, data, sort_order, []

    def get_additional_groups(self, metadata):
        self.seen.append((metadata.groups, metadata.categories))
        return self.groups(metadata) if callable(self.groups) else self.groups

    def get_additional_data(self, metadata):
        return {} if self.data_ is None else self.data_


def connect(site, name, groups=(), **arguments):
    stub = Stub(site.core, name, groups, **arguments)
    site.core.plugins[name] = stub
    site.core._by_type.clear()
    return stub


# without connectors


def test_what_clients_xml_tells_is_in_the_metadata(make):
    site = make(
        '<Group name="basic" profile="true" category="role"><Bundle name="base"/></Group>',
        f'<Client name="{HOST.upper()}" profile="basic" address="127.0.0.2" uuid="u" password="p" version="1.4.0pre2">'
        '<Alias name="Www" address="127.0.0.3"/></Client>',
    )
    metadata = site.metadata("WWW")
    assert metadata.hostname == HOST
    assert metadata.profile == "basic"
    assert metadata.groups == {"basic"}
    assert metadata.bundles == {"base"}
    assert metadata.categories == {"role": "basic"}
    assert metadata.aliases == {"www"}
    assert metadata.addresses == {"127.0.0.2", "127.0.0.3"}
    assert (metadata.uuid, metadata.password, metadata.version) == ("u", "p", "1.4.0pre2")
    assert tuple(metadata.version_info) == (1, 4, 0, "pre", 2)
    assert metadata.connectors == ()
    assert metadata.inGroup("basic") and not metadata.inGroup("other")
    assert metadata.group_in_category("role") == "basic"
    assert metadata.group_in_category("unknown") == ""
    assert metadata.query.by_name(HOST).hostname == HOST


def test_what_is_not_told_is_none(make):
    metadata = make(BASIC).metadata()
    assert metadata.uuid is metadata.password is metadata.version is metadata.version_info is None


def test_without_a_profile_group_there_is_no_profile(make):
    assert make('<Group name="basic"/>').metadata().profile is None


def test_a_remark_is_made_once_until_a_file_changes(make, caplog):
    site = make('<Group name="basic"/>')
    for _ in range(3):
        site.metadata()
    assert caplog.text.count("which is no profile group") == 1
    site.write("Metadata/groups.xml", '<Groups><Group name="basic"/><!-- x --></Groups>')
    site.metadata()
    assert caplog.text.count("which is no profile group") == 2


# metadata cannot be changed


def test_metadata_cannot_be_changed(make):
    metadata = make('<Group name="basic" profile="true" category="role"/>').metadata()
    with pytest.raises(AttributeError, match="cannot be changed"):
        metadata.groups = set()
    with pytest.raises(AttributeError, match="cannot be changed"):
        del metadata.profile
    metadata.categories["role"] = "other"
    assert metadata.categories == {"role": "basic"}
    for name in ("groups", "bundles", "aliases", "addresses"):
        assert isinstance(getattr(metadata, name), frozenset)


def test_a_copy_is_independent(make):
    site = make(BASIC)
    original = site.core.metadata.get_initial_metadata(HOST)
    copied = copy.copy(original)
    site.core.metadata.merge_additional_groups(copied, ["more"])
    site.core.metadata.finish_groups(copied)
    site.core.metadata.merge_additional_data(copied, "Source", 1)
    assert copied.groups == {"basic", "more"} and copied.Source == 1
    assert original.groups == {"basic"} and not hasattr(original, "Source") and original.connectors == ()
    assert "secret" not in repr(original)


# connectors


def test_connectors_are_asked_in_order_and_see_earlier_groups(make):
    site = make(BASIC)
    late = connect(site, "Alpha", ["a"], sort_order=1000)
    second = connect(site, "Delta", ["d"])
    first = connect(site, "Beta", ["b"])
    assert site.metadata().groups == {"basic", "a", "b", "d"}
    assert [stub.seen[0][0] for stub in (first, second, late)] == [{"basic"}, {"basic", "b"}, {"basic", "b", "d"}]


def test_groups_of_connectors_bring_what_follows_from_them(make):
    site = make(
        BASIC
        + '<Group name="virtual"><Bundle name="tools"/><Group name="small"/></Group>'
        + '<Group name="small"><Bundle name="s"/></Group>'
    )
    connect(site, "Probes", ["virtual", "undeclared"])
    metadata = site.metadata()
    assert metadata.groups == {"basic", "virtual", "undeclared", "small"}
    assert metadata.bundles == {"tools", "s"}


def test_bundles_of_a_group_that_a_connector_s_group_negates_are_gone(make):
    site = make(
        '<Group name="basic" profile="true"><Group name="x"/></Group><Group name="x"><Bundle name="y"/></Group>'
        '<Group name="probed"><Group name="x" negate="true"/></Group>'
    )
    assert site.metadata().bundles == {"y"}
    connect(site, "Probes", ["probed"])
    metadata = site.metadata()
    assert metadata.groups == {"basic", "probed"}
    assert metadata.bundles == frozenset()


def test_the_first_group_of_a_category_stays(make, caplog):
    site = make(BASIC + "".join(f'<Group name="{name}" category="site"/>' for name in ("lyon", "paris", "oslo")))
    connect(site, "Alpha", ["lyon", "paris"])
    connect(site, "Beta", ["oslo"])
    for _ in range(2):
        metadata = site.metadata()
    assert metadata.groups == {"basic", "lyon"}
    assert metadata.categories == {"site": "lyon"}
    for name in ("paris", "oslo"):
        assert caplog.text.count(f"{HOST}: not in group {name}: it is in lyon") == 1


@pytest.mark.parametrize(
    ("answer", "groups"),
    [
        ({"b", "a"}, {"a", "b"}),
        ("alone", {"alone"}),
        (None, set()),
        ((), set()),
        (MetadataGroup("a"), {"a"}),
        (iter("ab"), {"a", "b"}),
    ],
)
def test_connectors_may_answer_in_many_ways(make, answer, groups):
    site = make(BASIC)
    connect(site, "Stub", answer)
    assert site.metadata().groups == {"basic"} | groups


def test_groups_in_a_set_are_taken_in_the_order_of_their_names(make):
    names = [f"g{number:02}" for number in range(30)]
    site = make(BASIC + "".join(f'<Group name="{name}" category="c"/>' for name in names))
    connect(site, "Stub", set(names))
    assert site.metadata().group_in_category("c") == "g00"


def test_a_failing_connector_aborts_the_build(make):
    site = make(BASIC)

    def fail(_metadata):
        raise ZeroDivisionError("oops")

    connect(site, "Stub", fail)
    with pytest.raises(ZeroDivisionError):
        site.metadata()


def test_data_of_connectors_become_attributes(make):
    site = make(BASIC)
    connect(site, "Beta", data={"x": 1})
    connect(site, "Alpha")
    connect(site, "profile", data="not this")
    metadata = site.metadata()
    assert metadata.Beta == {"x": 1} and metadata.Alpha == {}
    assert metadata.profile == "basic"
    assert metadata.connectors == ("Alpha", "Beta")


# the profile


WITHOUT_PROFILE = f'<Client name="{HOST}" profile="plain"/>'


def test_a_profile_group_of_a_connector_is_the_profile_of_a_client_without(make):
    site = make(
        '<Group name="plain"/><Group name="d" default="true" profile="true"/><Group name="p" profile="true"/>',
        WITHOUT_PROFILE,
    )
    connect(site, "Stub", ["p"])
    assert site.metadata().profile == "p"


def test_a_client_without_any_gets_the_name_of_the_default_group_only(make):
    site = make('<Group name="plain"/><Group name="d" default="true" profile="true"/>', WITHOUT_PROFILE)
    assert site.metadata().profile is None
    connect(site, "Stub", [])
    metadata = site.metadata()
    assert (metadata.profile, metadata.groups) == ("d", {"plain"})


def test_connectors_do_not_change_a_profile(make):
    site = make(BASIC + '<Group name="a" profile="true"/>')
    connect(site, "Stub", ["a"])
    assert site.metadata().profile == "basic"


# groups that connectors define


def test_a_defined_group_has_bundles_and_a_category(make):
    site = make(BASIC)
    connect(site, "Enc", [MetadataGroup("dyn", bundles=["x"], category="c"), MetadataGroup("dyn2", category="c")])
    metadata = site.metadata()
    assert (metadata.groups, metadata.bundles, metadata.categories) == ({"basic", "dyn"}, {"x"}, {"c": "dyn"})
    assert "dyn2" in metadata.query.all_groups()
    assert metadata.query.all_groups_in_category("c") == ["dyn", "dyn2"]


def test_a_defined_profile_group_can_be_the_profile(make):
    site = make('<Group name="plain"/>', WITHOUT_PROFILE)
    connect(site, "Enc", [MetadataGroup("dyn", is_profile=True)])
    assert site.metadata().profile == "dyn"


def test_its_owner_may_define_a_group_anew(make):
    site = make(BASIC)
    stub = connect(site, "Enc", [MetadataGroup("dyn", bundles=["x"])])
    assert site.metadata().bundles == {"x"}
    stub.groups = [MetadataGroup("dyn", bundles=["y"])]
    assert site.metadata().bundles == {"y"}


def test_what_others_have_defined_stands(make, caplog):
    site = make(BASIC + '<Group name="declared"><Bundle name="own"/></Group>')
    connect(site, "Alpha", [MetadataGroup("dyn", bundles=["x"])])
    connect(site, "Beta", [MetadataGroup("dyn", bundles=["y"]), MetadataGroup("declared", bundles=["z"])])
    for _ in range(2):
        metadata = site.metadata()
    assert metadata.groups == {"basic", "dyn", "declared"}
    assert metadata.bundles == {"x", "own"}
    assert caplog.text.count("Beta: cannot define the group dyn, which Alpha has defined") == 1
    assert caplog.text.count("Beta: cannot define the group declared, which groups.xml declares") == 1


# caching


def test_initial_metadata_that_is_kept_is_not_what_connectors_change(make):
    site = make(BASIC, conf="[caching]\nclient_metadata = initial")
    stub = connect(site, "Stub", ["a"])
    assert site.metadata().groups == {"basic", "a"}
    stub.groups = ["b"]
    assert site.metadata().groups == {"basic", "b"}


# metadata that has not been read


@pytest.mark.parametrize("name", ["clients.xml", "groups.xml"])
def test_while_a_file_has_never_been_read_every_call_fails(tmp_path, name):
    site = Site(tmp_path, {f"Metadata/{name}": "<broken"})
    metadata = site.core.metadata
    for call in (
        site.metadata,
        lambda: metadata.set_version(HOST, "1"),
        lambda: metadata.set_profile(HOST, "basic", ADDRESS),
    ):
        with pytest.raises(MetadataRuntimeError, match=f"not been read yet .{name}"):
            call()
    site.write(
        f"Metadata/{name}",
        "<Groups><Group name='basic' profile='true'/></Groups>"
        if "g" in name
        else f"<Clients><Client name='{HOST}' profile='basic'/></Clients>",
    )
    assert site.metadata().groups == {"basic"}


def test_unknown_addresses_cannot_be_told_while_clients_have_never_been_read(tmp_path):
    site = Site(tmp_path, {"Metadata/clients.xml": "<broken"})
    with pytest.raises(MetadataRuntimeError):
        site.core.metadata.resolve_client(ADDRESS)
    assert site.core.metadata.AuthenticateConnection(None, "root", "secret", ADDRESS) is False


# authentication and identity

CLIENTS = f"""
  <Client name="{HOST}" profile="basic" address="127.0.0.2" uuid="u-1"/>
  <Client name="floats" profile="basic" floating="true" auth="cert"/>
"""


def test_the_identity_of_a_connection_is_noted_on_its_address(make):
    metadata = make(BASIC, CLIENTS).core.metadata
    address = ClientAddress(ADDRESS)
    assert metadata.AuthenticateConnection(None, "u-1", "secret", address)
    assert address.client == HOST
    cert = {"subject": ((("commonName", "floats"),),)}
    assert metadata.AuthenticateConnection(cert, "root", "", address)
    assert address.client == "floats" == metadata.resolve_client(address)


def test_a_refused_connection_has_no_identity(make, caplog):
    metadata = make(BASIC, CLIENTS).core.metadata
    address = ClientAddress(ADDRESS)
    assert metadata.AuthenticateConnection(None, "u-1", "secret", address)
    assert not metadata.AuthenticateConnection(None, "u-1", "guess", address)
    assert address.client is None
    (record,) = [record for record in caplog.records if record.name == "bcfg2.Metadata"]
    assert record.levelno == logging.ERROR
    assert "127.0.0.2" in record.getMessage() and "the password is wrong" in record.getMessage()
    assert "guess" not in record.getMessage() and "secret" not in record.getMessage()


def test_a_client_known_by_its_address_alone_is_asked_for_each_time(make):
    site = make(BASIC, CLIENTS)
    address = ClientAddress(ADDRESS)
    assert site.core.metadata.AuthenticateConnection(None, "root", "secret", address)
    assert address.client is None
    assert site.core.metadata.resolve_client(address) == site.core.metadata.resolve_client(ADDRESS) == HOST


def test_credentials_that_are_withdrawn_count_no_more(make):
    site = make(BASIC, f'<Client name="{HOST}" profile="basic" address="127.0.0.2" password="own" uuid="u-1"/>')
    metadata = site.core.metadata
    assert metadata.AuthenticateConnection(None, "root", "own", ADDRESS)
    site.write(
        "Metadata/clients.xml",
        f'<Clients><Client name="{HOST}" profile="basic" address="127.0.0.2" auth="cert"/></Clients>',
    )
    assert not metadata.AuthenticateConnection(None, "root", "own", ADDRESS)
    address = ClientAddress(ADDRESS)
    metadata.AuthenticateConnection(None, "u-1", "secret", address)
    assert address.client == "u-1"  # a name like any other


def test_unknown_users_leave_no_trace(make):
    site = make(BASIC, CLIENTS)
    for number in range(5):
        address = ClientAddress(("127.0.0.9", number))
        assert site.core.metadata.AuthenticateConnection(None, f"new{number}", "secret", address)
        assert address.client == f"new{number}"
    assert set(site.core.metadata.list_clients()) == {HOST, "floats"}
    assert site.metadata("floats").uuid is None


def test_the_way_to_authenticate_is_checked(make):
    with pytest.raises(OptionError, match="authentication"):
        make(BASIC, conf="authentication = password")


# bootstrap


def test_a_bootstrapped_client_must_show_its_certificate(make):
    site = make(BASIC, f'<Client name="{HOST}" profile="basic" address="127.0.0.2" auth="bootstrap"/>')
    metadata = site.core.metadata
    assert metadata.AuthenticateConnection(None, "root", "secret", ADDRESS)
    metadata.end_statistics(site.metadata())
    assert 'auth="cert"' in (site.repo / "Metadata/clients.xml").read_text()
    assert not metadata.AuthenticateConnection(None, "root", "secret", ADDRESS)
    site.restart()
    assert not site.core.metadata.AuthenticateConnection(None, "root", "secret", ADDRESS)


def test_bootstrap_by_default(make):
    site = make(BASIC, conf="authentication = bootstrap")
    site.core.metadata.end_statistics(site.metadata())
    assert 'auth="cert"' in (site.repo / "Metadata/clients.xml").read_text()


def test_statistics_of_others_change_nothing(make):
    site = make(BASIC)
    before = (site.repo / "Metadata/clients.xml").read_text()
    site.core.metadata.end_statistics(site.metadata())
    assert (site.repo / "Metadata/clients.xml").read_text() == before


# profiles


PROFILES = (
    BASIC
    + '<Group name="web" profile="true" public="true"/><Group name="private" profile="true"/>'
    + '<Group name="plain" public="true"/>'
)


@pytest.mark.parametrize(("profile", "reason"), [("private", "not public"), ("unknown", "no declared group")])
@pytest.mark.parametrize("client", [HOST, "new.example.com"])
def test_only_a_public_group_can_be_asserted(make, client, profile, reason):
    site = make(PROFILES)
    before = (site.repo / "Metadata/clients.xml").read_text()
    with pytest.raises(MetadataConsistencyError, match=reason):
        site.core.metadata.set_profile(client, profile, ADDRESS)
    assert (site.repo / "Metadata/clients.xml").read_text() == before


def test_a_public_group_that_is_no_profile_is_accepted_with_a_warning(make, caplog):
    site = make(PROFILES)
    site.core.metadata.set_profile(HOST, "plain", ADDRESS)
    assert site.metadata().groups == {"plain"}
    assert "no profile group" in caplog.text


def test_an_asserted_profile_takes_the_place_of_all_others(make):
    site = make(PROFILES, f'<Client name="{HOST}" profile="basic"/><Client name="{HOST}" profile="private"/>')
    site.core.metadata.set_profile(HOST, "web", ADDRESS)
    assert (site.metadata().profile, site.metadata().groups) == ("web", {"web"})
    site.write(
        "Metadata/clients.xml",
        f'<Clients><Client name="{HOST}" profile="basic"/><Client name="{HOST}" profile="private"/></Clients>',
    )
    site.core.metadata.set_profile(HOST, "basic", ADDRESS)
    assert site.metadata().groups == {"basic"}


def test_an_unknown_client_is_registered_with_the_profile_that_it_asserts(make):
    site = make(PROFILES.replace('default="true"', ""))
    site.core.metadata.set_profile("New.example.com", "web", ADDRESS)
    metadata = site.metadata("new.example.com")
    assert (metadata.profile, metadata.uuid, metadata.addresses) == ("web", None, frozenset())


def test_a_client_that_nobody_knew_gets_its_user_name_as_uuid_and_its_address(make):
    site = make(PROFILES)
    core_metadata = site.core.metadata
    address = ClientAddress(("127.0.0.9", 5))
    assert core_metadata.AuthenticateConnection(None, "New.example.com", "secret", address)
    client = core_metadata.resolve_client(address)
    assert client == "new.example.com"
    core_metadata.set_profile(client, "web", address)
    metadata = site.metadata("new.example.com")
    assert (metadata.uuid, metadata.addresses) == ("new.example.com", {"127.0.0.9"})
    assert core_metadata.AuthenticateConnection(None, "new.example.com", "secret", ClientAddress(("127.0.0.9", 6)))
    assert not core_metadata.AuthenticateConnection(None, "new.example.com", "secret", ClientAddress(("127.0.0.8", 7)))


def test_a_client_that_a_certificate_names_gets_no_uuid(make):
    site = make(PROFILES)
    address = ClientAddress(("127.0.0.1", 5))
    cert = {"subject": ((("commonName", "localhost"),),)}
    assert site.core.metadata.AuthenticateConnection(cert, "root", "secret", address)
    site.core.metadata.set_profile(site.core.metadata.resolve_client(address), "web", address)
    assert (site.metadata("localhost").profile, site.metadata("localhost").uuid) == ("web", None)


def test_only_asserting_a_profile_notes_uuid_and_address(make):
    site = make(PROFILES)
    address = ClientAddress(("127.0.0.9", 5))
    site.core.metadata.AuthenticateConnection(None, "new.example.com", "secret", address)
    site.core.metadata.set_version(site.core.metadata.resolve_client(address), "1.4.0")
    metadata = site.metadata("new.example.com")
    assert (metadata.uuid, metadata.addresses, metadata.profile) == (None, frozenset(), "basic")


# administration


def test_remote_methods(make):
    site = make(PROFILES, CLIENTS)
    assert {"list_clients", "remove_client", "toggle_debug", "set_debug"} <= set(Metadata.__rmi__)
    with site.core.request():
        assert site.core.rmi["Metadata.list_clients"]() == [HOST, "floats"]
        assert site.core.rmi["Metadata.remove_client"]("FLOATS") is None
        assert site.core.rmi["Metadata.list_clients"]() == [HOST]


def test_groups_are_listed_with_their_declarations(make):
    site = make(PROFILES)
    connect(site, "Enc", [MetadataGroup("dyn")])
    site.metadata()
    assert set(site.core.metadata.groups) == {"basic", "web", "private", "plain", "dyn"}
    assert site.core.metadata.groups["private"] == MetadataGroup("private", is_profile=True)


def test_the_list_of_clients_can_be_read_again(make):
    site = make(PROFILES)
    (site.repo / "Metadata/clients.xml").write_text('<Clients><Client name="other" profile="basic"/></Clients>')
    site.core.metadata.update_client_list()
    assert site.core.metadata.list_clients() == ["other"]


def test_metadata_is_of_the_documented_class(make):
    assert isinstance(make(BASIC).metadata(), ClientMetadata)


def test_an_assumed_client_is_one_that_has_just_turned_up_and_is_not_registered(make):
    site = make(BASIC)
    metadata = site.plugin("Metadata")
    assert metadata.assume_client("New.example.com")
    assert not metadata.assume_client("new.example.com")
    assert not metadata.assume_client(HOST)
    found = site.metadata("new.example.com")
    assert (found.hostname, found.profile, found.groups) == ("new.example.com", "basic", {"basic"})
    assert metadata.list_clients() == [HOST]
    assert "new.example.com" not in (site.repo / "Metadata/clients.xml").read_text()


def test_nobody_is_assumed_without_a_default_group(make):
    site = make('<Group name="basic" profile="true"/>')
    with pytest.raises(MetadataConsistencyError, match="no default group"):
        site.plugin("Metadata").assume_client("new.example.com")
