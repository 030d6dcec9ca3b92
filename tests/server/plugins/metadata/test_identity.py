"""Whose credentials are good."""

import pytest
from lxml import etree

from bcfg2.server.plugin import MetadataConsistencyError
from bcfg2.server.plugins.metadata.clients import ClientTable
from bcfg2.server.plugins.metadata.identity import Authenticator, Credentials, Refused
from bcfg2.server.plugins.metadata.reverse import ReverseLookup

CLIENTS = """<Clients>
  <Client name="plain" profile="p" address="10.0.0.1"/>
  <Client name="own" profile="p" address="10.0.0.2" password="mine:too"/>
  <Client name="vault" profile="p" address="10.0.0.3" password="vault" secure="true"/>
  <Client name="orphan" profile="p" address="10.0.0.4" secure="true"/>
  <Client name="aliased" profile="p" address="10.0.0.5"><Alias name="also" address="10.0.0.6"/></Client>
  <Client name="floats" profile="p" floating="true" uuid="f-1"/>
  <Client name="till1" profile="p" address="10.0.0.7" uuid="t-1"/>
  <Client name="till2" profile="p" address="10.0.0.7" uuid="t-2" password="till2"/>
  <Client name="hsm" profile="p" address="10.0.0.8" auth="cert"/>
  <Client name="boot" profile="p" address="10.0.0.9" auth="bootstrap"/>
  <Client name="both" profile="p" address="10.0.0.10" auth="cert+password"/>
  <Client name="floatcert" profile="p" floating="true" auth="cert"/>
  <Client name="dns" profile="p" auth="cert"><Alias name="dns-alias"/></Client>
  <Client name="anywhere" profile="p" uuid="a-1"/>
</Clients>"""

NAMES = {"10.1.0.1": "dns", "10.1.0.2": "dns-alias", "10.1.0.3": "new.example.com"}


def name_of(address):
    if address not in NAMES:
        raise OSError("no name")
    return NAMES[address]


@pytest.fixture(scope="module")
def table():
    return ClientTable.of(etree.fromstring(CLIENTS))


@pytest.fixture(scope="module")
def authenticator():
    return Authenticator(ReverseLookup(name_of))


def certificate(*names):
    return {"subject": (*[(("commonName", name),) for name in names], (("organizationName", "x"),))}


def decide(authenticator, table, ip, user="root", password="secret", cert=None, auth="cert+password", common="secret"):
    """(name, method), or the reason of a refusal."""
    try:
        claim = authenticator.authenticate(
            table, auth, common, Credentials(certificate(cert) if cert else None, user, password, ip)
        )
    except Refused as err:
        return str(err)
    return claim.name, claim.method


ACCEPTED = [
    ({"ip": "10.0.0.1"}, ("plain", "address")),
    ({"ip": "10.0.0.2"}, ("own", "address")),
    ({"ip": "10.0.0.2", "password": "mine:too"}, ("own", "address")),
    ({"ip": "10.0.0.3", "password": "vault"}, ("vault", "address")),
    ({"ip": "10.0.0.6"}, ("aliased", "address")),
    ({"ip": "10.9.9.9", "user": "f-1"}, ("floats", "uuid")),
    ({"ip": "10.9.9.9", "user": "floats"}, ("floats", "name")),
    ({"ip": "10.0.0.7", "user": "t-1"}, ("till1", "uuid")),
    ({"ip": "10.0.0.7", "user": "t-2", "password": "till2"}, ("till2", "uuid")),
    ({"ip": "10.9.9.9", "user": "a-1"}, ("anywhere", "uuid")),
    ({"ip": "10.9.9.9", "user": "Brand-New"}, ("brand-new", "name")),
    ({"ip": "10.0.0.1", "user": "plain"}, ("plain", "name")),
    ({"ip": "10.0.0.5", "user": "also"}, ("aliased", "name")),
    ({"ip": "10.0.0.8", "cert": "hsm", "password": "?"}, ("hsm", "cert")),
    ({"ip": "10.0.0.8", "cert": "HSM", "user": "whoever", "password": "?"}, ("hsm", "cert")),
    ({"ip": "10.0.0.9", "cert": "boot", "password": "?"}, ("boot", "cert")),
    ({"ip": "10.0.0.9"}, ("boot", "address")),
    ({"ip": "10.0.0.10", "cert": "both"}, ("both", "cert")),
    ({"ip": "10.0.0.10"}, ("both", "address")),
    ({"ip": "10.9.9.9", "cert": "floatcert", "password": "?"}, ("floatcert", "cert")),
    ({"ip": "10.1.0.1", "cert": "dns", "password": "?"}, ("dns", "cert")),
    ({"ip": "10.1.0.2", "cert": "dns", "password": "?"}, ("dns", "cert")),
    ({"ip": "10.1.0.3"}, ("new.example.com", "address")),
    ({"ip": "10.1.0.3", "cert": "new.example.com", "password": "?", "auth": "cert"}, ("new.example.com", "cert")),
]


