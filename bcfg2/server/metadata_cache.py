"""Built client metadata, kept as long as nothing that it was built from changes."""

import threading
from copy import copy
from typing import Any, NamedTuple

from bcfg2.server import cache
from bcfg2.server.metrics import Counter
from bcfg2.server.versioned import Versioned, after_publish, generation, newest_generation


class _Kept(NamedTuple):
    """Metadata, and the `state` of the cache as the request saw it that has built them."""

    metadata: Any
    state: object


#: How many clients' single expiries are told from each other; one more counts as an expiry of all.
_MAX_EACH = 100_000


class MetadataCache(cache.Cache):
    """The core's view of the unified cache under the tag ``Metadata``: host name -> metadata.

    What is expired while file changes are being applied is expired again when they have been published, because a
    request may have built it from the old state meanwhile.  For the same reason a result counts only if nothing that
    concerns this client was expired while it was being worked out (see :meth:`begin` and :meth:`store`), and if the
    request that it comes from sees what was published before the last expiry.  And it counts only for requests that see
    the same expiries of all clients as the one that it comes from: others see the repository as it is before or after a
    change that this one does not see.
    """

    #: Another object after each expiry of all clients, from when the changes are published that are its reason.
    _state: Versioned[object] = Versioned(None)

    def __init__(self) -> None:
        super().__init__("Metadata")
        self._lock = threading.Lock()
        self._epoch = 0
        self._generation = 0
        #: The epoch of the last expiry that concerned everybody, and of later ones that concerned one client.
        self._all = 0
        self._each: dict[str, int] = {}
        self.lookups = Counter(
            "bcfg2_metadata_cache_lookups_total", "Lookups of clients' metadata in the cache, by result.", "result"
        )
        cache.add_expire_hook(self._expired)

    def close(self) -> None:
        """Forget everything."""
        cache.remove_expire_hook(self._expired)
        super().expire()

    def begin(self) -> int:
        """Call before working out what is to be stored; the answer is for :meth:`store`."""
        return self._epoch

    def find(self, client: str) -> Any:
        """The metadata of CLIENT, or None; that is counted."""
        kept: _Kept | None = self.get(client)
        found = kept.metadata if kept is not None and kept.state is self._state else None
        self.lookups.add("miss" if found is None else "hit")
        return found

    def store(self, client: str, metadata: Any, begun: int) -> None:
        """Keep METADATA of CLIENT, unless something that concerns it was expired since BEGUN."""
        if self._concerns(client) <= begun and self.is_abreast():
            self[client] = _Kept(metadata, self._state)
            if self._concerns(client) > begun:
                super().expire(client)

    def _concerns(self, client: str) -> int:
        """The epoch of the last expiry that concerned CLIENT."""
        return self._each.get(client, self._all)

    def is_abreast(self) -> bool:
        """Whether this thread's request sees everything that was published before the last expiry."""
        return generation() >= self._generation

    def changed_since(self, begun: int) -> frozenset[str] | None:
        """The clients of which something was expired since BEGUN, that is, of :meth:`begin`; None: maybe of all."""
        with self._lock:
            if self._all > begun:
                return None
            return frozenset(client for client, epoch in self._each.items() if epoch > begun)

    def expire(self, key: str | None = None) -> int:
        """Forget the client KEY, or all; return how many were forgotten."""
        number = super().expire(key)
        if key is None:
            self._state = object()
            after_publish(self._expire_all)
        else:
            after_publish(lambda: self._expire_client(key))
        return number

    def _expire_all(self) -> None:
        super().expire()

    def _expire_client(self, key: str) -> None:
        super().expire(key)

    def _expired(self, tags: tuple[str, ...], exact: bool, number: int) -> None:
        others = set(tags) - self.tags
        client = others.pop() if exact and len(others) == 1 and self.tags <= set(tags) else None
        with self._lock:
            self._epoch += 1
            self._generation = newest_generation()
            if client is not None and (client in self._each or len(self._each) < _MAX_EACH):
                self._each[client] = self._epoch
            else:
                self._all = self._epoch
                self._each = {}


def separate_copy(metadata: Any) -> Any:
    """A copy to which connectors can add without changing METADATA, to its sets, lists and dictionaries too."""
    result = copy(metadata)
    held = vars(result)
    held.update({name: copy(value) for name, value in held.items() if isinstance(value, set | list | dict)})
    return result
