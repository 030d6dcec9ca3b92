"""A child of the multiprocessing core: it builds configurations, and nothing else.

It has inherited everything that the main process had loaded, and follows what happens there by the requests that it
gets, each in its turn:

.. code-block:: text

    load, commit     read what has changed on disk; then, when all children have, publish it (again: not yet)
    announce         read what the server itself has written
    call, expire     what changes in memory only: what clients have sent, caches, debug switches
    GetConfig        build a configuration, in one of a few threads
"""

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple
from xmlrpc.client import Fault

from bcfg2.log import set_debug_logging
from bcfg2.server import cache
from bcfg2.server.database import close_db_connection
from bcfg2.server.plugin import MetadataConsistencyError, MetadataRuntimeError, Statistics, Threaded
from bcfg2.server.plugin.services import using
from bcfg2.server.rpc_queue import ChildEnd, Request
from bcfg2.server.statistics import stats
from bcfg2.server.versioned import writing

if TYPE_CHECKING:
    from bcfg2.server.multiprocessing_core import MultiprocessingCore

logger = logging.getLogger("bcfg2.ChildCore")

OK, FAULT, CRITICAL, ERROR = "ok", "fault", "critical", "error"


class Outcome(NamedTuple):
    """What a request has come to: `how` it went, a `value`, and what it has done that concerns other processes.

    `expired`: what has expired in caches; `written`: the paths that were written.
    """

    how: str
    value: Any
    expired: Sequence[tuple[tuple[str, ...], bool]] = ()
    written: Sequence[str] = ()


class ReadyToLoad:
    """News: the child has started."""


class NewPath:
    """News: somebody in the child asked for PATH, which may be followed from now on."""

    def __init__(self, path: str) -> None:
        self.path = path


class _Doings(threading.local):
    """What the request that this thread works at has done; None: what the main process knows."""

    expired: list[tuple[tuple[str, ...], bool]] | None = None
    written: list[str] | None = None


