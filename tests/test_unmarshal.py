"""Reading XML-RPC documents that anybody may have written."""

import datetime
import xmlrpc.client
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.unmarshal import MAX_DEPTH, unmarshal

CALL = "<methodCall><methodName>ping</methodName><params><param><value>{}</value></param></params></methodCall>"
#: Elements around the value of `CALL`, itself included.
AROUND = 4


def call(value: str) -> bytes:
    return CALL.format(value).encode()


def lists(depth: int) -> str:
    """DEPTH lists inside each other, each of which takes three elements, the innermost two."""
    return (
        "<array><data><value>" * (depth - 1) + "<array><data></data></array>" + "</value></data></array>" * (depth - 1)
    )


def test_a_call_has_a_method_and_arguments() -> None:
    assert unmarshal(call("<string>größe</string>")) == (("größe",), "ping")
    assert unmarshal(b"<methodCall><methodName>a.b</methodName></methodCall>") == ((), "a.b")


def test_an_answer_has_a_value_and_no_method() -> None:
    answer = xmlrpc.client.dumps((["a", None],), methodresponse=True, allow_none=True)
    assert unmarshal(answer.encode()) == ((["a", None],), None)


def test_a_fault_is_raised() -> None:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        unmarshal(xmlrpc.client.dumps(xmlrpc.client.Fault(-32601, "Unknown method x")).encode())
    assert (caught.value.faultCode, caught.value.faultString) == (-32601, "Unknown method x")


def test_bytes_and_dates_become_types_of_python() -> None:
    values = (b"\x00\xff", datetime.datetime(2026, 1, 2, 3, 4, 5))
    assert unmarshal(xmlrpc.client.dumps(values, "x").encode()) == (values, "x")


def test_the_deepest_nesting_that_is_allowed_is_read_and_one_more_is_refused() -> None:
    depth = (MAX_DEPTH - AROUND + 1) // 3
    ((value,), _) = unmarshal(call(lists(depth)))
    for _ in range(depth - 1):
        (value,) = value
    assert value == []
    with pytest.raises(ValueError, match=f"nested more than {MAX_DEPTH} deep"):
        unmarshal(call(lists(depth + 1)))


def test_nesting_is_refused_before_the_document_ends() -> None:
    with pytest.raises(ValueError, match="nested more than"):
        unmarshal(b"<a>" * 1_000_000)


def test_many_elements_beside_each_other_are_not_deep() -> None:
    items = "<value><i4>1</i4></value>" * 10 * MAX_DEPTH
    assert unmarshal(call(f"<array><data>{items}</data></array>")) == (([1] * 10 * MAX_DEPTH,), "ping")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "no element found"),
        (b"not XML", "line 1, column 0"),
        (call("a\0b"), r"it holds a NUL \(byte 65\)"),
        (call("&#0;"), "invalid character number"),
        (call("&#xD800;"), "invalid character number"),
        (CALL.format("gr\xf6\xdfe").encode("latin-1"), r"it is not UTF-8 \(byte 66\)"),
        (call("").replace(b"<value>", b"<value>\xed\xa0\x80"), "it is not UTF-8"),
        (call("").replace(b"<value>", b"<value>\xc0\xaf"), "it is not UTF-8"),
        (call("&x;"), "undefined entity"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]>' + call("&x;"), "document type"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd">' + call("x"), "document type"),
        (call("<int>many</int>"), "many"),
        (call(f"<int>{'9' * 10_000}</int>"), "int"),
        (call("<boolean>2</boolean>"), "boolean"),
        (call("<bigdecimal>x</bigdecimal>"), "malformed"),
        (call("<new>1</new>"), "unknown tag"),
        (call("<base64>ä</base64>"), "ascii"),
        (call("<dateTime.iso8601>soon</dateTime.iso8601>"), "soon"),
        (call("<struct><member><name>a</name></member></struct>"), "misplaced"),
        (b"<methodCall><params><param></array></param></params></methodCall>", "mismatched tag"),
        (b"<data></data>", "misplaced"),
        (b"<methodResponse><fault><value><int>3</int></value></fault></methodResponse>", "mapping"),
    ],
)
def test_what_is_no_xmlrpc_is_a_value_error_that_says_why(document: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        unmarshal(document)


@given(st.binary())
def test_garbage_is_a_value_error(document: bytes) -> None:
    with pytest.raises(ValueError):
        unmarshal(document)


TAGS = st.sampled_from([*xmlrpc.client.Unmarshaller.dispatch, "methodCall", "member", "ex:nil", "unknown"])


@given(st.recursive(st.text("01ab<&;"), lambda inner: st.tuples(TAGS, st.lists(inner, max_size=3))))
def test_elements_in_any_order_are_read_or_are_a_value_error(tree: Any) -> None:
    def written(node: Any) -> str:
        if isinstance(node, str):
            return xmlrpc.client.escape(node)
        tag, inner = node
        return f"<{tag}>{''.join(map(written, inner))}</{tag}>"

    try:
        values, method = unmarshal(f"<methodCall>{written(tree)}</methodCall>".encode())
    except (ValueError, xmlrpc.client.Fault):
        return
    assert isinstance(values, tuple)
    assert method is None or isinstance(method, str)
