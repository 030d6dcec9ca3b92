"""Built client metadata, kept as long as nothing that it was built from changes."""

import threading
from copy import copy
from typing import Any

from bcfg2.server import cache
from bcfg2.server.metrics import Counter
from bcfg2.server.versioned import after_publish, generation, newest_generation


class MetadataCache(cache.Cache):
    """The core's view of the unified cache under the tag ``Metadata``: host name -> metadata.

    What is expired while file changes are being applied is expired again when they have been published, because a
    request may have built it from the old state meanwhile.  For the same reason a result counts only if nothing was
    expired while it was being worked out (see :meth:`begin` and :meth:`store`), and if the request that it comes from
    sees what was published before the last expiry.
    """

    def __init__(self) -> None:
        super().__init__("Metadata")
        self._lock = threading.Lock()
        self._epoch = 0
        self._generation = 0
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
        found = self.get(client)
        self.lookups.add("miss" if found is None else "hit")
        return found

    def store(self, client: str, metadata: Any, begun: int) -> None:
        """Keep METADATA of CLIENT, unless something was expired since BEGUN."""
        if begun == self._epoch and generation() >= self._generation:
            self[client] = metadata
            if begun != self._epoch:
                super().expire(client)

    def expire(self, key: str | None = None) -> int:
        """Forget the client KEY, or all; return how many were forgotten."""
        number = super().expire(key)
        if key is None:
            after_publish(self._expire_all)
        else:
            after_publish(lambda: self._expire_client(key))
        return number

    def _expire_all(self) -> None:
        super().expire()

    def _expire_client(self, key: str) -> None:
        super().expire(key)

    def _expired(self, tags: tuple[str, ...], exact: bool, number: int) -> None:
        with self._lock:
            self._epoch += 1
            self._generation = newest_generation()


def separate_copy(metadata: Any) -> Any:
    """A copy to which connectors can add without changing METADATA, to its sets, lists and dictionaries too."""
    result = copy(metadata)
    held = vars(result)
    held.update({name: copy(value) for name, value in held.items() if isinstance(value, set | list | dict)})
    return result
