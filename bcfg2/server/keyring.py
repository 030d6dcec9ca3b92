"""The passphrases of section ``[encryption]``, and what they open.

The forms of encrypted data are in `cipherformats`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from bcfg2.options import BooleanOption, Option, Options, WildcardOption
from bcfg2.server.cipherformats import (
    DEFAULT_ALGORITHM,
    MODERN_ALGORITHM,
    EncryptionError,
    decrypt,
    encrypt_modern,
    encrypt_old,
    is_modern,
    normalized,
)

ENCRYPTION_OPTIONS: list[Option] = [
    Option(
        "encryption",
        "algorithm",
        default=DEFAULT_ALGORITHM,
        parse=normalized,
        help=f"Cipher of encrypted data, by its OpenSSL name; {MODERN_ALGORITHM}: new data gets the modern form",
    ),
    BooleanOption(
        "encryption",
        "lax_decryption",
        default=False,
        help="Whether what cannot be decrypted is left as it is, instead of being an error",
    ),
    Option("encryption", "decrypt", help="Reserved (a setting of 1.3 without effect); never a passphrase"),
    WildcardOption(
        "encryption",
        "*",
        secret=True,
        literal=True,
        help="Passphrases by name; the value is taken as it stands, without the blanks around it",
    ),
]


@dataclass(frozen=True)
class Keyring:
    """The passphrases of a configuration, in its order, and how they are used.

    `algorithm`: of data in the old form, and of new data unless `modern` is true.  `lax`: whether what cannot be
    decrypted is no error.
    """

    passphrases: Mapping[str, str] = field(repr=False)
    algorithm: str = DEFAULT_ALGORITHM
    modern: bool = False
    lax: bool = False

    @classmethod
    def of(cls, options: Options) -> Self:
        """The passphrases of OPTIONS, which include :data:`ENCRYPTION_OPTIONS`."""
        algorithm = options.encryption_algorithm
        modern = algorithm == MODERN_ALGORITHM
        return cls(
            options.encryption,
            DEFAULT_ALGORITHM if modern else algorithm,
            modern,
            options.encryption_lax_decryption,
        )

    def encrypt(self, plaintext: str | bytes, name: str) -> str:
        """PLAINTEXT (text: as UTF-8), encrypted with the passphrase NAME: one line of base64 without its end.

        A file holds it with a newline at the end.  Raises EncryptionError, as all methods here.
        """
        passphrase = self._passphrase(name)
        data = plaintext.encode() if isinstance(plaintext, str) else plaintext
        made = encrypt_modern(data, passphrase) if self.modern else encrypt_old(data, passphrase, self.algorithm)
        return made.decode("ascii")

    def decrypt(self, data: str | bytes, name: str) -> bytes:
        """What DATA, encrypted with the passphrase NAME, holds."""
        return decrypt(data, self._passphrase(name), self.algorithm)

    def decrypt_text(self, data: str | bytes, name: str) -> str:
        """What DATA, encrypted with the passphrase NAME, holds, as UTF-8 text."""
        try:
            return self.decrypt(data, name).decode("utf-8")
        except UnicodeDecodeError:
            raise EncryptionError("what comes out is not UTF-8 text: the passphrase does not fit") from None

    def decrypt_any(self, data: str | bytes, encoding: str = "utf-8") -> bytes:
        """What DATA holds, by the first passphrase that opens it, preferably as text in ENCODING."""
        return self.opened(data, encoding)[1]

    def opened(self, data: str | bytes, encoding: str = "utf-8") -> tuple[str, bytes]:
        """Like :meth:`decrypt_any`, with the name of the passphrase in front."""
        if not self.passphrases:
            raise EncryptionError("section [encryption] of the configuration file has no passphrases")
        found: tuple[str, bytes] | None = None
        problem = ""
        for name in self.passphrases:
            try:
                plaintext = self.decrypt(data, name)
            except EncryptionError as err:
                problem = str(err)
                continue
            if is_modern(data) or is_text(plaintext, encoding):
                return name, plaintext
            found = found or (name, plaintext)
        if found is None:
            raise EncryptionError(problem if len(self.passphrases) == 1 else f"no passphrase opens it ({problem})")
        return found

    def _passphrase(self, name: str) -> bytes:
        if name not in self.passphrases:
            raise EncryptionError(f"section [encryption] of the configuration file has no passphrase {name}")
        return self.passphrases[name].encode()


def is_text(data: bytes, encoding: str) -> bool:
    """Whether DATA is text in ENCODING."""
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
