"""Mappings whose values are worked out when somebody asks for them.

>>> data = CallableDict(load=os.getloadavg, limit=8.0)  # doctest: +SKIP
>>> data["load"], data["limit"]  # doctest: +SKIP
((0.12, 0.1, 0.09), 8.0)

What a connector offers to templates is often of that kind: it costs something, and few templates want it.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class CallableDict(Mapping[str, Any]):
    """The names and values of GETTERS; a value that can be called is called, without arguments, at each access."""

    def __init__(self, **getters: Callable[[], Any] | Any) -> None:
        self._getters = getters

    def __getitem__(self, key: str) -> Any:
        getter = self._getters[key]
        return getter() if callable(getter) else getter

    def __iter__(self) -> Iterator[str]:
        return iter(self._getters)

    def __len__(self) -> int:
        return len(self._getters)

    def __contains__(self, key: object) -> bool:
        return key in self._getters

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self) or 'nothing'}>"


class OnDemandDict(CallableDict):
    """A :class:`CallableDict` that calls each value once, at the first access, and keeps what it returned.

    A call that raises is tried again at the next access.
    """

    def __init__(self, **getters: Callable[[], Any] | Any) -> None:
        super().__init__(**getters)
        self._values: dict[str, Any] = {}
        self._lock = threading.RLock()  # a getter may ask for other values

    def __getitem__(self, key: str) -> Any:
        if key not in self._values:
            with self._lock:
                if key not in self._values:
                    self._values[key] = super().__getitem__(key)
        return self._values[key]
