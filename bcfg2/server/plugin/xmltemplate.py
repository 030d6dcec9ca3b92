"""XML files that are Genshi markup templates: compiled when the file loads, rendered for each client."""

import os
from typing import Any

from lxml import etree

from bcfg2 import xml
from bcfg2.server.plugin.exceptions import PluginExecutionError

try:
    from genshi.core import END, START, TEXT
    from genshi.template import MarkupTemplate, TemplateLoader
except ImportError:
    MarkupTemplate = None


class XMLTemplate:
    """A compiled template.  Raises :exc:`PluginExecutionError` for one that does not compile."""

    def __init__(self, path: str, source: str | bytes, encoding: str) -> None:
        if MarkupTemplate is None:
            raise PluginExecutionError(f"{path} is a Genshi template: install bcfg2[genshi]")
        self.path = path
        loader = TemplateLoader([os.path.dirname(path)], auto_reload=True, default_encoding=encoding)
        try:
            self._template = MarkupTemplate(source, filepath=path, filename=os.path.basename(path), loader=loader)
            _ = self._template.stream  # Genshi compiles directives when this is first asked for
        except Exception as err:
            raise PluginExecutionError(f"{path}: {type(err).__name__}: {err}") from err

    def render(self, **variables: Any) -> xml.Element:
        """The document for these VARIABLES.  Whatever the template's code raises becomes a PluginExecutionError."""
        try:
            return _tree(self._template.generate(**variables))
        except Exception as err:
            raise PluginExecutionError(f"error rendering {self.path}: {type(err).__name__}: {err}") from err


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
