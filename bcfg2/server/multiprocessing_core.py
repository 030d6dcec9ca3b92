"""The core that has configurations built by child processes, for sites that one process cannot serve.

.. code-block:: text

    MultiprocessingCore   the main process: the network, and every call but GetConfig
      Children  (children.py)     who is at work, who waits for whom
        RPCQueue  (rpc_queue.py)    calls to them
        Nursery   (nursery.py)      where they come from
          ChildCore (child_core.py)   one child: builds configurations

The repository is read once, before there are children, which share it.  When files change, the main process has all
children read them, waits until each has seen the same, and then all publish it: each call of GetConfig says which state
of the repository it is to be answered from, so no client sees a change come and go.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from bcfg2.log import Debuggable
from bcfg2.options import FloatOption, IntOption, Options, types
from bcfg2.server.builtin_core import BuiltinCore, at_least
from bcfg2.server.child_core import ChildCore
from bcfg2.server.children import Children, Loading
from bcfg2.server.database import close_db_connection
from bcfg2.server.methods import exposed
from bcfg2.server.nursery import Nursery
from bcfg2.server.plugin.interfaces import Address
from bcfg2.server.plugin.services import using
from bcfg2.server.rpc_queue import ChildEnd, RPCQueue, Subscriber, SubscriberGone
from bcfg2.server.turns import NoWorker
from bcfg2.server.versioned import Versioned, after_publish, assigned

__all__ = ["ChildCore", "MultiprocessingCore", "RPCQueue"]

#: How often all processes look again because they have not seen the same.
_LOOKS = 5
#: Seconds between these, and that reading what has changed may take.
_PAUSE, _LOAD_LIMIT = 0.05, 300.0


class MultiprocessingCore(BuiltinCore):
    """Serves as the builtin core does, but has configurations built by child processes."""

    name: ClassVar[str] = "MultiprocessingCore"

    options: Any = [
        *BuiltinCore.options,
        IntOption(
            "server",
            "children",
            default=None,
            parse=at_least(1, types.integer),
            flags=("--children",),
            help="Processes that build configurations; default: one for each processor",
        ),
        IntOption(
            "server",
            "child_threads",
            default=2,
            parse=at_least(1, types.integer),
            help="Configurations that one child builds at the same time",
        ),
        IntOption(
            "server",
            "max_queue",
            default=1000,
            parse=at_least(0, types.integer),
            help="Calls of GetConfig that may wait for a child",
        ),
        FloatOption(
            "server",
            "child_patience",
            default=10.0,
            parse=at_least(0.5, types.number),
            help="Seconds after which a child that shows no sign of life is killed and replaced",
        ),
        FloatOption(
            "server",
            "child_timeout",
            default=300.0,
            parse=at_least(1, types.number),
            help="Seconds that a child may take for one configuration",
        ),
        FloatOption(
            "server",
            "shutdown_timeout",
            default=10.0,
            parse=at_least(0, types.number),
            help="Seconds that children get to end when the server stops",
        ),
    ]

    #: The number of the repository's state that a request sees; all processes agree in it.
    state: Versioned[int] = Versioned(0)

    def __init__(self, options: Options, reread: Callable[[], Options] | None = None) -> None:
        super().__init__(options, reread)
        #: In the main process, when they have been made.
        self.children: Children | None = None
        #: In a child: what it is.
        self.child: ChildCore | None = None
        self._newborn: list[Subscriber] = []
        self._newborn_lock = threading.Lock()
        self._as_loaded = True  # whether children that are made now know all that this process does

    # start and stop

    def _prepare(self) -> None:
        """Read everything, and prepare for children, while this process has no thread but this one."""
        super()._prepare()
        self.block_for_fam_events(handle_events=True)
        with using(self):
            for plugin in self.plugins.values():
                plugin.before_fork()
        if threading.active_count() > 1:
            names = ", ".join(thread.name for thread in threading.enumerate() if thread is not threading.main_thread())
            self.logger.warning("There are threads before children are forked, some plugin started them: %s", names)
        nursery = Nursery(self._live_as_child, self.options.server_shutdown_timeout, self._leave_the_network)
        self.children = Children(nursery, self.options, self._welcome, self._follow, self._take_written)
        self.children.start()
        # They are in step now; if they began while files change, they would have to read everything.
        deadline = time.monotonic() + _LOAD_LIMIT
        while not self.children.wait(_PAUSE) and not self.terminate.is_set():
            if time.monotonic() > deadline:
                self.logger.error("Not all children have started")
                break
        self.fam.rescan()  # when it has been started, for what has changed meanwhile

    def _leave_the_network(self) -> None:
        """Close, in a process that was forked, what belongs to the main process."""
        if self.server is not None:
            self.server.socket.close()
        if self.daemon is not None:
            self.daemon.leave()

    def _live_as_child(self, name: str, connection: Any) -> None:
        """What a child does with the core, of which it has a copy."""
        self.child = ChildCore(self, name, ChildEnd(connection), self.options.server_child_threads)
        self.child.run()

    def shutdown(self) -> None:
        super().shutdown()
        if self.children is not None:
            self.children.stop()

    # keeping children in step

    def _apply_file_events(self, at_once: bool = False) -> None:
        """Read what has changed, here and in all children."""
        if self.children is None:
            super()._apply_file_events(at_once)
            return
        before = assigned()
        batch = _Batch(self.fam, self.children, self._take_newborn())
        after_publish(lambda: self._commit(batch))
        try:
            self._working_copy.read(batch.look, at_once)
        except BaseException:
            batch.give_up()
            raise
        if batch.handled or assigned() > before:
            self.state += 1

    def _commit(self, batch: "_Batch") -> None:
        assert self.children is not None
        if batch.loading is not None:
            batch.loading.commit(self.state, self.revision)
        for child in batch.newborn:
            self.children.adopt(child)

    def _take_newborn(self) -> list[Subscriber]:
        with self._newborn_lock:
            newborn, self._newborn = self._newborn, []
            self._as_loaded = False
        return newborn

    def _welcome(self, child: Subscriber) -> None:
        """CHILD has started: let it work as soon as it has seen what the others have."""
        assert self.children is not None
        child.publish("catch_up")
        child.publish("set_core_debug", (self.debug_flag,))
        with self._newborn_lock:
            is_in_step = self._as_loaded
            if not is_in_step:
                self._newborn.append(child)
        if is_in_step:
            self.children.adopt(child)
        else:
            self.fam.rescan()

    def _follow(self, child: Subscriber, path: str) -> None:
        """CHILD wants PATH to be followed."""
        if path not in self.fam.paths():
            self.fam.AddMonitor(path, _Nobody())
            child.publish("announce", ([path],))

    def share(self, *paths: str, told: bool = False) -> None:
        if self.child is not None:
            self.child.note_written(paths)
        elif self.children is not None:
            with self._newborn_lock:
                self._as_loaded = False
            if not told:
                self.children.announce(paths, _LOAD_LIMIT)

    def _take_written(self, child: Subscriber, paths: Sequence[str]) -> None:
        """Put what CHILD has written in force in all other processes."""
        assert self.children is not None
        with self._newborn_lock:
            self._as_loaded = False
        self.children.announce(paths, _LOAD_LIMIT, besides=child)
        with using(self):
            self.fam.announce(paths, self.lock)

    def tell_children(self, owner: str, method: str, *args: Any) -> None:
        if self.child is None and self.children is not None:
            self.children.rpc_q.publish("call", (owner, method, args))

    # calls

    @exposed
    @close_db_connection
    def GetConfig(self, address: Address) -> str:
        """The configuration of the client, as an XML document."""
        client = self.resolve_client(address, metadata=False)[0]
        assert self.children is not None
        begun = time.perf_counter()
        try:
            document = self.children.render(client, self.state)
        except NoWorker:
            return self.configuration_text(client)
        self.monitoring.configurations.add(time.perf_counter() - begun)
        return document

    def dispatch(self, method: str, arguments: tuple[Any, ...], address: Address) -> Any:
        answer = super().dispatch(method, arguments, address)
        if self.children is not None:
            self._repeat(self.children.rpc_q, method, arguments)
        return answer

    def _repeat(self, rpc_q: RPCQueue, method: str, arguments: tuple[Any, ...]) -> None:
        """Have the children do what METHOD has just done here, if it is one that concerns them."""
        monitor = type(self.fam).__name__
        owner, _, name = method.rpartition(".")
        if method in ("set_debug", "toggle_debug"):
            rpc_q.publish("set_debug", (self.debug_flag,))
        elif method in ("set_core_debug", "toggle_core_debug"):
            rpc_q.publish("set_core_debug", (self.debug_flag,))
        elif method in ("set_fam_debug", "toggle_fam_debug"):
            rpc_q.publish("call", (monitor, "set_debug", (self.fam.debug_flag,)))
        elif owner == monitor and name in Debuggable.__rmi__:
            rpc_q.publish("call", (monitor, name, arguments))
        elif owner in self.plugins:
            for own, theirs in map(_pair, self.plugins[owner].__child_rmi__):
                if own == name:
                    rpc_q.publish("call", (owner, theirs, arguments))

    @exposed
    def get_statistics(self, address: Address) -> dict[str, list[Any]]:
        """Name -> [minimum, maximum, mean, count] of seconds: of this process, of each child, and of all (Total)."""
        answer = super().get_statistics(address)
        totals: dict[str, list[Any]] = {}
        prefix = f"{type(self).__name__}:"
        for name, value in answer.items():
            _add_up(totals, name.replace(prefix, "Core:"), value)
        for child in self.children.rpc_q.subscribers() if self.children is not None else ():
            try:
                values = child.rpc("get_statistics", timeout=self.options.server_child_patience).value
            except (SubscriberGone, TimeoutError) as err:
                self.logger.warning("The statistics of %s are missing: %s", child.name, err)
                continue
            for name, value in values.items():
                short = name.replace(prefix, "Core:")
                answer[f"{child.name}:{short}"] = list(value)
                _add_up(totals, short, list(value))
        return answer | {f"Total:{name}": value for name, value in totals.items()}


class _Batch:
    """Changes that this process and CHILDREN read; those of them that are NEWBORN look at everything."""

    def __init__(self, fam: Any, children: Children, newborn: list[Subscriber]) -> None:
        self._fam = fam
        self._children = children
        self.newborn = newborn
        self.loading: Loading | None = None
        self.handled = 0

    def give_up(self) -> None:
        """Nothing of it comes into force in children; others take the places of those that were to read it."""
        for child in self.newborn:
            self._children.kill(child)
        if self.loading is not None:
            self.loading.give_up()
        self.newborn, self.loading = [], None

    def look(self, at_once: bool) -> None:
        """Have all processes look at what was noticed until they have seen the same."""
        paths = self._fam.take_noticed(at_once)
        if not self.newborn and self._fam.paths().issubset(paths):
            paths = self._look_alone(paths)
        wanted = None if self.newborn else paths
        if self.loading is None:
            self.loading = self._children.load(wanted)
        else:
            self.loading.again(wanted)
        if self.newborn:
            paths = sorted(self._fam.paths())
        self.handled += self._fam.look_at(paths)
        for look in range(_LOOKS):
            own = self._fam.digests(paths)
            if all(_agree(own, other) for other in self.loading.seen(_LOAD_LIMIT)):
                return
            if look:
                time.sleep(_PAUSE)
            self.loading.again(wanted)
            self.handled += self._fam.look_at(paths)
        self.loading.seen(_LOAD_LIMIT)
        logging.getLogger("bcfg2.MultiprocessingCore").warning(
            "Files change faster than they can be read; what children see may differ for a while"
        )

    def _look_alone(self, paths: list[str]) -> list[str]:
        """Look at PATHS, which are all there are, and return those where children have to look as well.

        They have seen the same as this process before, so it is enough that one looks at what has not changed.
        """
        before = self._fam.digests(paths)
        self.handled += self._fam.look_at(paths)
        return [path for path, digest in self._fam.digests(self._fam.paths()).items() if digest != before.get(path)]


class _Nobody:
    """The owner of paths that this process follows for its children only."""

    def HandleEvent(self, event: Any) -> None:
        """Nothing: the children look themselves."""

    def __str__(self) -> str:
        return "children"


def _agree(own: dict[str, bytes], other: dict[str, bytes]) -> bool:
    """Whether two processes have seen the same at all paths that both look at."""
    return all(other.get(path, digest) == digest for path, digest in own.items())


def _pair(item: Any) -> tuple[str, str]:
    """(method of the main process, method of children) of an item of ``__child_rmi__``."""
    return (item, item) if isinstance(item, str) else tuple(item)


def _add_up(totals: dict[str, list[Any]], name: str, value: list[Any]) -> None:
    """Add the statistic VALUE to the total of NAME."""
    known = totals.get(name)
    if known is None:
        totals[name] = value
        return
    count = known[3] + value[3]
    mean = (known[2] * known[3] + value[2] * value[3]) / count
    totals[name] = [min(known[0], value[0]), max(known[1], value[1]), mean, count]
