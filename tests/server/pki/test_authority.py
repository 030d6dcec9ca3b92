"""Issuing certificates as ``openssl ca`` does."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from bcfg2.server.pki.authority import Authority, Request
from bcfg2.server.plugin import PluginExecutionError
from tests.server.pki.authorities import TestAuthority

MakeAuthority = Callable[..., TestAuthority]
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def authority(tmp_path: Path) -> MakeAuthority:
    """Makes an authority; the arguments are those of :class:`TestAuthority`."""
    return lambda **settings: TestAuthority(tmp_path / "ca", **settings)


def issue(made: TestAuthority, passphrase: str | None = None, **changes: Any) -> x509.Certificate:
    """A certificate for www.example.com."""
    wanted: dict[str, Any] = {
        "subject": {"CN": "www.example.com"},
        "key": KEY.public_key(),
        "dns_names": ("www.example.com", "example.com"),
        "days": 30,
        **changes,
    }
    return x509.load_pem_x509_certificate(Authority(str(made.config), passphrase).issue(Request(**wanted)))


def test_a_certificate_is_signed_noted_and_kept(authority: MakeAuthority) -> None:
    made = authority(unique_subject="no")
    certificate = issue(made)
    certificate.verify_directly_issued_by(made.certificate)
    assert certificate.serial_number == 0xFFF
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 30
    assert made.text("serial") == "1000\n"
    ends = certificate.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
    assert made.text("index.txt") == f"V\t{ends}\t\t0FFF\tunknown\t/CN=www.example.com\n"
    assert x509.load_pem_x509_certificate((made.folder / "newcerts/0FFF.pem").read_bytes()) == certificate
    assert issue(made).serial_number == 0x1000
    assert made.text("index.txt.attr") == "unique_subject = no\n"


def test_the_parts_of_the_name_come_in_the_order_of_the_policy_and_others_are_left_out(
    authority: MakeAuthority,
) -> None:
    made = authority()
    subject = {"emailAddress": "ops@example.com", "CN": "www.example.com", "ST": "Berlin", "O": "Bäcker", "C": "DE"}
    assert issue(made, subject=subject).subject.rfc4514_string() == (
        "1.2.840.113549.1.9.1=ops@example.com,CN=www.example.com,O=Bäcker,C=DE"
    )
    assert "/C=DE/O=B\\xC3\\xA4cker/CN=www.example.com/emailAddress=ops@example.com\n" in made.text("index.txt")


@pytest.mark.parametrize(
    ("policy", "subject", "reason"),
    [
        ("strict", {"CN": "a", "C": "FR"}, r"asks for the authority's countryName \(C\), not 'FR'"),
        ("strict", {"CN": "a"}, r"countryName \(C\), none is given"),
        ("any", {"C": "DE"}, r"commonName \(CN\), none is given"),
        ("any", {"CN": "a", "C": "Germany"}, "C='Germany' cannot be part of a name"),
        ("nowhere", {"CN": "a"}, r"there is no section \[nowhere\]"),
    ],
)
def test_a_name_that_the_policy_does_not_let_pass_costs_no_serial_number(
    authority: MakeAuthority, policy: str, subject: dict[str, str], reason: str
) -> None:
    made = authority(policy=policy)
    with pytest.raises(PluginExecutionError, match=reason):
        issue(made, subject=subject)
    assert made.text("serial") == "0FFF\n"


def names_of(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return found.value.get_values_for_type(x509.DNSName)


def test_alternative_names_are_copied_where_the_configuration_says_so(authority: MakeAuthority) -> None:
    assert names_of(issue(authority(copy_extensions="copy"))) == ["www.example.com", "example.com"]


def test_alternative_names_are_dropped_where_it_does_not(authority: MakeAuthority) -> None:
    with pytest.raises(x509.ExtensionNotFound):
        names_of(issue(authority()))


def test_extensions_come_from_the_configuration(authority: MakeAuthority) -> None:
    extensions = issue(authority(x509_extensions="exts", copy_extensions="copy")).extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and not constraints.value.ca
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(purposes.value) == [ExtendedKeyUsageOID.SERVER_AUTH, x509.ObjectIdentifier("1.2.3.4")]
    points = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert points[0].full_name == [x509.UniformResourceIdentifier("http://ca.example.com/crl")]
    assert extensions.get_extension_for_class(x509.AuthorityInformationAccess)


def test_every_certificate_has_key_identifiers(authority: MakeAuthority) -> None:
    made = authority()
    extensions = issue(made).extensions
    issuer = made.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == issuer.digest
    assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier)


def test_an_extension_that_cannot_be_understood_is_named(authority: MakeAuthority) -> None:
    made = authority(x509_extensions="wrong")
    with pytest.raises(PluginExecutionError, match=r"openssl\.cnf: section \[wrong\]: keyUsage = makeCoffee"):
        issue(made)


def test_one_valid_certificate_for_a_subject_unless_the_configuration_allows_more(authority: MakeAuthority) -> None:
    made = authority()
    issue(made)
    with pytest.raises(PluginExecutionError, match="has a valid certificate for /CN=www.example.com already"):
        issue(made)
    issue(made, subject={"CN": "other.example.com"})
    (made.folder / "index.txt.attr").write_text("unique_subject = no\n")
    issue(made)


def test_one_that_has_expired_is_marked_and_does_not_count(authority: MakeAuthority) -> None:
    made = authority()
    (made.folder / "index.txt").write_text("V\t200101000000Z\t\t01\tunknown\t/CN=www.example.com\n")
    issue(made)
    assert made.text("index.txt").startswith("E\t200101000000Z\t\t01\tunknown\t/CN=www.example.com\nV\t")


def test_a_broken_database_is_left_alone(authority: MakeAuthority) -> None:
    made = authority()
    (made.folder / "index.txt").write_text("nonsense\n")
    with pytest.raises(PluginExecutionError, match=r"index\.txt:1: there are 1 fields in place of 6"):
        issue(made)
    assert made.text("index.txt") == "nonsense\n"


def test_the_key_of_the_authority_may_have_a_passphrase(authority: MakeAuthority) -> None:
    made = authority(passphrase="open sesame")
    issue(made, passphrase="open sesame")
    with pytest.raises(PluginExecutionError, match=r"ca\.key: the private key cannot be read") as caught:
        issue(made, passphrase="open pepper")
    assert "pepper" not in str(caught.value)


def test_a_key_that_is_not_that_of_the_certificate_signs_nothing(authority: MakeAuthority, tmp_path: Path) -> None:
    made = authority()
    other = TestAuthority(tmp_path / "other")
    shutil.copy(other.folder / "ca.key", made.folder)
    with pytest.raises(PluginExecutionError, match=r"ca\.key is not the key of the authority's certificate"):
        issue(made)


def test_certificates_for_edwards_keys_are_issued(authority: MakeAuthority) -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    assert issue(authority(), key=key).public_key() == key


def test_an_old_digest_gives_way_to_a_secure_one(authority: MakeAuthority, caplog: pytest.LogCaptureFixture) -> None:
    certificate = issue(authority(default_md="sha1"))
    assert certificate.signature_hash_algorithm is not None
    assert certificate.signature_hash_algorithm.name == "sha256"
    assert "default_md = sha1 is not secure" in caplog.text


def test_serial_numbers_may_be_random(authority: MakeAuthority) -> None:
    made = authority(rand_serial="yes", unique_subject="no")
    assert issue(made).serial_number != issue(made).serial_number
    assert made.text("serial") == "0FFF\n"


@pytest.mark.parametrize("name", ["policy", "new_certs_dir", "database", "certificate"])
def test_a_setting_that_is_missing_is_named(authority: MakeAuthority, name: str) -> None:
    made = authority()
    made.config.write_text(re.sub(rf"(?m)^{name} =.*$", "", made.config.read_text()))
    with pytest.raises(PluginExecutionError, match=rf"openssl\.cnf: section \[this_ca\] has no {name}"):
        issue(made)


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="compares with the command openssl: apt-get install openssl"
)
def test_openssl_goes_on_with_what_was_written(authority: MakeAuthority) -> None:
    made = authority(copy_extensions="copy", unique_subject="no")
    issue(made)

    def openssl(*arguments: str) -> str:
        run = subprocess.run(["openssl", *arguments], cwd=made.folder, capture_output=True, text=True, timeout=30)
        assert run.returncode == 0, run.stderr
        return run.stdout

    assert "OK" in openssl("verify", "-CAfile", "ca.crt", "newcerts/0FFF.pem")
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-out", "r", "-subj", "/CN=www.example.com")
    openssl("ca", "-config", "openssl.cnf", "-in", "r", "-days", "30", "-batch", "-notext")
    issue(made)
    lines = made.text("index.txt").splitlines()
    assert [line.split("\t")[3:] for line in lines] == [
        ["0FFF", "unknown", "/CN=www.example.com"],
        ["1000", "unknown", "/CN=www.example.com"],
        ["1001", "unknown", "/CN=www.example.com"],
    ]
    openssl("ca", "-config", "openssl.cnf", "-revoke", "newcerts/0FFF.pem")
    assert made.text("index.txt").startswith("R\t")
