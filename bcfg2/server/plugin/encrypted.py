"""Encrypted elements of XML files, and what is to be read again when passphrases change.

An element with the attribute ``encrypted="NAME"`` has text that was encrypted with the passphrase NAME.
"""

import logging
import threading
import weakref
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Protocol

from lxml import etree

from bcfg2 import xml
from bcfg2.server.cipherformats import EncryptionError, is_encrypted
from bcfg2.server.keyring import Keyring
from bcfg2.server.plugin.exceptions import PluginExecutionError

logger = logging.getLogger(__name__)

#: (name of a passphrase, plain text) -> the cipher text that a file has for it.
CipherTexts = Mapping[tuple[str, str], str]


class Reloadable(Protocol):
    """What can be read again from its files; it logs what it cannot read."""

    def reload(self) -> Any: ...


class NamedFile(Reloadable, Protocol):
    """A file that can be read again; `name` is its path."""

    name: str


class PassphraseUsers:
    """Everything that has, or would have, decrypted something.  May be used by any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: weakref.WeakSet[Reloadable] = weakref.WeakSet()

    def add(self, user: Reloadable) -> None:
        """Have USER read again when passphrases change."""
        with self._lock:
            self._users.add(user)

    def reload(self) -> None:
        """Read all of them again."""
        with self._lock:
            users = list(self._users)
        for user in users:
            user.reload()


class Decryption:
    """The decryption of the elements of FILE, which joins USERS when there are any.

    `lax`: whether what cannot be decrypted is left as it is.  `cipher_texts`: what has been decrypted so far.
    """

    def __init__(self, file: NamedFile, keyring: Keyring, lax: bool, users: PassphraseUsers) -> None:
        self.lax = lax
        self.cipher_texts: dict[tuple[str, str], str] = {}
        self._file = file
        self._keyring = keyring
        self._users = users

    def text(self, name: str, cipher_text: str) -> str:
        """What CIPHER_TEXT, marked with NAME, holds; EncryptionError unless that is known or decryption is lax."""
        self._users.add(self._file)
        try:
            plaintext = _fit_for_xml(self._keyring.decrypt_text(cipher_text, name))
        except EncryptionError as err:
            if not self.lax:
                raise
            logger.debug("%s: cannot decrypt the text marked %s, leaving it as it is: %s", self._file.name, name, err)
            return cipher_text
        self.cipher_texts[name, plaintext] = cipher_text
        return plaintext

    def tree(self, root: xml.Element) -> None:
        """Decrypt the marked elements of ROOT.  PluginExecutionError names the one that fails."""
        for node, name in marked(root):
            try:
                xml.set_leading_text(node, self.text(name, xml.leading_text(node)))
            except EncryptionError as err:
                raise PluginExecutionError(
                    f"line {node.sourceline}: cannot decrypt the text of {xml.shown(node)}: {err}"
                ) from None


def marked(root: Any) -> Iterator[tuple[xml.Element, str]]:
    """The elements of ROOT, an element or a tree, that are marked as encrypted and have a text; each with its mark."""
    for node in root.iter(etree.Element):
        name = node.get("encrypted")
        if name and xml.leading_text(node).strip():
            yield node, name


def encrypted_copy(document: Any, keyring: Keyring, known: CipherTexts) -> Any:
    """A copy of DOCUMENT, an element or a tree, in which marked elements are encrypted: as KNOWN says, else anew.

    What looks encrypted already stays as it is.  Raises EncryptionError, for instance if a passphrase is not known.
    """
    copy = deepcopy(document)
    for node, name in marked(copy):
        text = xml.leading_text(node)
        if not is_encrypted(text):
            xml.set_leading_text(node, known.get((name, text)) or keyring.encrypt(text, name))
    return copy


def _fit_for_xml(text: str) -> str:
    """TEXT; EncryptionError if XML cannot hold it."""
    if xml.legal(text) != text:
        raise EncryptionError("what comes out has characters that XML cannot hold")
    return text
