"""Mappings whose values are worked out on demand."""

from collections.abc import Mapping

import pytest

from bcfg2.server.plugin import CallableDict, OnDemandDict


class Counted:
    """Returns how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        return self.calls


def test_a_callable_dict_calls_its_values_at_each_access() -> None:
    counted = Counted()
    subject = CallableDict(count=counted, fixed=7)
    assert isinstance(subject, Mapping)
    assert (subject["count"], subject["count"], subject["fixed"]) == (1, 2, 7)
    assert dict(subject) == {"count": 3, "fixed": 7}


def test_an_on_demand_dict_calls_each_value_once() -> None:
    counted, other = Counted(), Counted()
    subject = OnDemandDict(count=counted, other=other)
    assert (subject["count"], subject.get("count"), dict(subject)["count"]) == (1, 1, 1)
    assert (counted.calls, other.calls) == (1, 1)


@pytest.mark.parametrize("kind", [CallableDict, OnDemandDict])
def test_asking_for_names_calls_nothing(kind: type[CallableDict]) -> None:
    counted = Counted()
    subject = kind(count=counted)
    assert list(subject) == ["count"] and len(subject) == 1 and "count" in subject and "none" not in subject
    assert "count" in repr(subject)
    assert counted.calls == 0
    with pytest.raises(KeyError):
        subject["none"]


def test_a_value_that_cannot_be_had_is_tried_again() -> None:
    answers = iter([OSError("not now"), 1])

    def getter() -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    subject = OnDemandDict(value=getter)
    with pytest.raises(OSError, match="not now"):
        subject["value"]
    assert subject["value"] == 1


def test_a_value_may_ask_for_another() -> None:
    subject = OnDemandDict(one=lambda: 1, two=lambda: subject["one"] + 1)
    assert subject["two"] == 2
