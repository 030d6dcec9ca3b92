"""Calls from the server's main process to its child processes.

.. code-block:: text

    RPCQueue      all children, by name
      Subscriber    one child as the main process sees it: a thread that sends, a thread that takes answers
    ChildEnd      the other end of its connection, in the child

A message of the main process is a :class:`Request`, a child's is an :class:`Answer`.  Each way they arrive in the order
in which they were sent, so what was published before a call is known to the child that answers it.
"""

import contextlib
import itertools
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from bcfg2.log import Debuggable

logger = logging.getLogger("bcfg2.RPCQueue")

#: Messages that may wait to be sent to one child; one that does not even read them is as good as dead.
MAX_UNSENT = 10_000


class Request(NamedTuple):
    """A call of METHOD; `number` is what its answer has, None if none is wanted."""

    number: int | None
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Answer(NamedTuple):
    """What the request `number` has come to; with None in its place, news that nobody has asked for."""

    number: int | None
    value: Any


class SubscriberGone(Exception):
    """The subscriber has ended before it answered."""


class _Pending:
    """An answer that is waited for."""

    __slots__ = ("arrived", "value")

    def __init__(self) -> None:
        self.arrived = threading.Event()
        #: None as long as there is none, and if there will never be one.
        self.value: Answer | None = None


