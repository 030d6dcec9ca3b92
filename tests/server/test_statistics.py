"""Statistics: minimum, maximum, mean and count of durations, from any thread."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.server import statistics
from bcfg2.server.statistics import Statistic, Statistics, track_statistics

durations = st.floats(min_value=0, max_value=1e6)


@given(st.lists(durations, min_size=1))
def test_a_statistic_is_minimum_maximum_mean_and_count(values: list[float]) -> None:
    first, *rest = values
    item = Statistic(first)
    for value in rest:
        item.add_value(value)
    minimum, maximum, mean, count = item.get_value()
    assert (minimum, maximum, count) == (min(values), max(values), len(values))
    assert mean == pytest.approx(sum(values) / len(values))


def test_names_are_kept_apart() -> None:
    stats = Statistics()
    stats.add_value("GetConfig", 2.0)
    stats.add_value("GetProbes", 1.0)
    stats.add_value("GetConfig", 4.0)
    assert stats.display() == {"GetConfig": (2.0, 4.0, 3.0, 2), "GetProbes": (1.0, 1.0, 1.0, 1)}


def test_no_value_of_any_thread_is_lost() -> None:
    stats = Statistics()
    together = threading.Barrier(8)

    def work() -> None:
        together.wait()
        for _ in range(500):
            stats.add_value("name", 1.0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats.display() == {"name": (1.0, 1.0, 1.0, 4000)}


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Statistics:
    fresh = Statistics()
    monkeypatch.setattr(statistics, "stats", fresh)
    return fresh


class Worker:
    @track_statistics()
    def work(self, value: int, *, fail: bool = False) -> int:
        """The work."""
        if fail:
            raise ValueError(value)
        return value

    @track_statistics("other")
    def named(self) -> None: ...


class Special(Worker):
    pass


def test_a_tracked_method_is_counted_under_its_object_s_class(collected: Statistics) -> None:
    assert Special().work(3) == 3
    Worker().named()
    assert set(collected.display()) == {"Special:work", "Worker:other"}
    assert Worker.work.__doc__ == "The work."


def test_a_tracked_method_that_fails_is_counted_and_fails(collected: Statistics) -> None:
    with pytest.raises(ValueError, match="3"):
        Worker().work(3, fail=True)
    assert collected.display()["Worker:work"][3] == 1
