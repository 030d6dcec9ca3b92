"""One line in the log for each request, for people and for programs:

.. code-block:: text

    call method=GetConfig client=web1.example.com address=192.0.2.7 outcome=ok seconds=0.012 bytes=173602
    call method=GetKeys client=- address=192.0.2.9 outcome="fault -32601" seconds=0.001 bytes=330
    call method=- client=- address=192.0.2.9 outcome="refused 413" seconds=0.000 bytes=83 reason="its body of ..."

What is not known is ``-``.  A value of other than plain ASCII characters is a text in the notation of JSON.
"""

import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bcfg2.server.plugin.interfaces import ClientAddress

logger = logging.getLogger("bcfg2.SSLServer")

#: Characters of a method, or of any other value, that are written.
MAX_VALUE = 200

_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")

#: Is told of each request: method (or nothing), outcome, seconds, and the bytes of its body and of the answer's.
Observer = Callable[[str, str, float, int, int], None]


@dataclass(slots=True)
class Call:
    """A request, as it becomes known piece by piece."""

    address: ClientAddress
    #: The method that is called; of a request that is no call, verb and path.
    method: str = ""
    #: Whether the answer is to have no body (HEAD).
    is_without_body: bool = False
    #: Bytes of the body.
    received: int = 0
    #: ``ok``, ``denied``, ``unauthenticated``, ``fault`` and its code, ``refused`` and the status.
    outcome: str = "ok"
    #: Why a request is refused.
    reason: str = ""
    #: Seconds after which the caller may try again, where it is told so.
    retry_after: int | None = None
    begun: float = field(default_factory=time.monotonic)

    @property
    def client(self) -> str:
        """The name of the client, or its address while it has none."""
        return self.address.client or self.address.name or self.address[0]

    def arrived(self, verb: str, path: str) -> None:
        """The head of the request has been read."""
        self.begun = time.monotonic()
        self.is_without_body = verb == "HEAD"
        if verb != "POST":
            self.method = f"{verb} {path}"

    def log(self, sent: int, observer: Observer | None = None) -> None:
        """Write the line, and tell OBSERVER; SENT is how many bytes the answer's body has."""
        seconds = time.monotonic() - self.begun
        values = {
            "method": self.method or "-",
            "client": self.address.client or self.address.name or "-",
            "address": self.address[0],
            "outcome": self.outcome,
            "seconds": f"{seconds:.3f}",
            "bytes": str(sent),
        }
        if self.reason:
            values["reason"] = self.reason
        line = " ".join(f"{name}={quoted(value)}" for name, value in values.items())
        logger.log(logging.WARNING if self.reason else logging.INFO, "call %s", line)
        if observer is not None:
            observer(self.method, self.outcome, seconds, self.received, sent)


def quoted(text: str) -> str:
    """TEXT, or if it has to be told from what is around it, in the notation of JSON; not longer than some limit."""
    if len(text) > MAX_VALUE:
        text = f"{text[:MAX_VALUE]}..."
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
