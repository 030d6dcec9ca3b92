"""sslkey.xml and sslcert.xml: keys and certificates for TLS."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from bcfg2.server.pki import tlskeys
from bcfg2.xml import Element
from tests.server.pki.authorities import TestAuthority
from tests.support import Site

HOST = "client.example.com"
CLIENTS = f"""<Clients>
  <Client name="{HOST}" profile="basic" address="127.0.0.2"><Alias name="www.example.com"/></Client>
</Clients>"""
CERT = '<CertInfo><subjectAltName>alt.example.com</subjectAltName><Cert key="/h.key" {}/></CertInfo>'


class Certified:
    """A site with an authority, and the entries /h.crt and /h.key."""

    def __init__(self, tmp_path: Path, cert: str = "", key: str = '<Key type="ec"/>', conf: str = "") -> None:
        self.authority = TestAuthority(tmp_path / "ca", copy_extensions="copy", unique_subject="no")
        self.site = Site(
            tmp_path,
            {
                "Metadata/clients.xml": CLIENTS,
                "Bundler/base.xml": '<Bundle><Path name="/h.crt"/><Path name="/h.key"/></Bundle>',
                "Cfg/h.crt/sslcert.xml": CERT.format(cert),
                "Cfg/h.key/sslkey.xml": f"<KeyInfo>{key}</KeyInfo>",
            },
            "Metadata,Bundler,Cfg",
            f"[sslca_default]\nconfig = {self.authority.config}\nchaincert = {self.authority.folder}/ca.crt\n{conf}",
        )

    def entry(self, name: str = "/h.crt") -> Element:
        return self.site.entry("Path", name)

    def certificate(self) -> x509.Certificate:
        entry = self.entry()
        assert entry.get("failure") is None
        return x509.load_pem_x509_certificate((entry.text or "").encode())

    @property
    def path(self) -> Path:
        """Where the certificate is stored."""
        return self.site.repo / f"Cfg/h.crt/h.crt.H_{HOST}"

    def put_expired(self, *, of_ours: bool = True) -> None:
        """Store a certificate for the right key whose time is over."""
        key = load_pem_private_key((self.entry("/h.key").text or "").encode(), None)
        issuer = self.authority.certificate.subject
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .issuer_name(issuer if of_ours else x509.Name.from_rfc4514_string("CN=Other"))
            .subject_name(x509.Name.from_rfc4514_string(f"CN={HOST}"))
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(now - timedelta(days=1))
            .sign(self.authority.key, hashes.SHA256())
        )
        self.site.write(f"Cfg/h.crt/h.crt.H_{HOST}", made.public_bytes(Encoding.PEM))


def test_a_certificate_is_made_with_its_key_stored_and_served_again(tmp_path: Path) -> None:
    made = Certified(tmp_path, 'c="DE" o="Example" days="20"')
    first = made.certificate()
    assert first.subject.rfc4514_string() == f"CN={HOST},O=Example,C=DE"
    names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["alt.example.com", "www.example.com", HOST]
    key = load_pem_private_key((made.entry("/h.key").text or "").encode(), None)
    assert tlskeys.as_der(key.public_key()) == tlskeys.as_der(first.public_key())
    assert made.path.read_text() == made.entry().text
    assert made.certificate() == first
    made.site.restart()
    assert made.certificate() == first
    assert made.authority.text("serial") == "1000\n"


def test_the_chain_is_appended_where_that_is_wanted(tmp_path: Path) -> None:
    made = Certified(tmp_path, 'append_chain="true"')
    assert (made.entry().text or "").endswith(made.authority.text("ca.crt"))


def test_what_is_made_is_encrypted_with_the_passphrase_of_the_section(tmp_path: Path) -> None:
    made = Certified(tmp_path, conf="[sslca]\npassphrase = keys\n[encryption]\nkeys = secret")
    first = made.certificate()
    assert sorted(os.listdir(made.path.parent)) == [f"h.crt.H_{HOST}.crypt", "sslcert.xml"]
    assert sorted(os.listdir(made.site.repo / "Cfg/h.key")) == [f"h.key.H_{HOST}.crypt", "sslkey.xml"]
    made.site.restart()
    assert made.certificate() == first


@pytest.mark.parametrize("key", ["<Key/>", '<Key type="dsa" bits="1024"/>', '<Key type="ed25519"/>'])
def test_keys_of_all_kinds_get_certificates(tmp_path: Path, key: str) -> None:
    assert Certified(tmp_path, key=key).certificate()


def test_a_certificate_that_is_for_another_key_is_refused_and_kept(tmp_path: Path) -> None:
    made = Certified(tmp_path)
    made.certificate()
    before = made.path.read_text()
    made.site.write(f"Cfg/h.key/h.key.H_{HOST}", tlskeys.generate("ec"))
    assert "Failed to verify /h.crt" in made.entry().get("failure", "")
    assert "the certificate is for another key" in made.entry().get("failure", "")
    assert made.path.read_text() == before
    made.site.delete(f"Cfg/h.crt/h.crt.H_{HOST}")
    assert made.certificate()


def test_one_that_has_expired_is_renewed(tmp_path: Path) -> None:
    made = Certified(tmp_path)
    made.put_expired()
    renewed = made.certificate()
    assert renewed.not_valid_after_utc > datetime.now(UTC)
    assert made.path.read_text() == made.entry().text
    assert made.certificate() == renewed


def test_one_of_another_authority_is_refused_when_it_has_expired_not_replaced(tmp_path: Path) -> None:
    made = Certified(tmp_path)
    made.put_expired(of_ours=False)
    before = made.path.read_text()
    assert "expired" in made.entry().get("failure", "")
    assert made.path.read_text() == before


def test_one_that_the_new_key_of_the_authority_has_not_signed_is_renewed(tmp_path: Path) -> None:
    made = Certified(tmp_path)
    first = made.certificate()
    made.authority.renew()
    second = made.certificate()
    assert first != second
    second.verify_directly_issued_by(made.authority.certificate)


def test_a_certificate_outside_of_the_chain_is_refused(tmp_path: Path) -> None:
    made = Certified(tmp_path)
    other = TestAuthority(tmp_path / "other")
    made.certificate()
    (made.authority.folder / "chain").write_text(other.text("ca.crt"))
    made.site.conf.write_text(made.site.conf.read_text().replace("ca/ca.crt", "ca/chain"))
    made.site.restart()
    assert "was not issued by one of" in made.entry().get("failure", "")


def test_without_validation_nothing_is_checked(tmp_path: Path) -> None:
    made = Certified(tmp_path, conf="[cfg]\nvalidation = no")
    made.put_expired()
    assert made.certificate().not_valid_after_utc < datetime.now(UTC)


@pytest.mark.parametrize(
    ("cert", "reason"),
    [
        ('ca="nosuch"', r"bcfg2.conf has no section [sslca_nosuch]"),
        ('days="soon"', "days='soon' is not a number of days"),
        ('days="0"', "days='0' is not a number of days"),
        ('format="der"', "format='der': there is pem only"),
        ('C="Germany"', "C='Germany' cannot be part of a name"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, cert: str, reason: str) -> None:
    assert reason in Certified(tmp_path, cert).entry().get("failure", "")


def test_a_key_that_nothing_makes_is_named(tmp_path: Path) -> None:
    made = Certified(tmp_path)
    made.site.delete("Cfg/h.key")
    assert "there is nothing in Cfg for the key /h.key" in made.entry().get("failure", "")
