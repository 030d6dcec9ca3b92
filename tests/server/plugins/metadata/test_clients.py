"""What a clients.xml says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from bcfg2.server.plugins.metadata.clients import Client, ClientTable, canonical_address, client_of


def table(text):
    return ClientTable.of(etree.fromstring(f"<Clients>{text}</Clients>"))


def test_attributes_of_a_client():
    text = (
        '<Client name="Web1.example.com" profile="web" address="10.0.0.1" uuid="U-1" password="p" version="1.4.0"'
        ' auth="bootstrap" floating="TRUE" secure="True" pingable="Y"><Alias name="WWW" address="10.0.0.2"/>'
        '<Alias name="mail"/></Client>'
    )
    client = Client(
        "web1.example.com",
        profiles=("web",),
        aliases=("www", "mail"),
        addresses=("10.0.0.1", "10.0.0.2"),
        uuid="U-1",
        password="p",
        version="1.4.0",
        auth="bootstrap",
        floating=True,
        secure=True,
    )
    assert dict(table(text).clients) == {"web1.example.com": client}


@pytest.mark.parametrize(
    ("attributes", "floating"),
    [
        ('floating="true"', True),
        ('floating="1"', False),
        ('floating="yes"', False),
        ('location="floating"', True),
        ('location="Floating"', False),
        ('location="fixed"', False),
        ("", False),
    ],
)
def test_floating(attributes, floating):
    assert table(f'<Client name="a" profile="p" {attributes}/>').clients["a"].floating is floating


def test_clients_at_any_depth_count_in_document_order():
    text = '<Client name="a"/><Clients><Clients><Client name="c"/></Clients></Clients><Client name="b"/>'
    assert list(table(text).clients) == ["a", "c", "b"]


def test_names_aliases_and_addresses_lead_to_the_client():
    clients = table(
        '<Client name="A" profile="p" address="10.0.0.1" uuid="u"><Alias name="B" address="10.0.0.2"/></Client>'
    )
    assert clients.get("a") is clients.get("b") is clients.get("B") is clients.clients["a"]
    assert clients.at("10.0.0.1") == clients.at("10.0.0.2") == ("a",)
    assert clients.at("10.0.0.3") == ()
    assert clients.uuids == {"u": "a"}
    assert clients.canonical("Unknown") == "unknown" and clients.get("Unknown") is None


def test_one_client_with_an_address_twice_is_one_client():
    clients = table('<Client name="a" profile="p" address="10.0.0.1"><Alias name="b" address="10.0.0.1"/></Client>')
    assert clients.at("10.0.0.1") == ("a",)
    assert clients.clients["a"].addresses == ("10.0.0.1",)


def test_several_clients_may_share_an_address():
    clients = table(
        '<Client name="a" profile="p" address="10.0.0.1"/><Client name="b" profile="p" address="10.0.0.1"/>'
    )
    assert clients.at("10.0.0.1") == ("a", "b")


def test_of_two_elements_of_one_name_lists_add_up_and_the_last_value_counts():
    client = table(
        '<Client name="a" profile="p" address="10.0.0.1" password="old" uuid="u"/>'
        '<Client name="A" profile="q" address="10.0.0.2" password="new" secure="true"><Alias name="b"/></Client>'
    ).clients["a"]
    assert client == Client("a", ("p", "q"), ("b",), ("10.0.0.1", "10.0.0.2"), "u", "new", secure=True)


@pytest.mark.parametrize("written", ["2001:DB8::1", "2001:db8:0:0::1", "2001:0db8:0:0:0:0:0:1"])
def test_ipv6_addresses_are_compared_by_value(written):
    assert table(f'<Client name="a" profile="p" address="{written}"/>').at("2001:db8::1%eth0") == ("a",)


def test_what_is_no_address_stays_as_it_is():
    assert canonical_address("fe80::no") == "fe80::no"
    assert canonical_address("10.0.0.1") == "10.0.0.1"


def test_an_unknown_auth_is_taken_for_the_strictest():
    assert table('<Client name="a" profile="p" auth="password"/>').clients["a"].auth == "cert"


# changes without reading anew

NAMES = st.sampled_from("abcd")
VALUES = st.sampled_from(["x", "y"])


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=4, unique_by=lambda pair: pair[0]),
    st.dictionaries(
        NAMES, st.dictionaries(st.sampled_from(["profile", "version", "auth"]), st.sampled_from(["cert", "bootstrap"]))
    ),
    st.dictionaries(st.sampled_from("efg"), VALUES),
)
def test_a_changed_table_is_what_reading_the_changed_file_gives(present, updates, additions):
    root = etree.Element("Clients")
    for name, profile in present:
        element = etree.SubElement(
            root, "Client", name=name, profile=profile, address=f"10.0.0.{ord(name)}", uuid=f"u{name}"
        )
        etree.SubElement(element, "Alias", name=f"{name}-alias")
    before = ClientTable.of(root)
    changes = {}
    for name, attributes in updates.items():
        if name in before.clients:
            changes[name] = before.clients[name].with_attributes(attributes)
            next(e for e in root if e.get("name") == name).attrib.update(attributes)
    for name, profile in additions.items():
        attributes = {"name": name, "profile": profile, "uuid": name, "address": "10.0.0.1"}
        changes[name] = client_of(attributes.get)
        etree.SubElement(root, "Client", attributes)
    untouched = ClientTable(dict(before.clients), dict(before.aliases), dict(before.addresses), dict(before.uuids))
    assert before.replaced(changes) == ClientTable.of(root)
    assert before == untouched
