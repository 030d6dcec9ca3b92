"""Encryption at rest as plugins and templates of sites use it; they import it as ``Bcfg2.Server.Encryption``.

.. code-block:: text

    encryption            single functions
      keyring             the passphrases of a configuration
        cipherformats     the forms of encrypted data
"""

from collections.abc import Mapping

from bcfg2 import xml
from bcfg2.server.cipherformats import (
    DEFAULT_ALGORITHM,
    MODERN_ALGORITHM,
    EncryptionError,
    decrypt,
    encrypt_modern,
    encrypt_old,
    is_encrypted,
    normalized,
)
from bcfg2.server.keyring import Keyring
from bcfg2.server.plugin.services import current_core

__all__ = [
    "EVPError",
    "EncryptionError",
    "bruteforce_decrypt",
    "is_encrypted",
    "print_xml",
    "ssl_decrypt",
    "ssl_encrypt",
]

#: The name under which existing plugins catch it.
EVPError = EncryptionError


def ssl_encrypt(
    plaintext: str | bytes, passwd: str | bytes, algorithm: str = DEFAULT_ALGORITHM, salt: bytes | None = None
) -> str:
    """PLAINTEXT, encrypted with the passphrase PASSWD: one line of base64 with a newline at its end.

    ALGORITHM ``aes_256_gcm`` stands for the modern form, which takes no SALT (8 bytes, by default random).
    """
    name = normalized(algorithm)
    if name == MODERN_ALGORITHM:
        made = encrypt_modern(_bytes(plaintext), _bytes(passwd))
    else:
        made = encrypt_old(_bytes(plaintext), _bytes(passwd), name, salt or b"")
    return f"{made.decode('ascii')}\n"


def ssl_decrypt(data: str | bytes, passwd: str | bytes, algorithm: str = DEFAULT_ALGORITHM) -> str | bytes:
    """What DATA, encrypted with the passphrase PASSWD, holds: as text, or as bytes if it is not UTF-8.

    Raises EncryptionError.
    """
    name = normalized(algorithm)
    return _text_or_bytes(decrypt(data, _bytes(passwd), DEFAULT_ALGORITHM if name == MODERN_ALGORITHM else name))


def bruteforce_decrypt(
    crypted: str | bytes, passphrases: Mapping[str, str] | None = None, algorithm: str | None = None
) -> str | bytes:
    """What CRYPTED holds, by whichever of PASSPHRASES (name to passphrase) opens it: text, or bytes if not UTF-8.

    By default, within the server, passphrases and ALGORITHM are those of its configuration.  Raises EncryptionError.
    """
    if passphrases is None or algorithm is None:
        configured = Keyring.of(current_core().options)
        passphrases = configured.passphrases if passphrases is None else passphrases
        algorithm = algorithm or configured.algorithm
    name = normalized(algorithm)
    keyring = Keyring(passphrases, DEFAULT_ALGORITHM if name == MODERN_ALGORITHM else name)
    return _text_or_bytes(keyring.decrypt_any(crypted))


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def print_xml(element: xml.Element, keep_text: bool = False) -> str:
    """ELEMENT without its children for people to read, with KEEP_TEXT also its text."""
    return xml.shown(element, text=keep_text)
