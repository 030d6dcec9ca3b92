"""``sslcert.xml``: certificates that an authority of the site issues for clients that have none, always checked."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lxml import etree

from bcfg2 import xml
from bcfg2.options import BooleanOption, Option, Options, PathOption, SectionsOption
from bcfg2.server.plugin import PluginExecutionError, Specificity, StrictStructFile
from bcfg2.server.plugin.making import NewFile, needing_cryptography
from bcfg2.server.plugins.cfg.cfgsslcakeycreator import SSLCA_OPTIONS
from bcfg2.server.plugins.cfg.creation import CfgXMLCreator
from bcfg2.server.plugins.cfg.entryset import CfgEntrySet
from bcfg2.server.plugins.cfg.handlers import CfgVerificationError, CfgVerifier
from bcfg2.xml import Element

if TYPE_CHECKING:
    from bcfg2.server.pki.authority import Authority

_SECTION = "sslca_"

#: The parts of a subject's name, and the attributes of `Cert` that give them.
_SUBJECT = {
    "C": ("C", "c"),
    "ST": ("ST", "st"),
    "L": ("L", "l"),
    "O": ("O", "o"),
    "OU": ("OU", "ou"),
    "emailAddress": ("emailAddress", "emailaddress"),
}


class CertInfoXML(StrictStructFile):
    """An ``sslcert.xml``."""

    schema = "sslca-cert"


class CfgSSLCACertCreator(CfgXMLCreator, CfgVerifier):
    """Has a certificate issued as its element ``Cert`` says, and refuses one that is not good."""

    __basenames__ = ["sslcert.xml"]
    __specific__ = False
    file_class = CertInfoXML
    section = "sslca"
    options = [
        *SSLCA_OPTIONS,
        SectionsOption(
            "sslca_*",
            options=[
                PathOption("", "config", help="The OpenSSL configuration of the authority, with full paths in it"),
                Option("", "passphrase", secret=True, help="The passphrase of the authority's key"),
                PathOption("", "chaincert", help="File with the certificates that verify those that it issues"),
                BooleanOption("", "root_ca", default=False, help="Whether chaincert is the root itself"),
            ],
            dest="sslca_authorities",
            help="The authorities: ca=NAME in sslcert.xml means the section sslca_NAME",
        ),
    ]

    # making

    def make(self, specific: Specificity, metadata: Any) -> Sequence[NewFile]:
        with needing_cryptography():
            from bcfg2.server.pki import tlskeys
            from bcfg2.server.pki.authority import Request
        document, cert = self._wanted(metadata)
        if cert.get("format", "pem") != "pem":
            raise PluginExecutionError(f"{self.name}: format={cert.get('format')!r}: there is pem only")
        settings = self._settings(cert)
        authority = self._authority(cert, settings)
        key = tlskeys.load(self._key(cert, metadata))
        names = [text for node in document.iter("subjectAltName") if (text := xml.whole_text(node).strip())]
        request = Request(
            {**self._subject(cert), "CN": metadata.hostname},
            key.public_key(),
            tuple(dict.fromkeys([*names, *sorted(metadata.aliases), metadata.hostname])),
            self._days(cert),
        )
        pem = authority.issue(request)
        if xml.is_true(cert.get("append_chain")) and settings.chaincert:
            pem += Path(settings.chaincert).read_bytes()
        return [NewFile(self.get_filename(specific), pem)]

    def _wanted(self, metadata: Any) -> tuple[Element, Element]:
        """What the file says for the client, and the element ``Cert`` of that."""
        document = self.xml.XMLMatch(metadata)
        cert = document.find("Cert")
        if cert is None or not cert.get("key"):
            raise PluginExecutionError(f"{self.name}: no element Cert with a key applies to {metadata.hostname}")
        return document, cert

    @staticmethod
    def _subject(cert: Element) -> dict[str, str]:
        given = {
            part: next((cert.get(name) for name in names if cert.get(name)), None) for part, names in _SUBJECT.items()
        }
        return {part: value for part, value in given.items() if value}

    def _days(self, cert: Element) -> int:
        text = cert.get("days", "365")
        if text.isascii() and text.isdigit() and int(text) > 0:
            return int(text)
        raise PluginExecutionError(f"{self.name}: days={text!r} is not a number of days")

    def _settings(self, cert: Element) -> Options:
        """The section of the authority; PluginExecutionError if there is none."""
        name = cert.get("ca") or "default"
        found: Options | None = self.cfg.core.options.sslca_authorities.get(f"{_SECTION}{name}")
        if found is None:
            raise PluginExecutionError(f"{self.name}: bcfg2.conf has no section [{_SECTION}{name}]")
        return found

    def _authority(self, cert: Element, settings: Options) -> "Authority":
        if not settings.config:
            raise PluginExecutionError(f"{self.name}: section [{_SECTION}{cert.get('ca') or 'default'}] has no config")
        with needing_cryptography():
            from bcfg2.server.pki.authority import Authority
        return Authority(settings.config, settings.passphrase)

    def _key(self, cert: Element, metadata: Any) -> bytes:
        """The key that the client gets under the path that ``Cert`` names, made if it is not there."""
        path = cert.get("key", "")
        entry_set = self.cfg.entries.get(path.removeprefix("/"))
        if not isinstance(entry_set, CfgEntrySet) or not entry_set.serves():
            raise PluginExecutionError(f"{self.name}: there is nothing in Cfg for the key {path}")
        return entry_set.contents(etree.Element("Path", name=path), metadata).raw

    # checking

    def verify_entry(self, entry: Element, metadata: Any, data: bytes) -> None:
        with needing_cryptography():
            from bcfg2.server.pki import chain
        cert = self._wanted(metadata)[1]
        try:
            certificate = chain.first_certificate(data)
            chain.check_key(certificate, self._key(cert, metadata))
            settings = self.cfg.core.options.sslca_authorities.get(f"{_SECTION}{cert.get('ca') or 'default'}")
            if settings is not None and settings.chaincert:
                chain.check_chain(certificate, settings.chaincert, is_root=settings.root_ca)
        except PluginExecutionError as err:
            raise CfgVerificationError(str(err)) from None

    def is_outdated(self, data: bytes, metadata: Any) -> bool:
        """Whether DATA is a certificate of the authority that has expired, or that its present key has not signed.

        One that is for another key is refused, not replaced: whoever exchanged the key by hand is to say what becomes
        of the certificate.
        """
        if not self.cfg.core.options.cfg_validation:
            return False
        with needing_cryptography():
            from bcfg2.server.pki import chain
        cert = self._wanted(metadata)[1]
        try:
            certificate = chain.first_certificate(data)
            issuer = self._authority(cert, self._settings(cert)).certificate
        except PluginExecutionError:
            return False  # nothing that we could make is better
        return certificate.issuer == issuer.subject and (
            chain.has_expired(certificate) or not chain.is_signed_by(certificate, issuer)
        )
