"""Private keys for TLS, in PEM."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from bcfg2.server.plugin.exceptions import PluginExecutionError

_BITS = 2048
_RSA_LEAST, _RSA_MOST = 1024, 16384
_DSA_BITS = (1024, 2048, 3072, 4096)
_CURVES: dict[int, type[ec.EllipticCurve]] = {256: ec.SECP256R1, 384: ec.SECP384R1, 521: ec.SECP521R1}


def generate(kind: str, bits: str | None = None) -> bytes:
    """A new key without a passphrase.  KIND: ``rsa`` (default 2048 BITS), ``dsa``, ``ec`` (256), ``ed25519``.

    Raises PluginExecutionError for what there is not.
    """
    if bits and not (bits.isascii() and bits.isdigit()):
        raise PluginExecutionError(f"bits={bits!r} is not a number")
    key = _new_key(kind.lower(), int(bits) if bits else None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _new_key(kind: str, bits: int | None) -> CertificateIssuerPrivateKeyTypes:
    if kind == "rsa":
        size = bits or _BITS
        if not _RSA_LEAST <= size <= _RSA_MOST:
            raise PluginExecutionError(f"rsa keys have {_RSA_LEAST} to {_RSA_MOST} bits, not {size}")
        return rsa.generate_private_key(65537, size)
    if kind == "dsa":
        size = bits or _BITS
        if size not in _DSA_BITS:
            raise PluginExecutionError(f"there are no dsa keys of {size} bits: use {', '.join(map(str, _DSA_BITS))}")
        return dsa.generate_private_key(size)
    if kind in ("ec", "ecdsa"):
        if bits not in (None, *_CURVES):
            raise PluginExecutionError(f"there are no ec keys of {bits} bits: use 256, 384 or 521")
        return ec.generate_private_key(_CURVES[bits or 256]())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise PluginExecutionError(f"TLS keys of type {kind!r} are not made: use rsa, dsa, ec or ed25519")


def load(data: bytes, passphrase: str | None = None) -> CertificateIssuerPrivateKeyTypes:
    """The key in DATA, PEM, for which PASSPHRASE is used if it is needed.  Raises PluginExecutionError."""
    try:
        try:
            key = load_pem_private_key(data, None)
        except TypeError:  # it is protected
            key = load_pem_private_key(data, (passphrase or "").encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as err:
        raise PluginExecutionError(f"the private key cannot be read: {err}") from None
    kinds = (rsa.RSAPrivateKey, dsa.DSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)
    if not isinstance(key, (*kinds, ed448.Ed448PrivateKey)):
        raise PluginExecutionError("the private key is not for certificates")
    return key


def as_der(key: PublicKeyTypes) -> bytes:
    """The public KEY in the form that is the same for equal keys."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
