"""The contents of a file on their way into an entry: as bytes, as text, as base64."""

import re
from base64 import b64encode

from bcfg2.server.plugin.exceptions import PluginExecutionError
from bcfg2.xml import Element

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CURE = 'give it the attribute encoding="base64" in info.xml'


#: Bytes up to which each form is kept; of larger contents only one that is in use is in memory beside the bytes.
_KEPT = 1 << 20


class Contents:
    """What one file holds for a client.  Each form is worked out when it is first asked for, and kept if it is small.

    DATA is text or bytes, ENCODING how one becomes the other, SOURCE the path that errors name.
    """

    def __init__(self, data: str | bytes, encoding: str, source: str) -> None:
        self._data = data
        self._encoding = encoding
        self._source = source
        self._text: str | None = data if isinstance(data, str) else None
        self._raw: bytes | None = data if isinstance(data, bytes) else None
        self._base64: bytes | None = None

    def __bool__(self) -> bool:
        return bool(self._data)

    @property
    def raw(self) -> bytes:
        """The bytes that the client's file is to have."""
        if self._raw is None:
            try:
                self._raw = self.text.encode(self._encoding)
            except UnicodeEncodeError as err:
                raise PluginExecutionError(
                    f"{self._source}: {_place(self.text, err.start)} cannot be written in {self._encoding}"
                ) from None
        return self._raw

    @property
    def text(self) -> str:
        """The bytes as text, unchanged."""
        if self._text is None:
            assert self._raw is not None
            try:
                text = self._raw.decode(self._encoding)
            except UnicodeDecodeError as err:
                line = self._raw.count(b"\n", 0, err.start) + 1
                raise PluginExecutionError(
                    f"{self._source}:{line}: not {self._encoding} (byte 0x{self._raw[err.start]:02x}): {_CURE}"
                ) from None
            if len(text) > _KEPT:
                return text
            self._text = text
        return self._text

    @property
    def base64(self) -> bytes:
        """The bytes in base64, one line."""
        if self._base64 is not None:
            return self._base64
        encoded = b64encode(self.raw)
        if len(encoded) <= _KEPT:
            self._base64 = encoded
        return encoded

    def put_into(self, entry: Element) -> None:
        """Make this the text of ENTRY, in the encoding that it asks for.

        Raises PluginExecutionError for what cannot be sent as text.
        """
        if not self:
            entry.text = None
            entry.set("empty", "true")
        elif entry.get("encoding") == "base64":
            entry.text = self.base64  # type: ignore[assignment]  # lxml takes bytes that are ASCII, without a copy
        else:
            text = self.text
            try:
                entry.text = text
            except ValueError:
                bad = _NOT_IN_XML.search(text)
                what = _place(text, bad.start()) if bad else "a character in it"
                raise PluginExecutionError(f"{self._source}: {what} cannot be sent as text: {_CURE}") from None


def _place(text: str, position: int) -> str:
    """Which character stands at POSITION of TEXT, in which line."""
    return f"the character U+{ord(text[position]):04X} in line {text.count(chr(10), 0, position) + 1}"
