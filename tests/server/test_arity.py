"""How many arguments methods take, and what is said of a wrong number."""

import functools
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import pytest

from bcfg2.server.arity import arity_of
from tests.support import NetworkSite


class Example:
    def none(self) -> None: ...
    def one(self, name: str) -> None: ...
    def two(self, name: str, value: str) -> None: ...
    def some(self, name: str, value: str = "", *, keyword: str = "") -> None: ...
    def many(self, name: str, *values: str) -> None: ...
    def anything(self, *values: str, **more: str) -> None: ...

    @functools.wraps(one)
    def wrapped(self, *arguments: Any) -> None: ...


@pytest.mark.parametrize(
    ("name", "text", "accepted"),
    [
        ("none", "no arguments", {0}),
        ("one", "1 argument (name)", {1}),
        ("two", "2 arguments (name, value)", {2}),
        ("some", "1 to 2 arguments (name, value)", {1, 2}),
        ("many", "at least 1 arguments (name)", {1, 2, 3}),
        ("anything", "at least 0 arguments", {0, 1, 2, 3}),
        ("wrapped", "1 argument (name)", {1}),
    ],
)
def test_a_method_takes_what_its_signature_says(name: str, text: str, accepted: set[int]) -> None:
    arity = arity_of(getattr(Example(), name))
    assert {number for number in range(4) if not arity.refuses(number)} == accepted
    assert str(arity) == text


def test_arguments_that_the_server_gives_do_not_count() -> None:
    arity = arity_of(Example().two, first=1)
    assert str(arity) == "1 argument (value)"
    assert arity.refuses(2) and arity.refuses(0) and not arity.refuses(1)


def test_what_cannot_tell_takes_anything() -> None:
    def secretive() -> None: ...

    secretive.__signature__ = "nobody knows"  # type: ignore[attr-defined]
    arity = arity_of(secretive)
    assert not arity.refuses(0) and not arity.refuses(9)


@pytest.mark.parametrize(
    ("method", "arguments", "text"),
    [
        ("GetProbes", ["x"], "GetProbes takes no arguments, and was called with 1"),
        ("DeclareVersion", [], "DeclareVersion takes 1 argument (version), and was called with 0"),
        ("Metadata.list_clients", ["x"], "Metadata.list_clients takes no arguments, and was called with 1"),
        ("expire_metadata_cache", [1, 2], "takes 0 to 1 arguments (hostnames), and was called with 2"),
        ("system.methodHelp", [], "system.methodHelp takes 1 argument (name), and was called with 0"),
    ],
)
def test_a_call_with_a_wrong_number_of_arguments_is_a_fault_and_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, method: str, arguments: list[Any], text: str
) -> None:
    site = NetworkSite(tmp_path)
    caplog.clear()
    for _ in range(2):
        with pytest.raises(Fault) as raised:
            site.core.dispatch(method, tuple(arguments), ("127.0.0.2", 1))
        assert raised.value.faultCode == 1 and text in raised.value.faultString
    assert [record.getMessage() for record in caplog.records] == [f"127.0.0.2: {raised.value.faultString}"] * 2
    assert not caplog.records[0].exc_info
    site.stop()


def test_a_fault_of_the_method_itself_is_no_matter_of_arguments(tmp_path: Path) -> None:
    def within() -> None:
        raise TypeError("takes no arguments")

    site = NetworkSite(tmp_path)
    site.core.rmi["Metadata.within"] = within
    with pytest.raises(TypeError, match="takes no arguments"):
        site.core.dispatch("Metadata.within", (), ("127.0.0.1", 1))
    assert site.call("ping", 1, 2, address=("127.0.0.1", 1)) == [1, 2]
    site.stop()
