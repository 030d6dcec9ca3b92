"""The plugin Metadata, over the files clients.xml and groups.xml, or the database and groups.xml."""

import importlib
import logging
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from bcfg2.options import BooleanOption, ChoiceOption, Option
from bcfg2.options.common import PASSWORD
from bcfg2.server.plugin import (
    ClientRunHooks,
    DatabaseBacked,
    MetadataConsistencyError,
    MetadataRuntimeError,
    Plugin,
    PluginExecutionError,
    PluginInitError,
)
from bcfg2.server.plugin import Metadata as MetadataRole
from bcfg2.server.plugin.interfaces import Address, ClientAddress
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugins.metadata.client import ClientMetadata
from bcfg2.server.plugins.metadata.clients import AUTH_TYPES, Client, ClientTable
from bcfg2.server.plugins.metadata.clientsfile import ClientsFile
from bcfg2.server.plugins.metadata.drawing import COLORS, Selection, draw
from bcfg2.server.plugins.metadata.groups import GroupTable, MetadataGroup, suppressed_remark
from bcfg2.server.plugins.metadata.groupsfile import GroupsFile
from bcfg2.server.plugins.metadata.identity import Authenticator, Claim, Credentials, Refused, SelfNamed
from bcfg2.server.plugins.metadata.query import MetadataQuery
from bcfg2.server.plugins.metadata.reverse import ReverseLookup
from bcfg2.server.plugins.metadata.roster import Roster
from bcfg2.server.plugins.metadata.snapshot import SnapshotFile
from bcfg2.server.plugins.metadata.store import ClientStore

#: Names under which clients may be registered: they turn up in the names of files.
_HOST_NAME = re.compile(r"(?!\.)[^\s/\\\x00-\x1f\x7f]{1,255}")

_MAX_VERSION = 255
#: How many things that were said once are remembered.
_MAX_REMARKED = 100_000


