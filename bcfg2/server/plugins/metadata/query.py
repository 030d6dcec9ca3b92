"""What templates and plugins may ask about all clients: ``metadata.query``."""

import logging
from collections.abc import Callable, Collection
from typing import Any

from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugins.metadata.client import ClientMetadata
from bcfg2.server.plugins.metadata.roster import Roster

logger = logging.getLogger("bcfg2.Metadata")

#: How many texts that were given in place of lists are remembered.
_MAX_REMEMBERED = 1000


class MetadataQuery:
    """Questions about clients and groups; answers use complete metadata, connectors included.

    The metadata that is built for a question is kept as long as the request, the groups of all clients longer, where
    it can be told what has changed since (``roster.py``).  No question makes a client known.
    """

    def __init__(
        self,
        core: CoreInterface,
        roster: Roster,
        clients: Callable[[], list[str]],
        groups: Callable[[], list[str]],
        groups_in_category: Callable[[str], list[str]],
    ) -> None:
        self._core: Any = core
        self._roster = roster
        self._warned: set[str] = set()
        #: The names of all known clients.
        self.all_clients = clients
        #: The names of all groups that are declared, granted, named as profiles or defined by connectors.
        self.all_groups = groups
        #: all_groups_in_category(category): the names of the declared and defined groups of the category.
        self.all_groups_in_category = groups_in_category

    def by_name(self, name: str) -> ClientMetadata:
        """The metadata of the client NAME, which may be an alias; MetadataConsistencyError if there is none."""
        metadata: ClientMetadata = self._core.build_metadata(name, register=False)
        return metadata

    def all(self) -> list[ClientMetadata]:
        """The metadata of all clients."""
        return list(self._roster.everybody())

    def by_groups(self, groups: Collection[str]) -> list[ClientMetadata]:
        """The metadata of clients that are in all GROUPS."""
        return [self.by_name(name) for name in self.names_by_groups(groups)]

    def names_by_groups(self, groups: Collection[str]) -> list[str]:
        """The names of clients that are in all GROUPS."""
        wanted = self._names(groups)
        return [name for name, member in self._roster.members().items() if wanted <= member.groups]

    def by_profiles(self, profiles: Collection[str]) -> list[ClientMetadata]:
        """The metadata of clients that have any of PROFILES as their profile."""
        return [self.by_name(name) for name in self.names_by_profiles(profiles)]

    def names_by_profiles(self, profiles: Collection[str]) -> list[str]:
        """The names of clients that have any of PROFILES as their profile."""
        wanted = self._names(profiles)
        return [name for name, member in self._roster.members().items() if member.profile in wanted]

    def by_profile(self, profile: str) -> list[ClientMetadata]:
        """The metadata of clients that have PROFILE as their profile."""
        return self.by_profiles([profile])

    def names_by_profile(self, profile: str) -> list[str]:
        """The names of clients that have PROFILE as their profile."""
        return self.names_by_profiles([profile])

    def _names(self, names: Collection[str]) -> set[str]:
        if isinstance(names, str) and names not in self._warned:
            if len(self._warned) >= _MAX_REMEMBERED:
                self._warned.clear()
            self._warned.add(names)
            logger.warning("A query got the text %r, which is taken letter by letter: give it a list", names)
        return set(names)
