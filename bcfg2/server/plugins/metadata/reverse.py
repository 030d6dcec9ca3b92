"""Names of addresses, from DNS or whatever else the system asks."""

import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field


def _system_lookup(address: str) -> str:
    """The name of ADDRESS; :exc:`OSError` if it has none."""
    return socket.getnameinfo((address, 0), socket.NI_NAMEREQD)[0]


@dataclass(slots=True)
class _Answer:
    """The answer for one address: it is there as soon as `done` is set, and good until `expires`."""

    done: threading.Event = field(default_factory=threading.Event)
    name: str | None = None
    expires: float = 0.0


class ReverseLookup:
    """Finds the name of an address without keeping anybody waiting for long.

    Each address is looked up by a thread of its own, which all who ask for it meanwhile wait for.  Names are kept for
    `name_age` seconds, failures for `failure_age`.
    """

    #: Seconds that a caller waits, and for the name of a loopback address, which no name server should be asked for.
    patience = 10.0
    loopback_patience = 1.0
    name_age = 60.0
    failure_age = 15.0
    #: Look-ups at one time; past that, addresses have no name.
    max_running = 64
    #: Answers that are kept.
    max_kept = 20_000

    def __init__(self, lookup: Callable[[str], str] = _system_lookup) -> None:
        self._lookup = lookup
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._running = 0

    def name_of(self, address: str) -> str | None:
        """The name of ADDRESS in lower case; None if it has none, or none could be found in time."""
        loopback = address == "::1" or address.startswith("127.")
        answer = self._answer(address)
        if answer is None or not answer.done.wait(self.loopback_patience if loopback else self.patience):
            return None
        return answer.name

    def _answer(self, address: str) -> _Answer | None:
        """The answer that holds, or is being looked for; None if too many are being looked for."""
        with self._lock:
            answer = self._answers.get(address)
            if answer is not None and (not answer.done.is_set() or answer.expires > time.monotonic()):
                return answer
            if self._running >= self.max_running:
                return None
            answer = self._answers[address] = _Answer()
            self._answers.move_to_end(address)
            while len(self._answers) > self.max_kept:
                self._answers.popitem(last=False)
            self._running += 1
        try:
            threading.Thread(target=self._run, args=(address, answer), name=f"name of {address}", daemon=True).start()
        except RuntimeError:  # no more threads can be made
            self._finish(answer, None)
        return answer

    def _run(self, address: str, answer: _Answer) -> None:
        name = None
        try:
            name = self._lookup(address).lower().rstrip(".") or None
        except (OSError, UnicodeError):
            pass  # it has no name
        finally:
            self._finish(answer, name)

    def _finish(self, answer: _Answer, name: str | None) -> None:
        answer.name = name
        answer.expires = time.monotonic() + (self.name_age if name else self.failure_age)
        answer.done.set()
        with self._lock:
            self._running -= 1
