"""What a request is answered with, whichever HTTP server has read it.

.. code-block:: text

    page          a page for a GET request, before anybody is authenticated
    authenticate  credentials
    answer        the body: XML-RPC, access control list, method
    refusal       why there is no such answer

All of it is decided by the instance that is registered with a dispatcher, see :mod:`bcfg2.server.ssl_server`.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

from bcfg2.server.call_log import Call
from bcfg2.server.dispatcher import XMLRPCACLCheckException, XMLRPCDispatcher, decode_call
from bcfg2.server.failed_logins import FailedLogins
from bcfg2.server.http_request import Refusal, parse_basic
from bcfg2.server.limits import Limits
from bcfg2.xml import legal

logger = logging.getLogger("bcfg2.SSLServer")

#: One of so many connections may be waiting because of wrong passwords.
_DELAYED_SHARE = 10


class Page(NamedTuple):
    """An answer: HTTP status, type and content of the body, and perhaps the seconds after which to try again."""

    status: int
    content_type: str
    body: bytes | bytearray
    retry_after: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that go with it."""
        found = {"Content-Type": self.content_type, "Content-Length": str(len(self.body))}
        if self.status == HTTPStatus.UNAUTHORIZED:
            found["WWW-Authenticate"] = 'Basic realm="bcfg2"'
        if self.retry_after is not None:
            found["Retry-After"] = str(self.retry_after)
        return found


class Answering:
    """How the instance of DISPATCHER answers requests.

    LIMITS: what is put up with.  STOPPING is set when the server stops.
    """

    def __init__(self, dispatcher: XMLRPCDispatcher, limits: Limits, stopping: threading.Event) -> None:
        self._dispatcher = dispatcher
        self._stopping = stopping
        self._failed_logins = FailedLogins(
            limits.login_failures, limits.login_delay, max(1, limits.connections // _DELAYED_SHARE)
        )

    def page(self, verb: str, target: str, call: Call) -> Page | None:
        """What the instance has for a GET request."""
        page_of = getattr(self._dispatcher.instance, "page", None)
        if page_of is None or verb not in ("GET", "HEAD"):
            return None
        with _guarded(call):
            found: Page | None = page_of(target, call.address)
        return found

    def authenticate(self, authorization: str, certificate: Callable[[], dict[str, Any] | None], call: Call) -> None:
        """:exc:`Refusal` unless the header AUTHORIZATION holds good credentials.

        CERTIFICATE gives the client's, as the ssl module has it.
        """
        credentials = parse_basic(authorization)
        if credentials is None:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "no usable credentials", "unauthenticated")
        host, logins = call.address[0], self._failed_logins
        if logins.refuses(host):
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong credentials from this address (login_failures)")
        with _guarded(call):
            good = self._dispatcher.instance.authenticate(certificate() or None, *credentials, call.address)
        if not good:
            logins.failed(host, self._stopping)
            raise Refusal(HTTPStatus.UNAUTHORIZED, "these credentials are not accepted", "unauthenticated")

    def answer(self, body: bytes, call: Call, authenticate: Callable[[], None]) -> Page:
        """The answer to the call in BODY; :exc:`Refusal` if there is none.

        AUTHENTICATE is called again if the repository has changed before the body had come.
        """
        call.received = len(body)
        try:
            call.method, arguments = decode_call(body)
        except ValueError as err:
            raise Refusal(HTTPStatus.BAD_REQUEST, legal(str(err))) from None
        with _guarded(call), self._holding(call) as is_authenticated:
            if not is_authenticated:  # the client may have been removed, or its password changed, meanwhile
                authenticate()
            call.outcome, answer = self._dispatcher.answer(call.method, arguments, call)
        return Page(HTTPStatus.OK, "text/xml", answer, call.retry_after)

    def _holding(self, call: Call) -> contextlib.AbstractContextManager[bool]:
        """What the call is answered in: it tells whether what was said of the credentials holds."""
        answering = getattr(self._dispatcher.instance, "answering", None)
        return contextlib.nullcontext(True) if answering is None else answering(call.address)

    def log(self, page: Page, call: Call) -> None:
        """Write the line about CALL, which PAGE answers, and tell the instance."""
        call.log(len(page.body), getattr(self._dispatcher.instance, "called", None))


def refused(refusal: Refusal, call: Call) -> Page:
    """The answer to a request that is not served."""
    call.outcome, call.reason = refusal.outcome, str(refusal)
    return short_page(refusal.status)


def short_page(status: HTTPStatus) -> Page:
    """A page that says STATUS and nothing else."""
    title = f"{status.value} {status.phrase}"
    return Page(status, "text/html", f"<html><head><title>{title}</title></head></html>\n".encode())


@contextlib.contextmanager
def _guarded(call: Call) -> Iterator[None]:
    """What the instance raises becomes a :exc:`Refusal`."""
    try:
        yield
    except XMLRPCACLCheckException:
        raise Refusal(HTTPStatus.UNAUTHORIZED, "the access control list does not allow it", "denied") from None
    except Refusal:
        raise
    except Exception as err:
        logger.exception("%s failed for %s", legal(call.method) or "Authentication", call.client)
        raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, f"the server failed: {type(err).__name__}") from err
