"""The server core: it owns the plugins, tells who a client is, and runs the server's life cycle.

.. code-block:: text

    PluginTable          (plugin_table.py)        the plugins, by name and by role
    MetadataBuilder      (metadata_building.py)   what is known of a client
    ConfigurationBuilder (building.py)            how a configuration is built
    ExposedMethods       (methods.py)             what clients and administrators call
             \\                /
              Core                       all of these; file events, start and stop
                |
            NetworkCore                  authentication, access control lists, daemon
                |
            BuiltinCore (builtin_core.py), and other ways to serve

A core without a network (for local tools) is a :class:`Core` whose file events are handled by
``block_for_fam_events(handle_events=True)``.
"""

import contextlib
import functools
import inspect
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NoReturn
from xmlrpc.client import Fault

from bcfg2.options import (
    BooleanOption,
    ChoiceOption,
    ComponentOption,
    GroupOption,
    IntOption,
    OctalOption,
    OptionError,
    Options,
    TimeoutOption,
    UserOption,
)
from bcfg2.options.common import CA, DAEMON, ENCODING, PLUGINS, REPOSITORY
from bcfg2.server import alias, cache, database
from bcfg2.server.acl import DefaultACL, allowed
from bcfg2.server.arity import Arities
from bcfg2.server.building import ConfigurationBuilder
from bcfg2.server.daemonize import Daemon, DaemonError, drop_privileges
from bcfg2.server.database import close_db_connection
from bcfg2.server.filemonitor import FileMonitor, find_monitor
from bcfg2.server.keyring import ENCRYPTION_OPTIONS, Keyring
from bcfg2.server.metadata_building import MetadataBuilder
from bcfg2.server.methods import ExposedMethods, exposed
from bcfg2.server.options_in_force import HasOptions
from bcfg2.server.plugin import (
    MDATA_OPTIONS,
    ClientACLs,
    MetadataConsistencyError,
    MetadataRuntimeError,
    PluginExecutionError,
    Threaded,
    Version,
)
from bcfg2.server.plugin.encrypted import PassphraseUsers
from bcfg2.server.plugin.interfaces import Address, ClientAddress
from bcfg2.server.plugin.services import using, withdraw
from bcfg2.server.plugin_table import CoreInitError, PluginTable
from bcfg2.server.statistics import stats, track_statistics
from bcfg2.server.versioned import follow, generation, reading, writing
from bcfg2.server.working_copy import WorkingCopy
from bcfg2.xml import sort_xml

__all__ = [
    "Core",
    "CoreInitError",
    "DefaultACL",
    "NetworkCore",
    "NoExposedMethod",
    "close_db_connection",
    "exposed",
    "sort_xml",
]

alias.install()  # here, because plugins are imported while options are read, before there is a core

#: Fault codes of XML-RPC answers.
NO_SUCH_METHOD = -32601
CRITICAL_FAILURE = -32500
APPLICATION_ERROR = 1


class NoExposedMethod(Exception):
    """There is no exposed method of this name."""


