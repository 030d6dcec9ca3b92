"""What the DNS (or ``/etc/hosts``) knows of hosts: asked in the background, and kept for a while.

.. code-block:: text

    request thread                                  threads of the resolver
    --------------                                  -----------------------
    known({"web1", "db1"}, wait)
      what is known, or was known a while ago
      what is not is asked for           --------->  addresses, and the names that these have
      waits a moment for the answers     <---------
      web1: 192.0.2.1, www.example.com
      db1: nothing so far
"""

import contextlib
import queue
import re
import socket
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass

#: How many names are looked up at once.
THREADS = 4

#: What a name from the DNS may consist of: others could pretend to be further hosts in the list.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}")

#: Seconds that a thread without work lives on.
_IDLE = 10.0


@dataclass(frozen=True)
class Answer:
    """The addresses of a host, and the names of these, until which time they count (of the monotonic clock)."""

    found: frozenset[str]
    good_until: float


_NOTHING = Answer(frozenset(), 0.0)


class Resolver:
    """The answers so far.  `version` is another number whenever one has changed."""

    def __init__(self, age: float, failure_age: float) -> None:
        """AGE, FAILURE_AGE: seconds after which a name is looked up again, and one whose lookup went wrong."""
        self.version = 0
        self._age = age
        self._failure_age = failure_age
        self._answers: dict[str, Answer] = {}
        self._pending: set[str] = set()
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._threads = 0
        self._changed = threading.Condition()

    def known(self, names: Collection[str], wait: float) -> dict[str, frozenset[str]]:
        """Addresses and further names of each of NAMES, as far as they are known.

        Where others have waited in vain already, and answers are still due, there is no WAIT (seconds).
        """
        with self._changed:
            overdue = bool(self._pending)
            now = time.monotonic()
            new = {name for name in names if name not in self._answers and name not in self._pending}
            old = {name for name in names if name in self._answers and self._answers[name].good_until < now}
            for name in sorted(new | (old - self._pending)):
                self._ask(name)
            if new and not overdue:
                self._changed.wait_for(lambda: not new & self._pending, wait)
            return {name: self._answers.get(name, _NOTHING).found for name in names}

    def _ask(self, name: str) -> None:
        self._pending.add(name)
        self._queue.put(name)
        if self._threads < THREADS:
            self._threads += 1
            threading.Thread(target=self._work, name="SSHbase resolver", daemon=True).start()

    def _work(self) -> None:
        """Look up names until there have been none for a while."""
        while True:
            try:
                name = self._queue.get(timeout=_IDLE)
            except queue.Empty:
                with self._changed:
                    if self._queue.empty():
                        self._threads -= 1
                        return
                continue
            found = look_up(name)
            age = self._failure_age if found is None else self._age
            with self._changed:
                before = self._answers.get(name, _NOTHING)
                kept = before.found if found is None else found
                self._answers[name] = Answer(kept, time.monotonic() + age)
                self._pending.discard(name)
                if kept != before.found:
                    self.version += 1
                self._changed.notify_all()


def look_up(name: str) -> frozenset[str] | None:
    """The addresses of NAME and the names of these; None if that cannot be told now."""
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as err:
        return None if err.errno == socket.EAI_AGAIN else frozenset()
    except (OSError, UnicodeError):
        return frozenset()
    found: set[str] = set()
    for address in {str(answer[4][0]) for answer in answers}:
        found.add(address)
        with contextlib.suppress(OSError, UnicodeError):
            reverse, aliases, _ = socket.gethostbyaddr(address)
            found.update(item for item in (reverse, *aliases) if _NAME.fullmatch(item))
    return frozenset(found)
