"""The command: its options, and one file after the other."""

import logging
import os
import stat
import sys
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from lxml import etree

from bcfg2 import xml
from bcfg2.options import REPOSITORY, Argument, BooleanOption, Declaration, ExclusiveGroup, Option, OptionGroup, Options
from bcfg2.server.cipherformats import is_encrypted
from bcfg2.server.crypt import documents, editing, upgrading, wholefiles
from bcfg2.server.crypt.keys import CryptError, Keys
from bcfg2.server.keyring import ENCRYPTION_OPTIONS
from bcfg2.server.storage import atomic_write, remove_leftovers

logger = logging.getLogger("bcfg2.crypt")

#: Stands for standard input and output.
_STANDARD = "-"


def _xpath(text: str) -> Any:
    try:
        return etree.XPath(text)
    except etree.XPathError as err:
        raise ValueError(f"not an XPath expression: {err}") from None


OPTIONS: list[Declaration] = [
    REPOSITORY,
    *ENCRYPTION_OPTIONS,
    ExclusiveGroup(
        BooleanOption(flags=("--encrypt",), help="Encrypt"),
        BooleanOption(flags=("--decrypt",), help="Decrypt (without a choice: decrypt what is encrypted, else encrypt)"),
        BooleanOption(flags=("--edit",), help="Start $VISUAL or $EDITOR on a private copy in plain text"),
        BooleanOption(flags=("--upgrade",), help="Bring what is encrypted into the modern form, also in whole folders"),
    ),
    ExclusiveGroup(
        BooleanOption(flags=("--cfg",), help="Handle files as a whole"),
        BooleanOption(flags=("--properties",), help="Handle the elements of XML files"),
    ),
    BooleanOption(flags=("--stdout",), help="Print the result instead of writing it"),
    Option(flags=("-p", "--passphrase"), help="Name of the passphrase"),
    OptionGroup(
        "Properties",
        Option(flags=("--xpath",), parse=_xpath, help="XPath expression of the elements"),
        BooleanOption(flags=("-I", "--interactive"), help="Ask for each element whether to encrypt it"),
    ),
    OptionGroup("Cfg", BooleanOption(flags=("--remove",), help="Delete the plain file after encrypting it")),
    Argument(dest="files", nargs="+", help=f"Files; {_STANDARD}: from standard input to standard output"),
]


