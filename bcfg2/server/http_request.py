"""Requests of HTTP/1.0 and 1.1 as they are read from a connection: strictly, and within limits.

.. code-block:: text

    read_head -> Head -> read_body

Whatever two readers could understand in two ways is refused (:exc:`Refusal`): folded headers, two lengths, a length
beside chunks, chunk sizes that are not plain hexadecimal numbers.  RFC 9110 and 9112 are meant by "HTTP" here.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO

#: Bytes of the first line of a request, and of a line between chunks.
MAX_LINE = 8192
#: Headers of a request, and trailers of a chunked body.
MAX_HEADERS = 100

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-~]+) HTTP/([0-9])\.([0-9])")
_HEADER = re.compile(rb"(" + _TOKEN + rb"):[ \t]*((?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)[ \t]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)

#: Headers that must not be said twice.
_SINGLE = frozenset({"authorization", "content-length", "host", "transfer-encoding"})


class Refusal(Exception):
    """A request that is not served: the status of the answer, and the reason, for the log.

    `outcome` is the word for it in the log, by default ``refused`` and the status.
    """

    def __init__(self, status: HTTPStatus, reason: str, outcome: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.outcome = outcome or f"refused {status.value}"


@dataclass(frozen=True, slots=True)
class Head:
    """The first line and the headers of a request; names of headers are in lower case."""

    method: str
    target: str
    version: tuple[int, int]
    headers: dict[str, str]

    @property
    def is_chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return "transfer-encoding" in self.headers

    @property
    def keeps_connection(self) -> bool:
        """Whether another request may follow."""
        return self.version >= (1, 1) and "close" not in _words(self.headers.get("connection", ""))

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for a word before it sends the body."""
        return self.version >= (1, 1) and "100-continue" in _words(self.headers.get("expect", ""))


def _words(text: str) -> list[str]:
    return [word.strip().lower() for word in text.split(",")]


def read_head(stream: BinaryIO, limit: int) -> Head | None:
    """The head, of at most LIMIT bytes, of the next request in STREAM; None if there is none.

    Raises :exc:`Refusal`, after which the stream is of no more use.
    """
    line = stream.readline(MAX_LINE + 1)
    if line in (b"\r\n", b"\n"):  # some clients send one too many after a body
        line = stream.readline(MAX_LINE + 1)
    if not line:
        return None
    if len(line) > MAX_LINE:
        raise Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, f"its first line has more than {MAX_LINE} bytes")
    match = _REQUEST_LINE.fullmatch(_stripped(line))
    if not match:
        raise Refusal(HTTPStatus.BAD_REQUEST, "its first line is no request of HTTP/1.x")
    version = (int(match[3]), int(match[4]))
    if version[0] != 1:
        raise Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, f"it is one of HTTP/{version[0]}")
    head = Head(match[1].decode("ascii"), match[2].decode("ascii"), version, {})
    for name, value in _headers(stream, limit - len(line)):
        if name not in head.headers:
            head.headers[name] = value
        elif name not in _SINGLE:
            head.headers[name] += f", {value}"
        elif name != "content-length" or head.headers[name] != value:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"it has several headers {name}")
    check_framing(head)
    return head


def _headers(stream: BinaryIO, left: int) -> Iterator[tuple[str, str]]:
    for _ in range(MAX_HEADERS + 1):
        line = stream.readline(left + 1)
        left -= len(line)
        if left < 0:
            raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "its head is too large (max_head)")
        stripped = _stripped(line)
        if not stripped:
            return
        if stripped[0] in b" \t":
            raise Refusal(HTTPStatus.BAD_REQUEST, "it has a folded header")
        match = _HEADER.fullmatch(stripped)
        if not match:
            raise Refusal(HTTPStatus.BAD_REQUEST, "it has a malformed header")
        yield match[1].decode("ascii").lower(), match[2].decode("latin-1")
    raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"it has more than {MAX_HEADERS} headers")


def _stripped(line: bytes) -> bytes:
    """LINE without its end; :exc:`Refusal` if it has none."""
    if not line.endswith(b"\n"):
        raise Refusal(HTTPStatus.BAD_REQUEST, "it is cut short")
    return line[:-2] if line.endswith(b"\r\n") else line[:-1]


def check_framing(head: Head) -> None:
    """Refuse a request whose end is not beyond doubt."""
    coding = head.headers.get("transfer-encoding")
    length = head.headers.get("content-length")
    if length is not None and not _LENGTH.fullmatch(length):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"its Content-Length is {length[:80]!r}")
    if coding is None:
        return
    if length is not None:
        raise Refusal(HTTPStatus.BAD_REQUEST, "it has both Content-Length and Transfer-Encoding")
    if head.version < (1, 1):
        raise Refusal(HTTPStatus.BAD_REQUEST, "it has a Transfer-Encoding, which HTTP/1.0 does not know")
    if coding.lower() != "chunked":
        raise Refusal(HTTPStatus.NOT_IMPLEMENTED, f"its Transfer-Encoding is {coding[:80]!r}, not chunked")


def read_body(stream: BinaryIO, head: Head, limit: int) -> bytes:
    """The body, of at most LIMIT bytes, that follows HEAD in STREAM; :exc:`Refusal` if there is none."""
    if head.is_chunked:
        return b"".join(_chunks(stream, limit))
    length = declared_length(head, limit)
    body = stream.read(length)
    if len(body) < length:
        raise Refusal(HTTPStatus.BAD_REQUEST, "its body is cut short")
    return body


def declared_length(head: Head, limit: int) -> int:
    """Bytes of the body that is not chunked; :exc:`Refusal` if that is not said or more than LIMIT."""
    length = head.headers.get("content-length")
    if length is None:
        raise Refusal(HTTPStatus.LENGTH_REQUIRED, "it says no Content-Length")
    if int(length) > limit:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"its body of {length} bytes is too large (max_body)")
    return int(length)


def _chunks(stream: BinaryIO, left: int) -> Iterator[bytes]:
    """The parts of a chunked body, which has, sizes and trailers included, at most LEFT bytes."""
    while True:
        line = stream.readline(MAX_LINE)
        match = _CHUNK.fullmatch(_stripped(line))
        if not match:
            raise Refusal(HTTPStatus.BAD_REQUEST, "its body is not well chunked")
        size = int(match[1], 16)
        left -= len(line) + size
        if left < 0:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "its body is too large (max_body)")
        if not size:
            break
        chunk = stream.read(size)
        if len(chunk) < size or _stripped(stream.readline(MAX_LINE)):
            raise Refusal(HTTPStatus.BAD_REQUEST, "its body is not well chunked")
        yield chunk
    for _trailer in _headers(stream, left):
        pass


def parse_basic(header: str) -> tuple[str, str] | None:
    """(user, password) of an ``Authorization`` header of the scheme Basic (RFC 7617), or None.

    Without a colon the whole is the user and the password is empty.
    """
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    user, _, password = text.partition(":")
    return user, password