class Subscriber:
    """The child process NAME at the other end of CONNECTION.

    ON_NEWS is called with news, ON_END with this object when the connection has ended.
    """

    def __init__(
        self,
        name: str,
        connection: "Connection[Any, Any]",
        on_news: Callable[["Subscriber", Any], None],
        on_end: Callable[["Subscriber"], None],
    ) -> None:
        self.name = name
        #: When something came from it last, by the monotonic clock.
        self.heard = time.monotonic()
        self._connection = connection
        self._on_news = on_news
        self._on_end = on_end
        self._unsent: queue.Queue[Request | None] = queue.Queue(MAX_UNSENT)
        self._pending: dict[int, _Pending] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._is_gone = False
        self._sender = threading.Thread(target=self._send, name=f"to {self.name}", daemon=True)

    @property
    def is_gone(self) -> bool:
        """Whether its connection has ended."""
        return self._is_gone

    def start(self) -> None:
        """Begin to send and to take answers; :exc:`RuntimeError` if there is no thread to be had."""
        try:
            self._sender.start()
            threading.Thread(target=self._receive, name=f"from {self.name}", daemon=True).start()
        except RuntimeError:
            self.close()
            raise

    def publish(self, method: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> None:
        """Have METHOD called; there is no answer."""
        self._put(Request(None, method, args, kwargs or {}))

    def rpc(
        self,
        method: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """What METHOD answers.  :exc:`SubscriberGone`, or :exc:`TimeoutError` after TIMEOUT seconds."""
        return self.begin(method, args, kwargs)(timeout)

    def begin(
        self, method: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Callable[[float | None], Any]:
        """Have METHOD called; the answer is what the result, called with a time limit, returns or raises as above."""
        number = next(self._numbers)
        pending = _Pending()
        with self._lock:
            if self._is_gone:
                raise SubscriberGone(self.name)
            self._pending[number] = pending
        self._put(Request(number, method, args, kwargs or {}))

        def wait(timeout: float | None) -> Any:
            if not pending.arrived.wait(timeout):
                with self._lock:
                    self._pending.pop(number, None)
                raise TimeoutError(f"{self.name} has not answered {method} within {timeout:g} seconds")
            if pending.value is None:
                raise SubscriberGone(self.name)
            return pending.value.value

        return wait

    def ping(self) -> None:
        """Have it show that it lives, see `heard`."""
        with contextlib.suppress(SubscriberGone):
            self.begin("ping")

    def close(self) -> None:
        """End the connection; those who wait for answers wait no more."""
        with self._lock, contextlib.suppress(OSError):
            # Not closed: the threads that use it would go on with whatever gets the number of its descriptor next.
            end = socket.socket(fileno=self._connection.fileno())
            try:
                end.shutdown(socket.SHUT_RDWR)
            finally:
                end.detach()
        self._end()

    def _put(self, request: Request) -> None:
        try:
            self._unsent.put_nowait(request)
        except queue.Full:
            logger.error("%s takes no messages any more, it is given up", self.name)
            self.close()

    def _send(self) -> None:
        while (request := self._unsent.get()) is not None:
            try:
                self._connection.send(request)
            except OSError:  # the other end, or this one, is closed
                return
            except Exception:  # what cannot be pickled, of which nothing was sent
                logger.exception("Cannot send %s to %s", request.method, self.name)
                self._arrived(request.number, None)

    def _receive(self) -> None:
        try:
            self._take_answers()
        except (EOFError, OSError):
            logger.debug("The connection with %s has ended", self.name)
        except Exception:
            logger.exception("What %s sends cannot be understood", self.name)
            self.close()
        self._end()
        if self._sender.is_alive():
            self._sender.join()  # it has been told to end, or cannot send any more
        with self._lock:
            self._connection.close()

    def _take_answers(self) -> None:
        while True:
            answer: Answer = self._connection.recv()
            self.heard = time.monotonic()
            if answer.number is not None:
                self._arrived(answer.number, answer)
                continue
            try:
                self._on_news(self, answer.value)
            except Exception:
                logger.exception("Cannot handle news of %s", self.name)

    def _arrived(self, number: int | None, answer: Answer | None) -> None:
        """Give ANSWER, None if there is none, to who waits for the one of the request NUMBER."""
        with self._lock:
            pending = self._pending.pop(number, None) if number is not None else None
        if pending is not None:
            pending.value = answer
            pending.arrived.set()

    def _end(self) -> None:
        with self._lock:
            if self._is_gone:
                return
            self._is_gone = True
            pending, self._pending = list(self._pending.values()), {}
        for item in pending:
            item.arrived.set()
        with contextlib.suppress(queue.Full):
            self._unsent.put_nowait(None)
        self._on_end(self)

    def __repr__(self) -> str:
        return f"<{self.name}>"


class RPCQueue(Debuggable):
    """Addressed calls with an answer, and publications to all subscribers.

    ON_NEWS and ON_END are those of :class:`Subscriber`.
    """

    def __init__(
        self,
        on_news: Callable[[Subscriber, Any], None] = lambda subscriber, news: None,
        on_end: Callable[[Subscriber], None] = lambda subscriber: None,
    ) -> None:
        super().__init__()
        self._on_news = on_news
        self._on_end = on_end
        self._subscribers: dict[str, Subscriber] = {}
        self._lock = threading.Lock()
        self._closed = False

    def add_subscriber(self, name: str, connection: "Connection[Any, Any]") -> Subscriber:
        """Take what is at the other end of CONNECTION as the subscriber NAME; it gets all publications from now on."""
        subscriber = Subscriber(name, connection, self._on_news, self._ended)
        with self._lock:
            self._subscribers[name] = subscriber
        subscriber.start()
        return subscriber

    def _ended(self, subscriber: Subscriber) -> None:
        with self._lock:
            if self._subscribers.get(subscriber.name) is subscriber:
                del self._subscribers[subscriber.name]
        if not self._closed:
            self._on_end(subscriber)

    def subscribers(self) -> list[Subscriber]:
        """All of them, by name."""
        with self._lock:
            return [subscriber for _, subscriber in sorted(self._subscribers.items())]

    def publish(
        self,
        method: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        besides: Subscriber | None = None,
    ) -> None:
        """Have METHOD called by all subscribers, BESIDES the one named; there is no answer."""
        for subscriber in self.subscribers():
            if subscriber is not besides:
                subscriber.publish(method, args, kwargs)

    def rpc(
        self,
        dest: str,
        method: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """What the subscriber DEST answers, see :meth:`Subscriber.rpc`."""
        with self._lock:
            subscriber = self._subscribers.get(dest)
        if subscriber is None:
            raise SubscriberGone(dest)
        return subscriber.rpc(method, args, kwargs, timeout)

    def close(self) -> None:
        """End all connections; calls that are being waited for raise :exc:`SubscriberGone`."""
        self._closed = True
        for subscriber in self.subscribers():
            subscriber.close()


class ChildEnd:
    """A child's end of its CONNECTION: takes requests, sends answers and news."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def get(self) -> Request:
        """The next request; :exc:`EOFError` or :exc:`OSError` when the main process has ended."""
        request: Request = self._connection.recv()
        return request

    def answer(self, number: int | None, value: Any) -> None:
        """Send the answer to the request NUMBER; None: news."""
        with self._lock:
            self._connection.send(Answer(number, value))
