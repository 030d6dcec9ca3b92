"""The core that serves with the standard library's servers; the default."""

import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import urlsplit
from xmlrpc.client import Fault

from bcfg2.log import log_file_descriptors
from bcfg2.options import BooleanOption, FloatOption, IntOption, Option, Options, SizeOption, types
from bcfg2.options.common import PROTOCOL, SERVER, SERVER_CERTIFICATE, SERVER_KEY
from bcfg2.server import systemd
from bcfg2.server.core import NO_SUCH_METHOD, CoreInitError, NetworkCore, NoExposedMethod
from bcfg2.server.daemonize import Daemon
from bcfg2.server.limits import Limits, allow_descriptors
from bcfg2.server.monitoring import Monitoring
from bcfg2.server.plugin.interfaces import Address
from bcfg2.server.ssl_server import Page, ServerError, XMLRPCServer

_LIMITS = Limits()

#: Seconds without a turn of the loop that accepts connections after which it counts as hanging.
_PATIENCE = 10.0

#: Seconds after which a signal is seen that came just when the main thread began to wait, and so did not wake it.
_SIGNAL_CHECK = 1.0


def at_least(low: float, parse: Callable[[str], float]) -> Callable[[str], float]:
    """PARSE for values of LOW or more."""

    def parsed(text: str) -> float:
        value = parse(text)
        if value < low:
            raise ValueError(f"less than {low:g}")
        return value

    return parsed


