"""The files that serve one path, and how they become one entry."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from bcfg2.server.plugin import BestMatch, Dependencies, EntrySet, PluginExecutionError
from bcfg2.server.plugin.contents import Contents
from bcfg2.server.plugin.interfaces import union
from bcfg2.server.plugin.structfile import entry_name
from bcfg2.server.plugins.cfg.handlers import (
    CfgCreator,
    CfgFilter,
    CfgGenerator,
    CfgHandler,
    CfgInfo,
    CfgVerificationError,
    CfgVerifier,
)
from bcfg2.server.versioned import Versioned
from bcfg2.xml import Element

if TYPE_CHECKING:
    from bcfg2.server.plugins.cfg.plugin import Cfg


class Helpers(NamedTuple):
    """The files of an entry set that are neither generators nor about attributes."""

    creators: tuple[CfgCreator, ...] = ()
    #: The least specific first.
    filters: tuple[CfgFilter, ...] = ()
    #: One choice for each class of verifiers.
    verifiers: tuple[BestMatch[CfgVerifier], ...] = ()


_NO_HELPERS = Helpers()


class CfgEntrySet(EntrySet):
    """All files of one folder of the Cfg tree."""

    helpers: Versioned[Helpers] = Versioned(_NO_HELPERS)

    def __init__(self, cfg: "Cfg", basename: str, path: str) -> None:
        super().__init__(basename, path, CfgHandler)
        self.cfg = cfg
        self.logger = cfg.logger

    def make_entry(self, name: str) -> CfgHandler | None:
        found = self.cfg.handlers.find(self.basename, name)
        if found is None:
            return None
        self.cfg.note_use(found.handler)
        handler = found.handler(os.path.join(self.path, name), found.specific)
        handler.cfg = self.cfg
        return handler

    def index(self) -> None:
        files: list[CfgHandler] = [file for _, file in sorted(self.entries.items())]
        self.choice = BestMatch(file for file in files if isinstance(file, CfgGenerator))
        info = next((file for file in files if isinstance(file, CfgInfo)), None)
        if info is not self.info:
            self.info = info
        helpers = Helpers(
            tuple(file for file in files if isinstance(file, CfgCreator)),
            tuple(sorted((file for file in files if isinstance(file, CfgFilter)), key=_rank, reverse=True)),
            _by_class(file for file in files if isinstance(file, CfgVerifier)),
        )
        if helpers != self.helpers:
            self.helpers = helpers

    def serves(self) -> bool:
        return any(isinstance(file, CfgGenerator | CfgCreator) for file in self.entries.values())

    def depends_on(self) -> Dependencies | None:
        """What of a client decides how the entry is bound; None if anything may."""
        files: list[CfgHandler] = list(self.entries.values())
        found = [None if file.problem is not None else file.depends_on() for file in files]
        if None in found:
            return None
        names = [(file.specific.group, file.specific.hostname) for file in files]
        which = Dependencies(
            frozenset(group for group, _ in names if group is not None),
            frozenset(host for _, host in names if host is not None),
        )
        return union([which, *(item for item in found if item is not None)])

    def bind_entry(self, entry: Element, metadata: Any) -> None:
        """Complete ENTRY for the client.  PluginExecutionError if that fails: what is set so far stays set."""
        self.bind_info_to_entry(entry, metadata)
        entry.set("type", "file")
        helpers = self.helpers
        contents = self.contents(entry, metadata)
        if helpers.verifiers and self.core.options.cfg_validation:
            _verify(helpers.verifiers, entry, metadata, contents)
        contents.put_into(entry)

    def contents(self, entry: Element, metadata: Any) -> Contents:
        """What the best generator yields for the client, else what a creator makes."""
        helpers = self.helpers
        if helpers.creators:
            made = self._created(helpers.creators[0], entry, metadata)
            if made is not None:
                return made
        generator: CfgGenerator = self.best_matching(metadata)
        data = generator.get_data(entry, metadata)
        for file in helpers.filters:
            if file.specific.rank <= generator.specific.rank and file.specific.matches(metadata):
                _check_usable(file)
                data = file.modify_data(entry, metadata, data)
        if data is generator.raw:
            return generator.contents
        return Contents(data, generator.encoding, generator.name)

    def _created(self, creator: CfgCreator, entry: Element, metadata: Any) -> Contents | None:
        """What CREATOR makes where there is nothing for the client, or nothing that is still good; else None."""
        file = self.choice.best(metadata)
        if file is not None and not creator.is_due(file, metadata):
            return None
        _check_usable(creator)
        return Contents(creator.create_data(entry, metadata), creator.encoding, creator.name)


def _check_usable(file: CfgHandler) -> None:
    if file.problem is not None:
        raise PluginExecutionError(file.problem)


def _rank(file: CfgHandler) -> tuple[int, int]:
    return file.specific.rank


def _by_class(verifiers: Iterable[CfgVerifier]) -> tuple[BestMatch[CfgVerifier], ...]:
    """One choice for each class of VERIFIERS."""
    classes: dict[type[CfgVerifier], list[CfgVerifier]] = {}
    for verifier in verifiers:
        classes.setdefault(type(verifier), []).append(verifier)
    return tuple(BestMatch(members) for members in classes.values())


def _verify(choices: Iterable[BestMatch[CfgVerifier]], entry: Element, metadata: Any, contents: Contents) -> None:
    """Have the most specific verifier of each class look at the contents."""
    for choice in choices:
        verifier = choice.best(metadata)
        if verifier is not None:
            _check_usable(verifier)
            try:
                verifier.verify_entry(entry, metadata, contents.raw)
            except CfgVerificationError as err:
                raise PluginExecutionError(
                    f"Failed to verify {entry_name(entry)} for {metadata.hostname}: {err}"
                ) from None
