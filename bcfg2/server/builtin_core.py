"""The core that serves with the standard library's servers; the default."""

import threading
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import urlsplit
from xmlrpc.client import Fault

from bcfg2.log import log_file_descriptors
from bcfg2.options import BooleanOption, FloatOption, IntOption, Options, SizeOption
from bcfg2.options.common import PROTOCOL, SERVER, SERVER_CERTIFICATE, SERVER_KEY
from bcfg2.server.core import NO_SUCH_METHOD, CoreInitError, NetworkCore, NoExposedMethod
from bcfg2.server.daemonize import Daemon
from bcfg2.server.plugin.interfaces import Address
from bcfg2.server.ssl_server import Limits, ServerError, XMLRPCServer

_LIMITS = Limits()


class BuiltinCore(NetworkCore):
    """Serves calls over HTTPS, a thread for each connection."""

    name: ClassVar[str] = "BuiltinCore"

    options: Any = [
        *NetworkCore.options,
        SERVER,
        SERVER_CERTIFICATE,
        SERVER_KEY,
        PROTOCOL,
        BooleanOption("server", "listen_all", default=False, flags=("--listen-all",), help="Listen on all interfaces"),
        IntOption("server", "max_connections", default=_LIMITS.connections, help="Connections served at once"),
        SizeOption("server", "max_body", default=_LIMITS.body, help="Bytes of a request's body"),
        FloatOption(
            "server",
            "io_timeout",
            default=_LIMITS.timeout,
            help="Seconds for a TLS handshake, and for each read or write",
        ),
        FloatOption(
            "server", "idle_timeout", default=_LIMITS.idle, help="Seconds that a connection stays open between requests"
        ),
        FloatOption(
            "server",
            "stop_timeout",
            default=_LIMITS.stop,
            help="Seconds that running requests get when the server stops",
        ),
    ]

    def __init__(self, options: Options, reread: Callable[[], Options] | None = None) -> None:
        super().__init__(options, reread)
        self.server: XMLRPCServer | None = None

    @property
    def context(self) -> Any:
        """The :class:`daemon.DaemonContext` of the daemon; None in the foreground."""
        return self.daemon.context if self.daemon is not None else None

    def _daemonize(self) -> None:
        options = self.options
        self.daemon = Daemon(
            options.daemon, options.server_user, options.server_group, options.server_umask, log_file_descriptors()
        )
        self.daemon.detach(self.handle_signal)

    def _run(self) -> bool:
        """Open the listening socket; connections wait until :meth:`_block` serves them."""
        options = self.options
        try:
            self.server = XMLRPCServer(
                options.server_listen_all,
                listening_address(options.components_bcfg2),
                keyfile=options.communication_key,
                certfile=options.communication_certificate,
                ca=self.ca,
                protocol=options.communication_protocol,
                limits=Limits(
                    connections=options.server_max_connections,
                    body=options.server_max_body,
                    timeout=options.server_io_timeout,
                    idle=options.server_idle_timeout,
                    stop=options.server_stop_timeout,
                ),
            )
        except ServerError as err:
            raise CoreInitError(str(err)) from err
        self.server.register_instance(self)
        return True

    def _block(self) -> None:
        assert self.server is not None
        serving = threading.Thread(target=self.server.serve_forever, args=(0.05,), name="server", daemon=True)
        serving.start()
        host, port = self.server.server_address[:2]
        self.logger.info("Serving on %s port %s", host, port)
        self.ready()
        self.terminate.wait()
        self.logger.info("Stopping")
        self.server.stop()
        serving.join()

    def shutdown(self) -> None:
        super().shutdown()
        if self.server is not None:
            self.server.server_close()

    def _dispatch(self, method: str, arguments: tuple[Any, ...], address: Address) -> Any:
        """What METHOD answers to the client at ADDRESS; a fault if there is no such method."""
        try:
            return self.dispatch(method, arguments, address)
        except NoExposedMethod:
            raise Fault(NO_SUCH_METHOD, f"Unknown method {method}") from None


def listening_address(url: str) -> tuple[str, int]:
    """(host, port) of the server's URL; :exc:`CoreInitError` if the URL cannot be used."""
    problem = f"{url!r} is no address to listen on, write https://HOST:PORT (option bcfg2 of [components], or -S)"
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as err:
        raise CoreInitError(f"{problem}: {err}") from err
    if not host or not port:
        raise CoreInitError(problem)
    return host, port
