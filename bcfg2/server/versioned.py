"""One consistent view of the repository for each request.

A file that changes on disk makes a new object that takes the old one's place.  Where several files change together (a
``git pull``) a request must see all of the changes or none of them, and must never wait for a reload.  So what is
loaded is kept in *versioned* attributes:

.. code-block:: text

    request thread                    thread that applies file events
    --------------                    -------------------------------
    with reading():                   with writing():
        pins generation 7                 bundler.bundles = ...     seen by this thread only
        bundler.bundles -> as of 7        cfg.entries = ...
                                      end: both become generation 8
        cfg.entries -> still as of 7
    with reading():
        pins generation 8

A value is never changed in place, only replaced.  Older values are dropped as soon as no request can ask for them.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")

logger = logging.getLogger(__name__)


class _Version:
    """One value of a cell, the generation since which it holds, and what it replaced."""

    __slots__ = ("older", "since", "value")

    def __init__(self, since: int, value: Any, older: "_Version | None") -> None:
        self.since = since
        self.value = value
        self.older = older


class _Cell:
    """The versions of one attribute of one object, newest first."""

    __slots__ = ("version",)

    def __init__(self, version: _Version | None) -> None:
        self.version = version


class _ThreadView(threading.local):
    """What this thread reads (a pinned generation) and has written but not yet published."""

    pinned: int | None = None
    memo: dict[Any, Any] | None = None
    writes: "dict[_Cell, Any] | None" = None
    undo: "list[tuple[_Cell, Any]] | None" = None
    last_steps: "dict[Callable[[], None], None] | None" = None
    afterwards: "dict[Callable[[], None], None] | None" = None


class _Clock:
    """The generation that new requests read, and which older ones are still being read."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.generation = 0
        self.pins: dict[int, int] = {}
        #: The versions that hide older ones, in the order in which they came.
        self.hiding: deque[_Version] = deque()

    def pin(self) -> int:
        with self.lock:
            generation = self.generation
            self.pins[generation] = self.pins.get(generation, 0) + 1
        return generation

    def unpin(self, generation: int) -> None:
        with self.lock:
            left = self.pins[generation] - 1
            if left:
                self.pins[generation] = left
            else:
                del self.pins[generation]
                self._forget()

    def publish(self, writes: dict[_Cell, Any]) -> None:
        """Make all WRITES visible to those who pin from now on, at once."""
        with self.lock:
            generation = self.generation + 1
            for cell, value in writes.items():
                older = cell.version
                cell.version = _Version(generation, value, older)
                if older is not None:
                    self.hiding.append(cell.version)
            self.generation = generation
            self._forget()

    def _forget(self) -> None:
        """Drop the older versions that no pinned generation can reach."""
        oldest = min(self.pins, default=self.generation)
        while self.hiding and self.hiding[0].since <= oldest:
            self.hiding.popleft().older = None


#: In a list of what is to be put back: nothing was assigned before.
_NOTHING = object()

_clock = _Clock()
_view = _ThreadView()


class Versioned(Generic[T]):
    """A versioned attribute: ``state = Versioned[State](default)`` in a class body.

    Reading gives the value that was in force when this thread's :func:`reading` began (outside of one: the newest).
    Assigning publishes at once, or at the end of this thread's :func:`writing`.  Values must not be changed in place.
    An attribute that was never assigned reads as DEFAULT; without a default that is an :exc:`AttributeError`.
    """

    __slots__ = ("_default", "_name")

    def __init__(self, *default: T) -> None:
        self._default = default
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_versioned_{name}"

    @overload
    def __get__(self, obj: None, owner: type) -> Self: ...

    @overload
    def __get__(self, obj: object, owner: type) -> T: ...

    def __get__(self, obj: object | None, owner: type) -> Self | T:
        if obj is None:
            return self
        cell: _Cell | None = obj.__dict__.get(self._name)
        if cell is None:
            return self._missing(obj)
        writes = _view.writes
        if writes is not None and cell in writes:
            value: T = writes[cell]
            return value
        version = cell.version
        if version is None:  # written, not yet published, by another thread
            return self._missing(obj)
        pinned = _view.pinned
        if pinned is not None:
            while version.since > pinned and version.older is not None:
                version = version.older
        result: T = version.value
        return result

    def _missing(self, obj: object) -> T:
        if self._default:
            return self._default[0]
        raise AttributeError(f"{type(obj).__name__}.{self._name.removeprefix('_versioned_')} has no value yet")

    def __set__(self, obj: object, value: T) -> None:
        cell: _Cell | None = obj.__dict__.get(self._name)
        if cell is None:  # requests that are running go on seeing the default
            first = _Version(0, self._default[0], None) if self._default else None
            cell = obj.__dict__.setdefault(self._name, _Cell(first))
        writes = _view.writes
        if writes is not None:
            if _view.undo is not None:
                _view.undo.append((cell, writes.get(cell, _NOTHING)))
            writes[cell] = value
            return
        _clock.publish({cell: value})
        follow()


