"""Which passphrase bcfg2-crypt uses, and which salt new data of the modern form takes."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from bcfg2.options import Options
from bcfg2.server.cipherformats import EncryptionError, decode
from bcfg2.server.keyring import Keyring

#: How data of the modern form begins, in base64.
_MODERN_DATA = re.compile(rb"QmNmZzJ2Ml[A-Za-z0-9+/]{50,}={0,2}")
#: Where in a salt begins and ends.
_SALT = slice(9, 25)
#: How many different salts are tried: each takes a fraction of a second.
_MAX_SALTS = 8


class CryptError(Exception):
    """A file cannot be handled; the text is one line that says why."""


@dataclass(frozen=True)
class Keys:
    """The passphrases, the name that was `chosen` on the command line, and the `encoding` of texts.

    `repository`: where data is looked for whose salt new data takes; None: nowhere.
    """

    keyring: Keyring
    chosen: str | None = None
    encoding: str = "utf-8"
    repository: str | None = None
    #: The names for which that was done.
    _salted: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, options: Options) -> Self:
        """Those of OPTIONS; CryptError if the chosen name is not there."""
        keyring = Keyring.of(options)
        chosen = options.passphrase
        if chosen is not None and chosen not in keyring.passphrases:  # not shown: it may be a passphrase
            names = ", ".join(keyring.passphrases) or "no names at all"
            raise CryptError(f"-p wants the name of a passphrase; section [encryption] of {options.config} has {names}")
        return cls(keyring, chosen, options.components_encoding, options.server_repository)

    def modern(self) -> Self:
        """The same, making data of the modern form."""
        return replace(self, keyring=replace(self.keyring, modern=True))

    @property
    def default(self) -> str | None:
        """The name that is used where nothing says another: the chosen one, else the only one."""
        names = list(self.keyring.passphrases)
        return self.chosen or (names[0] if len(names) == 1 else None)

    def needed_default(self) -> str:
        """The same; CryptError if there is none."""
        name = self.default
        if name is None:
            names = ", ".join(self.keyring.passphrases)
            raise CryptError(
                f"which passphrase? choose one by -p: {names}"
                if names
                else "section [encryption] of the configuration file has no passphrases"
            )
        return name

    def encrypt(self, plaintext: str | bytes, name: str) -> str:
        """PLAINTEXT, encrypted with the passphrase NAME; CryptError if that cannot be."""
        if self.keyring.modern and self.repository is not None and name not in self._salted:
            self._salted.add(name)
            _take_salt(self.repository, self.keyring, name)
        try:
            return self.keyring.encrypt(plaintext, name)
        except EncryptionError as err:
            raise CryptError(str(err)) from None

    def decrypt(self, data: str | bytes, name: str) -> bytes:
        """What DATA, encrypted with the passphrase NAME, holds; CryptError if that cannot be."""
        try:
            return self.keyring.decrypt(data, name)
        except EncryptionError as err:
            raise CryptError(str(err)) from None


def _take_salt(repository: str, keyring: Keyring, name: str) -> None:
    """Open some data of the passphrase NAME in REPOSITORY: what is encrypted from now on takes its salt.

    The server derives a key for each salt, so it reads a repository fast in which there are few.
    """
    tried: set[bytes] = set()
    for data in _modern_data(repository):
        salt = decode(data)[_SALT]
        if salt in tried:
            continue
        tried.add(salt)
        try:
            keyring.decrypt(data, name)
        except EncryptionError:
            if len(tried) < _MAX_SALTS:
                continue
        return


def _modern_data(repository: str) -> Iterator[bytes]:
    """The data of the modern form in the files of REPOSITORY."""
    for folder, folders, files in os.walk(repository):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.endswith((".xml", ".crypt")) or ".crypt." in name:
                try:
                    content = Path(folder, name).read_bytes()
                except OSError:
                    continue
                yield from _MODERN_DATA.findall(content)
