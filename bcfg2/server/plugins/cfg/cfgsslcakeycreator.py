"""``sslkey.xml``: private keys for TLS, made for the clients that have none."""

from collections.abc import Sequence
from typing import Any

from bcfg2 import xml
from bcfg2.options import Option
from bcfg2.server.plugin import PluginExecutionError, Specificity, StrictStructFile
from bcfg2.server.plugin.making import NewFile, needing_cryptography
from bcfg2.server.plugins.cfg.creation import CfgXMLCreator

SSLCA_OPTIONS: list[Option] = [
    Option("sslca", "category", help="Category whose groups share TLS keys and certificates, where the file has none"),
    Option("sslca", "passphrase", help="Name of the passphrase that encrypts TLS keys and certificates"),
]


class KeyInfoXML(StrictStructFile):
    """An ``sslkey.xml``."""

    schema = "sslca-key"


class CfgSSLCAKeyCreator(CfgXMLCreator):
    """Makes a key as its element ``Key`` says."""

    __basenames__ = ["sslkey.xml"]
    file_class = KeyInfoXML
    section = "sslca"
    options = SSLCA_OPTIONS

    def make(self, specific: Specificity, metadata: Any) -> Sequence[NewFile]:
        with needing_cryptography():
            from bcfg2.server.pki import tlskeys
        element = self.xml.XMLMatch(metadata).find("Key")
        wanted = {} if element is None else xml.attributes(element)
        try:
            key = tlskeys.generate(wanted.get("type", "rsa"), wanted.get("bits"))
        except PluginExecutionError as err:
            raise PluginExecutionError(f"{self.name}: {err}") from None
        return [NewFile(self.get_filename(specific), key)]
