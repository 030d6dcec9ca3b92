"""XML files that are Genshi markup templates: compiled when the file loads, rendered for each client."""

import os
import traceback
from collections.abc import Callable, Iterator
from io import BytesIO, StringIO
from typing import Any

from lxml import etree

from bcfg2 import xml
from bcfg2.server.plugin.exceptions import PluginExecutionError

try:
    from genshi.core import COMMENT, END, PI, START, TEXT, Stream
    from genshi.input import XMLParser
    from genshi.template import MarkupTemplate, TemplateLoader
except ImportError:
    GENSHI = False
else:
    GENSHI = True

    class _Loader(TemplateLoader):  # type: ignore[misc]  # Genshi has no types
        """Loads the templates that a template includes; DECRYPT is that of the template."""

        def __init__(self, folder: str, encoding: str, decrypt: "Decrypt | None") -> None:
            super().__init__([folder], auto_reload=True, default_encoding=encoding)
            self.decrypt = decrypt

    class _Template(MarkupTemplate):  # type: ignore[misc]  # Genshi has no types
        """A template, or one that it includes: what is encrypted in it is decrypted before it is compiled."""

        def __init__(self, source: Any, filepath: Any = None, filename: Any = None, loader: Any = None, **more: Any):
            if loader.decrypt is not None:
                if not isinstance(source, Stream):
                    source = XMLParser(source, filename=filename, encoding=more.get("encoding"))
                source = Stream(_decrypted(source, loader.decrypt))
            super().__init__(source, filepath=filepath, filename=filename, loader=loader, **more)


#: The plain text for a mark and a cipher text; :exc:`EncryptionError` where there is none.
Decrypt = Callable[[str, str], str]


#: How Genshi names the code of an expression.
_EXPRESSION = "<Expression "


class XMLTemplate:
    """A compiled template.  Raises :exc:`PluginExecutionError` for one that does not compile.

    SOURCE: the text, or a stream of Genshi's events.  DECRYPT: how elements that are marked as encrypted are decrypted;
    None: not at all.  AS_WRITTEN: whether SOURCE has the lines of the file PATH, so that errors can name them.
    """

    def __init__(
        self, path: str, source: Any, encoding: str, decrypt: Decrypt | None = None, *, as_written: bool = True
    ) -> None:
        if not GENSHI:
            raise PluginExecutionError(f"{path} is a Genshi template: install bcfg2[genshi]")
        self.path = path
        self._as_written = as_written
        loader = _Loader(os.path.dirname(path), encoding, decrypt)
        if isinstance(source, str | bytes):
            source = StringIO(source) if isinstance(source, str) else BytesIO(source)
        try:
            self._template = _Template(source, filepath=path, filename=os.path.basename(path), loader=loader)
            _ = self._template.stream  # Genshi compiles directives when this is first asked for
        except Exception as err:
            raise PluginExecutionError(f"{path}: {type(err).__name__}: {err}") from err

    def render(self, **variables: Any) -> xml.Element:
        """The document for these VARIABLES.  Whatever the template's code raises becomes a PluginExecutionError."""
        try:
            return _tree(self._template.generate(**variables))
        except Exception as err:
            raise PluginExecutionError(f"error rendering {self._place(err)}: {type(err).__name__}: {err}") from err

    def _place(self, err: Exception) -> str:
        """The file, and the line where it can be told, in which ERR came up."""
        frames = traceback.walk_tb(err.__traceback__)
        found = [(frame.f_code, line) for frame, line in frames if frame.f_code.co_name.startswith(_EXPRESSION)]
        if not found:
            return self.path
        code, line = found[-1]
        if code.co_filename != self.path:
            return f"{self.path} (in {code.co_filename}:{line})"
        return f"{self.path}:{line}" if self._as_written else self.path


def _decrypted(stream: Any, decrypt: Decrypt) -> Iterator[Any]:
    """The events of a template with the text of marked elements decrypted, and guarded from being taken for code."""
    name, held = None, []  # the mark of the element that has just begun, and what came after that
    for kind, data, position in stream:
        if name and kind in (TEXT, COMMENT, PI):
            held.append((kind, data, position))
            continue
        if held:
            yield from _decrypted_text(name, held, decrypt)
            held = []
        name = data[1].get("encrypted") if kind is START else None
        yield kind, data, position


def _decrypted_text(name: Any, events: list[Any], decrypt: Decrypt) -> Iterator[Any]:
    """EVENTS, what an element marked NAME begins with, as one text."""
    cipher_text = "".join(data for kind, data, _ in events if kind is TEXT)
    if not cipher_text.strip():
        yield from events
        return
    position = next(position for kind, _, position in events if kind is TEXT)
    yield TEXT, decrypt(str(name), cipher_text).replace("$", "$$"), position


def _tree(stream: Any) -> xml.Element:
    """The events of a rendered template as an element tree; comments and processing instructions are left out."""
    builder = etree.TreeBuilder()
    for kind, data, _position in stream:
        if kind is START:
            tag, attributes = data
            builder.start(str(tag), {str(name): str(value) for name, value in attributes})
        elif kind is END:
            builder.end(str(data))
        elif kind is TEXT:
            builder.data(str(data))
    return xml.tidy(builder.close())
