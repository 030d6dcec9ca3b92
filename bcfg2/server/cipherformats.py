"""The two forms in which the repository holds encrypted data, both base64.

.. code-block:: text

    old     "Salted__" + salt (8 bytes) + cipher text                               as ``openssl enc -md md5 -a`` has it
    modern  "Bcfg2v2_" + cost (1) + salt (16) + nonce (12) + cipher text + tag (16)

The old form derives its key with one round of MD5 and is not authenticated: a wrong passphrase is noticed by the
padding only, and one in 256 is not.  The modern form derives the key with scrypt (the cost is the binary logarithm of
its N; r is 8, p is 1) and encrypts with AES-256-GCM, which authenticates everything in front of the nonce as well.

Scrypt is slow by design.  So a key is derived once for each passphrase and salt and kept in memory, and new data takes
the salt that data of the same passphrase has already; a nonce of its own keeps each datum apart.
"""

import base64
import binascii
import functools
import hashlib
import importlib
import os
import struct
from typing import Any, NamedTuple

try:
    from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import padding
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError:
    CRYPTOGRAPHY = False
else:
    CRYPTOGRAPHY = True

OLD_MAGIC = b"Salted__"
MODERN_MAGIC = b"Bcfg2v2_"
#: How the old form is encrypted where nothing else is configured.
DEFAULT_ALGORITHM = "aes_256_cbc"
#: The algorithm that stands for the modern form.
MODERN_ALGORITHM = "aes_256_gcm"

_OLD_SALT = 8
_MODERN_HEADER = struct.Struct("8sB16s")
_NONCE, _TAG = 12, 16
#: The cost of new data: 32 MB of memory and some 80 ms.  What asks for more than the limit is not even tried.
_COST, _COST_LIMIT = 15, 20

_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))


class EncryptionError(ValueError):
    """Something cannot be encrypted or decrypted; the text says why, and holds no secret."""


class _Kind(NamedTuple):
    """A block cipher: the class of the library, the bytes of its key, and of its block."""

    name: str
    key: int
    block: int


_KINDS = {
    "aes_128": _Kind("AES", 16, 16),
    "aes_192": _Kind("AES", 24, 16),
    "aes_256": _Kind("AES", 32, 16),
    "bf": _Kind("Blowfish", 16, 8),
    "camellia_128": _Kind("Camellia", 16, 16),
    "camellia_192": _Kind("Camellia", 24, 16),
    "camellia_256": _Kind("Camellia", 32, 16),
    "cast5": _Kind("CAST5", 16, 8),
    "des": _Kind("TripleDES", 8, 8),
    "des_ede": _Kind("TripleDES", 16, 8),
    "des_ede3": _Kind("TripleDES", 24, 8),
    "idea": _Kind("IDEA", 16, 8),
    "rc2": _Kind("RC2", 16, 8),
    "seed": _Kind("SEED", 16, 16),
    "sm4": _Kind("SM4", 16, 16),
}
#: Further names that openssl has.
_ALIASES = {
    "aes128": "aes_128_cbc",
    "aes192": "aes_192_cbc",
    "aes256": "aes_256_cbc",
    "bf": "bf_cbc",
    "blowfish": "bf_cbc",
    "camellia128": "camellia_128_cbc",
    "camellia192": "camellia_192_cbc",
    "camellia256": "camellia_256_cbc",
    "cast": "cast5_cbc",
    "cast_cbc": "cast5_cbc",
    "des": "des_cbc",
    "des3": "des_ede3_cbc",
    "des_ede3": "des_ede3_cbc",
    "idea": "idea_cbc",
    "rc2": "rc2_cbc",
    "seed": "seed_cbc",
    "sm4": "sm4_cbc",
}
_MODES = ("cbc", "cfb", "ctr", "ecb", "ofb")
#: Of these, the ones that encrypt whole blocks.
_PADDED = ("cbc", "ecb")


