"""What is kept of the results of queries."""

import threading
from typing import Any


class Results:
    """Results of queries, by the name of the client, then by that of the query.

    Whoever works out a result takes the dictionary it goes to before.  What is dropped meanwhile stays dropped: the
    dictionaries of the clients concerned are replaced.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_host: dict[str, dict[str, Any]] = {}

    def of(self, host: str) -> dict[str, Any]:
        """The results for a client, to be read and added to."""
        with self._lock:
            return self._by_host.setdefault(host, {})

    def drop(self, query: str | None = None, host: str | None = None) -> None:
        """Forget the results of QUERY (None: of all) for the client HOST (None: for all)."""
        with self._lock:
            for name in list(self._by_host) if host is None else [host]:
                kept = self._by_host.pop(name, {})
                if query is not None and (left := {key: value for key, value in kept.items() if key != query}):
                    self._by_host[name] = left
