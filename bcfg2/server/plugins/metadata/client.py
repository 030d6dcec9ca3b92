"""What plugins and templates see of one client."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NoReturn

from bcfg2.version import VersionInfo, parse_version

_parsed = lru_cache(1024)(parse_version)


class ClientMetadata:
    """One client's metadata.

    The data of each connector is an attribute with the plugin's name.  Nobody but the Metadata plugin can change the
    object: it may be shared by requests.
    """

    #: Canonical name, in lower case.
    hostname: str
    #: Name of the profile group, or None.
    profile: str | None
    groups: frozenset[str]
    bundles: frozenset[str]
    #: Other names of the client.
    aliases: frozenset[str]
    #: Addresses that identify it.
    addresses: frozenset[str]
    uuid: str | None
    password: str | None
    #: What the client declared last, or None.
    version: str | None
    #: Names of the connectors whose data was merged.
    connectors: tuple[str, ...]
    #: Questions about other clients, a :class:`~bcfg2.server.plugins.metadata.query.MetadataQuery`.
    query: Any
    _categories: Mapping[str, str]
    #: Whether connectors were asked, and whether one of them added groups since the last application of groups.xml.
    _connected: bool
    _grown: bool

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes, connectors=(), _connected=False, _grown=False)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"client metadata cannot be changed (setting {name})")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"client metadata cannot be changed (deleting {name})")

    def _revise(self, **attributes: Any) -> None:
        """Set ATTRIBUTES, while the metadata is being built."""
        self.__dict__.update(attributes)

    @property
    def categories(self) -> dict[str, str]:
        """Category -> the client's group of it, for those that the client has."""
        return dict(self._categories)

    @property
    def version_info(self) -> VersionInfo | None:
        """The parsed `version`; None without one, or if it is none."""
        return _parsed(self.version)

    def inGroup(self, group: str) -> bool:
        """Whether the client is a member of GROUP."""
        return group in self.groups

    def group_in_category(self, category: str) -> str:
        """The client's group of CATEGORY; the empty string if it has none."""
        return self._categories.get(category, "")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hostname!r})"
