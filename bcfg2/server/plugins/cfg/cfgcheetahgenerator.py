"""Templates in the language of Cheetah 3."""

import re
import traceback
from typing import Any

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugins.cfg.templates import CfgTemplateGenerator, described

try:
    from Cheetah.Compiler import Compiler
    from Cheetah.Parser import ParseError
except ImportError:
    Compiler = None

#: The name of the class that the generated code defines.
_CLASS = "CompiledTemplate"
#: The line of the template that a line of the generated code is for, and what a syntax error says of it.
_FROM_LINE = re.compile(r"#.* line (\d+), col \d+")
_ERROR_LINE = re.compile(r"^Line (\d+), column \d+", re.MULTILINE)


class _Compiled:
    """A compiled template: a class, of which each rendering makes an instance, and the Python code that defines it."""

    def __init__(self, path: str, code: str) -> None:
        self.filename = f"<compiled {path}>"
        self.lines = code.splitlines()
        names: dict[str, Any] = {"__name__": "bcfg2_cheetah_template"}
        exec(compile(code, self.filename, "exec"), names)
        self.template = names[_CLASS]

    def place(self, number: int | None) -> str:
        """The template's line to which line NUMBER of the code belongs, in brackets; empty if it cannot be told."""
        found = _FROM_LINE.search(self.lines[number - 1]) if number else None
        return f" (line {found[1]})" if found else ""


class CheetahEngine:
    """Compiles and renders Cheetah templates, in which variables are attributes of ``$self``."""

    path_is_source = False

    def __init__(self, core: CoreInterface) -> None:
        """Nothing is shared between templates."""

    def compile(self, path: str, text: str) -> Any:
        if Compiler is None:
            raise PluginExecutionError("templates of this kind need Cheetah 3: install bcfg2[cheetah]")
        try:
            source = text or "#slurp"  # yields nothing either, and Cheetah warns of an empty text
            code = str(Compiler(source=source, moduleName=_CLASS, settings={"useStackFrames": False}))
        except ParseError as err:
            line = _ERROR_LINE.search(str(err))
            raise PluginExecutionError(f"{described(err, err.msg)}{f' (line {line[1]})' if line else ''}") from err
        return _Compiled(path, code)

    def render(self, template: _Compiled, variables: dict[str, Any]) -> str:
        try:
            instance = template.template()
            for name, value in variables.items():
                setattr(instance, name, value)
            return str(instance)
        except (Exception, SystemExit) as err:  # templates are programs, and may raise anything
            lines = [
                number
                for frame, number in traceback.walk_tb(err.__traceback__)
                if frame.f_code.co_filename == template.filename
            ]
            place = template.place(lines[-1] if lines else None)
            raise PluginExecutionError(f"{described(err, str(err))}{place}") from err


class CfgCheetahGenerator(CfgTemplateGenerator):
    """A file with the suffix ``.cheetah``."""

    __extensions__ = ["cheetah"]
    __priority__ = 50
    engine = CheetahEngine