class Tool:
    """One run of the command.  STDIN and STDOUT carry data, STDERR questions."""

    def __init__(self, options: Options, stdin: TextIO, stdout: BinaryIO, stderr: TextIO) -> None:
        self._options = options
        self._keys = Keys.of(options)
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr

    def run(self) -> int:
        """Handle all files; the exit status: 0 if each of them was done."""
        editing.remove_leftovers()
        failed = False
        for named in self._options.files:
            for path in upgrading.candidates(named) if self._options.upgrade else [named]:
                try:
                    self._handle(path)
                except BrokenPipeError:
                    raise
                except OSError as err:
                    failed = True
                    logger.error("%s: %s", path, err.strerror or err)
                except CryptError as err:
                    failed = True
                    logger.error("%s: %s", path, err)
        return 1 if failed else 0

    def _handle(self, path: str) -> None:
        data = self._read(path)
        if self._options.upgrade:
            self._put(path, path, data, upgrading.upgraded(path, data, self._keys))
        elif self._is_document(path, data):
            self._document(path, data)
        else:
            self._whole_file(path, data)

    def _read(self, path: str) -> bytes:
        if path == _STANDARD:
            if self._options.edit or self._options.interactive:
                raise CryptError("a file is needed, standard input is for answers")
            return self._stdin.buffer.read()
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise CryptError("not a regular file")
        return Path(path).read_bytes()

    def _is_document(self, path: str, data: bytes) -> bool:
        """Whether elements of the file are handled, not the file as a whole."""
        if self._options.cfg or self._options.properties:
            return bool(self._options.properties)
        return path.endswith(".xml") and documents.is_properties(data)

    # elements

    def _document(self, path: str, data: bytes) -> None:
        options = self._options
        if options.remove:
            logger.warning("%s: --remove is for whole files, ignored", path)
        if options.edit:
            self._edit_document(path, data)
            return
        document = documents.Document(data, path, options.xpath)
        if options.decrypt or (not options.encrypt and document.looks_encrypted()):
            if options.interactive:
                logger.warning("%s: --interactive is for encrypting, ignored", path)
            result = document.decrypted(self._keys)
        else:
            result = document.encrypted(self._keys, self._is_wanted if options.interactive else None)
        self._put(path, path, data, result)

    def _is_wanted(self, node: xml.Element) -> bool:
        self._stderr.write(f"{xml.shown(node, text=True)}\nEncrypt this element? [y/N] ")
        self._stderr.flush()
        return self._stdin.readline().strip().lower() in ("y", "yes")

    def _edit_document(self, path: str, data: bytes) -> None:
        root = documents.parse(data, path)
        known = documents.opened(root, self._keys)

        def use(content: bytes) -> None:
            new = documents.parse(content, path)
            documents.sealed(new, self._keys, known)
            self._replace(path, data, documents.text_of(new))

        self._edit(path, documents.text_of(root), use)

    # whole files

    def _whole_file(self, path: str, data: bytes) -> None:
        options = self._options
        for flag, given in (("--xpath", options.xpath), ("--interactive", options.interactive)):
            if given:
                logger.warning("%s: %s is for Properties, ignored", path, flag)
        if options.edit:
            self._edit_whole_file(path, data)
        elif options.decrypt or (not options.encrypt and is_encrypted(data)):
            if options.remove:
                logger.warning("%s: --remove is for encrypting, ignored", path)
            self._put(path, wholefiles.decrypted_path(path), None, wholefiles.decrypt(data, self._keys))
        else:
            self._encrypt_whole_file(path, data)

    def _encrypt_whole_file(self, path: str, data: bytes) -> None:
        self._put(path, wholefiles.encrypted_path(path), None, wholefiles.encrypt(data, self._keys))
        if not self._options.remove:
            return
        if self._prints(path):
            logger.warning("%s: with --stdout there is nothing else that holds it, so --remove is ignored", path)
        else:
            os.unlink(path)

    def _edit_whole_file(self, path: str, data: bytes) -> None:
        name, plaintext = wholefiles.opened(data, self._keys)
        self._edit(path, plaintext, lambda new: self._replace(path, data, wholefiles.sealed(new, self._keys, name)))

    # results

    def _edit(self, path: str, plaintext: bytes, use: Any) -> None:
        name = os.path.basename(wholefiles.decrypted_path(path))
        if not editing.edited(name, plaintext, use, self._stdin, self._stderr):
            logger.warning("%s: nothing was changed", path)

    def _replace(self, path: str, data: bytes, result: bytes) -> None:
        """Put RESULT into the file PATH, of which DATA was edited; CryptError if it has changed meanwhile."""
        try:
            if Path(path).read_bytes() != data:
                raise CryptError("the file was changed by somebody else meanwhile")
            self._write(path, result, None)
        except OSError as err:
            raise CryptError(f"cannot be written: {err.strerror or err}") from None

    def _prints(self, path: str) -> bool:
        return bool(self._options.stdout) or path == _STANDARD

    def _put(self, path: str, target: str, before: bytes | None, result: bytes) -> None:
        """Print RESULT, which was made of the file PATH, or write it to TARGET, which holds BEFORE if that is known."""
        if self._prints(path):
            self._print(path, result)
        elif result != before:
            is_secret = target == wholefiles.decrypted_path(path)
            self._write(target, result, 0o600 if is_secret else stat.S_IMODE(os.stat(path).st_mode))
            logger.info("%s: wrote %s", path, target)

    def _print(self, path: str, result: bytes) -> None:
        several = path != _STANDARD and (len(self._options.files) > 1 or self._options.upgrade)
        if several:
            self._stdout.write(f"----- {os.path.abspath(path)} -----\n".encode(errors="surrogateescape"))
        self._stdout.write(result)
        if several:
            self._stdout.write(b"\n" if result.endswith(b"\n") else b"\n\n")
        self._stdout.flush()

    @staticmethod
    def _write(target: str, result: bytes, mode_if_new: int | None) -> None:
        remove_leftovers(os.path.dirname(os.path.realpath(target)))
        atomic_write(target, result, mode=None if os.path.exists(target) else mode_if_new)


def run(options: Options) -> int:
    """Do what OPTIONS say; the exit status."""
    try:
        return Tool(options, sys.stdin, sys.stdout.buffer, sys.stderr).run()
    except CryptError as err:
        logger.error("%s", err)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
