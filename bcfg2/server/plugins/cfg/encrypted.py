"""What the handlers of encrypted files have in common."""

from typing import Any

from bcfg2.server.cipherformats import EncryptionError
from bcfg2.server.keyring import Keyring
from bcfg2.server.plugins.cfg.handlers import CfgGenerator


class CfgEncryptedFile(CfgGenerator):
    """A file that is decrypted when it is read; then it is like one that never was encrypted.

    One that no passphrase opens makes the entry fail for the clients that it is for.
    """

    encrypted = True

    def handle_event(self, event: Any = None) -> None:
        super().handle_event(event)
        keyring = Keyring.of(self.cfg.core.options)
        try:
            self.raw = keyring.decrypt_any(self.raw, self.encoding)
        except EncryptionError as err:
            self.raw = b""
            self.problem = f"{self.name} cannot be decrypted: {err}"
            log = self.cfg.logger.debug if keyring.lax else self.cfg.logger.error
            log("%s", self.problem)
