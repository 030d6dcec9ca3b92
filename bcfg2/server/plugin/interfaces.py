"""The roles of plugins: what the core calls, when, and what it expects back.

A plugin is given a role by inheriting its class, and may have any number.  Plugins of one role are called by ascending
``sort_order``, then by name.  A role's methods do nothing, or answer nothing, unless a plugin overrides them.

"metadata" below is a client's :class:`~bcfg2.server.plugins.metadata.ClientMetadata`, "element" an lxml element.

Two roles that have much to do by themselves, Statistics and ThreadedStatistics, are in `statistics`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from bcfg2.options import Option, PathOption
from bcfg2.server.plugin.base import Plugin
from bcfg2.server.plugin.exceptions import PluginInitError
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugin.statistics import Statistics, Threaded, ThreadedStatistics
from bcfg2.xml import Element

Address = tuple[str, int]


class ClientAddress(tuple[str, int]):
    """The (IP address, port) of one connection, and who turned out to speak over it.

    A network core makes one for each connection and passes it wherever an address is asked for.  The Metadata plugin
    notes there whom it has authenticated, so that an identity lives exactly as long as its connection.
    """

    #: The canonical name of the client that was authenticated by other means than its address; else None.
    client: str | None = None
    #: The canonical name of the client that the address was resolved to, for the log; None while nobody has asked.
    name: str | None = None
    #: The generation of the repository (see :mod:`bcfg2.server.versioned`) by which it was authenticated last.
    generation: int | None = None


class Dependencies(NamedTuple):
    """The groups and the host names that decide something: clients that agree in these get the same."""

    groups: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()


def union(parts: Iterable[Dependencies]) -> Dependencies:
    """What several things depend on together."""
    parts = list(parts)
    return Dependencies(
        frozenset().union(*(part.groups for part in parts)), frozenset().union(*(part.hosts for part in parts))
    )


class ClientMetadata(Protocol):
    """What every plugin may read of a client's metadata."""

    hostname: str
    profile: str | None
    groups: Any
    bundles: Any

    @property
    def version_info(self) -> Any: ...

    def inGroup(self, group: str) -> bool: ...


class Metadata:
    """Tells who a client is and what it is a member of.  Exactly one loaded plugin has this role.

    The core calls :meth:`initial_metadata`, :meth:`merge_groups_of` and :meth:`finish_groups`.  A plugin that needs not
    know what these tell more overrides :meth:`get_initial_metadata` and :meth:`merge_additional_groups` only.
    """

    def viz(self, hosts: bool, bundles: bool, key: bool, only_client: str | None, colors: list[str]) -> str:
        """A description of all groups in graphviz's language."""
        raise NotImplementedError

    def set_version(self, client: str, version: str) -> None:
        """Store the VERSION that CLIENT declared."""
        raise NotImplementedError

    def set_profile(self, client: str, profile: str, address: Address) -> None:
        """Make PROFILE the profile of CLIENT, which calls from ADDRESS."""
        raise NotImplementedError

    def resolve_client(self, address: Address, cleanup_cache: bool = False) -> str:
        """The canonical name of the client that calls from ADDRESS; else MetadataConsistencyError.

        CLEANUP_CACHE: the client's run begins with this call.  By default it is what stands in the place of the port,
        for callers that know a name and no address.
        """
        return str(address[1])

    def AuthenticateConnection(self, cert: Any, user: str, password: str, address: Address) -> bool:
        """Whether these credentials may speak from ADDRESS."""
        raise NotImplementedError

    def get_initial_metadata(self, client_name: str) -> Any:
        """What this plugin alone knows of a client, its :class:`ClientMetadata`; an unknown one may be registered."""
        raise NotImplementedError

    def initial_metadata(self, client_name: str, register: bool = True) -> Any:
        """What :meth:`get_initial_metadata` answers; without REGISTER nobody is to be registered for it."""
        return self.get_initial_metadata(client_name)

    def merge_additional_data(self, imd: Any, source: str, data: Any) -> None:
        """Add DATA of the connector SOURCE as attribute of that name, unless it has one."""
        raise NotImplementedError

    def merge_additional_groups(self, imd: Any, groups: Any) -> None:
        """Add the GROUPS of a connector, one connector after the other."""
        raise NotImplementedError

    def merge_groups_of(self, owner: str, imd: Any, groups: Any) -> None:
        """Add the GROUPS of the connector OWNER, as :meth:`merge_additional_groups` does."""
        self.merge_additional_groups(imd, groups)

    def finish_groups(self, imd: Any) -> None:
        """All connectors' groups have been added: work out what follows from them."""

    def update_client_list(self) -> None:
        """Read again which clients exist."""
        raise NotImplementedError