class Core(HasOptions, PluginTable, MetadataBuilder, ConfigurationBuilder, ExposedMethods):
    """The container of all plugins and of what they need.

    An implementation overrides :meth:`_run` (open what is served, return whether that worked) and :meth:`_block`
    (serve until told to stop), and calls :meth:`shutdown` at the end.
    """

    name: ClassVar[str] = "Core"

    #: Of the class: what it declares.  Of an instance: the options in force, an :class:`Options`; of a request: those
    #: that were in force when it began.
    options: Any = [
        REPOSITORY,
        ENCODING,
        PLUGINS,
        ComponentOption(
            "server",
            "filemonitor",
            default="default",
            find=find_monitor,
            on_missing="error",
            help="How changes in the repository are noticed: default, inotify or pseudo (only at the start)",
        ),
        BooleanOption(
            "server",
            "fam_blocking",
            default=True,
            flags=("--no-fam-blocking",),
            help="Serve only after all files have been read",
        ),
        ChoiceOption(
            "caching",
            "client_metadata",
            default="off",
            choices=("off", "on", "initial", "cautious", "aggressive"),
            help="What of clients' metadata is kept between requests",
        ),
        IntOption(
            "caching",
            "bound_structures",
            default=5000,
            help="How many structures are kept bound for clients that agree in what matters; 0: none",
        ),
        BooleanOption(
            "caching",
            "verify",
            default=False,
            help="Build each configuration also without what is kept, and fail if that gives another one (for tests)",
        ),
        *ENCRYPTION_OPTIONS,
        BooleanOption("logging", "performance", default=False, help="Log statistics periodically"),
        TimeoutOption("logging", "performance_interval", default=300.0, help="Seconds between these logs"),
        *MDATA_OPTIONS,
        *database.OPTIONS,
    ]

    def __init__(self, options: Options, reread: Callable[[], Options] | None = None) -> None:
        """OPTIONS are in force until the configuration file changes and REREAD, if given, has others.

        Raises :exc:`CoreInitError`.
        """
        super().__init__()
        self.options = options
        self._reread = reread
        self.logger = logging.getLogger(f"bcfg2.{self.name}")
        self.debug_flag = bool(options.logging_debug)
        #: Path of the configuration file.
        self.cfile: str = options.config
        self.datastore: str = options.server_repository
        if not Path(self.datastore).is_dir():
            raise CoreInitError(
                f"the repository {self.datastore} does not exist (option repository of [server], or -Q)"
            )
        self.passphrase_users = PassphraseUsers()
        self._working_copy = WorkingCopy(self, lambda: self._update_vcs_revision())
        #: Held while file events are handled.
        self.lock = threading.Lock()
        self.db_write_lock = threading.RLock()
        #: Set when the core is to stop.
        self.terminate = threading.Event()
        self.fam_thread: threading.Thread | None = None
        self.perflog_thread: threading.Thread | None = None
        self._loaded = threading.Event()
        self._shutdown_lock = threading.Lock()
        self._is_shut_down = False
        try:
            self.fam: FileMonitor = options.server_filemonitor(options)
        except OSError as err:
            raise CoreInitError(f"cannot use the file monitor {options.server_filemonitor.__name__}: {err}") from err
        self.fam.set_debug(self.debug_flag)

    def __str__(self) -> str:
        return self.name

    @functools.cached_property
    def database_available(self) -> bool:
        """Whether the database can be used; found out, and if not logged, when a plugin asks for the first time."""
        try:
            database.connect(self.options)
        except database.DatabaseUnusable as err:
            self.logger.error("%s", err)
            return False
        finally:
            database.close_connections()
        return True

    def critical_error(self, message: str) -> NoReturn:
        """Log MESSAGE, with the traceback where an unexpected exception is being handled, and raise a fault."""
        self.logger.error("%s", message, exc_info=self.debug_flag)
        raise Fault(CRITICAL_FAILURE, f"Critical failure: {message}")

    @track_statistics()
    def check_acls(self, address: Address, rmi: str) -> bool:
        """Whether the ClientACLs plugins let the client at ADDRESS call RMI.

        First each is asked about the address; where that does not decide, about the client's metadata.
        """
        plugins = self.plugins_by_type(ClientACLs)
        with self.request():
            try:
                answer = allowed(plugins, address, rmi)
                if answer is not None:
                    return answer
                metadata = self.resolve_client(address)[1]
                return all(plugin.check_acl_metadata(metadata, rmi) for plugin in plugins)
            except Fault:  # who it is cannot be told, which has been logged
                return False
            except Exception:
                self.logger.exception("Cannot check whether %s may call %s, denied", address[0], rmi)
                return False

    # other processes that serve with this one, if there are any

    def share(self, *paths: str, told: bool = False) -> None:
        """Have PATHS, which this process has written and has in force, in force in all processes.

        TOLD: children need not be made to read them, because they were told by :meth:`tell_children`.
        """

    def tell_children(self, owner: str, method: str, *args: Any) -> None:
        """Have METHOD of the plugin OWNER called with ARGS, in all children before their next work."""

    # file events

    def HandleEvent(self, event: Any) -> None:
        """Read the configuration file again when it has changed."""
        if event.filename != self.cfile:
            self.logger.error("Got an event for the unknown file %s", event.filename)
            return
        if event.code2str() not in ("created", "changed") or self._reread is None:
            return
        try:
            options = self._reread()
        except OptionError as err:
            self.logger.error("The configuration file cannot be used, keeping the options in force: %s", err)
            return
        for warning in options.warnings:
            self.logger.warning("%s", warning)
        new_passphrases = Keyring.of(options) != Keyring.of(self.options)
        self.options = options
        if new_passphrases:
            self.passphrase_users.reload()
        self.metadata_cache.expire()
        self.logger.info("Read %s again; plugins, addresses and TLS settings change at the next start", self.cfile)

    def handle_file_events(self) -> None:
        """Apply all pending file events, with the revision that they led to, as one change."""
        self._working_copy.await_stillness()
        with self.lock, using(self), writing():
            self._apply_file_events()

    def _apply_file_events(self, at_once: bool = False) -> None:
        """Read what has changed, with AT_ONCE also that of a moment ago; the caller holds the lock and publishes."""
        self._working_copy.read(lambda at_once: self.fam.handle_event_set(at_once=at_once), at_once)

    @contextlib.contextmanager
    def changing_repository(self) -> Iterator[None]:
        """Whatever is changed in the repository inside of this comes into force at its end, as one change.

        For a plugin that moves the working copy to another revision.  Requests go on with the state before.
        """
        with self.lock, using(self):
            try:
                yield
            finally:
                follow()  # what is changed is the newest state, not that of the request that does it
                with writing():
                    self.fam.rescan()
                    self._apply_file_events(at_once=True)

    def _file_monitor_thread(self) -> None:
        """Apply file events batch by batch until the core stops."""
        while not self.terminate.is_set() and self.fam.wait():
            try:
                self.handle_file_events()
            except Exception:
                self.logger.exception("Error while handling file events")
            self._loaded.set()

    def block_for_fam_events(self, handle_events: bool = False) -> None:
        """Wait until all files that plugins asked for have been read; with HANDLE_EVENTS read them in this thread."""
        if handle_events:
            while self.fam.pending() and self.fam.wait():
                self.handle_file_events()
            self._loaded.set()
        else:
            while not self._loaded.wait(0.5) and not self.terminate.is_set():
                pass

    @track_statistics()
    def _update_vcs_revision(self) -> bool:
        """Ask the first Version plugin that answers for the revision of the repository; whether there is an answer."""
        revision = "-1"
        for plugin in self.plugins_by_type(Version):
            try:
                revision = plugin.get_revision()
                break
            except Exception as err:  # noqa: BLE001 - plugins are other people's code
                self.logger.warning("Plugin %s cannot tell the revision: %s", plugin.name, err)
        if revision != self.revision:
            self.revision = revision
        return revision != "-1"

    def _perflog_thread(self) -> None:
        """Log statistics periodically until the core stops."""
        while not self.terminate.wait(self.options.logging_performance_interval):
            for name, (low, high, mean, count) in sorted(stats.display().items()):
                self.logger.info("Performance: %s min=%.6f max=%.6f avg=%.6f count=%d", name, low, high, mean, count)

    # life cycle

    def run(self) -> None:
        """Load everything, serve, and shut down at the end.  Raises :exc:`CoreInitError` if that cannot be begun."""
        try:
            if not self._run():
                raise CoreInitError(f"{self.name} cannot be started")
            self.load_plugins()
            self.fam.AddMonitor(self.cfile, self)
            self._prepare()
            self.fam.start()
            self.fam_thread = threading.Thread(target=self._file_monitor_thread, name="file monitor", daemon=True)
            self.fam_thread.start()
            if self.options.logging_performance:
                self.perflog_thread = threading.Thread(target=self._perflog_thread, name="statistics", daemon=True)
                self.perflog_thread.start()
            self._start_plugin_threads()
            if self.options.server_fam_blocking:
                self.block_for_fam_events()
            if not self.terminate.is_set():
                self._block()
        finally:
            self.shutdown()

    def _prepare(self) -> None:
        """Called when plugins are loaded, before there is a thread."""

    def _start_plugin_threads(self) -> None:
        for plugin in self.plugins_by_type(Threaded):
            try:
                plugin.start_threads()
            except Exception:
                self.logger.exception("Plugin %s cannot start its threads", plugin.name)

    def _run(self) -> bool:
        """Open what is to be served; return at once, whether it worked."""
        raise NotImplementedError

    def _block(self) -> None:
        """Serve until told to stop."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """Stop the file monitor and all plugins.  May be called more than once."""
        with self._shutdown_lock:
            if self._is_shut_down:
                return
            self._is_shut_down = True
        self.terminate.set()
        self.fam.shutdown()
        if self.fam_thread is not None and self.fam_thread is not threading.current_thread():
            self.fam_thread.join(2)  # so that no plugin is told of files after it was shut down
        for plugin in list(self.plugins.values()):
            try:
                plugin.shutdown()
            except Exception:
                self.logger.exception("Plugin %s failed to shut down", plugin.name)
        self.metadata_cache.close()
        cache.expire()
        withdraw(self)

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """What is done inside of this sees one state of the repository; it ends with the thread's connections."""
        try:
            with reading(), using(self):
                yield
        finally:
            database.close_connections()