@pytest.mark.parametrize(
    ("given", "expected"), ACCEPTED, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_accepted(authenticator, table, given, expected):
    assert decide(authenticator, table, **given) == expected


REFUSED = [
    ({"ip": "10.0.0.1", "password": "guess"}, "password is wrong"),
    ({"ip": "10.0.0.1", "password": ""}, "password is wrong"),
    ({"ip": "10.0.0.2", "password": "mine"}, "password is wrong"),
    ({"ip": "10.0.0.2", "password": "vault"}, "password is wrong"),
    ({"ip": "10.0.0.3"}, "password is wrong"),
    ({"ip": "10.0.0.4"}, "no password of its own"),
    ({"ip": "10.0.0.4", "password": ""}, "no password of its own"),
    ({"ip": "10.0.0.7"}, "a uuid must be used"),
    ({"ip": "10.0.0.7", "user": "t-1", "password": "till2"}, "password is wrong"),
    ({"ip": "10.9.9.9"}, "it has no name"),
    ({"ip": "10.9.9.9", "user": "t-1"}, "till1 may not call from"),
    ({"ip": "10.9.9.9", "user": "plain"}, "plain may not call from"),
    ({"ip": "10.0.0.2", "user": "plain"}, "the address of own"),
    ({"ip": "10.9.9.9", "user": "also"}, "aliased may not call from"),
    ({"ip": "10.9.9.9", "user": "anywhere"}, "anywhere may not call from"),
    ({"ip": "10.9.9.9", "user": "new", "password": "guess"}, "password is wrong"),
    ({"ip": "10.9.9.9", "user": ""}, "names no client"),
    ({"ip": "10.0.0.8"}, "must show a certificate"),
    ({"ip": "10.9.9.9", "cert": "hsm"}, "hsm may not call from"),
    ({"ip": "10.0.0.8", "cert": "plain"}, "plain may not call from"),
    ({"ip": "10.0.0.10", "cert": "both", "password": "?"}, "password is wrong"),
    ({"ip": "10.1.0.1", "cert": "floats", "password": "?"}, "password is wrong"),
    ({"ip": "10.1.0.3", "cert": "dns"}, "whose name is new.example.com"),
    ({"ip": "10.9.9.9", "cert": "stranger"}, "stranger may not call from"),
    ({"ip": "10.0.0.1", "auth": "cert"}, "must show a certificate"),
    ({"ip": "10.9.9.9", "user": "new", "auth": "cert"}, "must show a certificate"),
    ({"ip": "10.0.0.1", "common": None}, "no password to compare with"),
    ({"ip": "10.0.0.1", "common": "", "password": ""}, "no password to compare with"),
]


@pytest.mark.parametrize(("given", "reason"), REFUSED, ids=str)
def test_refused(authenticator, table, given, reason):
    assert reason in decide(authenticator, table, **given)


@pytest.mark.parametrize("cert", [{}, {"subject": ()}, certificate("hsm", "plain")])
def test_a_certificate_must_have_one_common_name(authenticator, table, cert):
    with pytest.raises(Refused, match="common name"):
        authenticator.authenticate(table, "cert", None, Credentials(cert, "root", "", "10.0.0.8"))


def test_passwords_of_any_characters_are_compared(authenticator):
    table = ClientTable.of(
        etree.fromstring('<Clients><Client name="a" address="10.0.0.1" password="pä:ß "/></Clients>')
    )
    assert decide(authenticator, table, "10.0.0.1", password="pä:ß ", common=None) == ("a", "address")
    assert "wrong" in decide(authenticator, table, "10.0.0.1", password="p\udce4:ß ", common=None)


@pytest.mark.parametrize(
    ("ip", "name"),
    [("10.0.0.1", "plain"), ("10.0.0.6", "aliased"), ("10.1.0.2", "dns"), ("10.1.0.3", "new.example.com")],
)
def test_a_client_is_found_by_its_address(authenticator, table, ip, name):
    assert authenticator.client_at(table, ip) == name


@pytest.mark.parametrize(("ip", "reason"), [("10.0.0.7", "uuid must be used"), ("10.9.9.9", "no name")])
def test_an_address_that_does_not_tell_the_client(authenticator, table, ip, reason):
    with pytest.raises(MetadataConsistencyError, match=reason):
        authenticator.client_at(table, ip)