class Metadata(DatabaseBacked, MetadataRole, ClientRunHooks):
    """Who the clients are, and what they are members of."""

    __rmi__: ClassVar[list[str]] = [*Plugin.__rmi__, "list_clients", "remove_client"]

    options: ClassVar[list[Option]] = [
        PASSWORD,
        ChoiceOption(
            "communication",
            "authentication",
            default="cert+password",
            choices=AUTH_TYPES,
            help="How clients prove who they are if clients.xml does not say it",
        ),
        BooleanOption("metadata", "use_database", default=False, help="Keep the list of clients in the database"),
    ]

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        self.query = MetadataQuery(
            core, Roster(core, lambda: self._tables), self.list_clients, self._all_groups, self._groups_in_category
        )
        self._authenticator = Authenticator(ReverseLookup())
        self._assumed: dict[str, Client] = {}
        self._dynamic: dict[str, MetadataGroup] = {}
        self._owners: dict[str, str | None] = {}
        self._defining = threading.Lock()
        self._remarked: set[tuple[str, str]] = set()
        self.store, self.clients_xml = self._open_store(str(Path(self.data) / "clients.xml"))
        self.groups_xml = GroupsFile(str(Path(self.data) / "groups.xml"))
        self.clients_xml.on_load = self.groups_xml.on_load = self._loaded

    def _open_store(self, path: str) -> tuple[ClientStore, SnapshotFile]:
        """Where clients are kept, and the clients.xml at PATH, which is the same unless they are in the database."""
        if not self._use_db:
            file = ClientsFile(path)
            return file, file
        from bcfg2.server.plugins.metadata.database import ClientsDatabase, OptionsFile

        options = OptionsFile(path)
        try:
            return ClientsDatabase(options, self.core), options
        except MetadataRuntimeError as err:
            raise PluginInitError(str(err)) from err

    @classmethod
    def import_models(cls) -> None:
        importlib.import_module("bcfg2.server.plugins.metadata.models")

    def _loaded(self, _file: Any) -> None:
        """One of the files has been read."""
        self._remarked = set()
        self.core.metadata_cache.expire()

    @property
    def _tables(self) -> tuple[ClientTable, GroupTable]:
        """What clients.xml and groups.xml say; MetadataRuntimeError if one of them has never been read."""
        clients, groups = self.store.table, self.groups_xml.table
        if clients is None or groups is None:
            missing = "clients.xml" if clients is None else "groups.xml"
            raise MetadataRuntimeError(f"metadata has not been read yet ({missing})")
        return clients, groups

    @property
    def _clients(self) -> ClientTable:
        return self._tables[0]

    @property
    def _groups(self) -> GroupTable:
        return self._tables[1]

    # building metadata

    def get_initial_metadata(self, client_name: str) -> ClientMetadata:
        return self.initial_metadata(client_name)

    def initial_metadata(self, client_name: str, register: bool = True) -> ClientMetadata:
        """What the two files say of a client.

        An unknown one is registered with the default group as its profile; without REGISTER, or without a default
        group, it is a MetadataConsistencyError.
        """
        clients, groups = self._tables
        client = self.store.find(client_name, certainly=register) or self._assumed.get(client_name.lower())
        if client is None:
            if not register:
                raise MetadataConsistencyError(f"there is no client {client_name}")
            name = clients.canonical(client_name)
            client = self._register(name, self._profile_of_new(name))
        standing = groups.initial(client.profiles, client.name)
        if standing.remarks:
            self._remark(client.name, standing.remarks)
        return ClientMetadata(
            hostname=client.name,
            profile=standing.profile,
            groups=standing.groups,
            bundles=standing.bundles,
            aliases=frozenset(client.aliases),
            addresses=frozenset(client.addresses),
            uuid=client.uuid,
            password=client.password,
            version=client.version,
            query=self.query,
            _categories=standing.categories,
        )

    def merge_additional_groups(self, imd: ClientMetadata, groups: Any) -> None:
        self.merge_groups_of("", imd, groups)

    def merge_groups_of(self, owner: str, imd: ClientMetadata, groups: Any) -> None:
        """Add the GROUPS of the connector OWNER: names, or definitions of groups that come to exist by this.

        A group whose category the client has already is left out.  Afterwards comes :meth:`finish_groups`.
        """
        added: list[str] = []
        held: dict[str, str] = {}
        present, categories = imd.groups, imd._categories
        declared = self._groups.groups
        for group in _in_order(groups):
            name = self._define(group, owner) if isinstance(group, MetadataGroup) else str(group)
            if name in present or name in added:
                continue
            known = declared.get(name) or self._dynamic.get(name)
            category = known.category if known else None
            if category is not None:
                holder = categories.get(category) or held.get(category)
                if holder is not None:
                    self._remark(imd.hostname, [suppressed_remark(name, category, holder)])
                    continue
                held[category] = name
            added.append(name)
        imd._revise(_connected=True)
        if added:
            imd._revise(_grown=True, groups=present.union(added), _categories={**categories, **held})

    def finish_groups(self, imd: ClientMetadata) -> None:
        """Work out what follows from the groups of all connectors: further groups, bundles, the profile."""
        groups = self._groups
        profile = None
        if imd._grown:
            standing = groups.complete(imd.groups, imd._categories, imd.hostname)
            self._remark(imd.hostname, standing.remarks)
            profile = standing.profile
            imd._revise(groups=standing.groups, _categories=standing.categories, bundles=standing.bundles, _grown=False)
        defined = [
            self._dynamic[name] for name in sorted(self._dynamic.keys() & imd.groups) if name not in groups.groups
        ]
        if defined:
            imd._revise(bundles=imd.bundles.union(*(group.bundles for group in defined)))
        if imd.profile is None and imd._connected:
            imd._revise(
                profile=profile or next((group.name for group in defined if group.is_profile), None) or groups.default
            )

    def merge_additional_data(self, imd: ClientMetadata, source: str, data: Any) -> None:
        """Make DATA of the connector SOURCE the attribute of that name, unless there is one."""
        if not hasattr(imd, source):
            imd._revise(**{source: data, "connectors": (*imd.connectors, source)})

    def _define(self, group: MetadataGroup, owner: str | None) -> str:
        """Take the definition of a group by the connector OWNER, unless it is not this one's to define."""
        name = group.name
        with self._defining:
            if name in self._groups.groups:
                self._remark(str(owner), [(name, f"cannot define the group {name}, which groups.xml declares")])
            elif self._owners.setdefault(name, owner) != owner:
                self._remark(
                    str(owner), [(name, f"cannot define the group {name}, which {self._owners[name]} has defined")]
                )
            elif self._dynamic.get(name) != group:
                self._dynamic = {**self._dynamic, name: group}
        return name

    def _remark(self, host: str, remarks: Iterable[tuple[str, str]]) -> None:
        """Log REMARKS (group, text) about HOST, each once until a file changes."""
        for group, text in remarks:
            if (host, group) not in self._remarked:
                if len(self._remarked) >= _MAX_REMARKED:
                    self._remarked.clear()
                self._remarked.add((host, group))
                level = logging.WARNING if group else logging.ERROR  # what is about no group is about groups.xml
                self.logger.log(level, "%s: %s", host, text)

    def assume_client(self, name: str) -> bool:
        """Let the client NAME, if it is unknown, be known to this process, as one that has just turned up.

        Whether that was needed.  Nothing is registered.  MetadataConsistencyError if no client could turn up so.
        """
        if self.store.find(name, certainly=True) is not None or name.lower() in self._assumed:
            return False
        found = self._clients.canonical(name)
        self._assumed[found] = Client(found, (self._profile_of_new(found),))
        return True

    # identity

    def AuthenticateConnection(
        self, cert: Mapping[str, Any] | None, user: str, password: str, address: Address
    ) -> bool:
        """Whether these credentials may speak from ADDRESS; who they belong to is noted there.

        CERT is the client's verified certificate as the ssl module describes it, or None.
        """
        if isinstance(address, ClientAddress):
            address.client = None
        given = Credentials(cert, user, password, address[0])
        try:
            claim = self._authenticate(given)
            if self._is_unsettled(claim) and self.store.find(claim.name, certainly=True) != claim.client:
                claim = self._authenticate(given)
        except Refused as err:
            self.logger.error("Refused %s as user %.80r: %s", address[0], user, err)
            return False
        if isinstance(address, ClientAddress) and claim.method != "address":
            unknown = claim.method == "name" and claim.client is None
            address.client = SelfNamed(claim.name) if unknown else claim.name
        return True

    def _authenticate(self, given: Credentials) -> Claim:
        return self._authenticator.authenticate(
            self.store.identities or ClientTable.of_clients({}),
            self.settings.communication_authentication,
            self.settings.communication_password,
            given,
        )

    def _is_unsettled(self, claim: Claim) -> bool:
        """Whether it matters for CLAIM what has become of the client a moment ago, perhaps on another server."""
        if claim.client is None:
            return claim.method == "name"
        return self._auth_of(claim.client) == "bootstrap"

    def _auth_of(self, client: Client) -> str:
        """How CLIENT is to prove who it is."""
        default: str = self.settings.communication_authentication
        return client.auth or default

    def resolve_client(self, address: Address, cleanup_cache: bool = False) -> str:
        """The canonical name of the client that calls from ADDRESS; else MetadataConsistencyError."""
        known = address.client if isinstance(address, ClientAddress) else None
        return known or self._authenticator.client_at(self._clients, address[0])

    # what clients change

    def set_version(self, client: str, version: str) -> None:
        """Store the VERSION that CLIENT declared; an unknown client is registered."""
        if len(version) > _MAX_VERSION:
            raise MetadataConsistencyError(f"{client} declares a version of {len(version)} characters")
        name = self._clients.canonical(client)
        found = self.store.find(name, certainly=True)
        if found is None:
            found = self._register(name, self._profile_of_new(name), version=version)
        if (found.version or "") != version:
            self.store.update(name, {"version": version})

    def set_profile(self, client: str, profile: str, address: Address) -> None:
        """Make the public group PROFILE the profile of CLIENT; an unknown client is registered with it."""
        clients, groups = self._tables
        group = groups.groups.get(profile)
        if group is None or not group.is_public:
            raise MetadataConsistencyError(
                f"{client} asks for the profile {profile!r}, which is {'not public' if group else 'no declared group'}"
            )
        if not group.is_profile:
            self.logger.warning("%s asks for the profile %s, which is no profile group", client, profile)
        name = clients.canonical(client)
        found = self.store.find(name, certainly=True)
        if found is not None and not self.store.keeps_attributes:
            raise PluginExecutionError(f"{client} asks for a profile, but profiles are not kept in the database")
        if found is None:
            identity = {}
            if isinstance(address, ClientAddress) and isinstance(address.client, SelfNamed):
                identity = {"uuid": name, "address": address[0]}
            found = self._register(name, profile, **identity)
        if self.store.keeps_attributes and found.profiles != (profile,):
            self.store.update(name, {"profile": profile})

    def start_client_run(self, metadata: Any) -> None:
        """If metadata comes from the cache, see whether another server has changed the client: the next run sees it."""
        self.store.find(metadata.hostname, certainly=True)

    def end_statistics(self, metadata: Any) -> None:
        """A client that has proved by password that it works must show its certificate from now on (bootstrap)."""
        client = self._clients.get(metadata.hostname)
        if client is not None and self._auth_of(client) == "bootstrap":
            self.logger.info("%s has been bootstrapped, it must show its certificate from now on", client.name)
            self.store.update(client.name, {"auth": "cert"})

    def _profile_of_new(self, name: str) -> str:
        """The profile with which the unknown client NAME is registered: what clients.xml says, or the default group."""
        identities = self.store.identities
        listed = identities.clients.get(name) if identities is not None else None
        if listed is not None and listed.profiles:
            return listed.profiles[0]
        default = self._groups.default
        if default is None:
            raise MetadataConsistencyError("cannot add new client; no default group set")
        return default

    def _register(self, name: str, profile: str, **attributes: str) -> Client:
        """Make the client NAME known."""
        self.logger.info("Registering client %s with profile %s", name, profile)
        return self._add(name, {"profile": profile, **attributes})

    def _add(self, name: str, attributes: Mapping[str, str]) -> Client:
        if not _HOST_NAME.fullmatch(name):
            raise MetadataConsistencyError(f"{name[:80]!r} cannot be the name of a client")
        return self.store.add({"name": name, **attributes})

    # what administrators and plugins ask

    @property
    def groups(self) -> dict[str, MetadataGroup]:
        """Name -> group, for all that groups.xml declares or connectors have defined."""
        return {**self._dynamic, **self._groups.groups}

    def list_clients(self) -> list[str]:
        """The names of all clients, in the order of clients.xml; of the database, those that it has now."""
        if self.store.table is None:
            raise MetadataRuntimeError("metadata has not been read yet (clients.xml)")
        return self.store.names()

    def add_client(self, client_name: str, attributes: Mapping[str, str]) -> bool:
        """Add a client with ATTRIBUTES to clients.xml, or one without any to the database.

        False if the name is that of a client already, or an alias: then nothing is changed.
        """
        if self.store.find(client_name, certainly=True) is not None:
            return False
        if attributes and not self.store.keeps_attributes:
            raise MetadataConsistencyError("clients in the database have no attributes: give them in clients.xml")
        self._add(client_name, attributes)
        return True

    def update_client(self, client_name: str, attributes: Mapping[str, str]) -> None:
        """Set ATTRIBUTES of the client with this name or alias; MetadataConsistencyError if there is none."""
        if not self.store.keeps_attributes:
            raise MetadataConsistencyError("clients in the database have no attributes: give them in clients.xml")
        self.store.update(client_name, attributes)

    def remove_client(self, client_name: str) -> None:
        """Remove a client from where it is kept; MetadataConsistencyError if there is none of this name."""
        self.store.remove(client_name)

    def update_client_list(self) -> None:
        """Read again which clients there are, if that may have changed."""
        self.store.catch_up()

    def take_written(self, changes: Mapping[str, Client], states: Mapping[str, Any]) -> None:
        """Another process has made CHANGES, see :meth:`ClientsFile.take`."""
        if isinstance(self.clients_xml, ClientsFile):
            self.clients_xml.take(changes, states)

    def catch_up(self) -> None:
        self.clients_xml.HandleEvent()

    def viz(
        self, hosts: bool, bundles: bool, key: bool, only_client: str | None, colors: Sequence[str] = COLORS
    ) -> str:
        """The groups of groups.xml, as a drawing in Graphviz's language: see :mod:`.drawing`.

        HOSTS, BUNDLES and KEY are drawn if they are true; of the rest only what ONLY_CLIENT has, if one is named
        (MetadataConsistencyError if there is none).  COLORS are those of the categories, in turn.
        """
        client = None if only_client is None else self.query.by_name(only_client)
        only = None if client is None else Selection(client.groups, client.bundles)
        names = self.list_clients() if client is None else [client.hostname]
        instances = self._by_profile(names) if hosts else {}
        return draw(self.groups_xml.name, self.groups, instances, only, bundles=bundles, key=key, colors=colors)

    def _by_profile(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Profile -> those of the clients NAMES that have it; a client without one counts under the default group."""
        found: dict[str, list[str]] = {}
        for name in sorted(names):
            profile = self.initial_metadata(name, register=False).profile or self._groups.default
            if profile is None:
                self.logger.warning("%s has no profile, and is not drawn", name)
            else:
                found.setdefault(profile, []).append(name)
        return found

    def _all_groups(self) -> list[str]:
        return sorted(self.groups.keys() | self._clients.profiles)

    def _groups_in_category(self, category: str) -> list[str]:
        declared = self._groups
        defined = (name for name, group in self._dynamic.items() if group.category == category)
        return [*declared.by_category.get(category, ()), *(name for name in defined if name not in declared.groups)]


def _in_order(groups: Any) -> Iterable[Any]:
    """GROUPS, one after the other, always in the same order."""
    if isinstance(groups, str | MetadataGroup):
        return [groups]
    if isinstance(groups, set | frozenset):
        return sorted(groups, key=str)
    return groups or ()
