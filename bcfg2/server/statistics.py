"""How long the server's parts take: one running minimum, maximum, mean and count of seconds for each name."""

import functools
import threading
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Statistic:
    """The durations seen under one name, in seconds."""

    __slots__ = ("_lock", "count", "max", "min", "total")

    def __init__(self, seconds: float) -> None:
        self._lock = threading.Lock()
        self.min = self.max = self.total = seconds
        self.count = 1

    def add_value(self, seconds: float) -> None:
        with self._lock:
            self.min = min(self.min, seconds)
            self.max = max(self.max, seconds)
            self.total += seconds
            self.count += 1

    def get_value(self) -> tuple[float, float, float, int]:
        """(minimum, maximum, mean, count)."""
        with self._lock:
            return self.min, self.max, self.total / self.count, self.count


class Statistics:
    """All names and their durations since the server started.  Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.data: dict[str, Statistic] = {}

    def add_value(self, name: str, seconds: float) -> None:
        """Note that what NAME stands for took SECONDS."""
        item = self.data.get(name)
        if item is None:
            with self._lock:
                item = self.data.get(name)
                if item is None:
                    self.data[name] = Statistic(seconds)
                    return
        item.add_value(seconds)

    def display(self) -> dict[str, tuple[float, float, float, int]]:
        """Name -> (minimum, maximum, mean, count); what RPC ``get_statistics`` answers."""
        return {name: item.get_value() for name, item in list(self.data.items())}


stats = Statistics()


class track_statistics:
    """Decorate a method: its duration is noted under ``ClassName:method`` (or ``ClassName:NAME``)."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        name = self.name or getattr(func, "__name__", "?")

        @functools.wraps(func)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            begun = time.perf_counter()
            try:
                return func(*args, **kwargs)
            finally:
                owner: Any = args[0]
                stats.add_value(f"{type(owner).__name__}:{name}", time.perf_counter() - begun)

        return timed
