"""Queries that threads share."""

import threading
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedQuery(Generic[T]):
    """Lets threads that look something up at the same time share one query, and so one connection.

    READ takes a list of keys and returns key -> what was found.  Whoever asks while a query is under way shares the
    next one, so every answer is from after the question.
    """

    def __init__(self, read: Callable[[list[str]], Mapping[str, T]]) -> None:
        self._read = read
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._next: _Batch[T] = _Batch()

    def ask(self, key: str) -> T | None:
        """What is found under KEY; raise what READ raises."""
        with self._guard:
            batch = self._next
            is_first = not batch.keys
            batch.keys.append(key)
        if is_first:
            self._query(batch)
        else:
            batch.done.wait()
        if batch.error is not None:
            raise batch.error
        return batch.found.get(key)

    def _query(self, batch: "_Batch[T]") -> None:
        """Query for BATCH when its turn has come; until then others join it."""
        with self._turn:
            with self._guard:
                self._next = _Batch()
            try:
                batch.found = self._read(list(dict.fromkeys(batch.keys)))
            except Exception as err:  # noqa: BLE001 - each thread of the batch raises it
                batch.error = err
            finally:
                batch.done.set()


class _Batch(Generic[T]):
    """Keys that are looked up together, and what was found."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.found: Mapping[str, T] = {}
        self.error: Exception | None = None
        self.done = threading.Event()
