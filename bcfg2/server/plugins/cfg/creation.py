"""What the XML files have in common that say how contents are made: where they go, and that they are made once.

.. code-block:: text

    CfgXMLCreator             privkey.xml, sslkey.xml ...: a creator as most are
      destination(client)     the client or the group that the contents are for     id_rsa.G50_web
      obtain(...)             under the lock of that file:
        stored()              another thread or process may just have made it
        make()                of the subclass
        store()               written, encrypted if so configured, and in force before this returns
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from lxml import etree

from bcfg2 import xml
from bcfg2.server.encryption import EncryptionError
from bcfg2.server.filelock import file_lock
from bcfg2.server.keyring import Keyring
from bcfg2.server.plugin import PluginExecutionError, Specificity, StrictStructFile
from bcfg2.server.plugin.specific import read_file
from bcfg2.server.plugins.cfg.handlers import CfgCreator, CfgGenerator
from bcfg2.server.storage import atomic_write
from bcfg2.xml import Element

#: What is appended to the name of an encrypted file.
CRYPT = ".crypt"


@contextmanager
def needing_cryptography() -> Iterator[None]:
    """For the import of modules that make keys: tell what to install where that is missing."""
    try:
        yield
    except ModuleNotFoundError as err:
        raise PluginExecutionError(f"keys need the Python package {err.name}: install bcfg2[encryption]") from None


class CfgXMLCreator(CfgCreator):
    """An XML file that says how contents are made.  A subclass overrides :meth:`make`."""

    persistent = True
    #: The section of bcfg2.conf with the settings `category` and `passphrase`; where it has none, ``[cfg]`` counts.
    section: ClassVar[str]

    def __init__(self, name: str, specific: Specificity) -> None:
        super().__init__(name, specific)
        self.xml = StrictStructFile(name)

    def handle_event(self, event: Any = None) -> None:
        self.xml.HandleEvent(event)

    def create_data(self, entry: Element, metadata: Any) -> bytes:
        return self.obtain(self.destination(metadata), metadata)

    def make(self, specific: Specificity, metadata: Any) -> Mapping[str, bytes]:
        """The contents for the client, under :meth:`path_for` SPECIFIC, and further files that belong to them."""
        raise NotImplementedError

    def setting(self, key: str) -> str | None:
        """The setting KEY of our section, else of ``[cfg]``."""
        options = self.cfg.core.options
        found: str | None = getattr(options, f"{self.section}_{key}") or getattr(options, f"cfg_{key}")
        return found

    # where contents go

    @property
    def basename(self) -> str:
        """The name of the folder, with which the names of its files begin."""
        return os.path.basename(os.path.dirname(self.name))

    def destination(self, metadata: Any) -> Specificity:
        """For whom contents are that are made for this client: for its group of a category, or for itself."""
        self.xml.check_usable()
        root = self.xml.xdata
        category = root.get("category") or self.setting("category")
        perhost = root.get("perhost")
        if category and not xml.is_true(perhost):
            group = metadata.group_in_category(category)
            if group:
                return Specificity(group=group, prio=self._priority(root.get("priority", "50")))
            self.cfg.logger.info(
                "%s: %s has no group of the category %s, what it gets is its own",
                self.name,
                metadata.hostname,
                category,
            )
        if not metadata.hostname:
            raise PluginExecutionError(f"{self.name} makes what is for single clients, none is named")
        return Specificity(hostname=metadata.hostname)

    def _priority(self, text: str) -> int:
        if text.isascii() and text.isdigit():
            return int(text)
        raise PluginExecutionError(f"{self.name}: priority={text!r} of the root element is not a number")

    def path_for(self, specific: Specificity) -> str:
        """The file with contents for SPECIFIC, as it is called where it is not encrypted."""
        return os.path.join(os.path.dirname(self.name), specific_name(self.basename, specific))

    # making them once

    def obtain(self, specific: Specificity, metadata: Any) -> bytes:
        """The contents for SPECIFIC: those that somebody has stored by now, else new ones."""
        path = self.path_for(specific)
        try:
            with file_lock(path):
                data = self.stored(path)
                if data is None or self.is_outdated(data, metadata):
                    made = self.make(specific, metadata)
                    self.store(made)
                    data = made[path]
        except (OSError, EncryptionError) as err:
            raise PluginExecutionError(f"{self.name} cannot make {path}: {err}") from err
        return data

    def stored(self, path: str) -> bytes | None:
        """What the file PATH holds, encrypted or not, as it is on disk; None if there is no such file."""
        try:
            return read_file(path)
        except FileNotFoundError:
            pass
        try:
            data = read_file(path + CRYPT)
        except FileNotFoundError:
            return None
        return Keyring.of(self.cfg.core.options).decrypt_any(data, self.encoding)

    def is_due(self, file: CfgGenerator, metadata: Any) -> bool:
        try:
            path = self.path_for(self.destination(metadata))
        except PluginExecutionError:
            return False
        if file.name.removesuffix(CRYPT) != path:
            return False
        if not os.path.exists(file.name):
            return True  # it has just been deleted, which is the way to have a new one made
        if file.problem is not None:
            return False
        data = file.get_data(etree.Element("Path"), metadata)
        return self.is_outdated(data.encode(self.encoding) if isinstance(data, str) else data, metadata)

    def is_outdated(self, data: bytes, metadata: Any) -> bool:
        """Whether new contents are to take the place of DATA, which was made for the client."""
        return False

    def is_secret(self, path: str) -> bool:
        """Whether PATH, of what :meth:`make` gives, is encrypted where a passphrase is configured."""
        return True

    def store(self, files: Mapping[str, bytes]) -> None:
        """Write FILES, path to contents, in their order, and have them in force."""
        core = self.cfg.core
        passphrase = self.setting("passphrase")
        mode = 0o666 & ~getattr(core.options, "server_umask", 0o077)
        written = []
        for path, data in files.items():
            secret = self.is_secret(path)
            if secret and passphrase:
                path, other = path + CRYPT, path
                data = Keyring.of(core.options).encrypt(data, passphrase).encode("ascii") + b"\n"
            else:
                other = path + CRYPT
            os.makedirs(os.path.dirname(path), exist_ok=True)
            atomic_write(path, data, mode=mode & 0o660 if secret else mode)
            with suppress(FileNotFoundError):
                os.unlink(other)  # what this takes the place of
            written.append(path)
        core.fam.announce(written, core.lock)
        self.cfg.logger.info("Made %s", ", ".join(written))


def specific_name(basename: str, specific: Specificity) -> str:
    """The name of the file BASENAME for SPECIFIC."""
    if specific.hostname is not None:
        name = f"{basename}.H_{specific.hostname}"
    elif specific.group is not None:
        name = f"{basename}.G{specific.prio:02d}_{specific.group}"
    else:
        name = basename
    if os.sep in name:
        raise PluginExecutionError(f"{name} cannot be the name of a file")
    return name
