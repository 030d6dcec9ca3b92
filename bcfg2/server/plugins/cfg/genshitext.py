"""Genshi's text templates as an engine of Cfg."""

import ast
import os
import re
import traceback
from typing import Any

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugins.cfg.genshilines import line_number
from bcfg2.server.plugins.cfg.includes import Includes
from bcfg2.server.plugins.cfg.templates import described

try:
    from genshi.core import TEXT
    from genshi.template import NewTextTemplate, TemplateError, TemplateNotFound
except ImportError:
    NewTextTemplate = None

#: How Genshi names the code of an expression, ``<Expression 'a + b'>``, and that of a Python block, of which it shows
#: the first line.
_CODE_NAMES = ("<Expression ", "<Suite ")
_KINDS = {"Expression": "in the expression", "Suite": "in the Python block"}
#: Characters of code that an error shows.
_MAX_SHOWN = 120
#: What Genshi adds to the text of a syntax error, counted from the beginning of the expression.
_PLACE_IN_EXPRESSION = re.compile(r" \([^()]*, line \d+\)$")


class GenshiTextEngine:
    """Compiles and renders text templates (``{% if %}``, ``${expression}``); the loader for what they include."""

    path_is_source = True
    #: Tells Genshi to look for includes each time that they are rendered: they may have changed.
    auto_reload = True

    def __init__(self, core: CoreInterface) -> None:
        self._includes = Includes[Any](core, self.compile)

    def compile(self, path: str, text: str) -> Any:
        if NewTextTemplate is None:
            raise PluginExecutionError("templates of this kind need Genshi: install bcfg2[genshi]")
        try:
            template = NewTextTemplate(text, filepath=path, filename=path, loader=self)
            _ = template.stream  # prepares the template; later, two threads might do that at once
        except TemplateError as err:
            line = _line_of_syntax_error(err, text)
            raise PluginExecutionError(f"{_kind_and_text(err)}{f' (line {line})' if line else ''}") from err
        template.text = text
        return template

    def render(self, template: Any, variables: dict[str, Any]) -> str:
        try:
            return "".join([data for kind, data, _ in template.generate(**variables) if kind is TEXT])
        except PluginExecutionError:  # an included template is broken
            raise
        except (Exception, SystemExit) as err:  # templates are programs, and may raise anything
            raise PluginExecutionError(f"{_kind_and_text(err)}{_place(err, template.filepath)}") from err

    def load(self, filename: str, relative_to: str, cls: type) -> Any:
        """The template that another one, at RELATIVE_TO, includes as FILENAME.  Called by Genshi."""
        folder = os.path.dirname(relative_to)
        try:
            return self._includes.get(os.path.normpath(os.path.join(folder, filename)))
        except FileNotFoundError:
            raise TemplateNotFound(filename, [folder]) from None


def _kind_and_text(err: BaseException) -> str:
    text = str(err.msg) if isinstance(err, TemplateError) else str(err)
    return described(err, _PLACE_IN_EXPRESSION.sub("", text))


def _line_of_syntax_error(err: Any, text: str) -> int | None:
    """The line of the template TEXT that the TemplateError ERR is about; None if it cannot be told."""
    python = err.__context__
    if not isinstance(python, SyntaxError):
        return line_number(text, err.lineno)
    return line_number(text, err.lineno - (python.lineno or 1) + 1, (python.text or "").strip())


def _place(err: BaseException, path: str) -> str:
    """The code that raised ERR when the template at PATH was rendered, in brackets; empty if it cannot be told."""
    template: Any = None
    place: list[str] = []
    for frame, _ in traceback.walk_tb(err.__traceback__):
        owner = frame.f_locals.get("self")
        if isinstance(owner, NewTextTemplate):
            template = owner
        name, first, filename = frame.f_code.co_name, frame.f_code.co_firstlineno, frame.f_code.co_filename
        if not name.startswith(_CODE_NAMES):
            continue
        kind, _, shown = name.strip("<>").partition(" ")
        code = ast.literal_eval(shown)
        place = [f"{_KINDS[kind]} {code[:_MAX_SHOWN]}"]
        if template is not None and template.filepath == filename:
            line = line_number(template.text, first, code.removesuffix(" ..."))
            if line is not None:
                place.insert(0, f"line {line}")
        if filename != path:
            place.insert(0, filename)
    return f" ({', '.join(place)})" if place else ""