@contextmanager
def reading() -> Iterator[None]:
    """Let this thread see one generation of all versioned attributes, however long it takes.  May be nested."""
    if _view.pinned is not None:
        yield
        return
    _view.pinned = _clock.pin()
    _view.memo = {}
    try:
        yield
    finally:
        pinned, _view.pinned = _view.pinned, None
        _view.memo = None
        _clock.unpin(pinned)


@contextmanager
def writing() -> Iterator[None]:
    """Publish what this thread assigns to versioned attributes together, at the end; also after an exception.

    What was assigned before an exception is whole in itself (a fault costs its own file only).  May be nested: the
    outermost one publishes.
    """
    if _view.writes is not None:
        yield
        return
    _view.writes, _view.last_steps, _view.afterwards = {}, {}, {}
    try:
        yield
    finally:
        try:
            _run(_view.last_steps)
        finally:
            writes, steps = _view.writes, _view.afterwards
            _view.writes = _view.last_steps = _view.afterwards = None
            if writes:
                _clock.publish(writes)
                follow()
            _run(steps)


def _run(steps: dict[Callable[[], None], None]) -> None:
    """Call STEPS, and those that they add; one that fails is logged and keeps no other from being called."""
    while steps:
        step = next(iter(steps))
        del steps[step]
        try:
            step()
        except Exception:
            logger.exception("Error in %s, which follows from changed files", getattr(step, "__qualname__", step))


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """A :func:`writing` from which an exception takes back what was assigned in it (but not changes of private copies).

    For what is assigned piece by piece and of use only when the last piece has turned out well, such as a file.
    """
    with writing():
        outer = _view.undo
        undo: list[tuple[_Cell, Any]] = []
        _view.undo = undo
        try:
            yield
        except BaseException:
            _take_back(undo)
            undo.clear()
            raise
        finally:
            _view.undo = outer
            if outer is not None:
                outer += undo


def _take_back(undo: list[tuple[_Cell, Any]]) -> None:
    """Put back, the last first, what this thread's unpublished assignments replaced."""
    writes = _view.writes
    assert writes is not None
    for cell, value in reversed(undo):
        if value is _NOTHING:
            del writes[cell]
        else:
            writes[cell] = value


def assigned() -> int:
    """To how many versioned attributes this thread has assigned inside of :func:`writing`."""
    return len(_view.writes or ())


def before_publish(step: Callable[[], None]) -> None:
    """Call STEP once at the end of this thread's :func:`writing`, before it is published (outside of one: now).

    For what is derived from many files, such as an index: it is made once for a batch of changes.  What STEP raises is
    logged.
    """
    if _view.last_steps is None:
        step()
    else:
        _view.last_steps[step] = None


def after_publish(step: Callable[[], None]) -> None:
    """Call STEP once when what this thread's :func:`writing` assigned has been published (outside of one: now).

    For the dropping of what others may have worked out from the values that were replaced.
    """
    if _view.afterwards is None:
        step()
    else:
        _view.afterwards[step] = None


def private_copy(obj: object, name: str) -> Any:
    """The value of the versioned attribute NAME of OBJ, to be changed in place within this thread's :func:`writing`.

    The first call makes a copy (by the value's ``copy()``), later calls of the same :func:`writing` return that copy.
    """
    if _view.writes is None:
        raise RuntimeError("private_copy() is for use inside of writing()")
    cell = obj.__dict__.get(f"_versioned_{name}")
    if cell is None or cell not in _view.writes:
        setattr(obj, name, getattr(obj, name).copy())
        cell = obj.__dict__[f"_versioned_{name}"]
    return _view.writes[cell]


def request_memo() -> dict[Any, Any]:
    """A dictionary that lives as long as this thread's :func:`reading`, for what is worked out once per request.

    It is emptied when the request itself publishes a change; outside of a request every call gives a new one.
    """
    return {} if _view.memo is None else _view.memo


def generation() -> int:
    """The number of the generation that this thread reads; it grows with every published change."""
    return _clock.generation if _view.pinned is None else _view.pinned


def newest_generation() -> int:
    """The number of the generation that was published last."""
    return _clock.generation


def follow() -> None:
    """Let this thread's request see what has been published since it began, or has just been by itself."""
    if _view.pinned is not None:
        pinned = _view.pinned
        _view.pinned = _clock.pin()
        _view.memo = {}
        _clock.unpin(pinned)
