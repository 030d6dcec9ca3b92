"""How both agents say who they are: by address, certificate, uuid or name, and what bootstrap changes."""

from pathlib import Path

import pytest
from lxml import etree

from tests.real.site import Site

GROUPS = """<Groups>
  <Group name="basic" profile="true" public="true" default="true"><Bundle name="files"/></Group>
  <Group name="web" profile="true" public="true"><Bundle name="files"/></Group>
</Groups>"""


#: A client with another name than the authority, as a certificate for the same name counts as self-signed.
AT_THE_ADDRESS = 'name="agent" profile="basic" address="127.0.0.1"'


class Identity:
    """The site, its clients, and agents that have other credentials than the server."""

    def __init__(self, site: Site) -> None:
        self.site = site
        site.write("repo/Metadata/groups.xml", GROUPS)

    def clients(self, *elements: str) -> None:
        """Make ELEMENTS the clients of the server."""
        self.site.write("repo/Metadata/clients.xml", f"<Clients>{''.join(elements)}</Clients>")
        self.site.restart()

    def client(self, name: str) -> dict[str, str]:
        """What clients.xml says of the client NAME."""
        root = etree.parse(self.site.folder / "repo/Metadata/clients.xml").getroot()
        (found,) = [element for element in root.iter("Client") if element.get("name") == name]
        return {str(key): str(value) for key, value in found.attrib.items()}

    def agent(self, certificate: Path | None = None, **communication: str) -> Path:
        """The configuration of an agent with CERTIFICATE, a file with the key, and other options of COMMUNICATION."""
        options = {"protocol": "xmlrpc/ssl", "ca": f"{self.site.folder}/cert.pem", "retries": "1", **communication}
        if certificate is not None:
            options |= {"certificate": str(certificate), "key": str(certificate)}
        lines = [
            "[communication]",
            *(f"{key} = {value}" for key, value in options.items()),
            "[components]",
            f"bcfg2 = https://localhost:{self.site.port}",
            f"lockfile = {self.site.folder}/agent.lock",
            "[client]",
            "drivers = POSIX",
        ]
        return self.site.write("agent.conf", "\n".join(lines) + "\n")


@pytest.fixture
def identity(site: Site) -> Identity:
    return Identity(site)


def test_a_password_is_enough_for_the_client_at_the_address(identity: Identity) -> None:
    identity.clients('<Client name="localhost" profile="basic"/>')
    statistics = identity.site.run_agent("-n", configuration=identity.agent(password="secret"))
    assert statistics.get("total") == "4"
    said = identity.site.refused_agent("-n", configuration=identity.agent(password="mistyped"))
    assert "the password is wrong" in said
    assert "mistyped" not in said


def test_a_client_s_own_password_is_the_only_one_of_a_secure_client(identity: Identity) -> None:
    identity.clients('<Client name="localhost" profile="basic" password="own" secure="true"/>')
    identity.site.run_agent("-n", configuration=identity.agent(password="own"))
    assert "the password is wrong" in identity.site.refused_agent("-n", configuration=identity.agent(password="secret"))


def test_a_certificate_is_enough_where_the_client_must_show_one(identity: Identity) -> None:
    identity.clients(
        f'<Client {AT_THE_ADDRESS} auth="cert"/>',
        '<Client name="roaming" profile="web" auth="cert" floating="true"/>',
        '<Client name="elsewhere" profile="web" auth="cert"/>',
    )
    make = identity.site.authority.client_certificate
    identity.site.run_agent("-n", configuration=identity.agent(make("agent"), password="wrong"))
    identity.site.run_agent("-n", configuration=identity.agent(make("roaming"), password="wrong"))
    assert identity.client("agent")["version"] == identity.client("roaming")["version"] == identity.site.agent_version
    said = identity.site.refused_agent("-n", configuration=identity.agent(make("elsewhere"), password="secret"))
    assert "elsewhere may not call from 127.0.0.1" in said
    said = identity.site.refused_agent("-n", configuration=identity.agent(password="secret"))
    assert "agent must show a certificate" in said


def test_a_certificate_needs_the_password_too_unless_told_otherwise(identity: Identity) -> None:
    identity.clients(f"<Client {AT_THE_ADDRESS}/>")
    certificate = identity.site.authority.client_certificate("agent")
    assert "the password is wrong" in identity.site.refused_agent(
        "-n", configuration=identity.agent(certificate, password="wrong")
    )
    identity.site.run_agent("-n", configuration=identity.agent(certificate, password="secret"))


def test_a_uuid_tells_clients_at_one_address_from_each_other(identity: Identity) -> None:
    identity.clients(
        '<Client name="one" profile="basic" uuid="uuid-1" address="127.0.0.1" password="own"/>',
        '<Client name="two" profile="web" uuid="uuid-2" address="127.0.0.1"/>',
    )
    identity.site.run_agent("-n", configuration=identity.agent(user="uuid-1", password="own"))
    assert identity.client("one").get("version") == identity.site.agent_version
    assert "version" not in identity.client("two")
    identity.site.run_agent("-n", configuration=identity.agent(user="uuid-2", password="secret"))
    assert identity.client("two").get("version") == identity.site.agent_version
    assert "the password is wrong" in identity.site.refused_agent(
        "-n", configuration=identity.agent(user="uuid-2", password="own")
    )
    assert "a uuid must be used" in identity.site.refused_agent("-n", configuration=identity.agent(password="secret"))


def test_a_new_client_makes_itself_known_with_a_name_and_a_profile(identity: Identity) -> None:
    identity.clients()
    agent = identity.agent(user="fresh", password="secret")
    identity.site.run_agent("-n", "-p", "web", configuration=agent)
    assert identity.client("fresh") == {
        "name": "fresh",
        "profile": "web",
        "uuid": "fresh",
        "address": "127.0.0.1",
        "version": identity.site.agent_version,
    }
    identity.site.restart()
    identity.site.run_agent("-n", configuration=agent)
    assert identity.client("fresh")["profile"] == "web"


def test_bootstrap_takes_the_password_until_the_first_statistics_and_then_the_certificate_only(
    identity: Identity,
) -> None:
    identity.clients(f'<Client {AT_THE_ADDRESS} auth="bootstrap"/>')
    identity.site.run_agent("-n", configuration=identity.agent(password="secret"))
    assert identity.client("agent")["auth"] == "cert"
    identity.site.restart()
    said = identity.site.refused_agent("-n", configuration=identity.agent(password="secret"))
    assert "agent must show a certificate" in said
    certificate = identity.site.authority.client_certificate("agent")
    identity.site.run_agent("-n", configuration=identity.agent(certificate, password="wrong"))


def test_bootstrap_takes_a_certificate_without_the_password(identity: Identity) -> None:
    identity.clients(f'<Client {AT_THE_ADDRESS} auth="bootstrap"/>')
    certificate = identity.site.authority.client_certificate("agent")
    identity.site.run_agent("-n", configuration=identity.agent(certificate, password="wrong"))
    assert identity.client("agent")["auth"] == "cert"
