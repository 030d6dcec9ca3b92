"""The files of the folder ``SSHbase``: keys and complete lists of known hosts, for hosts, for groups and for all."""

import os
from typing import Any

from bcfg2.server.cipherformats import EncryptionError
from bcfg2.server.keyring import Keyring
from bcfg2.server.plugin import Dependencies, EntrySet, SpecificData, Specificity, parse_specific
from bcfg2.server.plugin.making import CRYPT
from bcfg2.server.plugin.services import current_core

#: The public keys in the order in which lists have them.
PUBLIC_KEYS = tuple(
    f"{name}.pub"
    for name in ("ssh_host_dsa_key", "ssh_host_ecdsa_key", "ssh_host_ed25519_key", "ssh_host_key", "ssh_host_rsa_key")
)
PRIVATE_KEYS = tuple(name.removesuffix(".pub") for name in PUBLIC_KEYS)
KNOWN_HOSTS = "ssh_known_hosts"


class KeyFile(SpecificData):
    """A file that is delivered as it is."""


class EncryptedKeyFile(KeyFile):
    """A file that is decrypted when it is read, with any passphrase; one that does not open fails its entry."""

    encrypted = True

    def handle_event(self, event: Any = None) -> None:
        super().handle_event(event)
        core = current_core()
        try:
            self.raw = Keyring.of(core.options).decrypt_any(self.raw, self.encoding)
        except EncryptionError as err:
            self.raw = b""
            self.problem = f"{self.name} cannot be decrypted: {err}"
            core.logger.error("%s", self.problem)


class KeySet(EntrySet):
    """The files of one key, or the complete lists of known hosts."""

    def __init__(self, basename: str, folder: str) -> None:
        super().__init__(basename, folder, KeyFile)

    def make_entry(self, name: str) -> KeyFile:
        path = os.path.join(self.path, name)
        if name.endswith(CRYPT):
            return EncryptedKeyFile(path, parse_specific(self.basename, name.removesuffix(CRYPT)))
        return KeyFile(path, parse_specific(self.basename, name))

    def path_for(self, specific: Specificity) -> str:
        """The file for SPECIFIC, as it is called where it is not encrypted."""
        return os.path.join(self.path, specific.file_name(self.basename))

    def present(self, metadata: Any) -> KeyFile | None:
        """The file that the client gets, if it is there; one that has just been deleted is not."""
        file: KeyFile | None = self.choice.best(metadata)
        return file if file is not None and os.path.exists(file.name) else None

    def depends_on(self) -> Dependencies | None:
        """What of a client decides which file it gets; None where one may have to be made for it."""
        files: list[KeyFile] = list(self.entries.values())
        if not any(file.specific.all for file in files) or any(file.problem is not None for file in files):
            return None
        return Dependencies(
            frozenset(file.specific.group for file in files if file.specific.group is not None),
            frozenset(file.specific.hostname for file in files if file.specific.hostname is not None),
        )


def text_of(file: KeyFile) -> str:
    """The content of FILE as text, whatever bytes are in it."""
    return file.raw.decode(file.encoding, "replace")