class NetworkCore(Core):
    """A core that listens on the network: it authenticates clients, may be a daemon, and gives up privileges.

    An implementation also overrides :meth:`_daemonize`, and calls :meth:`ready` when it serves.
    """

    options: Any = [
        *Core.options,
        CA,
        DAEMON,
        UserOption("server", "user", default=0, help="Owner of the server's process"),
        GroupOption("server", "group", default=0, help="Group of the server's process"),
        OctalOption("server", "umask", default=0o077, help="Umask of the server's process"),
    ]

    def __init__(self, options: Options, reread: Callable[[], Options] | None = None) -> None:
        super().__init__(options, reread)
        #: Path of the CA that signs clients' certificates, or None.
        self.ca: str | None = options.communication_ca
        self._arities = Arities()
        self.daemon: Daemon | None = None

    def run(self) -> None:
        """Become a daemon if a pid file was given, give up privileges, and run; :exc:`CoreInitError` if it fails.

        With a pid file the calling process ends here, as soon as the daemon serves.
        """
        try:
            try:
                if self.options.daemon:
                    self._daemonize()
                else:
                    for number in (signal.SIGTERM, signal.SIGINT):
                        signal.signal(number, self.handle_signal)
                    drop_privileges(self.options.server_user, self.options.server_group, self.options.server_umask)
            except DaemonError as err:
                raise CoreInitError(str(err)) from err
            super().run()
        except Exception as err:
            if self.daemon is not None:
                self.daemon.report(str(err) or type(err).__name__)
            raise
        finally:
            if self.daemon is not None:
                self.daemon.close()

    def _daemonize(self) -> None:
        """Become a daemon and write the pid file."""
        raise NotImplementedError

    def ready(self) -> None:
        """Say that the server serves."""
        if self.daemon is not None:
            self.daemon.report()

    def handle_signal(self, number: int, frame: Any) -> None:
        """Stop in an orderly way."""
        # In a thread: what the signal interrupts may be this event's wait(), which holds the lock that set() needs.
        threading.Thread(target=self.terminate.set, name="stop", daemon=True).start()

    def authenticate(self, cert: dict[str, Any] | None, user: str, password: str, address: Address) -> bool:
        """Whether a connection from ADDRESS with these credentials may call anything at all.

        CERT is the client's certificate as the ssl module gives it; without a CA it is not looked at.
        """
        with self.request():
            if isinstance(address, ClientAddress):
                address.generation = generation()
            try:
                return bool(self.metadata.AuthenticateConnection(cert if self.ca else None, user, password, address))
            except (MetadataConsistencyError, MetadataRuntimeError) as err:
                self.logger.error("Cannot authenticate %s from %s: %s", user, address[0], err)
                return False
            except Exception:
                self.logger.exception("Cannot authenticate %s from %s, denied", user, address[0])
                return False

    @contextlib.contextmanager
    def answering(self, address: ClientAddress) -> Iterator[bool]:
        """What is done inside of this, for the connection at ADDRESS, sees one state of the repository.

        Gives whether this is still the state by which the connection was authenticated.
        """
        with self.request():
            yield address.generation == generation()

    def dispatch(self, method: str, arguments: tuple[Any, ...], address: Address) -> Any:
        """Call the exposed or plugin method METHOD for the client at ADDRESS.

        Raises :exc:`NoExposedMethod`, or what the method raises.  Access control lists are not asked here.
        """
        with self.request():
            function, is_own = self._find(method)
            problem = self._arities.problem(method, function, len(arguments), first=int(is_own))
            if problem:
                self.logger.error("%s: %s", address[0], problem)
                raise Fault(APPLICATION_ERROR, problem)
            begun = time.perf_counter()
            try:
                return function(address, *arguments) if is_own else function(*arguments)
            except (MetadataConsistencyError, MetadataRuntimeError) as err:
                if not is_own:  # a plugin's method, whose faults are its own affair
                    raise
                self.critical_error(f"{method} failed for {address[0]}: {err}")
            except PluginExecutionError as err:  # which says all there is to say
                self.logger.error("%s failed for %s: %s", method, address[0], err)
                raise Fault(APPLICATION_ERROR, str(err)) from None
            finally:
                stats.add_value(method, time.perf_counter() - begun)

    def _find(self, method: str) -> tuple[Callable[..., Any], bool]:
        """The function behind METHOD, and whether it is the core's own: those get the caller's address first."""
        if "." in method or method == "ping":
            function = self.rmi.get(method) or self._introspection().get(method)
            if function is not None:
                return function, False
        else:
            function = getattr(self, method, None)
            if function is not None and getattr(function, "exposed", False):
                return function, True
        raise NoExposedMethod(method)

    def is_method(self, name: str) -> bool:
        """Whether NAME can be called at all."""
        try:
            self._find(name)
        except NoExposedMethod:
            return False
        return True

    def unready(self) -> str:
        """Why calls are not answered (well), in a few words; empty if they are."""
        if self.terminate.is_set():
            return "stopping"
        return "" if self._loaded.is_set() else "the repository is being read"

    def _introspection(self) -> dict[str, Callable[..., Any]]:
        """What XML-RPC libraries offer about themselves; ``system.multicall`` would get round access control."""
        own: dict[str, Callable[..., Any]] = {
            "ping": lambda *arguments: list(arguments),
            "system.listMethods": lambda: sorted([*self.rmi, *own]),
            "system.methodHelp": lambda name: (name in self.rmi and inspect.getdoc(self.rmi[name])) or "",
            "system.methodSignature": lambda name: "signatures not supported",
        }
        return own
