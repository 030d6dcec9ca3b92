"""The core that serves with CherryPy, for sites that know how to run it.

It is the builtin core with another HTTP server: CherryPy's, cheroot (cheroot_server.py).  A request passes through a
CherryPy application of one page:

.. code-block:: text

    do_authn    a tool, before the body is read: pages for monitoring, credentials
    default     the call, whatever the path
    on_error    what neither of them expected

CherryPy's engine is not used: the core itself starts, stops and becomes a daemon, like any other.
"""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar

from bcfg2.options import Options
from bcfg2.server.answering import Answering, Page, refused, short_page
from bcfg2.server.builtin_core import BuiltinCore
from bcfg2.server.call_log import Call
from bcfg2.server.core import CoreInitError
from bcfg2.server.dispatcher import XMLRPCDispatcher
from bcfg2.server.http_request import Refusal
from bcfg2.server.limits import Limits
from bcfg2.server.ssl_server import SSLServer

try:
    import cherrypy
    from cherrypy._cpdispatch import Dispatcher

    from bcfg2.server.cheroot_server import INCOMING, CherootServer, Incoming
except ImportError as err:
    _MISSING = str(err)
    Dispatcher = object
else:
    _MISSING = ""

logger = logging.getLogger("bcfg2.CherrypyCore")


class CherrypyCore(BuiltinCore):
    """Serves as the builtin core does, but with CherryPy."""

    name: ClassVar[str] = "CherrypyCore"

    def __init__(self, options: Options, reread: Callable[[], Options] | None = None) -> None:
        if _MISSING:
            raise CoreInitError(f"backend = cherrypy needs CherryPy: install bcfg2[cherrypy] ({_MISSING})")
        super().__init__(options, reread)
        self._answering: Answering | None = None

    def _open(self, limits: Limits, **wanted: Any) -> Any:
        listener = SSLServer(
            RequestHandlerClass=None, reqCert=bool(self.ca), ca=self.ca, timeout=limits.timeout, **wanted
        )
        server = CherootServer(_application(self), listener, limits, bool(self.ca), self.called)
        dispatcher = XMLRPCDispatcher()
        dispatcher.register_instance(self)
        self._answering = Answering(dispatcher, limits, server.stopping)
        return server

    def do_authn(self) -> None:
        """Look at the credentials of the request; one that has none that are good is answered here."""
        request = cherrypy.serving.request
        incoming: Incoming = request.wsgi_environ[INCOMING]
        call = request.call = Call(incoming.address)
        call.arrived(incoming.verb, incoming.target)
        assert self._answering is not None
        try:
            page = self._answering.page(incoming.verb, incoming.target, call)
            if page is None:
                self._authenticate()
                return
            incoming.answered(closes=True)  # whatever body there may be is not read
        except Refusal as refusal:
            page = self._refuse(refusal)
        cherrypy.serving.response.body = self._send(page)
        request.handler = None

    def default(self, *path: str, **parameters: str) -> bytes:
        """Answer the call in the request's body."""
        request = cherrypy.serving.request
        incoming: Incoming = request.wsgi_environ[INCOMING]
        assert self._answering is not None
        try:
            if incoming.verb != "POST":
                raise Refusal(HTTPStatus.NOT_IMPLEMENTED, "calls are made with POST")
            page = self._answering.answer(incoming.read_body(), request.call, self._authenticate)
            incoming.answered()
        except Refusal as refusal:
            page = self._refuse(refusal)
        return self._send(page)

    def _authenticate(self) -> None:
        request = cherrypy.serving.request
        incoming: Incoming = request.wsgi_environ[INCOMING]
        assert self._answering is not None
        self._answering.authenticate(incoming.authorization(), incoming.certificate, request.call)

    def _refuse(self, refusal: Refusal) -> Page:
        request = cherrypy.serving.request
        request.wsgi_environ[INCOMING].answered(refused=True)
        return refused(refusal, request.call)

    def _send(self, page: Page) -> bytes:
        """Make PAGE the response; its body."""
        assert self._answering is not None
        self._answering.log(page, cherrypy.serving.request.call)
        return _respond(page)


def on_error(*args: Any, **kwargs: Any) -> None:
    """CherryPy's way to answer a request that ended in an unexpected exception, which it has logged."""
    cherrypy.serving.request.wsgi_environ[INCOMING].answered(refused=True)
    cherrypy.serving.response.body = _respond(short_page(HTTPStatus.INTERNAL_SERVER_ERROR))


def _respond(page: Page) -> bytes:
    """Make all of PAGE but its body, which is returned, the response."""
    response = cherrypy.serving.response
    response.status = int(page.status)
    response.headers.update(page.headers)
    return bytes(page.body)


def _error_page(status: str, message: str, traceback: str, version: str) -> str:
    """The body of what CherryPy refuses by itself."""
    cherrypy.serving.request.wsgi_environ[INCOMING].answered(refused=True)
    return bytes(short_page(HTTPStatus(int(status[:3]))).body).decode()


class _Root:
    """What CherryPy looks for pages in."""

    def __init__(self, page: Callable[..., bytes]) -> None:
        self._page = page

    def default(self, *path: str, **parameters: str) -> bytes:
        """The only page."""
        return self._page()

    default.exposed = True  # type: ignore[attr-defined]


class _OnePage(Dispatcher):
    """Finds the same page for all paths: no path is to lead to any attribute of any object."""

    def find_handler(self, path: str) -> Any:
        return super().find_handler("/")


def _application(core: CherrypyCore) -> Any:
    """The CherryPy application, a WSGI one, that CORE answers."""
    authn = cherrypy.Tool("before_request_body", core.do_authn, "bcfg2_authn")
    authn.namespace = "bcfg2"
    cherrypy.config.update({"log.screen": False, "log.access_file": "", "log.error_file": ""})
    cherrypy.tools.bcfg2_authn = authn
    return cherrypy.Application(
        _Root(core.default),
        "",
        {
            "/": {
                "request.dispatch": _OnePage(),
                "request.process_request_body": False,
                "request.show_tracebacks": False,
                "request.error_response": on_error,
                "error_page.default": _error_page,
                "response.headers.Server": "Bcfg2",
                "tools.bcfg2_authn.on": True,
                "tools.log_headers.on": False,
                "tools.trailing_slash.on": False,
            }
        },
    )
