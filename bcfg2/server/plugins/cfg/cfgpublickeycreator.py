"""``pubkey.xml``: the public halves of SSH keys for which there is a ``privkey.xml``."""

import os
from typing import Any

from lxml import etree

from bcfg2.server.filelock import file_lock
from bcfg2.server.plugin import PluginExecutionError, Specificity
from bcfg2.server.plugin.making import NewFile, needing_cryptography, store, stored
from bcfg2.server.plugins.cfg.cfgprivatekeycreator import CfgPrivateKeyCreator
from bcfg2.server.plugins.cfg.entryset import CfgEntrySet
from bcfg2.server.plugins.cfg.handlers import CfgCreator, CfgGenerator
from bcfg2.xml import Element

_SUFFIX = ".pub"


class CfgPublicKeyCreator(CfgCreator):
    """Gives the public half of the key that the client gets from the folder without ``.pub``, and stores it."""

    __basenames__ = ["pubkey.xml"]

    def handle_event(self, event: Any = None) -> None:
        """That the file is there is all that it says."""

    def create_data(self, entry: Element, metadata: Any) -> bytes:
        private = self._private_set()
        creator = next((item for item in private.helpers.creators if isinstance(item, CfgPrivateKeyCreator)), None)
        if creator is None:
            raise PluginExecutionError(f"{self.name} needs {private.path}/privkey.xml")
        path = private.path.removeprefix(self.cfg.data)
        contents = private.contents(etree.Element("Path", name=path), metadata)  # which may make both halves
        file = private.choice.best(metadata)
        specific = creator.destination(metadata) if file is None else file.specific
        try:
            with file_lock(creator.get_filename(specific)):
                return self._public_half(creator, specific, contents.raw, metadata)
        except OSError as err:
            raise PluginExecutionError(f"{self.name} cannot make {creator.public_path(specific)}: {err}") from err

    def is_due(self, file: CfgGenerator, metadata: Any) -> bool:
        return not os.path.exists(file.name)  # it has just been deleted

    def _private_set(self) -> CfgEntrySet:
        folder = os.path.dirname(self.name)
        if not folder.endswith(_SUFFIX):
            raise PluginExecutionError(f"{self.name} is of use in a folder only whose name ends with {_SUFFIX}")
        private = self.cfg.entries.get(os.path.relpath(folder.removesuffix(_SUFFIX), self.cfg.data))
        if not isinstance(private, CfgEntrySet):
            raise PluginExecutionError(f"{self.name}: there is no private key, in {folder.removesuffix(_SUFFIX)}")
        return private

    @staticmethod
    def _public_half(creator: CfgPrivateKeyCreator, specific: Specificity, private: bytes, metadata: Any) -> bytes:
        """What is stored for SPECIFIC, else the half of the key PRIVATE, which then is stored."""
        core, path = creator.cfg.core, creator.public_path(specific)
        data = stored(core, path)
        if data is None:
            with needing_cryptography():
                from bcfg2.server.pki import sshkeys
            data = f"{sshkeys.public_half(private, creator.passphrase(metadata))} {path}\n".encode()
            store(core, [NewFile(path, data, secret=False)], None)
        return data
