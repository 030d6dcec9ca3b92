"""Cfg: the contents of files, from a tree that mirrors the paths on the clients."""

import os
import time
from collections.abc import Iterable
from typing import Any, ClassVar

from bcfg2.options import BooleanOption, ComponentOption, Option, TimeoutOption
from bcfg2.options.components import find_in
from bcfg2.server.plugin import Dependencies, GroupSpool
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugins.cfg.entryset import CfgEntrySet
from bcfg2.server.plugins.cfg.handlers import CfgHandler
from bcfg2.server.plugins.cfg.lookup import HandlerTable
from bcfg2.server.plugins.cfg.slowness import SlowTemplates
from bcfg2.server.plugins.cfg.templates import CfgTemplateGenerator, TemplateEngine
from bcfg2.xml import Element

#: Seconds for which templates are compiled before children are made.
_COMPILING = 1.0


class Cfg(GroupSpool):
    """The generator of ``Path`` entries with contents: plain files, templates, and whatever else has a handler."""

    options: ClassVar[list[Option]] = [
        *GroupSpool.options,
        ComponentOption(
            "cfg",
            "handlers",
            default=[
                "CfgAuthorizedKeysGenerator",
                "CfgCheetahGenerator",
                "CfgEncryptedCheetahGenerator",
                "CfgEncryptedGenerator",
                "CfgEncryptedGenshiGenerator",
                "CfgEncryptedJinja2Generator",
                "CfgExternalCommandVerifier",
                "CfgGenshiGenerator",
                "CfgInfoXML",
                "CfgJinja2Generator",
                "CfgPlaintextGenerator",
                "CfgPrivateKeyCreator",
                "CfgPublicKeyCreator",
                "CfgSSLCACertCreator",
                "CfgSSLCAKeyCreator",
            ],
            find=find_in("bcfg2.server.plugins.cfg"),
            multiple=True,
            on_missing="warn",
            help="The kinds of files that are understood",
        ),
        Option(
            "cfg", "category", help="Category whose groups share what is made, where neither file nor section has one"
        ),
        Option("cfg", "passphrase", help="Name of the passphrase for what is made, where its section has none"),
        TimeoutOption(
            "cfg",
            "slow_template",
            default=10.0,
            help="Seconds after which a template that is still being rendered is named in the log; 0: never",
        ),
        BooleanOption(
            "cfg", "validation", default=True, flags=("--cfg-validation",), help="Whether contents are checked (:test)"
        ),
    ]

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        handlers: Iterable[type[CfgHandler]] = core.options.cfg_handlers
        #: Where the handler of a file is looked up.
        self.handlers = HandlerTable(handlers)
        #: The template engines by class: one for all files.
        self.engines: dict[type[TemplateEngine], TemplateEngine] = {
            kind: kind(core)
            for kind in {handler.engine for handler in handlers if issubclass(handler, CfgTemplateGenerator)}
        }
        #: Tells of templates that take long.
        self.slow_templates = SlowTemplates()
        self._told: set[type[CfgHandler]] = set()

    def make_entry_set(self, folder: str) -> CfgEntrySet:
        return CfgEntrySet(self, os.path.basename(folder), os.path.join(self.data, folder))

    def depends_on(self, entry: Element) -> Dependencies | None:
        if entry.tag != self.entry_type:
            return Dependencies()
        entry_set = self.entries.get(entry.get("name", "").removeprefix("/"))
        return entry_set.depends_on() if isinstance(entry_set, CfgEntrySet) else Dependencies()

    def before_fork(self) -> None:
        """Compile templates, as many as there is time for."""
        deadline = time.monotonic() + _COMPILING
        for entry_set in self.entries.values():
            for file in entry_set.entries.values():
                if isinstance(file, CfgTemplateGenerator):
                    file.prepare()
            if time.monotonic() > deadline:
                return

    def has_generator(self, path: str, metadata: Any) -> bool:
        """Whether there are contents of PATH for the client; what a creator could make does not count."""
        entry_set = self.entries.get(path.removeprefix("/"))
        return entry_set is not None and entry_set.choice.best(metadata) is not None

    def note_use(self, handler: type[CfgHandler]) -> None:
        """Warn once of a HANDLER that is not for good, now that there is a file for it."""
        kinds = [kind for kind in ("experimental", "deprecated") if getattr(handler, kind)]
        if kinds and handler not in self._told:
            self._told.add(handler)
            self.logger.warning("Files are in use for the handler %s, which is %s", handler.__name__, kinds[0])
