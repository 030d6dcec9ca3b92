"""Numbers that monitoring systems collect, and their text in the Prometheus exposition format.

.. code-block:: text

    Counter     only grows: requests served, events handled
    Gauge       goes up and down: changes that wait to be written
    Reading     is asked for when somebody looks: memory in use
    Histogram   how many durations were how long

Each of them is a family: it has one number for each combination of its labels' values.  All are safe to use from any
thread; a lock is held just for an addition.  Labels must take few values, and never what a client sends.
"""

import bisect
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

#: What :func:`exposition` writes.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Upper limits of the classes of a histogram of durations, in seconds.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

Labels = tuple[str, ...]
#: (what is added to the name of the family, labels as (name, value), number)
Sample = tuple[str, tuple[tuple[str, str], ...], float]


class Family:
    """What all kinds have in common; a subclass has `kind` and overrides :meth:`samples`."""

    kind = "untyped"

    def __init__(self, name: str, help: str, *labels: str) -> None:
        self.name = name
        self.help = help
        self.labels = labels
        self._lock = threading.Lock()

    def samples(self) -> Iterable[Sample]:
        """The numbers as they are now."""
        raise NotImplementedError

    def _named(self, values: Labels) -> tuple[tuple[str, str], ...]:
        return tuple(zip(self.labels, values, strict=True))


class Counter(Family):
    """Numbers that only grow.  One without labels is there from the beginning, at zero."""

    kind = "counter"

    def __init__(self, name: str, help: str, *labels: str) -> None:
        super().__init__(name, help, *labels)
        self._numbers: dict[Labels, float] = {} if labels else {(): 0}

    def add(self, *values: str, amount: float = 1) -> None:
        """Add AMOUNT to the number whose labels have VALUES."""
        with self._lock:
            self._numbers[values] = self._numbers.get(values, 0) + amount

    def value(self, *values: str) -> float:
        """The number whose labels have VALUES."""
        return self._numbers.get(values, 0)

    def samples(self) -> Iterator[Sample]:
        with self._lock:
            numbers = sorted(self._numbers.items())
        for values, number in numbers:
            yield "", self._named(values), number


class Gauge(Counter):
    """Numbers that go up and down: what is added may be negative."""

    kind = "gauge"


class Reading(Family):
    """A number without labels that READ tells when somebody looks."""

    def __init__(self, name: str, help: str, read: Callable[[], float], kind: str = "gauge") -> None:
        super().__init__(name, help)
        self.kind = kind
        self._read = read

    def samples(self) -> Iterator[Sample]:
        yield "", (), self._read()


class Histogram(Family):
    """How many of the durations that were noted were how long, in seconds."""

    kind = "histogram"

    def __init__(self, name: str, help: str, *labels: str, limits: tuple[float, ...] = SECONDS) -> None:
        super().__init__(name, help, *labels)
        self._limits = limits
        self._classes: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def add(self, seconds: float, *values: str) -> None:
        """Note that something whose labels have VALUES took so many seconds."""
        place = bisect.bisect_left(self._limits, seconds)
        with self._lock:
            classes = self._classes.get(values)
            if classes is None:
                classes = self._classes[values] = [0] * (len(self._limits) + 1)
            classes[place] += 1
            self._sums[values] = self._sums.get(values, 0.0) + seconds

    def samples(self) -> Iterator[Sample]:
        with self._lock:
            seen = [(values, list(classes), self._sums[values]) for values, classes in sorted(self._classes.items())]
        for values, classes, total in seen:
            named = self._named(values)
            counts = list(accumulate(classes))
            for limit, count in zip((*map(_number, self._limits), "+Inf"), counts, strict=True):
                yield "_bucket", (*named, ("le", limit)), count
            yield "_sum", named, total
            yield "_count", named, counts[-1]


def exposition(families: Iterable[Family]) -> str:
    """FAMILIES in the text format 0.0.4 of Prometheus."""
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escaped(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for ending, labels, number in family.samples():
            pairs = ",".join(f'{name}="{_quoted(value)}"' for name, value in labels)
            lines.append(f"{family.name}{ending}{f'{{{pairs}}}' if pairs else ''} {_number(number)}")
    return "\n".join(lines) + "\n"


def _number(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(float(number))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
