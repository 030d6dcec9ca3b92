"""``privkey.xml``: SSH key pairs that are made for the clients that have none."""

import os
from collections.abc import Sequence
from typing import Any

from bcfg2 import xml
from bcfg2.options import Option
from bcfg2.server.plugin import PluginExecutionError, Specificity, StrictStructFile
from bcfg2.server.plugin.making import NewFile, needing_cryptography
from bcfg2.server.plugins.cfg.creation import CfgXMLCreator

SSHKEYS_OPTIONS: list[Option] = [
    Option("sshkeys", "category", help="Category whose groups share SSH keys that are made, where the file has none"),
    Option("sshkeys", "passphrase", help="Name of the passphrase that encrypts SSH keys that are made"),
]


class PrivateKeyXML(StrictStructFile):
    """A ``privkey.xml``."""

    schema = "privkey"


class CfgPrivateKeyCreator(CfgXMLCreator):
    """Makes a private key, and its public half in the folder that is called the same with ``.pub`` behind it."""

    __basenames__ = ["privkey.xml"]
    file_class = PrivateKeyXML
    section = "sshkeys"
    options = SSHKEYS_OPTIONS

    def make(self, specific: Specificity, metadata: Any) -> Sequence[NewFile]:
        with needing_cryptography():
            from bcfg2.server.pki import sshkeys
        params = self.xml.XMLMatch(metadata).find("Params")
        kind, bits = "rsa", None
        if params is not None:
            kind = params.get("type", kind)
            bits = self._number(params.get("bits"))
        try:
            pair = sshkeys.generate(kind, bits, self.passphrase(metadata))
        except PluginExecutionError as err:
            raise PluginExecutionError(f"{self.name}: {err}") from None
        public = self.public_path(specific)
        # the public half first: without the private one it is made again
        return [
            NewFile(public, f"{pair.public} {public}\n".encode(), secret=False),
            NewFile(self.get_filename(specific), pair.private),
        ]

    def passphrase(self, metadata: Any) -> str | None:
        """What protects the key itself, if anything does."""
        element = self.xml.XMLMatch(metadata).find("Passphrase")
        return None if element is None else xml.whole_text(element).strip() or None

    def public_path(self, specific: Specificity) -> str:
        """The file with the public half of the key for SPECIFIC."""
        folder = f"{os.path.dirname(self.name)}.pub"
        return os.path.join(folder, specific.file_name(os.path.basename(folder)))

    def _number(self, text: str | None) -> int | None:
        if not text:
            return None
        if text.isascii() and text.isdigit():
            return int(text)
        raise PluginExecutionError(f"{self.name}: bits={text!r} is not a number")