class _OldCipher(NamedTuple):
    """A block cipher and its mode."""

    kind: _Kind
    mode: str

    def cipher(self, passphrase: bytes, salt: bytes) -> Any:
        """The library's cipher with key and initialisation vector of PASSPHRASE and SALT."""
        material = _old_key_material(passphrase, salt)
        key, vector = material[: self.kind.key], material[32 : 32 + self.kind.block]
        if self.kind.name == "TripleDES":
            key = (key * 3)[:24]  # single and double DES, as they are in terms of triple DES
        mode = _from_library("modes", self.mode.upper())
        return Cipher(_from_library("algorithms", self.kind.name)(key), mode() if self.mode == "ecb" else mode(vector))


def normalized(algorithm: str) -> str:
    """The name ALGORITHM as it stands here; EncryptionError if there is no such cipher."""
    name = algorithm.strip().lower().replace("-", "_")
    name = _ALIASES.get(name, name)
    if name != MODERN_ALGORITHM:
        _old_cipher(name)
    return name


def decode(data: str | bytes) -> bytes:
    """The bytes that the base64 text DATA holds; what is not of its alphabet is skipped.  EncryptionError if none."""
    raw = data.encode("ascii", "ignore") if isinstance(data, str) else data
    try:
        return base64.b64decode(raw.translate(None, _NOT_BASE64), validate=True)
    except binascii.Error:
        raise EncryptionError("not encrypted: it is not base64") from None


def is_encrypted(data: str | bytes) -> bool:
    """Whether DATA looks like encrypted data, of either form."""
    try:
        return decode(data).startswith((OLD_MAGIC, MODERN_MAGIC))
    except EncryptionError:
        return False


def is_modern(data: str | bytes) -> bool:
    """Whether DATA looks like encrypted data of the modern form."""
    try:
        return decode(data).startswith(MODERN_MAGIC)
    except EncryptionError:
        return False


def decrypt(data: str | bytes, passphrase: bytes, algorithm: str = DEFAULT_ALGORITHM) -> bytes:
    """What DATA, of either form, is the encryption of; ALGORITHM is that of the old form.

    Raises EncryptionError if DATA is no such thing or PASSPHRASE does not open it.
    """
    raw = decode(data)
    if raw.startswith(MODERN_MAGIC):
        return _decrypt_modern(raw, passphrase)
    if raw.startswith(OLD_MAGIC):
        return _decrypt_old(raw, passphrase, algorithm)
    raise EncryptionError("not encrypted: there is no header in front of it")


def encrypt_old(plaintext: bytes, passphrase: bytes, algorithm: str = DEFAULT_ALGORITHM, salt: bytes = b"") -> bytes:
    """PLAINTEXT in the old form, one line of base64 without its end; SALT (8 bytes) is random if not given."""
    _need_library()
    if not salt:
        salt = os.urandom(_OLD_SALT)
    if len(salt) != _OLD_SALT:
        raise EncryptionError(f"a salt has {_OLD_SALT} bytes")
    old = _old_cipher(algorithm)
    try:
        encryptor = old.cipher(passphrase, salt).encryptor()
    except UnsupportedAlgorithm:
        raise _unsupported(algorithm) from None
    if old.mode in _PADDED:
        padder = padding.PKCS7(old.kind.block * 8).padder()
        plaintext = padder.update(plaintext) + padder.finalize()
    return base64.b64encode(OLD_MAGIC + salt + encryptor.update(plaintext) + encryptor.finalize())


def _decrypt_old(raw: bytes, passphrase: bytes, algorithm: str) -> bytes:
    _need_library()
    old = _old_cipher(algorithm)
    start = len(OLD_MAGIC) + _OLD_SALT
    salt, cipher_text = raw[len(OLD_MAGIC) : start], raw[start:]
    padded = old.mode in _PADDED
    if len(salt) != _OLD_SALT or (padded and (not cipher_text or len(cipher_text) % old.kind.block)):
        raise EncryptionError("it is cut off, or was encrypted with another algorithm")
    try:
        decryptor = old.cipher(passphrase, salt).decryptor()
    except UnsupportedAlgorithm:
        raise _unsupported(algorithm) from None
    plaintext: bytes = decryptor.update(cipher_text) + decryptor.finalize()
    if padded:
        unpadder = padding.PKCS7(old.kind.block * 8).unpadder()
        try:
            plaintext = unpadder.update(plaintext) + unpadder.finalize()
        except ValueError:
            raise EncryptionError("the passphrase does not fit") from None
    return plaintext


