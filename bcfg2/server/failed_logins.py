"""Guessing passwords is slow: who sends many wrong ones waits for the answer.

Each wrong pair of credentials counts one against its address, and one is forgotten in a second.  Beyond what is allowed
the answer is delayed.  A few answers to an address, and a part of all threads, may be waiting like that at a time;
until one of them is done, credentials from addresses with too many failures are not even looked at.  Other clients
behind such an address (NAT) are served as ever while fewer answers wait, and again as soon as the guessing ends.
"""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

#: Addresses that are remembered; beyond that the one that failed longest ago is forgotten.
MAX_ADDRESSES = 10_000
#: Answers to one address that are delayed at a time.
MAX_WAITING = 4
#: Failures beyond those allowed that are counted; so an address is forgiven after so many seconds.
MAX_COUNTED = 60


@dataclass(slots=True)
class _Failures:
    count: float
    when: float
    waiting: int = 0

    def now(self) -> float:
        """How many are not forgotten yet."""
        return max(0.0, self.count - (time.monotonic() - self.when))


class FailedLogins:
    """The addresses that sent wrong credentials.  Safe to use from any thread.

    ALLOWED: how many may be sent at once; DELAY: seconds by which further answers are delayed, 0 for never; THREADS:
    how many may be waiting for that in all.
    """

    def __init__(self, allowed: int, delay: float, threads: int) -> None:
        self._allowed = allowed
        self._delay = delay
        self._threads = threads
        self._waiting = 0
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._lock = threading.Lock()

    def refuses(self, host: str) -> bool:
        """Whether credentials from HOST are not to be looked at for now."""
        if not self._failures:  # the usual case, without the lock
            return False
        with self._lock:
            found = self._failures.get(host)
            if found is None or found.now() <= self._allowed:
                return False
            return found.waiting >= MAX_WAITING or (self._waiting >= self._threads and self._delay > 0)

    def failed(self, host: str, stopping: threading.Event) -> None:
        """HOST sent wrong credentials; returns when that may be answered, at once if STOPPING is set."""
        with self._lock:
            found = self._count(host)
            if self._delay <= 0 or found.count <= self._allowed or self._waiting >= self._threads:
                return
            self._waiting += 1
            found.waiting += 1
        try:
            stopping.wait(self._delay)
        finally:
            with self._lock:
                self._waiting -= 1
                found.waiting -= 1

    def _count(self, host: str) -> _Failures:
        found = self._failures.setdefault(host, _Failures(0.0, 0.0))
        self._failures.move_to_end(host)
        found.count = min(found.now() + 1, self._allowed + MAX_COUNTED)
        found.when = time.monotonic()
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
        return found
