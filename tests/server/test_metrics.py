"""Counters, gauges and histograms, and the text that Prometheus reads."""

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from bcfg2.server.metrics import Counter, Gauge, Histogram, Reading, exposition


def read(*families) -> dict:
    """(name, labels as sorted pairs) -> number, as Prometheus' own reader understands the text."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition(families))
        for sample in family.samples
    }


def test_a_counter_without_labels_begins_at_zero():
    assert exposition([Counter("x_total", "Things.")]) == "# HELP x_total Things.\n# TYPE x_total counter\nx_total 0\n"


def test_a_counter_has_a_number_for_each_combination_of_labels():
    counter = Counter("x_total", "Things.", "method", "outcome")
    counter.add("GetConfig", "ok")
    counter.add("GetConfig", "ok")
    counter.add("GetConfig", "denied", amount=5)
    assert read(counter) == {
        ("x_total", ("method", "GetConfig"), ("outcome", "ok")): 2,
        ("x_total", ("method", "GetConfig"), ("outcome", "denied")): 5,
    }
    assert counter.value("GetConfig", "ok") == 2
    assert counter.value("GetConfig", "fault") == 0


def test_the_wrong_number_of_labels_is_an_error():
    counter = Counter("x_total", "Things.", "method")
    counter.add("a", "b")
    with pytest.raises(ValueError, match="zip"):
        exposition([counter])


def test_a_gauge_goes_up_and_down():
    gauge = Gauge("x", "Things.")
    gauge.add(amount=3)
    gauge.add(amount=-2)
    assert exposition([gauge]) == "# HELP x Things.\n# TYPE x gauge\nx 1\n"


def test_a_reading_is_asked_each_time():
    numbers = iter([1, 2.5])
    reading = Reading("x", "Things.", lambda: next(numbers))
    assert read(reading) == {("x",): 1}
    assert read(reading) == {("x",): 2.5}


def test_a_histogram_counts_durations_by_upper_limits_that_belong_to_their_class():
    histogram = Histogram("x_seconds", "Times.", "method", limits=(0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        histogram.add(seconds, "GetConfig")
    found = read(histogram)
    assert [found["x_seconds_bucket", ("le", limit), ("method", "GetConfig")] for limit in ("0.1", "1", "+Inf")] == [
        2,
        3,
        4,
    ]
    assert found["x_seconds_count", ("method", "GetConfig")] == 4
    assert found["x_seconds_sum", ("method", "GetConfig")] == pytest.approx(7.65)


@given(st.lists(st.floats(0, 100)), st.lists(st.floats(0.001, 50), min_size=1, unique=True).map(sorted))
def test_each_class_of_a_histogram_holds_all_that_is_not_above_its_limit(durations, limits):
    histogram = Histogram("x", "Times.", limits=tuple(limits))
    for seconds in durations:
        histogram.add(seconds)
    for name, labels, number in histogram.samples():
        if name == "_bucket":
            limit = math.inf if labels[0][1] == "+Inf" else float(labels[0][1])
            assert number == sum(seconds <= limit for seconds in durations)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e")))
def test_any_text_in_a_label_is_read_as_it_was(text):
    counter = Counter("x_total", "A \\ and a\nline.", "label")
    counter.add(text)
    assert read(counter) == {("x_total", ("label", text)): 1}


def test_large_and_small_numbers_keep_their_value():
    counter = Counter("x_total", "Things.", "label")
    numbers = {"large": 2**40 + 1, "fraction": 0.1, "tiny": 1e-9}
    for label, number in numbers.items():
        counter.add(label, amount=number)
    assert read(counter) == {("x_total", ("label", label)): number for label, number in numbers.items()}


def test_threads_that_count_at_once_lose_nothing():
    counter, histogram = Counter("x_total", "Things.", "label"), Histogram("x", "Times.")

    def count():
        for _ in range(5000):
            counter.add("a")
            histogram.add(0.01)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value("a") == 20000
    assert read(histogram)["x_count",] == 20000
