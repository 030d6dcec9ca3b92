"""The unified cache: one in-memory store in which every datum carries a set of tags.

A :class:`Cache` is a view of it: ``Cache("Probes", "probegroups")["host"]`` is the datum tagged ``{"Probes",
"probegroups", "host"}``.  :func:`expire` drops everything that carries all of the tags it is given, in whatever view:
``expire("host")`` forgets everything about a host.
"""

import threading
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

Tags = frozenset[str]
ExpireHook = Callable[[tuple[str, ...], bool, int], None]


class _Store:
    """All data, and an index from each tag to the tag sets that hold it, so that expiry does not scan."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.data: dict[Tags, Any] = {}
        self.by_tag: dict[str, set[Tags]] = {}
        self.hooks: list[ExpireHook] = []

    def set(self, tags: Tags, value: Any) -> None:
        with self.lock:
            if tags not in self.data:
                for tag in tags:
                    self.by_tag.setdefault(tag, set()).add(tags)
            self.data[tags] = value

    def drop(self, tags: Tags) -> None:
        with self.lock:
            del self.data[tags]
            for tag in tags:
                holders = self.by_tag[tag]
                holders.discard(tags)
                if not holders:
                    del self.by_tag[tag]

    def find(self, tags: Tags) -> list[Tags]:
        """The tag sets of all data that carry all of TAGS."""
        with self.lock:
            if not tags:
                return list(self.data)
            holders = sorted((self.by_tag.get(tag, set()) for tag in tags), key=len)
            return [found for found in holders[0] if tags <= found]


_store = _Store()


class Cache(MutableMapping[str, Any]):
    """The data tagged with TAGS and one more tag, the key."""

    def __init__(self, *tags: str) -> None:
        self.tags: Tags = frozenset(tags)

    def __getitem__(self, key: str) -> Any:
        return _store.data[self.tags | {key}]

    def __setitem__(self, key: str, value: Any) -> None:
        _store.set(self.tags | {key}, value)

    def __delitem__(self, key: str) -> None:
        _store.drop(self.tags | {key})

    def __iter__(self) -> Iterator[str]:
        for tags in _store.find(self.tags):
            rest = tags - self.tags
            if len(rest) == 1:
                yield from rest

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def expire(self, key: str | None = None) -> int:
        """Drop everything below this view, or with KEY just that datum; return how many were dropped."""
        if key is None:
            return expire(*self.tags)
        return expire(*self.tags, key, exact=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(sorted(self.tags))})"


def expire(*tags: str, exact: bool = False) -> int:
    """Drop what carries all of TAGS (with EXACT: these and no others; no tags: everything); return how many.

    Then every hook is called with (tags, exact, number).
    """
    wanted = frozenset(tags)
    with _store.lock:
        found = ([wanted] if wanted in _store.data else []) if exact else _store.find(wanted)
        for held in found:
            _store.drop(held)
    for hook in list(_store.hooks):
        hook(tags, exact, len(found))
    return len(found)


def add_expire_hook(hook: ExpireHook) -> None:
    """Call HOOK with (tags, exact, number dropped) after each expiry."""
    _store.hooks.append(hook)


def remove_expire_hook(hook: ExpireHook) -> None:
    """Call HOOK no more."""
    if hook in _store.hooks:
        _store.hooks.remove(hook)
