"""The least that plugins and their files need of a core: options, a file monitor, and no other plugins."""

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bcfg2.server.filemonitor.monitor import IGNORED
from bcfg2.server.filemonitor.pseudo import Pseudo
from bcfg2.server.plugin.encrypted import PassphraseUsers
from bcfg2.server.plugin.services import using


class SmallCore:
    """A core over the repository FOLDER; OPTIONS are added to the few that it has.

    File events are applied by hand: each call of the methods below is one batch.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self.repo = folder
        self.options = SimpleNamespace(
            server_repository=str(folder),
            server_settle_time=0.0,
            server_settle_limit=0.0,
            server_ignore_files=IGNORED,
            components_encoding="UTF-8",
            encryption={},
            encryption_algorithm="aes_256_cbc",
            encryption_lax_decryption=False,
            logging_debug=False,
        )
        vars(self.options).update(options)
        self.logger = logging.getLogger("bcfg2.SmallCore")
        self.fam = Pseudo(self.options)
        self.passphrase_users = PassphraseUsers()
        #: What `plugins_by_type` finds.
        self.plugins: list[Any] = []

    def plugins_by_type(self, role: type) -> list[Any]:
        return [plugin for plugin in self.plugins if isinstance(plugin, role)]

    def make(self, kind: Any, *arguments: Any, **more: Any) -> Any:
        """A KIND of file, folder or plugin that belongs to this core, with what it finds on disk applied."""
        with using(self):
            made = kind(*arguments, **more)
            self.fam.handle_event_set()
        return made

    def path(self, name: str) -> str:
        return str(self.repo / name)

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write FILES, relative path -> content, without telling anybody yet."""
        for name, content in files.items():
            path = self.repo / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def change(self, files: Mapping[str, str | bytes]) -> None:
        self.write(files)
        self.apply()

    def delete(self, name: str) -> None:
        path = self.repo / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.apply()

    def move(self, name: str, to: str) -> None:
        os.rename(self.repo / name, self.repo / to)
        self.apply()

    def apply(self) -> None:
        with using(self):
            self.fam.rescan()
            self.fam.handle_event_set()


class Client:
    """The metadata of a client, as far as files look at it; MORE becomes attributes."""

    def __init__(self, hostname: str = "host", *groups: str, **more: Any) -> None:
        self.hostname = hostname
        self.groups = set(groups)
        vars(self).update(more)

    def __repr__(self) -> str:
        return f"Client({self.hostname!r}, {sorted(self.groups)})"
