"""Pairs of host keys for hosts that have none."""

import re
from collections.abc import Mapping
from typing import Any

from bcfg2.server.filelock import file_lock
from bcfg2.server.plugin import PluginExecutionError, Specificity
from bcfg2.server.plugin.making import NewFile, needing_cryptography, store, stored
from bcfg2.server.plugins.sshbase.keyfiles import KeySet

_KIND = re.compile(r"ssh_host_(?:(?P<kind>\w+)_)?key")


class HostKeys:
    """Makes what is missing of the pairs in SETS, base name of a file -> its files."""

    def __init__(self, core: Any, sets: Mapping[str, KeySet]) -> None:
        self._core = core
        self._sets = sets

    def make(self, basename: str, metadata: Any) -> bytes:
        """The content of BASENAME, a private or a public key, for a client for which there is none.

        Both halves are made, for this client alone; if only the public one is missing, it is taken from the private
        one.  Raises PluginExecutionError.
        """
        name = basename.removesuffix(".pub")
        private, public = self._sets[name], self._sets[f"{name}.pub"]
        file = private.present(metadata)
        specific = Specificity(hostname=metadata.hostname) if file is None else file.specific
        path = private.path_for(specific)
        try:
            with file_lock(path):
                halves = self._halves(name, path, public.path_for(specific), metadata)
        except OSError as err:
            raise PluginExecutionError(f"cannot make {path}: {err}") from err
        return halves[0] if basename == name else halves[1]

    def _halves(self, name: str, private_path: str, public_path: str, metadata: Any) -> tuple[bytes, bytes]:
        """The private and the public key, of which what was missing is stored now."""
        private, public = stored(self._core, private_path), stored(self._core, public_path)
        if private is not None and public is not None:
            return private, public
        with needing_cryptography():
            from bcfg2.server.pki import sshkeys
        comment = f"root@{metadata.hostname}"
        if private is not None:
            public = f"{self._public_half(private, private_path)} {comment}\n".encode()
            store(self._core, [NewFile(public_path, public, secret=False)], None)
            return private, public
        match = _KIND.fullmatch(name)
        assert match is not None
        pair = sshkeys.generate(match["kind"] or "rsa1")
        public = f"{pair.public} {comment}\n".encode()
        files = [NewFile(public_path, public, secret=False), NewFile(private_path, pair.private)]
        store(self._core, files, self._core.options.sshbase_passphrase)
        return pair.private, public

    @staticmethod
    def _public_half(private: bytes, path: str) -> str:
        with needing_cryptography():
            from bcfg2.server.pki import sshkeys
        try:
            return sshkeys.public_half(private)
        except PluginExecutionError as err:
            raise PluginExecutionError(f"{path}: {err}") from None
