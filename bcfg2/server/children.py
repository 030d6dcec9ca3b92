"""The children of the multiprocessing core, as the main process sees them: kept at work, kept in step, kept alive.

.. code-block:: text

    render(client)     a place at a child, fairly; another child if that one ends meanwhile
    load(...)          all children read what has changed; commit(state) publishes it
    the keeper         a thread that kills who hangs, and has who has ended replaced
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from xmlrpc.client import Fault

from bcfg2.options import Options
from bcfg2.server import cache
from bcfg2.server.child_core import CRITICAL, FAULT, OK, NewPath, Outcome, ReadyToLoad
from bcfg2.server.dispatcher import Busy
from bcfg2.server.nursery import Nursery, NurseryGone
from bcfg2.server.plugin import MetadataRuntimeError, PluginExecutionError
from bcfg2.server.rpc_queue import RPCQueue, Subscriber, SubscriberGone
from bcfg2.server.turns import Crowded, Turns

logger = logging.getLogger("bcfg2.MultiprocessingCore")

#: How often a configuration is begun anew because the child that built it has ended.
_ATTEMPTS = 5
#: Seconds between two looks at the children, and the least and the most that a child which ended at once is waited for.
_TICK = 0.5
_SHORT_LIFE, _MAX_DELAY = 2.0, 30.0
#: Seconds after which a child that could not be made is tried again.
_RETRY = 1.0


class Children:
    """The children that NURSERY makes.

    OPTIONS: see :class:`MultiprocessingCore`.  ON_NEWBORN is called when a child has started, and is to call
    :meth:`adopt` when it is in step with the others; ON_PATH with each path that a child wants to have followed, and
    ON_WRITTEN with the paths that one has written.
    """

    def __init__(
        self,
        nursery: Nursery,
        options: Options,
        on_newborn: Callable[[Subscriber], None],
        on_path: Callable[[Subscriber, str], None],
        on_written: Callable[[Subscriber, Sequence[str]], None],
    ) -> None:
        self._nursery = nursery
        self._number: int = options.server_children or len(os.sched_getaffinity(0))
        self._patience: float = options.server_child_patience
        self._time_limit: float = options.server_child_timeout
        self._on_newborn = on_newborn
        self._on_path = on_path
        self._on_written = on_written
        self.rpc_q = RPCQueue(self._news, self._ended)
        self._turns: Turns[Subscriber] = Turns(options.server_child_threads, options.server_max_queue)
        self._births: dict[str, float] = {}
        self._due: dict[str, float] = {f"Child-{number}": 0.0 for number in range(self._number)}  # name -> when
        self._delay = 0.0
        self._looked = time.monotonic()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._adopted: set[str] = set()  # those that have worked, perhaps by another process of that name
        self._complete = threading.Event()
        self._origin = threading.local()
        cache.add_expire_hook(self._expired)

    def start(self) -> None:
        """Have the children made, and begin to look after them."""
        self._make_those_due()
        threading.Thread(target=self._keep, name="keeper of children", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait until all children have begun to work, or none can be made, SECONDS at most; whether that is so."""
        return self._complete.wait(seconds)

    def stop(self) -> None:
        """Have all children end, and wait for that.  May be called more than once."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        cache.remove_expire_hook(self._expired)
        self._turns.close()
        self.rpc_q.publish("stop")
        self._nursery.stop()
        self.rpc_q.close()

    # their work

    @property
    def waiting(self) -> int:
        """How many configurations wait for a child."""
        return self._turns.waiting

    def render(self, client: str, state: int) -> str:
        """The configuration of CLIENT, from the repository's state of that number or a later one.

        Raises what building it raised; :exc:`Busy` if too many wait; :exc:`NoWorker` if there are no children.
        """
        for _ in range(_ATTEMPTS):
            try:
                with self._turns.place(client) as child:
                    outcome = self._rendered(child, client, state)
            except Crowded:
                raise Busy(
                    "the server is busy: too many configurations wait to be built ([server] max_queue)"
                ) from None
            except SubscriberGone as err:
                logger.warning("%s ended while it built the configuration of %s, which is begun anew", err, client)
                continue
            self._expire(outcome.expired, child)
            if outcome.written:
                self._on_written(child, outcome.written)
            return self._value(outcome.how, outcome.value)
        raise PluginExecutionError(f"{_ATTEMPTS} children have ended while they built the configuration of {client}")

    def _rendered(self, child: Subscriber, client: str, state: int) -> Outcome:
        try:
            outcome: Outcome = child.rpc("GetConfig", (client, state), timeout=self._time_limit)
            return outcome
        except TimeoutError:
            logger.error(
                "%s has not built the configuration of %s within %g seconds and is killed ([server] child_timeout)",
                child.name, client, self._time_limit,
            )  # fmt: skip
            self._turns.remove(child)
            self.kill(child)
            raise PluginExecutionError(
                f"the configuration of {client} could not be built within {self._time_limit:g} seconds"
            ) from None

    @staticmethod
    def _value(how: str, value: Any) -> str:
        if how == OK:
            text: str = value
            return text
        if how == FAULT:
            raise Fault(*value)
        if how == CRITICAL:
            raise MetadataRuntimeError(value)
        raise PluginExecutionError(value)

    # caches

    def _expired(self, tags: tuple[str, ...], exact: bool, number: int) -> None:
        """Have what has expired here expire in the children, but for the one that has said so."""
        self.rpc_q.publish("expire", (tags, exact), besides=getattr(self._origin, "child", None))

    def _expire(self, expired: Iterable[tuple[tuple[str, ...], bool]], child: Subscriber) -> None:
        self._origin.child = child
        try:
            for tags, exact in expired:
                cache.expire(*tags, exact=exact)
        finally:
            self._origin.child = None

    # keeping in step

    def load(self, paths: Iterable[str] | None) -> "Loading":
        """Have all children read what has changed at PATHS (None: anywhere)."""
        return Loading(self, "load", None if paths is None else list(paths))

    def announce(self, paths: Iterable[str], seconds: float, besides: Subscriber | None = None) -> None:
        """Have all children, BESIDES the one that has written them, put PATHS in force before this returns."""
        Loading(self, "announce", list(paths), besides=besides).seen(seconds)

    def adopt(self, child: Subscriber) -> None:
        """Let CHILD work, if it is still there."""
        self._turns.add(child)
        if child.is_gone:  # it may have ended before, when it was not there to be removed
            self._turns.remove(child)
            return
        with self._lock:
            self._adopted.add(child.name)
            if len(self._adopted) == self._number:
                self._complete.set()
        logger.info("%s works", child.name)

    def _news(self, child: Subscriber, news: Any) -> None:
        if isinstance(news, ReadyToLoad):
            self._on_newborn(child)
        elif isinstance(news, NewPath):
            self._on_path(child, news.path)

    # keeping alive

    def _keep(self) -> None:
        while not self._stopped.wait(_TICK):
            try:
                self._kill_those_that_hang()
                self._make_those_due()
            except Exception:  # without its keeper, no child would be replaced any more
                logger.exception("Cannot look after the children, trying again")

    def _kill_those_that_hang(self) -> None:
        now = time.monotonic()
        rested, self._looked = now - self._looked > 4 * _TICK, now  # as when the whole machine has slept
        for child in self.rpc_q.subscribers():
            if rested:
                child.heard = now
            if now - child.heard > self._patience:
                logger.error("%s does not react and is killed ([server] child_patience)", child.name)
                self.kill(child)
            else:
                child.ping()

    def kill(self, child: Subscriber) -> None:
        """Kill CHILD; another one will take its place."""
        try:
            self._nursery.kill(child.name)
        except NurseryGone as err:
            self._give_up(err)
        child.close()

    def _make_those_due(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = [name for name, when in self._due.items() if when <= now]
            for name in due:
                del self._due[name]
                self._births[name] = now
        for name in due:
            try:
                self.rpc_q.add_subscriber(name, self._nursery.fork(name))
            except NurseryGone as err:
                self._give_up(err)
            except (OSError, RuntimeError) as err:  # such as: too many open files, no more threads
                logger.error("Cannot make the child %s, trying again: %s", name, err)
                with self._lock:
                    self._due[name] = now + _RETRY

    def _ended(self, child: Subscriber) -> None:
        """A child has ended, or counts as such: have another one take its place."""
        self._turns.remove(child)
        if self._stopped.is_set():
            return
        now = time.monotonic()
        with self._lock:
            lived_short = now - self._births.get(child.name, 0.0) < _SHORT_LIFE
            self._delay = min(max(1.0, 2 * self._delay), _MAX_DELAY) if lived_short else 0.0
            self._due[child.name] = now + self._delay
        logger.error("%s has ended, it is replaced%s", child.name, f" in {self._delay:g} s" if self._delay else "")
        if not self._delay:
            self._make_those_due()

    def _give_up(self, err: NurseryGone) -> None:
        if not self._stopped.is_set():
            logger.error(
                "No more children can be made (%s): configurations are built by the main process, restart the server",
                err,
            )
        self._turns.close()
        self._complete.set()


class Loading:
    """That the children of OWNER read what has changed: what METHOD does with ARGS."""

    def __init__(self, owner: Children, method: str, *args: Any, besides: Subscriber | None = None) -> None:
        self._owner = owner
        children = [child for child in owner.rpc_q.subscribers() if child is not besides]
        self._waits = [(child, _begun(child, method, args)) for child in children]

    def seen(self, seconds: float) -> list[Any]:
        """What each child answers (of load: what it has seen); one that does not within SECONDS is killed."""
        deadline = time.monotonic() + seconds
        found = []
        for child, wait in self._waits:
            try:
                found.append(wait(max(0.0, deadline - time.monotonic())).value)
            except SubscriberGone:
                continue
            except TimeoutError as err:
                logger.error("%s, it is killed", err)
                self._owner.kill(child)
        return found

    def again(self, paths: Iterable[str] | None) -> None:
        """Have them look once more, at PATHS (None: everywhere)."""
        arguments = (None if paths is None else list(paths),)
        self._waits = [(child, _begun(child, "again", arguments)) for child, _ in self._waits]

    def give_up(self) -> None:
        """Kill them: they wait for a word that will not come, and others that read everything take their places."""
        for child, _ in self._waits:
            self._owner.kill(child)

    def commit(self, state: int, revision: str) -> None:
        """Have them publish it, as the repository's state of that number and of REVISION."""
        for child, _ in self._waits:
            child.publish("commit", (state, revision))


def _begun(child: Subscriber, method: str, args: tuple[Any, ...]) -> Callable[[float | None], Any]:
    try:
        return child.begin(method, args)
    except SubscriberGone as err:
        gone = err

        def wait(timeout: float | None) -> Any:
            raise gone

        return wait
