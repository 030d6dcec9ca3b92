"""Templates in the language of Jinja2."""

import os
import traceback
from typing import Any

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugins.cfg.includes import Includes
from bcfg2.server.plugins.cfg.templates import CfgTemplateGenerator, described

try:
    import jinja2
except ImportError:
    JINJA2 = False
else:
    JINJA2 = True

    class _Environment(jinja2.Environment):
        """Jinja2 with its own defaults, where names of templates are full paths."""

        def __init__(self, loader: jinja2.BaseLoader) -> None:
            super().__init__(keep_trailing_newline=True, cache_size=0, loader=loader)

        def join_path(self, template: str, parent: str) -> str:
            """The name TEMPLATE, as the template PARENT has it, as a full path."""
            return os.path.normpath(os.path.join(os.path.dirname(parent), template))

    class _Loader(jinja2.BaseLoader):
        """Gives the engine's included templates to Jinja2."""

        def __init__(self, includes: Includes[jinja2.Template]) -> None:
            self._includes = includes

        def load(self, environment: jinja2.Environment, name: str, globals: Any = None) -> jinja2.Template:
            """The template at the full path NAME, as it is now."""
            try:
                return self._includes.get(name)
            except FileNotFoundError:
                raise jinja2.TemplateNotFound(name) from None


class Jinja2Engine:
    """Compiles and renders Jinja2 templates; what they extend, include and import is compiled once as well."""

    path_is_source = False

    def __init__(self, core: CoreInterface) -> None:
        if JINJA2:
            self._environment = _Environment(_Loader(Includes(core, self.compile)))

    def compile(self, path: str, text: str) -> Any:
        if not JINJA2:
            raise PluginExecutionError("templates of this kind need Jinja2: install bcfg2[jinja2]")
        environment = self._environment
        try:
            code = environment.compile(text, path, path)
        except jinja2.TemplateSyntaxError as err:
            raise PluginExecutionError(f"{described(err, err.message or '')} (line {err.lineno})") from err
        return environment.template_class.from_code(environment, code, environment.make_globals(None))

    def render(self, template: Any, variables: dict[str, Any]) -> str:
        try:
            text: str = template.render(variables)
        except PluginExecutionError:  # an included template is broken
            raise
        except (Exception, SystemExit) as err:  # templates are programs, and may raise anything
            raise PluginExecutionError(f"{described(err, str(err))}{_place(err, template.filename)}") from err
        return text


def _place(err: BaseException, path: str) -> str:
    """The line that raised ERR when the template at PATH was rendered, in brackets; empty if it cannot be told."""
    place = ""
    for frame, number in traceback.walk_tb(err.__traceback__):
        if "__jinja_exception__" in frame.f_globals:  # what Jinja2 puts in the place of its compiled code
            name = frame.f_code.co_filename
            place = f" (line {number})" if name == path else f" ({name}, line {number})"
    return place


class CfgJinja2Generator(CfgTemplateGenerator):
    """A file with the suffix ``.jinja2``."""

    __extensions__ = ["jinja2"]
    __ignore__ = ["jinja2_include"]
    __priority__ = 50
    engine = Jinja2Engine
