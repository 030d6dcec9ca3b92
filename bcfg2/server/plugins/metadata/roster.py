"""Which groups and which profile each client has, kept from one request to the next."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bcfg2.server.plugin import Connector
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugins.metadata.client import ClientMetadata
from bcfg2.server.plugins.metadata.clients import ClientTable
from bcfg2.server.plugins.metadata.groups import GroupTable
from bcfg2.server.versioned import request_memo

Tables = tuple[ClientTable, GroupTable]


class Member(NamedTuple):
    """What one client is a member of, connectors' groups included."""

    groups: frozenset[str]
    profile: str | None


@dataclass(frozen=True, slots=True)
class _Kept:
    """The members as they followed from TABLES; what the metadata cache has expired since BEGUN is not in them."""

    tables: Tables
    begun: int
    members: Mapping[str, Member]


class Roster:
    """The members of all groups.

    They are kept across requests where it can be told what has changed since: if metadata is cached, or if every
    connector that adds groups announces changes.  Otherwise they are worked out for each request that asks.
    TABLES tells what clients.xml and groups.xml say in this request.
    """

    def __init__(self, core: CoreInterface, tables: Callable[[], Tables]) -> None:
        self._core = core
        self._tables = tables
        self._kept: _Kept | None = None

    def everybody(self) -> list[ClientMetadata]:
        """The metadata of all clients, in the order of clients.xml; kept as long as the request."""
        memo, key = request_memo(), ("everybody", self)
        if key not in memo:
            memo[key] = [self._core.build_metadata(name, register=False) for name in self._tables()[0].clients]
        everybody: list[ClientMetadata] = memo[key]
        return everybody

    def members(self) -> Mapping[str, Member]:
        """Name -> member, for all clients, in the order of clients.xml."""
        if self._core.is_connecting:  # some are not complete yet, and may be when the next question comes
            return self._worked_out()
        memo, key = request_memo(), ("members", self)
        if key not in memo:
            memo[key] = self._present() if self._can_be_kept() else self._worked_out()
        members: Mapping[str, Member] = memo[key]
        return members

    def _can_be_kept(self) -> bool:
        core = self._core
        return core.metadata_cache_mode in ("cautious", "aggressive") or all(
            plugin.announces_groups or type(plugin).get_additional_groups is Connector.get_additional_groups
            for plugin in core.plugins_by_type(Connector)
        )

    def _present(self) -> Mapping[str, Member]:
        """What was kept, brought up to date."""
        cache, tables = self._core.metadata_cache, self._tables()
        kept, begun = self._kept, cache.begin()
        changed = cache.changed_since(kept.begun) if kept is not None and _are_same(kept.tables, tables) else None
        if kept is None or changed is None:
            members = self._worked_out()
        elif changed:
            again = [self._core.build_metadata(name, register=False) for name in changed & kept.members.keys()]
            members = {**kept.members, **{metadata.hostname: _member(metadata) for metadata in again}}
        else:
            return kept.members
        if cache.is_abreast() and _are_same(self._tables(), tables) and not self._core.has_connected_within:
            self._kept = _Kept(tables, begun, members)
        return members

    def _worked_out(self) -> Mapping[str, Member]:
        return {metadata.hostname: _member(metadata) for metadata in self.everybody()}


def _member(metadata: ClientMetadata) -> Member:
    return Member(metadata.groups, metadata.profile)


def _are_same(one: Tables, other: Tables) -> bool:
    return one[0] is other[0] and one[1] is other[1]
