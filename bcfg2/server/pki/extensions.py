"""The extensions of certificates, from sections of OpenSSL's configuration such as ``[usr_cert]``."""

import ipaddress
from collections.abc import Callable, Iterator
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from bcfg2.server.pki.opensslconf import OpenSSLConfig
from bcfg2.server.plugin.exceptions import PluginExecutionError

_KEY_USAGES = {
    "digitalSignature": "digital_signature",
    "nonRepudiation": "content_commitment",
    "contentCommitment": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
    "encipherOnly": "encipher_only",
    "decipherOnly": "decipher_only",
}
_PURPOSES = {
    "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH,
    "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "codeSigning": ExtendedKeyUsageOID.CODE_SIGNING,
    "emailProtection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timeStamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "OCSPSigning": ExtendedKeyUsageOID.OCSP_SIGNING,
    "anyExtendedKeyUsage": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}
#: Old comments and types of Netscape, which stand in the configuration that comes with OpenSSL: nobody reads them.
_WITHOUT_EFFECT = frozenset(
    ("nsComment", "nsCertType", "nsCaRevocationUrl", "nsRevocationUrl", "nsBaseUrl", "nsCaPolicyUrl", "nsRenewalUrl")
)


class Parties(NamedTuple):
    """For whom a certificate is, and who issues it."""

    subject_key: CertificatePublicKeyTypes
    issuer: x509.Certificate


class Extension(NamedTuple):
    """An extension, and whether who does not understand it must refuse the certificate."""

    value: x509.ExtensionType
    critical: bool


def from_section(config: OpenSSLConfig, section: str, parties: Parties) -> Iterator[Extension]:
    """The extensions that SECTION describes.  PluginExecutionError names what cannot be understood."""
    for name, text in config.section(section).items():
        words = _words(text)
        critical = bool(words) and words[0] == "critical"
        if name in _WITHOUT_EFFECT or words[critical:] == ["none"]:
            continue
        if name not in _READERS:
            raise PluginExecutionError(f"{config.path}: section [{section}]: the extension {name} is not supported")
        try:
            values = _values(config, words[critical:])
            yield Extension(_READERS[name](values, parties), critical)
        except (ValueError, KeyError) as err:
            raise PluginExecutionError(f"{config.path}: section [{section}]: {name} = {text}: {err}") from None


def default_key_identifiers(parties: Parties) -> Iterator[Extension]:
    """The key identifiers that every certificate has, whatever the configuration says."""
    yield Extension(x509.SubjectKeyIdentifier.from_public_key(parties.subject_key), False)
    yield Extension(_keyid(parties.issuer), False)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _values(config: OpenSSLConfig, words: list[str]) -> list[str]:
    """WORDS, those that begin with ``@`` replaced by the settings of that section, as ``name:value``."""
    values: list[str] = []
    for word in words:
        if word.startswith("@"):
            values += (f"{name.split('.')[0]}:{value}" for name, value in config.section(word[1:]).items())
        else:
            values.append(word)
    return values


def _basic_constraints(values: list[str], _parties: Parties) -> x509.ExtensionType:
    given = dict(value.split(":", 1) for value in values)
    ca = given["CA"].strip().lower() == "true"
    length = given.get("pathlen")
    return x509.BasicConstraints(ca, int(length) if ca and length is not None else None)


def _key_usage(values: list[str], _parties: Parties) -> x509.ExtensionType:
    flags = dict.fromkeys(_KEY_USAGES.values(), False)
    for value in values:
        flags[_KEY_USAGES[value]] = True
    return x509.KeyUsage(**flags)


def _extended_key_usage(values: list[str], _parties: Parties) -> x509.ExtensionType:
    return x509.ExtendedKeyUsage([_PURPOSES.get(value) or x509.ObjectIdentifier(value) for value in values])


def _subject_key_identifier(_values: list[str], parties: Parties) -> x509.ExtensionType:
    return x509.SubjectKeyIdentifier.from_public_key(parties.subject_key)


def _authority_key_identifier(values: list[str], parties: Parties) -> x509.ExtensionType:
    wanted = {value.split(":")[0]: value.endswith(":always") for value in values}
    keyid = _keyid(parties.issuer).key_identifier if "keyid" in wanted or not wanted else None
    if not wanted.get("issuer") and (keyid is not None or "issuer" not in wanted):
        return x509.AuthorityKeyIdentifier(keyid, None, None)
    issuer = parties.issuer
    return x509.AuthorityKeyIdentifier(keyid, [x509.DirectoryName(issuer.issuer)], issuer.serial_number)


def _keyid(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        key = issuer.public_key()
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)  # type: ignore[arg-type]  # of an authority: it signs
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known.value)


def _subject_alternative_name(values: list[str], _parties: Parties) -> x509.ExtensionType:
    return x509.SubjectAlternativeName([general_name(value) for value in values])


def _distribution_points(values: list[str], _parties: Parties) -> x509.ExtensionType:
    return x509.CRLDistributionPoints(
        [x509.DistributionPoint([general_name(value)], None, None, None) for value in values]
    )


def _information_access(values: list[str], _parties: Parties) -> x509.ExtensionType:
    methods = {"OCSP": AuthorityInformationAccessOID.OCSP, "caIssuers": AuthorityInformationAccessOID.CA_ISSUERS}
    descriptions = []
    for value in values:
        method, _, place = value.partition(";")
        descriptions.append(x509.AccessDescription(methods[method], general_name(place)))
    return x509.AuthorityInformationAccess(descriptions)


def _policies(values: list[str], _parties: Parties) -> x509.ExtensionType:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(value), None) for value in values])


def general_name(text: str) -> x509.GeneralName:
    """The name ``DNS:www.example.com``, ``IP:192.0.2.1``, ``URI:...``, ``email:...``.  Raises ValueError."""
    kind, colon, value = text.partition(":")
    if colon and kind == "DNS":
        return x509.DNSName(value)
    if colon and kind == "IP":
        return x509.IPAddress(ipaddress.ip_address(value))
    if colon and kind == "URI":
        return x509.UniformResourceIdentifier(value)
    if colon and kind == "email":
        return x509.RFC822Name(value)
    raise ValueError(f"{text!r} is not DNS:..., IP:..., URI:... or email:...")


_READERS: dict[str, Callable[[list[str], Parties], x509.ExtensionType]] = {
    "basicConstraints": _basic_constraints,
    "keyUsage": _key_usage,
    "extendedKeyUsage": _extended_key_usage,
    "subjectKeyIdentifier": _subject_key_identifier,
    "authorityKeyIdentifier": _authority_key_identifier,
    "subjectAltName": _subject_alternative_name,
    "crlDistributionPoints": _distribution_points,
    "authorityInfoAccess": _information_access,
    "certificatePolicies": _policies,
}
