"""SSH key pairs, in the format of OpenSSH."""

import warnings
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from cryptography.hazmat.primitives.serialization.ssh import SSHPrivateKeyTypes

from bcfg2.server.plugin.exceptions import PluginExecutionError

#: What ``ssh-keygen -t`` calls the kinds of keys that are made here.
KINDS = ("rsa", "ecdsa", "ed25519")

_RSA_BITS, _RSA_LEAST, _RSA_MOST = 3072, 1024, 16384
_CURVES: dict[int, type[ec.EllipticCurve]] = {256: ec.SECP256R1, 384: ec.SECP384R1, 521: ec.SECP521R1}


class KeyPair(NamedTuple):
    """A private key as its file holds it, and the public half: kind and key, without a comment."""

    private: bytes
    public: str


def generate(kind: str, bits: int | None = None, passphrase: str | None = None) -> KeyPair:
    """A new pair of the KIND, with so many BITS (by default as many as ssh-keygen takes), protected by PASSPHRASE.

    Raises PluginExecutionError for a kind or a number of bits that there is not.
    """
    protection: KeySerializationEncryption = NoEncryption()
    if passphrase:
        protection = BestAvailableEncryption(passphrase.encode())
    key = _new_key(kind, bits)
    try:
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, protection)
    except UnsupportedAlgorithm as err:
        raise PluginExecutionError(f"a key cannot be protected with a passphrase: {err}") from None
    return KeyPair(private, _public(key))


def public_half(private: bytes, passphrase: str | None = None) -> str:
    """The public half of the key in the file content PRIVATE, in OpenSSH's format or PEM: kind and key.

    PASSPHRASE is used if it is needed.  Raises PluginExecutionError.
    """
    load = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in private else load_pem_private_key
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old kinds: they are not made, but what exists is used
        try:
            try:
                return _public(load(private, None))
            except TypeError:  # it is protected
                return _public(load(private, (passphrase or "").encode()))
        except (ValueError, TypeError, UnsupportedAlgorithm) as err:
            raise PluginExecutionError(f"the private key cannot be read: {err}") from None


def _new_key(kind: str, bits: int | None) -> SSHPrivateKeyTypes:
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ecdsa":
        if bits not in (None, *_CURVES):
            raise PluginExecutionError(f"there are no ecdsa keys of {bits} bits: use 256, 384 or 521")
        return ec.generate_private_key(_CURVES[bits or 256]())
    if kind == "rsa":
        bits = bits or _RSA_BITS
        if not _RSA_LEAST <= bits <= _RSA_MOST:
            raise PluginExecutionError(f"rsa keys have {_RSA_LEAST} to {_RSA_MOST} bits, not {bits}")
        return rsa.generate_private_key(65537, bits)
    raise PluginExecutionError(f"ssh keys of type {kind!r} are not made: use {', '.join(KINDS)}")


def _public(key: object) -> str:
    made: bytes = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)  # type: ignore[attr-defined]
    return made.decode("ascii")
