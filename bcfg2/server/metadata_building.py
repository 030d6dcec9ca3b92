"""How a core comes by the metadata of clients: from the Metadata plugin, from connectors, from what is kept.

.. code-block:: text

    resolve_client(address)     who is calling
      build_metadata(name)        once per request
        metadata cache              what earlier requests have built, as far as [caching] client_metadata lets it
        Metadata plugin             the client's own groups
        connectors                  further groups, then data
"""

import threading
from typing import Any, NoReturn

from bcfg2.server.metadata_cache import MetadataCache, separate_copy
from bcfg2.server.plugin import Connector, MetadataConsistencyError, MetadataRuntimeError
from bcfg2.server.plugin.interfaces import Address, ClientAddress
from bcfg2.server.statistics import track_statistics
from bcfg2.server.versioned import request_memo

#: In the memo of a request: a connector's question has led to metadata that was built while other was incomplete.
_WITHIN = "connected within"


class _Connecting(threading.local):
    """For how many clients this thread is asking connectors, each because one of the client before asks about it."""

    depth = 0


class MetadataBuilder:
    """The part of a core that builds the metadata of clients; plugins and options come from the core."""

    options: Any
    metadata: Any

    def __init__(self) -> None:
        super().__init__()
        self.metadata_cache = MetadataCache()
        self._connecting = _Connecting()

    def plugins_by_type(self, base_cls: type) -> list[Any]:
        raise NotImplementedError

    def critical_error(self, message: str) -> NoReturn:
        raise NotImplementedError

    @property
    def metadata_cache_mode(self) -> str:
        """What of clients' metadata is kept: ``off``, ``initial``, ``cautious`` or ``aggressive``."""
        mode: str = self.options.caching_client_metadata
        return "cautious" if mode == "on" else mode

    @property
    def is_connecting(self) -> bool:
        """Whether this thread is asking connectors about a client, so that what they see may be incomplete."""
        return self._connecting.depth > 0

    @property
    def has_connected_within(self) -> bool:
        """Whether in this request a connector's question led to metadata that may rest on incomplete metadata."""
        return _WITHIN in request_memo()

    @track_statistics()
    def build_metadata(self, client_name: str, register: bool = True) -> Any:
        """The metadata of the client CLIENT_NAME; with REGISTER an unknown client becomes known.

        Raises MetadataConsistencyError or MetadataRuntimeError where there is none to be had, and whatever a connector
        raises: wrong groups are worse than no answer.
        """
        if self.metadata is None:
            raise MetadataRuntimeError("metadata has not been read yet")
        memo = request_memo()
        key = ("metadata", self, client_name)
        if key in memo:
            return memo[key]
        metadata = self._cached_metadata(client_name, register)
        request_memo()[key] = metadata  # registering the client began a new memo
        return metadata

    def _cached_metadata(self, client_name: str, register: bool) -> Any:
        mode = self.metadata_cache_mode
        if mode == "off":
            return self._connect(self.metadata.initial_metadata(client_name, register=register))
        begun = self.metadata_cache.begin()
        found = self.metadata_cache.find(client_name)
        if mode == "initial":
            if found is None:
                found = self.metadata.initial_metadata(client_name, register=register)
                self.metadata_cache.store(found.hostname, found, begun)
            return self._connect(separate_copy(found))
        if found is None:
            found = self._connect(self.metadata.initial_metadata(client_name, register=register))
            if not self.is_connecting:  # else it may rest on that of a client which is not complete yet
                self.metadata_cache.store(found.hostname, found, begun)
        return found

    def _connect(self, metadata: Any) -> Any:
        """Add what connectors know to the initial METADATA."""
        connectors = self.plugins_by_type(Connector)
        if self.is_connecting:
            request_memo()[_WITHIN] = True
        self._connecting.depth += 1
        try:
            for plugin in connectors:
                groups = plugin.get_additional_groups(metadata)
                self.metadata.merge_groups_of(plugin.name, metadata, groups)
            self.metadata.finish_groups(metadata)
            for plugin in connectors:
                data = plugin.get_additional_data(metadata)
                self.metadata.merge_additional_data(metadata, plugin.name, data)
        finally:
            self._connecting.depth -= 1
        return metadata

    @track_statistics()
    def resolve_client(self, address: Address, cleanup_cache: bool = False, metadata: bool = True) -> tuple[str, Any]:
        """(canonical name, metadata or None) of the client that calls from ADDRESS; a fault if it cannot be told."""
        try:
            client = self.metadata.resolve_client(address, cleanup_cache=cleanup_cache)
            if isinstance(address, ClientAddress):
                address.name = client
            return client, self.build_metadata(client) if metadata else None
        except (MetadataConsistencyError, MetadataRuntimeError) as err:
            self.critical_error(f"cannot resolve the client at {address[0]}: {err}")
