"""XML files, mainly Properties, of which the texts of elements are encrypted."""

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from lxml import etree

from bcfg2 import xml
from bcfg2.server.cipherformats import is_encrypted
from bcfg2.server.crypt.keys import CryptError, Keys

logger = logging.getLogger("bcfg2.crypt")

#: (name of a passphrase, plain text) -> the cipher text that a file has for it.
CipherTexts = Mapping[tuple[str, str], str]
#: Tells whether an element is wanted.
Wanted = Callable[[xml.Element], bool]


class Document:
    """The document DATA of the file PATH and the elements with text of it that are to be handled.

    These are what XPATH, a compiled expression, selects; else those marked ``encrypted``; else all.  CryptError if DATA
    is not well-formed.
    """

    def __init__(self, data: bytes, path: str, xpath: Any | None = None) -> None:
        self._data = data
        self._path = path
        self._root = parse(data, path)
        self._nodes = [node for node in self._chosen(xpath) if xml.leading_text(node).strip()]

    def looks_encrypted(self) -> bool:
        """Whether one of the elements looks encrypted."""
        return any(is_encrypted(xml.leading_text(node)) for node in self._nodes)

    def encrypted(self, keys: Keys, wanted: Wanted | None = None) -> bytes:
        """The document with the elements encrypted, but for those that are not WANTED."""
        for node in self._nodes:
            if is_encrypted(xml.leading_text(node)):
                raise CryptError(f"line {node.sourceline}: {xml.shown(node)} is encrypted already")
        names = [self._name_for(node, keys) for node in self._nodes]
        changed = False
        for node, name in zip(self._nodes, names, strict=True):
            if wanted is None or wanted(node):
                xml.set_leading_text(node, keys.encrypt(xml.leading_text(node), name))
                node.set("encrypted", name)
                changed = True
        return text_of(self._root) if changed else self._data

    def decrypted(self, keys: Keys) -> bytes:
        """The document with the elements decrypted, and the space around their texts taken away.

        An error line names each that does not open; if none of them does, this is a CryptError.
        """
        problems = []
        for node in self._nodes:
            name = self._name_for(node, keys)
            try:
                xml.set_leading_text(node, keys.keyring.decrypt_text(xml.leading_text(node), name).strip())
            except ValueError as err:  # an EncryptionError, or it has characters that XML cannot hold
                problems.append(f"line {node.sourceline}: cannot decrypt {xml.shown(node)}: {err}")
            else:
                node.set("encrypted", name)
        if self._nodes and len(problems) == len(self._nodes):
            raise CryptError("; ".join(problems))
        for problem in problems:
            logger.error("%s: %s", self._path, problem)
        return text_of(self._root) if self._nodes else self._data

    def _chosen(self, xpath: Any | None) -> list[xml.Element]:
        if xpath is None:
            nodes = list(self._root.iter(etree.Element))
            return [node for node in nodes if node.get("encrypted") is not None] or nodes
        try:
            found = xpath(self._root.getroottree())
        except etree.XPathError as err:
            raise CryptError(f"the XPath expression cannot be evaluated: {err}") from None
        if not isinstance(found, list) or not all(_is_element(node) for node in found):
            raise CryptError("the XPath expression has to select elements")
        if not found:
            logger.warning("%s: the XPath expression selects nothing", self._path)
        return found

    def _name_for(self, node: xml.Element, keys: Keys) -> str:
        """The passphrase that the mark of NODE names, else the default one; CryptError if there is none."""
        mark = node.get("encrypted")
        if mark is not None:
            if mark in keys.keyring.passphrases:
                return mark
            logger.warning(
                "%s: line %s: there is no passphrase of the name in %s", self._path, node.sourceline, xml.shown(node)
            )
        return keys.needed_default()


def is_properties(data: bytes) -> bool:
    """Whether DATA is a well-formed document with the root element ``Properties``."""
    try:
        return bool(parse(data, "").tag == "Properties")
    except CryptError:
        return False


def parse(data: bytes, path: str) -> xml.Element:
    """The root element of the document DATA of the file PATH, with comments."""
    try:
        return xml.parse_bytes(data, os.path.basename(path), comments=True)
    except xml.XMLError as err:
        raise CryptError(f"not well-formed: {err}") from None


def text_of(root: xml.Element, *, declaration: bool = False) -> bytes:
    """The document of ROOT as a file has it: as it was read, in UTF-8, without an XML declaration unless asked."""
    nodes = [*reversed(list(root.itersiblings(preceding=True))), root, *root.itersiblings()]
    lines = [etree.tostring(node, encoding="utf-8", xml_declaration=False, with_tail=False) for node in nodes]
    doctype = root.getroottree().docinfo.doctype  # type: ignore[attr-defined]  # the stubs of lxml lack it
    if doctype:
        lines.insert(0, doctype.encode())
    if declaration:
        lines.insert(0, b'<?xml version="1.0" encoding="UTF-8"?>')
    return b"\n".join(lines) + b"\n"


def opened(root: xml.Element, keys: Keys) -> CipherTexts:
    """Decrypt in place all elements of ROOT that are marked and look encrypted, exactly.

    The answer tells the cipher text of each name and plain text.  What does not open is left alone, with a warning.
    """
    known: dict[tuple[str, str], str] = {}
    for node in root.iter(etree.Element):
        text, name = xml.leading_text(node), node.get("encrypted")
        if not name or not is_encrypted(text):
            continue
        try:
            plaintext = keys.keyring.decrypt_text(text, name)
            xml.set_leading_text(node, plaintext)
        except ValueError as err:  # an EncryptionError, or it has characters that XML cannot hold
            logger.warning("line %s: %s stays encrypted: %s", node.sourceline, xml.shown(node), err)
        else:
            known[name, plaintext] = text
    return known


def sealed(root: xml.Element, keys: Keys, known: CipherTexts) -> None:
    """Encrypt in place all elements of ROOT that are marked and have a text: as KNOWN says, else anew."""
    for node in root.iter(etree.Element):
        text, name = xml.leading_text(node), node.get("encrypted")
        if name and text.strip() and not is_encrypted(text):
            xml.set_leading_text(node, known.get((name, text)) or keys.encrypt(text, name))


def _is_element(node: Any) -> bool:
    return isinstance(node, etree._Element) and xml.is_element(node)