class BuiltinCore(NetworkCore):
    """Serves calls over HTTPS, a thread for each connection."""

    name: ClassVar[str] = "BuiltinCore"

    options: Any = [
        *NetworkCore.options,
        SERVER,
        SERVER_CERTIFICATE,
        SERVER_KEY,
        PROTOCOL,
        Option("communication", "ciphers", help="Ciphers for TLS 1.2, as OpenSSL lists them; none: the library's own"),
        BooleanOption("server", "listen_all", default=False, flags=("--listen-all",), help="Listen on all interfaces"),
        IntOption(
            "server",
            "max_connections",
            default=_LIMITS.connections,
            parse=at_least(1, types.integer),
            help="Connections served at once",
        ),
        IntOption(
            "server",
            "max_connections_per_address",
            default=_LIMITS.connections_per_address,
            parse=at_least(1, types.integer),
            help="Connections from one address",
        ),
        SizeOption("server", "max_head", default=_LIMITS.head, help="Bytes of a request's first line and headers"),
        SizeOption("server", "max_body", default=_LIMITS.body, help="Bytes of a request's body"),
        FloatOption(
            "server",
            "io_timeout",
            default=_LIMITS.timeout,
            parse=at_least(0.01, types.number),
            help="Seconds for a TLS handshake, for a request's head, and for any silence in a body or an answer",
        ),
        SizeOption(
            "server",
            "min_rate",
            default=_LIMITS.rate,
            parse=at_least(1, types.size),
            help="Bytes in a second at which bodies and answers have to pass, on average",
        ),
        FloatOption(
            "server",
            "idle_timeout",
            default=_LIMITS.idle,
            parse=at_least(0, types.number),
            help="Seconds that a connection stays open between requests",
        ),
        FloatOption(
            "server",
            "stop_timeout",
            default=_LIMITS.stop,
            parse=at_least(0, types.number),
            help="Seconds that running requests get when the server stops",
        ),
        IntOption(
            "server",
            "login_failures",
            default=_LIMITS.login_failures,
            parse=at_least(0, types.integer),
            help="Wrong credentials from one address before answers to it are delayed; one a second is forgotten",
        ),
        FloatOption(
            "server",
            "login_delay",
            default=_LIMITS.login_delay,
            parse=at_least(0, types.number),
            help="Seconds by which these answers are delayed",
        ),
        *Monitoring.options,
    ]

    def __init__(self, options: Options, reread: Callable[[], Options] | None = None) -> None:
        super().__init__(options, reread)
        #: The HTTP server, an :class:`XMLRPCServer` or what has the same methods for the core.
        self.server: Any = None
        self.monitoring = Monitoring(self)

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
        allow_descriptors(options.server_max_connections, self.logger)
        try:
            self.server = self._open(
                Limits(
                    connections=options.server_max_connections,
                    connections_per_address=options.server_max_connections_per_address,
                    head=options.server_max_head,
                    body=options.server_max_body,
                    timeout=options.server_io_timeout,
                    rate=options.server_min_rate,
                    idle=options.server_idle_timeout,
                    stop=options.server_stop_timeout,
                    login_failures=options.server_login_failures,
                    login_delay=options.server_login_delay,
                ),
                listen_all=options.server_listen_all,
                server_address=listening_address(options.components_bcfg2),
                keyfile=options.communication_key,
                certfile=options.communication_certificate,
                protocol=options.communication_protocol,
                ciphers=options.communication_ciphers,
            )
        except ServerError as err:
            raise CoreInitError(str(err)) from err
        self.monitoring.show_connections(self.server.counters)
        systemd.notify("STATUS=Reading the repository")
        return True

    def _open(self, limits: Limits, **wanted: Any) -> Any:
        """An HTTP server that asks this core: within LIMITS, and with what else :class:`SSLServer` wants to know."""
        server = XMLRPCServer(ca=self.ca, limits=limits, **wanted)
        server.register_instance(self)
        return server

    def _block(self) -> None:
        assert self.server is not None
        serving = threading.Thread(target=self.server.serve_forever, args=(0.05,), name="server", daemon=True)
        serving.start()
        host, port = map(str, self.server.server_address[:2])
        self.logger.info("Serving on %s port %s", host, port)
        self.ready()
        systemd.notify("READY=1", f"STATUS=Serving on {host} port {port}")
        watchdog = systemd.Watchdog(self._what_hangs)
        watchdog.start()
        while not self.terminate.wait(_SIGNAL_CHECK):
            pass
        self.logger.info("Stopping")
        systemd.notify("STOPPING=1", "STATUS=Stopping")
        watchdog.stop()
        self.server.stop()
        serving.join()

    def shutdown(self) -> None:
        super().shutdown()
        self.monitoring.close()
        if self.server is not None:
            self.server.server_close()

    def configuration_text(self, client: str) -> str:
        begun = time.perf_counter()
        try:
            return super().configuration_text(client)
        finally:
            self.monitoring.configurations.add(time.perf_counter() - begun)

    # what the server asks

    def called(self, method: str, outcome: str, seconds: float, received: int, sent: int) -> None:
        """Note that a request was answered, see :meth:`Monitoring.called`."""
        self.monitoring.called(method, outcome, seconds, received, sent)

    def page(self, path: str, address: Address) -> Page | None:
        """The page that a GET request for PATH is answered with; None: none for this caller."""
        return self.monitoring.page(path, address)

    def _dispatch(self, method: str, arguments: tuple[Any, ...], address: Address) -> Any:
        """What METHOD answers to the client at ADDRESS; a fault if there is no such method."""
        try:
            return self.dispatch(method, arguments, address)
        except NoExposedMethod:
            raise Fault(NO_SUCH_METHOD, f"Unknown method {method}") from None

    # whether it serves

    def unready(self) -> str:
        return super().unready() or self._what_hangs()

    def _what_hangs(self) -> str:
        """Why the server does not serve although it should, in a few words; empty if it does."""
        if self.fam_thread is None or not self.fam_thread.is_alive():
            return "the file monitor has ended"
        if self.server is None or time.monotonic() - self.server.turned > _PATIENCE:
            return "no connections are accepted"
        return ""


def listening_address(url: str) -> tuple[str, int]:
    """(host, port) of the server's URL; :exc:`CoreInitError` if the URL cannot be used."""
    problem = f"{url!r} is no address to listen on, write https://HOST:PORT (option bcfg2 of [components], or -S)"
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as err:
        raise CoreInitError(f"{problem}: {err}") from err
    if parts.scheme != "https":
        raise CoreInitError(f"{problem}: the server speaks HTTPS only, not {parts.scheme}")
    if not host or not port:
        raise CoreInitError(problem)
    return host, port
