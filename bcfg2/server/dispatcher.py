"""XML-RPC calls as the HTTPS server answers them: decoded, passed to an instance, encoded."""

import logging
import xmlrpc.client
from typing import Any
from xmlrpc.server import SimpleXMLRPCDispatcher

from bcfg2.server.call_log import Call
from bcfg2.unmarshal import unmarshal
from bcfg2.xml import legal

logger = logging.getLogger("bcfg2.SSLServer")

#: The fault code of :class:`Busy`.
BUSY = -32500

#: Characters of a large text that are encoded at once.
_PIECE = 1 << 16


class XMLRPCACLCheckException(Exception):
    """The caller may not call this method."""


class Busy(xmlrpc.client.Fault):
    """There is too much to do; the caller may try again after `retry_after` seconds."""

    retry_after = 10

    def __init__(self, text: str) -> None:
        super().__init__(BUSY, text)


class XMLRPCDispatcher(SimpleXMLRPCDispatcher):
    """Has its instance answer calls, and encodes the answers."""

    instance: Any

    def __init__(self, allow_none: bool = True, encoding: str | None = None) -> None:
        super().__init__(allow_none=allow_none, encoding=encoding or "utf-8")

    def answer(self, method: str, arguments: tuple[Any, ...], call: Call) -> tuple[str, bytes | bytearray]:
        """The outcome, for the log, and the encoded answer of METHOD to ARGUMENTS.

        Raises :exc:`XMLRPCACLCheckException` if it may not be called.
        """
        if not self.instance.check_acls(call.address, method):
            raise XMLRPCACLCheckException(method)
        try:
            return "ok", self._encode((_plain(self.instance._dispatch(method, arguments, call.address)),))
        except xmlrpc.client.Fault as fault:
            call.retry_after = getattr(fault, "retry_after", None)
            code, text = fault.faultCode, fault.faultString
        except Exception as err:
            logger.exception("%s failed for %s", legal(method), call.client)
            code, text = 1, str(err) or type(err).__name__
        return f"fault {code}", self._encode(xmlrpc.client.Fault(code, legal(text)))

    def _encode(self, answer: Any) -> bytes | bytearray:
        if isinstance(answer, tuple) and isinstance(answer[0], str) and len(answer[0]) > _PIECE:
            return self._encode_text(answer[0])
        text = xmlrpc.client.dumps(answer, methodresponse=True, allow_none=self.allow_none, encoding=self.encoding)
        return text.encode(self.encoding, "xmlcharrefreplace")

    def _encode_text(self, answer: str) -> bytearray:
        """The encoded ANSWER, which is so large that there must be no further copies of it."""
        frame = xmlrpc.client.dumps(("@",), methodresponse=True, encoding=self.encoding)
        head, tail = frame.encode(self.encoding).split(b"@")
        encoded = bytearray(head)
        for start in range(0, len(answer), _PIECE):
            piece = xmlrpc.client.escape(answer[start : start + _PIECE])
            encoded += piece.encode(self.encoding, "xmlcharrefreplace")
        encoded += tail
        return encoded


def decode_call(data: bytes) -> tuple[str, tuple[Any, ...]]:
    """(method name, arguments) of the encoded call DATA; :exc:`ValueError` if it is none."""
    try:
        arguments, method = unmarshal(data)
    except xmlrpc.client.Fault:
        raise ValueError("not an XML-RPC call: it holds a fault") from None
    except ValueError as err:
        raise ValueError(f"not an XML-RPC call: {err}") from None
    if not method:
        raise ValueError("not an XML-RPC call: there is no method name")
    return method, arguments


def _plain(value: Any) -> Any:
    """VALUE as XML-RPC can carry it."""
    if isinstance(value, set | frozenset):
        return list(value)
    return value.decode("utf-8") if isinstance(value, bytes) else value
