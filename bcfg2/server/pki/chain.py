"""Whether a certificate is good: belongs to its key, comes from those who are to have issued it, and is in force."""

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from bcfg2.server.pki.tlskeys import as_der, load
from bcfg2.server.plugin.exceptions import PluginExecutionError

#: For how many private keys the public half is remembered: reading a private key takes long, since it is checked.
_MAX_KEYS = 1000


def first_certificate(pem: bytes) -> x509.Certificate:
    """The first certificate in PEM, in front of which anything may stand.  Raises PluginExecutionError."""
    return _certificates(pem, "the file")[0]


def check_key(certificate: x509.Certificate, private: bytes) -> None:
    """Raise PluginExecutionError if CERTIFICATE is for another key than PRIVATE, which is PEM."""
    if as_der(certificate.public_key()) != _public_half(private):
        raise PluginExecutionError("the certificate is for another key")


def check_chain(certificate: x509.Certificate, chain_path: str, *, is_root: bool) -> None:
    """Raise PluginExecutionError unless the file CHAIN_PATH holds those who issued CERTIFICATE, and all are in force.

    With IS_ROOT the last of them must have signed itself; else CERTIFICATE must also be good for servers, and who
    issued the last of the file is not asked.
    """
    try:
        known = _certificates(Path(chain_path).read_bytes(), chain_path)
    except OSError as err:
        raise PluginExecutionError(f"cannot read the chain {chain_path}: {err.strerror}") from None
    if not is_root:
        _check_purpose(certificate)
    current = certificate
    for _ in range(len(known) + 1):
        _check_in_force(current)
        if current != certificate and is_issued_by(current, current):
            return
        issuer = next((item for item in known if item != current and is_issued_by(current, item)), None)
        if issuer is None:
            break
        current = issuer
    if current == certificate:
        raise PluginExecutionError(f"the certificate was not issued by one of {chain_path}")
    if is_root:
        raise PluginExecutionError(f"{chain_path} does not hold the root of the certificate")


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether ISSUER has signed CERTIFICATE, and may do such things."""
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints)
        if not constraints.value.ca:
            return False
    except x509.ExtensionNotFound:
        pass  # of the time before there were extensions
    return is_signed_by(certificate, issuer)


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether ISSUER has signed CERTIFICATE."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def has_expired(certificate: x509.Certificate) -> bool:
    """Whether the time of CERTIFICATE is over."""
    return certificate.not_valid_after_utc < datetime.now(UTC)


@lru_cache(_MAX_KEYS)
def _public_half(private: bytes) -> bytes:
    return as_der(load(private).public_key())


def _check_in_force(certificate: x509.Certificate) -> None:
    name = certificate.subject.rfc4514_string()
    if has_expired(certificate):
        raise PluginExecutionError(f"the certificate of {name} expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
    if certificate.not_valid_before_utc > datetime.now(UTC):
        raise PluginExecutionError(f"the certificate of {name} is not in force yet")


def _check_purpose(certificate: x509.Certificate) -> None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usage):
        raise PluginExecutionError("the certificate is not for servers")


def _certificates(pem: bytes, what: str) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as err:
        raise PluginExecutionError(f"{what} holds no certificate in PEM: {err}") from None
    if not found:
        raise PluginExecutionError(f"{what} holds no certificate in PEM")
    return found
