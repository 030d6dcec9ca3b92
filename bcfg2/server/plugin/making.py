"""Files that plugins make themselves, such as keys: made once, encrypted if so wanted, in force at once.

.. code-block:: text

    with file_lock(path):                    one thread of one process at a time
        data = stored(core, path)            another one may just have made it
        if data is None:
            store(core, [NewFile(...)], passphrase)
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from bcfg2.server.cipherformats import EncryptionError
from bcfg2.server.keyring import Keyring
from bcfg2.server.plugin.exceptions import PluginExecutionError
from bcfg2.server.plugin.specific import read_file
from bcfg2.server.storage import atomic_write, refuse_if_read_only

#: What is appended to the name of an encrypted file.
CRYPT = ".crypt"


class NewFile(NamedTuple):
    """A file that is to be stored.  `path`: as it is called where it is not encrypted; `secret`: whether it may be."""

    path: str
    data: bytes
    secret: bool = True


@contextmanager
def needing_cryptography() -> Iterator[None]:
    """For the import of modules that make keys: tell what to install where that is missing."""
    try:
        yield
    except ModuleNotFoundError as err:
        raise PluginExecutionError(f"keys need the Python package {err.name}: install bcfg2[encryption]") from None


def stored(core: Any, path: str) -> bytes | None:
    """What the file PATH holds, encrypted or not, as it is on disk; None if there is no such file.

    Raises PluginExecutionError and OSError.
    """
    with suppress(FileNotFoundError):
        return read_file(path)
    try:
        data = read_file(path + CRYPT)
    except FileNotFoundError:
        return None
    try:
        return Keyring.of(core.options).decrypt_any(data, core.options.components_encoding)
    except EncryptionError as err:
        raise PluginExecutionError(f"{path}{CRYPT} cannot be decrypted: {err}") from None


def store(core: Any, files: Sequence[NewFile], passphrase: str | None) -> None:
    """Write FILES in their order, the secret ones encrypted with the PASSPHRASE of that name, and have them in force.

    Raises PluginExecutionError and OSError.
    """
    mode = 0o666 & ~getattr(core.options, "server_umask", 0o077)
    written = []
    for file in files:
        path, other, data = file.path, file.path + CRYPT, file.data
        if file.secret and passphrase:
            path, other = other, path
            data = _encrypted(core, file, passphrase)
        refuse_if_read_only(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        atomic_write(path, data, mode=mode & 0o660 if file.secret else mode)
        with suppress(FileNotFoundError):
            os.unlink(other)  # what this takes the place of
        written.append(path)
    core.fam.announce(written, core.lock)
    core.share(*written)
    core.logger.info("Made %s", ", ".join(written))


def _encrypted(core: Any, file: NewFile, passphrase: str) -> bytes:
    try:
        return Keyring.of(core.options).encrypt(file.data, passphrase).encode("ascii") + b"\n"
    except EncryptionError as err:
        raise PluginExecutionError(f"{file.path} cannot be stored: {err}") from None