class ChildCore:
    """What the process of the child NAME does, from its start to its end.

    CORE is the core that it has inherited, END its end of the connection with the main process, THREADS how many
    configurations it builds at the same time.
    """

    def __init__(self, core: "MultiprocessingCore", name: str, end: ChildEnd, threads: int) -> None:
        self.core = core
        self.name = name
        self._end = end
        self._doings = _Doings()
        self._builders = ThreadPoolExecutor(threads, thread_name_prefix="builder")
        self._loads: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        #: About what was loaded: to publish it as the state of a number, or, if a request is named, to load once more.
        self._verdicts: queue.SimpleQueue[tuple[int | None, tuple[Any, ...]]] = queue.SimpleQueue()
        self._published = threading.Condition()
        self._state = core.state

    def run(self) -> None:
        """Serve the main process until it says stop, or ends."""
        cache.add_expire_hook(self._expired)
        self.core.fam.on_registration = self._registered
        threading.Thread(target=self._load_all, name="loader", daemon=True).start()
        for plugin in self.core.plugins_by_type(Threaded):
            if not isinstance(plugin, Statistics):  # those work in the main process
                plugin.start_threads()
        self._end.answer(None, ReadyToLoad())
        try:
            while (request := self._end.get()).method != "stop":
                self._serve(request)
        except (EOFError, OSError):
            logger.debug("The main process has ended")
            return
        self._builders.shutdown(cancel_futures=True)

    def _serve(self, request: Request) -> None:
        """Do what is asked, or see to it that another thread does."""
        if request.method == "GetConfig":
            self._builders.submit(self._answer, request, self.GetConfig)
        elif request.method == "load":
            self._loads.put(lambda: self._load(request.number, *request.args))
        elif request.method == "announce":
            self._loads.put(lambda: self._answer(request, self._announce))
        elif request.method == "commit":
            self._verdicts.put((None, request.args))
        elif request.method == "again":
            self._verdicts.put((request.number, request.args))
        else:
            self._answer(request, getattr(self, f"_do_{request.method}"))

    def _answer(self, request: Request, method: Callable[..., Any]) -> None:
        """Call METHOD for REQUEST and, if that is wanted, send how it went."""
        if request.number is None:
            self._outcome(request, method)
            return
        expired = self._doings.expired = list[tuple[tuple[str, ...], bool]]()
        written = self._doings.written = list[str]()
        try:
            outcome = self._outcome(request, method)
        finally:
            self._doings.expired = self._doings.written = None
        try:
            self._end.answer(request.number, outcome._replace(expired=expired, written=written))
        except OSError:
            logger.debug("The main process has ended")

    def _outcome(self, request: Request, method: Callable[..., Any]) -> Outcome:
        try:
            return Outcome(OK, method(*request.args, **request.kwargs))
        except Fault as fault:
            return Outcome(FAULT, (fault.faultCode, fault.faultString))
        except (MetadataConsistencyError, MetadataRuntimeError) as err:
            return Outcome(CRITICAL, str(err))
        except Exception as err:
            logger.exception("%s: %s failed", self.name, request.method)
            return Outcome(ERROR, str(err) or type(err).__name__)

    # building

    @close_db_connection
    def GetConfig(self, client: str, state: int) -> str:
        """The configuration of CLIENT, from the repository's state of the number STATE, or a later one."""
        with self._published:
            self._published.wait_for(lambda: self._state >= state)
        with self.core.request():
            return self.core.configuration_text(client)

    # files

    def _load_all(self) -> None:
        while True:
            load = self._loads.get()
            try:
                load()
            except BaseException:  # it is out of step from now on; another, that is not, takes its place
                logger.exception("%s ends: it cannot follow what changes", self.name)
                os._exit(1)

    def _load(self, number: int | None, paths: Iterable[str] | None) -> None:
        """Read what has changed at PATHS (None: anywhere), and answer what was seen.

        It is published when the main process says so, which may have it read again before.
        """
        core = self.core
        with core.lock, using(core), writing():
            while True:
                wanted = core.fam.paths() if paths is None else paths
                core.fam.look_at(wanted)
                self._end.answer(number, Outcome(OK, core.fam.digests(wanted)))
                number, verdict = self._verdicts.get()
                if number is None:
                    break
                (paths,) = verdict
            state, core.revision = verdict
        with self._published:
            self._state = state
            self._published.notify_all()

    def _announce(self, paths: Iterable[str]) -> None:
        """Take PATHS, which another process has written or wants to be looked at, at once."""
        with using(self.core):
            self.core.fam.announce(list(paths), self.core.lock)

    def _registered(self, path: str) -> None:
        """Have what somebody has just asked for looked at, and followed."""
        self._loads.put(self._look_at_new)
        self._end.answer(None, NewPath(path))

    def _look_at_new(self) -> None:
        with self.core.lock, using(self.core):
            self.core.fam.look_at(())

    # what changes in memory only

    def _do_ping(self) -> int:
        return os.getpid()

    def _do_catch_up(self) -> None:
        """Take what other processes have kept on disk since the repository was loaded."""
        with using(self.core):
            for plugin in self.core.plugins.values():
                plugin.catch_up()

    def _do_call(self, owner: str, method: str, args: tuple[Any, ...]) -> None:
        """Call METHOD of the plugin OWNER, or of the file monitor."""
        target = self.core.fam if owner == type(self.core.fam).__name__ else self.core.plugins[owner]
        with using(self.core):
            getattr(target, method)(*args)

    def _do_set_debug(self, state: bool) -> None:
        for target in (*self.core.plugins.values(), self.core.fam):
            target.set_debug(state)
        self._do_set_core_debug(state)

    def _do_set_core_debug(self, state: bool) -> None:
        self.core.debug_flag = state
        set_debug_logging(state)

    def _do_expire(self, tags: tuple[str, ...], exact: bool) -> None:
        cache.expire(*tags, exact=exact)

    def _expired(self, tags: tuple[str, ...], exact: bool, number: int) -> None:
        if self._doings.expired is not None:
            self._doings.expired.append((tags, exact))

    def note_written(self, paths: Iterable[str]) -> None:
        """Have other processes told that the request which this thread works at has written PATHS."""
        if self._doings.written is not None:
            self._doings.written.extend(paths)

    def _do_get_statistics(self) -> dict[str, tuple[float, float, float, int]]:
        return stats.display()
