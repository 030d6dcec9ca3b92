"""Files that are encrypted as a whole."""

from bcfg2.server.cipherformats import is_encrypted
from bcfg2.server.crypt.keys import CryptError, Keys
from bcfg2.server.keyring import is_text

_SUFFIX = ".crypt"


def encrypted_path(path: str) -> str:
    """Where the encryption of the file PATH goes."""
    return path + _SUFFIX


def decrypted_path(path: str) -> str:
    """Where the decryption of the file PATH goes: beside it, or in its place if it has no ``.crypt`` to take off."""
    return path.removesuffix(_SUFFIX)


def encrypt(data: bytes, keys: Keys) -> bytes:
    """DATA as an encrypted file has it; CryptError if it is encrypted already."""
    if is_encrypted(data):
        raise CryptError("it looks encrypted already")
    return sealed(data, keys, keys.needed_default())


def decrypt(data: bytes, keys: Keys) -> bytes:
    """What the encrypted file DATA holds; CryptError if the passphrase, or none of them, opens it."""
    return opened(data, keys)[1]


def opened(data: bytes, keys: Keys) -> tuple[str, bytes]:
    """The name of the passphrase that opens DATA, and what it holds.

    Without a choice all passphrases are tried.  A wrong one may seem to open data of the old form, but hardly to text.
    CryptError if none opens it, or it cannot be told which is the right one.
    """
    if keys.default is not None:
        return keys.default, keys.decrypt(data, keys.default)
    found: dict[bytes, str] = {}
    problem = "section [encryption] of the configuration file has no passphrases"
    for name in keys.keyring.passphrases:
        try:
            found.setdefault(keys.decrypt(data, name), name)
        except CryptError as err:
            problem = f"no passphrase opens it ({err})"
    best = {plaintext: name for plaintext, name in found.items() if is_text(plaintext, keys.encoding)} or found
    if not best:
        raise CryptError(problem)
    if len(best) > 1:
        raise CryptError(f"several passphrases seem to open it, choose one by -p: {', '.join(best.values())}")
    plaintext, name = best.popitem()
    return name, plaintext


def sealed(data: bytes, keys: Keys, name: str) -> bytes:
    """DATA, encrypted with the passphrase NAME, as a file has it."""
    return keys.encrypt(data, name).encode() + b"\n"
