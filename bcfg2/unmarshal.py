"""Reading XML-RPC documents, calls and answers alike, that anybody may have written.

.. code-block:: text

    bytes -> expat (well-formed, UTF-8, no document type) -> _Reader (not too deep) -> values and method name

The standard library's own reader builds the values.  It is tolerant, and it raises whatever its many conversions raise;
here everything that makes a document useless is a :exc:`ValueError` whose text says why.
"""

import xmlrpc.client
from typing import Any
from xml.parsers import expat
from xml.parsers.expat import errors

#: Elements that may stand inside each other.  A list in a list takes three, so this is some sixty lists; the calls and
#: answers of the suite have three.  Deeper values would exhaust the stack of whoever walks through them.
MAX_DEPTH = 200

_INVALID_TOKEN = errors.codes[errors.XML_ERROR_INVALID_TOKEN]


def unmarshal(document: bytes) -> tuple[tuple[Any, ...], str | None]:
    """The values in DOCUMENT, and the method that it calls if it is a call.

    Base64 becomes :class:`bytes`, dates become :class:`datetime.datetime`.  Raises :exc:`xmlrpc.client.Fault` if the
    document holds a fault, and :exc:`ValueError` if it is no XML-RPC, has a document type (and so entities of its own),
    or is nested more than :data:`MAX_DEPTH` deep.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.data
    parser.StartDoctypeDeclHandler = _refuse_document_type
    try:
        parser.Parse(document, True)
        return reader.close(), reader.getmethodname()
    except xmlrpc.client.Fault:
        raise
    except expat.ExpatError as err:
        raise ValueError(_not_xml(document, err)) from None
    except Exception as err:  # noqa: BLE001 - the reader raises whatever its many conversions raise
        raise ValueError(_not_xmlrpc(err)) from None


class _Reader(xmlrpc.client.Unmarshaller):
    """The standard library's reader, which counts how deep it is."""

    def __init__(self) -> None:
        super().__init__(use_builtin_types=True)
        self.xml("", None)  # no encoding: the parser hands over text
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"its elements are nested more than {MAX_DEPTH} deep")
        super().start(tag, attrs)

    def end(self, tag: str) -> None:
        self._depth -= 1
        super().end(tag)


def _refuse_document_type(*_declaration: Any) -> None:
    raise ValueError("it has a document type, which is not allowed")


def _not_xml(document: bytes, err: expat.ExpatError) -> str:
    """Why DOCUMENT is not well-formed; ERR calls every byte that it does not like a token."""
    if err.code == _INVALID_TOKEN:
        if (position := document.find(b"\0")) >= 0:
            return f"it holds a NUL (byte {position + 1})"
        try:
            document.decode("utf-8")
        except UnicodeDecodeError as invalid:
            return f"it is not UTF-8 (byte {invalid.start + 1})"
    return str(err)


def _not_xmlrpc(err: Exception) -> str:
    """What the reader did not like, in words."""
    if isinstance(err, LookupError | ArithmeticError) or not err.args:
        return "a value is missing, misplaced or malformed"
    return str(err.args[0])
