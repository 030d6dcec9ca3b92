"""Whose turn it is: places at workers, handed out fairly among clients."""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

W = TypeVar("W")


class Crowded(Exception):
    """There are as many in the queue as may wait."""


class NoWorker(Exception):
    """There is no worker, and none is expected."""


class _Waiter(Generic[W]):
    __slots__ = ("given", "worker")

    def __init__(self) -> None:
        self.given = threading.Event()
        self.worker: W | None = None


class Turns(Generic[W]):
    """Gives each of those who ask a place at a worker, of which each has PLACES.

    Who does not get one at once waits, MAXIMUM at most.  Clients take turns, whatever the number of their requests: one
    that asks a hundred times at once delays another that asks once by one place.
    """

    def __init__(self, places: int, maximum: int) -> None:
        self._places = places
        self._maximum = maximum
        self._lock = threading.Lock()
        self._taken: OrderedDict[W, int] = OrderedDict()  # the worker that got something last stands last
        self._waiting: OrderedDict[str, deque[_Waiter[W]]] = OrderedDict()  # by client, whose turn it is first
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def add(self, worker: W) -> None:
        """WORKER takes work from now on."""
        with self._lock:
            self._taken[worker] = 0
            self._hand_out()

    def remove(self, worker: W) -> None:
        """WORKER takes none any more."""
        with self._lock:
            self._taken.pop(worker, None)

    def close(self) -> None:
        """There will be no worker any more: all who wait, or ask, get :exc:`NoWorker`."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, OrderedDict()
        for waiters in waiting.values():
            for waiter in waiters:
                waiter.given.set()

    @contextmanager
    def place(self, client: str) -> Iterator[W]:
        """A worker for CLIENT, until the end of the block.  Raises :exc:`Crowded` and :exc:`NoWorker`."""
        worker = self._wait(client)
        try:
            yield worker
        finally:
            with self._lock:
                if worker in self._taken:
                    self._taken[worker] -= 1
                self._hand_out()

    def _wait(self, client: str) -> W:
        waiter: _Waiter[W] = _Waiter()
        with self._lock:
            if self._closed:
                raise NoWorker
            self._waiting.setdefault(client, deque()).append(waiter)
            self._hand_out()
            if waiter.worker is None and sum(map(len, self._waiting.values())) > self._maximum:
                self._waiting[client].remove(waiter)
                if not self._waiting[client]:
                    del self._waiting[client]
                raise Crowded
        waiter.given.wait()
        if waiter.worker is None:
            raise NoWorker
        return waiter.worker

    def _hand_out(self) -> None:
        while self._waiting and self._taken:
            worker = min(self._taken, key=self._taken.__getitem__)
            if self._taken[worker] >= self._places:
                return
            self._taken[worker] += 1
            self._taken.move_to_end(worker)
            client, waiters = self._waiting.popitem(last=False)
            waiter = waiters.popleft()
            if waiters:
                self._waiting[client] = waiters
            waiter.worker = worker
            waiter.given.set()