class Connector:
    """Adds groups and data to a client's metadata, each time that it is built."""

    #: Whether a client's groups change only when this plugin expires it in the core's `metadata_cache`.  If that holds
    #: for all connectors, what groups clients are in is kept for ``metadata.query`` even if metadata is not cached.
    announces_groups: bool = False

    def get_additional_groups(self, metadata: ClientMetadata) -> Any:
        """Names of groups (or group objects) for the client."""
        return []

    def get_additional_data(self, metadata: ClientMetadata) -> Any:
        """What templates see as ``metadata.<PluginName>``."""
        return {}


class Probing:
    """Has the client run scripts, and takes their output."""

    def GetProbes(self, metadata: ClientMetadata) -> list[Element]:
        """One element for each probe: attributes name, source and interpreter, the script as text."""
        raise NotImplementedError

    def ReceiveData(self, metadata: ClientMetadata, datalist: list[Element]) -> None:
        """Take the answers that carry this plugin's name as source; an exception is a fault for the client."""
        raise NotImplementedError


class Structure:
    """Says which entries a client has."""

    def BuildStructures(self, metadata: ClientMetadata) -> list[Element]:
        """Containers (``Bundle`` or ``Independent``) of entries; the caller may change them."""
        raise NotImplementedError

    def has_bundle(self, name: str) -> bool:
        """Whether there is a bundle NAME, even if :meth:`BuildStructures` left it out; why, has been logged then."""
        return False


class StructureValidator:
    """Checks or changes the list of structures before it is bound."""

    def validate_structures(self, metadata: ClientMetadata, structures: list[Element]) -> None:
        """Change STRUCTURES in place; ValidationError ends the request."""
        raise NotImplementedError


class Generator:
    """Says how an entry is: binds it.

    First come the entries listed by name in ``Entries``; if exactly one generator lists an entry, its callable binds
    it.  Otherwise every generator is asked with :meth:`HandlesEntry`, and if exactly one agrees its
    :meth:`HandleEntry` is called.
    """

    def HandlesEntry(self, entry: Element, metadata: ClientMetadata) -> bool:
        """Whether this generator can bind ENTRY for this client."""
        return False

    def HandleEntry(self, entry: Element, metadata: ClientMetadata) -> None:
        """Bind ENTRY in place; an exception makes the entry fail."""

    def depends_on(self, entry: Element) -> Dependencies | None:
        """What of a client decides whether and how this generator binds ENTRY, besides files and options.

        None (the default): anything may, so the entry is bound for each request.  An answer other than None is a
        promise: what `Entries` lists, :meth:`HandlesEntry`, and what is done to an entry change only when files or
        options do.  The server then binds the entry once for all clients that agree in what it depends on.
        """
        return None


class GoalValidator:
    """Checks or changes the whole bound configuration."""

    def concerns(self, metadata: ClientMetadata) -> bool:
        """Whether :meth:`validate_goals` may have something to do for the client; if not, it need not be called.

        A configuration that concerns no plugin is put together from text, in less time.
        """
        return True

    def validate_goals(self, metadata: ClientMetadata, config: Element) -> None:
        """Change CONFIG in place; ValidationError ends the request."""
        raise NotImplementedError


class Decision:
    """Offers lists of entries that a client may, or may not, change."""

    def GetDecisions(self, metadata: ClientMetadata, mode: str) -> list[tuple[str, str]]:
        """(tag, name) of each entry of the list MODE, ``whitelist`` or ``blacklist``."""
        raise NotImplementedError