def encrypt_modern(plaintext: bytes, passphrase: bytes) -> bytes:
    """PLAINTEXT in the modern form, one line of base64 without its end."""
    _need_library()
    header = _MODERN_HEADER.pack(MODERN_MAGIC, _COST, _salts.setdefault(passphrase, os.urandom(16)))
    nonce = os.urandom(_NONCE)
    key = _modern_key(passphrase, header)
    return base64.b64encode(header + nonce + AESGCM(key).encrypt(nonce, plaintext, header))


def _decrypt_modern(raw: bytes, passphrase: bytes) -> bytes:
    _need_library()
    start = _MODERN_HEADER.size
    header, nonce, cipher_text = raw[:start], raw[start : start + _NONCE], raw[start + _NONCE :]
    if len(cipher_text) < _TAG:
        raise EncryptionError("it is cut off")
    try:
        plaintext = AESGCM(_modern_key(passphrase, header)).decrypt(nonce, cipher_text, header)
    except InvalidTag:
        raise EncryptionError("the passphrase does not fit, or the text was damaged") from None
    _, cost, salt = _MODERN_HEADER.unpack(header)
    if cost == _COST:
        _salts.setdefault(passphrase, salt)
    return plaintext


#: passphrase -> the salt of data that it has opened or made; new data takes it, so that one key opens them all.
_salts: dict[bytes, bytes] = {}


@functools.lru_cache(maxsize=4096)
def _modern_key(passphrase: bytes, header: bytes) -> bytes:
    _, cost, salt = _MODERN_HEADER.unpack(header)
    if not 1 <= cost <= _COST_LIMIT:
        raise EncryptionError(
            f"it asks for a key derivation of the cost {cost}, which is out of bounds: it was damaged"
        )
    return hashlib.scrypt(passphrase, salt=salt, n=1 << cost, r=8, p=1, maxmem=(1 << cost) * 1024 + (1 << 20), dklen=32)


def _old_key_material(passphrase: bytes, salt: bytes) -> bytes:
    """32 bytes of which keys are taken, and 16 of which initialisation vectors are, whatever the algorithm."""
    first = hashlib.md5(passphrase + salt, usedforsecurity=False).digest()
    second = hashlib.md5(first + passphrase + salt, usedforsecurity=False).digest()
    third = hashlib.md5(second + passphrase + salt, usedforsecurity=False).digest()
    return first + second + third


def _old_cipher(algorithm: str) -> _OldCipher:
    base, _, mode = algorithm.rpartition("_")
    if base not in _KINDS or mode not in _MODES:
        raise EncryptionError(
            f"the algorithm {algorithm} is not known; choose {MODERN_ALGORITHM}, or one of {', '.join(_KINDS)} "
            f"with one of _{', _'.join(_MODES)} behind it"
        )
    return _OldCipher(_KINDS[base], mode)


@functools.cache
def _from_library(module: str, name: str) -> Any:
    """The class NAME of the library's MODULE, which moves from one package to the other as ciphers grow old."""
    for package in ("decrepit", "primitives"):
        try:
            return getattr(importlib.import_module(f"cryptography.hazmat.{package}.ciphers.{module}"), name)
        except (ImportError, AttributeError):
            continue
    raise UnsupportedAlgorithm(name)


def _unsupported(algorithm: str) -> EncryptionError:
    return EncryptionError(f"the crypto library of this machine does not have {algorithm}")


def _need_library() -> None:
    if not CRYPTOGRAPHY:
        raise EncryptionError("encryption needs the library cryptography: install bcfg2[encryption]")
