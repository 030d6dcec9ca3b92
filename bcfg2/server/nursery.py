"""Where child processes come from.

.. code-block:: text

    main process        loads the repository, forks the nursery, begins to have threads and to serve
      nursery             never has threads; forks a child whenever the main process asks, and buries it
        Child-0             starts with the repository loaded, in memory that it shares with the others

So no process that runs threads is ever forked.  Who lives in a nursery ends when the process above it does, however it
ends: the kernel sees to that.
"""

import contextlib
import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any

logger = logging.getLogger("bcfg2.nursery")

_PR_SET_PDEATHSIG = 1

#: Bytes that an order has at most.
_PACKET = 1024


class NurseryGone(Exception):
    """There is no nursery any more; the text says how that was noticed."""


class Nursery:
    """The main process's handle of its nursery, in which LIFE(name, connection) is what a child does until it ends.

    To be made by a process without threads.  AT_BIRTH is called in the nursery first, to close what it is not to keep
    open.  Children that do not end by themselves PATIENCE seconds after
    :meth:`stop` are killed.
    """

    def __init__(
        self,
        life: Callable[[str, "Connection[Any, Any]"], None],
        patience: float,
        at_birth: Callable[[], None] = lambda: None,
    ) -> None:
        self._patience = patience
        # Each order is one packet, with the descriptor that goes with it: half of one can never be left over.
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        gc.collect()
        gc.freeze()  # or each collection of a child would copy all memory that it shares
        parent = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            here.close()

            def run() -> None:
                at_birth()
                _Parent(there, life, patience).run()

            _live(run, parent)
        gc.unfreeze()
        there.close()
        self._orders = here

    def fork(self, name: str) -> "Connection[Any, Any]":
        """Ask for a child; the connection with it, which ends at once if it cannot be made.

        :exc:`NurseryGone`, or :exc:`OSError` if there are no descriptors for now.
        """
        here, there = multiprocessing.Pipe()
        try:
            self._order("fork", name, there.fileno())
        except BaseException:
            here.close()
            raise
        finally:
            there.close()
        return here

    def kill(self, name: str) -> None:
        """Kill the child NAME, at once; :exc:`NurseryGone`."""
        self._order("kill", name)

    def _order(self, order: str, name: str, *descriptors: int) -> None:
        try:
            socket.send_fds(self._orders, [f"{order} {name}".encode()], descriptors)
        except ConnectionError as err:
            raise NurseryGone(str(err)) from None

    def stop(self) -> None:
        """Wait until all children have ended, and kill those that do not, and the nursery."""
        with contextlib.suppress(NurseryGone, OSError):
            self._order("stop", "")
        deadline = time.monotonic() + self._patience + 2
        with contextlib.suppress(ChildProcessError):  # where the system buries children by itself
            while time.monotonic() < deadline:
                if os.waitpid(self.pid, os.WNOHANG)[0]:
                    return
                time.sleep(0.01)
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


class _Parent:
    """What the process of the nursery does."""

    def __init__(
        self, orders: socket.socket, life: Callable[[str, "Connection[Any, Any]"], None], patience: float
    ) -> None:
        self._orders = orders
        self._life = life
        self._patience = patience
        self._children: dict[int, str] = {}
        self._deadline: float | None = None  # when to kill those who have not ended; None: as long as it goes on
        self._wake, self._alarm = os.pipe()
        for end in (self._wake, self._alarm):
            os.set_blocking(end, False)

    def run(self) -> None:
        """Serve the main process until it ends or says stop, and until all children have ended then."""
        signal.signal(signal.SIGCHLD, _do_nothing)
        signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)
        while self._deadline is None or self._children:
            left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
            ready = wait([self._wake] if self._deadline is not None else [self._wake, self._orders], left)
            if self._wake in ready:
                os.read(self._wake, 4096)
            if self._orders in ready:
                self._obey()
            self._bury()
            if not ready and self._deadline is not None:
                self._kill(*self._children)
                self._deadline = time.monotonic() + self._patience

    def _obey(self) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._orders, _PACKET, 1)
        except ConnectionError:
            packet, descriptors = b"", []
        if not packet:  # the main process has ended, without a farewell
            self._deadline = time.monotonic()
            return
        order, _, name = packet.decode().partition(" ")
        if order == "fork" and descriptors:
            self._fork(name, Connection(descriptors[0]))
        elif order == "fork":
            logger.error("Cannot make the child %s: too many open files", name)
        elif order == "kill":
            self._kill(*(pid for pid, child in self._children.items() if child == name))
        else:
            self._deadline = time.monotonic() + self._patience

    def _fork(self, name: str, connection: "Connection[Any, Any]") -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as err:
            logger.error("Cannot make the child %s: %s", name, err)
            connection.close()
            return
        if pid:
            self._children[pid] = name
            connection.close()
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (self._wake, self._alarm):
            os.close(end)
        self._orders.close()
        _live(lambda: self._life(name, connection), parent)

    def _kill(self, *pids: int) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)  # it is not buried yet, so its number is nobody else's

    def _bury(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            name = self._children.pop(pid, "?")
            if status and self._deadline is None:
                code = os.waitstatus_to_exitcode(status)
                how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
                logger.error("The child %s (process %d) %s", name, pid, how)


def _live(life: Callable[[], None], parent: int) -> None:
    """Spend what is left of this process, just forked by PARENT, with LIFE."""
    status = 1
    try:
        _end_with(parent)
        for number in (signal.SIGINT, signal.SIGTERM):  # which reach whole groups; the main process says when to stop
            signal.signal(number, signal.SIG_IGN)
        life()
        status = 0
    except BaseException:  # nothing of the process that was forked may go on here
        logger.exception("Process %d ends because of an error", os.getpid())
    finally:
        with contextlib.suppress(Exception):
            logging.shutdown()
        os._exit(status)


def _end_with(parent: int) -> None:
    """Have the kernel kill this process when PARENT ends; where it cannot, the closed connection has to do."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it was quicker
            os._exit(1)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Handle a signal that is only to interrupt what waits."""
