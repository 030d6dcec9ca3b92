"""A certificate authority as the command ``openssl ca`` keeps one: an OpenSSL configuration and the files it names.

A certificate is issued as the command would do it: the policy decides what of the subject's name passes, the serial
number is taken from its file, the certificate is noted in the database and kept in the folder of new ones.
"""

import logging
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes, CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from bcfg2.server.filelock import file_lock
from bcfg2.server.pki import tlskeys
from bcfg2.server.pki.database import Database, is_yes, next_serial, serial_text, write
from bcfg2.server.pki.extensions import Extension, Parties, default_key_identifiers, from_section
from bcfg2.server.pki.names import apply_policy, as_requested, one_line
from bcfg2.server.pki.opensslconf import OpenSSLConfig
from bcfg2.server.plugin.exceptions import PluginExecutionError
from bcfg2.server.storage import atomic_write

logger = logging.getLogger(__name__)

_DIGESTS: dict[str, type[hashes.HashAlgorithm]] = {
    "sha224": hashes.SHA224,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
    "sha3-256": hashes.SHA3_256,
    "sha3-384": hashes.SHA3_384,
    "sha3-512": hashes.SHA3_512,
}
_DEFAULT_DIGEST = "sha256"


@dataclass(frozen=True)
class Request:
    """What a certificate is asked for: the parts of the subject's name by their short names, its key, its DNS names."""

    subject: Mapping[str, str]
    key: CertificatePublicKeyTypes
    dns_names: tuple[str, ...]
    days: int


class Authority:
    """The authority whose configuration is CONFIG_PATH; PASSPHRASE opens its key.  Raises PluginExecutionError."""

    def __init__(self, config_path: str, passphrase: str | None = None) -> None:
        self._config = OpenSSLConfig(config_path)
        self._section = self._config.need("ca", "default_ca")
        self._config.section(self._section)
        self._passphrase = passphrase
        self.certificate = self._certificate(self._need("certificate"))

    def issue(self, request: Request) -> bytes:
        """A new certificate for REQUEST, in PEM.  Raises PluginExecutionError; OSError for what cannot be written."""
        key = self._key()
        database = Database(self._need("database"))
        with file_lock(database.path):
            return self._issue(request, key, database)

    def _issue(self, request: Request, key: CertificateIssuerPrivateKeyTypes, database: Database) -> bytes:
        serial_path = self._serial_path()
        serial = self._random_serial() if serial_path is None else next_serial(serial_path)
        begins = datetime.now(UTC).replace(microsecond=0)
        ends = begins + timedelta(days=request.days)
        subject = self._subject(request)
        builder = (
            x509.CertificateBuilder()
            .issuer_name(self.certificate.subject)
            .subject_name(subject)
            .public_key(request.key)
            .serial_number(serial)
            .not_valid_before(begins)
            .not_valid_after(ends)
        )
        for extension in self._extensions(request):
            builder = builder.add_extension(extension.value, extension.critical)
        try:
            certificate = builder.sign(key, self._digest(key))  # type: ignore[arg-type]  # of these there is any
        except (ValueError, TypeError, UnsupportedAlgorithm) as err:
            raise PluginExecutionError(f"{self._config.path}: the authority cannot sign: {err}") from None
        pem = certificate.public_bytes(Encoding.PEM)
        # in this order nothing is lost if the server dies: a number may be missing, but none is given twice
        if serial_path is not None:
            write(serial_path, f"{serial_text(serial + 1)}\n")
        database.add(serial, ends, one_line(subject), unique=self._unique_subjects(database))
        folder = self._need("new_certs_dir")
        atomic_write(os.path.join(folder, f"{serial_text(serial)}.pem"), pem)
        return pem

    def _subject(self, request: Request) -> x509.Name:
        wanted = dict(request.subject)
        if not self._is_on("email_in_dn", default=True):
            wanted.pop("emailAddress", None)
        passed = apply_policy(self._config, self._need("policy"), wanted, self.certificate.subject)
        return as_requested(wanted) if self._is_on("preserve", default=False) else passed

    def _extensions(self, request: Request) -> Iterable[Extension]:
        """Those of the configuration, then what the request brings, then key identifiers; each kind once."""
        parties = Parties(request.key, self.certificate)
        found: dict[x509.ObjectIdentifier, Extension] = {}
        section = self._get("x509_extensions")
        described = list(from_section(self._config, section, parties)) if section else []
        requested = []
        if (self._get("copy_extensions") or "none").lower() in ("copy", "copyall") and request.dns_names:
            requested.append(Extension(_alternative_names(request.dns_names), False))
        for extension in (*described, *requested, *default_key_identifiers(parties)):
            found.setdefault(extension.value.oid, extension)
        return found.values()

    def _digest(self, key: CertificateIssuerPrivateKeyTypes) -> hashes.HashAlgorithm | None:
        """What certificates are signed with; keys of the Edwards curves have a digest of their own."""
        if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
            return None
        name = (self._get("default_md") or "default").lower()
        if name not in _DIGESTS and name != "default":
            logger.warning(
                "%s: default_md = %s is not secure any more, using %s", self._config.path, name, _DEFAULT_DIGEST
            )
        return _DIGESTS.get(name, hashes.SHA256)()

    def _unique_subjects(self, database: Database) -> bool:
        if self._get("unique_subject") is not None:
            return self._is_on("unique_subject", default=True)
        written = database.unique_subjects()
        return True if written is None else written

    def _serial_path(self) -> str | None:
        """The file with the next serial number; None if numbers are random."""
        return None if self._is_on("rand_serial", default=False) else self._need("serial")

    @staticmethod
    def _random_serial() -> int:
        return secrets.randbits(159) | 1 << 158

    def _key(self) -> CertificateIssuerPrivateKeyTypes:
        path = self._need("private_key")
        try:
            key = tlskeys.load(self._read(path), self._passphrase)
        except PluginExecutionError as err:
            raise PluginExecutionError(f"{path}: {err}") from None
        if tlskeys.as_der(key.public_key()) != tlskeys.as_der(self.certificate.public_key()):
            raise PluginExecutionError(f"{path} is not the key of the authority's certificate")
        return key

    def _certificate(self, path: str) -> x509.Certificate:
        try:
            return x509.load_pem_x509_certificate(self._read(path))
        except ValueError as err:
            raise PluginExecutionError(f"{path} is no certificate in PEM: {err}") from None

    @staticmethod
    def _read(path: str) -> bytes:
        try:
            return Path(path).read_bytes()
        except OSError as err:
            raise PluginExecutionError(f"cannot read {path} of the authority: {err.strerror}") from None

    def _get(self, name: str) -> str | None:
        return self._config.get(self._section, name)

    def _need(self, name: str) -> str:
        return self._config.need(self._section, name)

    def _is_on(self, name: str, *, default: bool) -> bool:
        text = self._get(name)
        return default if text is None else is_yes(text)


def _alternative_names(dns_names: Iterable[str]) -> x509.SubjectAlternativeName:
    try:
        return x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names])
    except ValueError as err:
        raise PluginExecutionError(f"an alternative name of a certificate cannot be written: {err}") from None