class ClientRunHooks:
    """Is told of the stages of a client's run; an exception is logged and changes nothing."""

    def start_client_run(self, metadata: ClientMetadata) -> None:
        """The configuration is about to be built."""

    def end_client_run(self, metadata: ClientMetadata) -> None:
        """The configuration has been built."""

    def end_statistics(self, metadata: ClientMetadata) -> None:
        """The client's statistics have been processed."""


class Version(Plugin):
    """Knows which revision of the repository is checked out."""

    create: ClassVar[bool] = False
    #: What must exist below ``[server] vcs_root``; None: nothing.
    __vcs_metadata_path__: ClassVar[str | None] = None
    __rmi__: ClassVar[list[str]] = [*Plugin.__rmi__, "get_revision"]
    options: ClassVar[list[Option]] = [
        PathOption("server", "vcs_root", default="<repository>", help="Root of the working copy, for Version plugins")
    ]

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        root = Path(getattr(core.options, "server_vcs_root", None) or core.options.server_repository)
        marker = self.__vcs_metadata_path__
        #: The top folder of the working copy.
        self.vcs_root = str(root)
        #: The path of the version control system's own data, or None.
        self.vcs_path = str(root / marker) if marker else None
        if marker and not (root / marker).exists():
            raise PluginInitError(f"{root / marker} does not exist, {root} is no working copy of {self.name}")

    def get_revision(self) -> str:
        """The revision, for people."""
        raise NotImplementedError

    def head_files(self) -> Sequence[str]:
        """Paths at one of which something changes whenever the revision does.

        With them the plugin is asked for the revision at such a change only.  Have the file monitor watch them.
        """
        return ()

    def is_moving(self) -> bool:
        """Whether somebody is just moving the working copy to another revision."""
        return False


class PullSource:
    """Knows what clients had in place of the configuration (``bcfg2-admin pull``)."""

    def GetExtra(self, client: str) -> list[tuple[str, str]]:
        """(tag, name) of entries that the client has and the specification lacks."""
        return []

    def GetCurrentEntry(self, client: str, e_type: str, e_name: str) -> Any:
        """The entry as it is on the client."""
        raise NotImplementedError


class PullTarget:
    """Can take what a client has into the repository (``bcfg2-admin pull``)."""

    def AcceptChoices(self, entry: Element, metadata: ClientMetadata) -> list[Any]:
        """The specificities under which ENTRY could be stored, best first."""
        raise NotImplementedError

    def AcceptPullData(self, specific: Any, new_entry: dict[str, Any], verbose: bool) -> None:
        """Store NEW_ENTRY under SPECIFIC."""
        raise NotImplementedError


class ClientACLs:
    """Decides which remote calls a client may make."""

    def check_acl_ip(self, address: Address, rmi: str) -> bool | None:
        """True to allow, False to deny, None to leave it to :meth:`check_acl_metadata`.  An exception denies."""
        return True

    def check_acl_metadata(self, metadata: ClientMetadata, rmi: str) -> bool:
        """Whether the client may call RMI; asked only where the address did not decide.  An exception denies."""
        return True


class TemplateDataProvider:
    """Adds variables to templates."""

    def get_template_data(self, entry: Element, metadata: ClientMetadata, template: str) -> dict[str, Any]:
        """Variables for the text template at path TEMPLATE that renders ENTRY."""
        return {}

    def get_xml_template_data(self, structfile: Any, metadata: ClientMetadata) -> dict[str, Any]:
        """Variables for the XML template STRUCTFILE."""
        return {}


__all__ = [
    "Address",
    "ClientACLs",
    "ClientAddress",
    "ClientMetadata",
    "ClientRunHooks",
    "Connector",
    "Decision",
    "Dependencies",
    "Generator",
    "GoalValidator",
    "Metadata",
    "Probing",
    "PullSource",
    "PullTarget",
    "Statistics",
    "Structure",
    "StructureValidator",
    "TemplateDataProvider",
    "Threaded",
    "ThreadedStatistics",
    "Version",
]
