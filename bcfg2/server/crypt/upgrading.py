"""From the old form of encrypted data to the modern one."""

import os
from collections.abc import Iterator

from lxml import etree

from bcfg2 import xml
from bcfg2.server.cipherformats import is_encrypted, is_modern
from bcfg2.server.crypt import documents, wholefiles
from bcfg2.server.crypt.keys import CryptError, Keys


def candidates(path: str) -> Iterator[str]:
    """The files at or below PATH that may hold encrypted data, by their names; hidden ones are left out."""
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and (name.endswith((".xml", ".crypt")) or ".crypt." in name):
                yield os.path.join(folder, name)


def upgraded(path: str, data: bytes, keys: Keys) -> bytes:
    """DATA, the content of the file PATH, with all that is encrypted in it in the modern form.

    What is in that form already stays as it is.  CryptError if something cannot be decrypted.
    """
    if is_encrypted(data):
        if is_modern(data):
            return data
        name, plaintext = wholefiles.opened(data, keys)
        return wholefiles.sealed(plaintext, keys.modern(), name)
    return _document(path, data, keys) if path.endswith(".xml") else data


def _document(path: str, data: bytes, keys: Keys) -> bytes:
    root, modern, changed = documents.parse(data, path), keys.modern(), False
    for node in root.iter(etree.Element):
        name, text = node.get("encrypted"), xml.leading_text(node)
        if not name or not is_encrypted(text) or is_modern(text):
            continue
        try:
            plaintext = keys.decrypt(text, name)
        except CryptError as err:
            raise CryptError(f"line {node.sourceline}: cannot decrypt {xml.shown(node)}: {err}") from None
        xml.set_leading_text(node, modern.encrypt(plaintext, name))
        changed = True
    if not changed:
        return data
    return documents.text_of(root, declaration=data.lstrip().startswith(b"<?xml"))
