"""Python modules of the repository, imported from their files."""

import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from bcfg2.server.plugin.exceptions import PluginExecutionError


def names_in(members: dict[str, Any], key: str) -> list[str]:
    """The list of names that the member KEY of a module is."""
    names = members[key]
    if not isinstance(names, list | tuple | set | frozenset) or not all(isinstance(name, str) for name in names):
        raise PluginExecutionError(f"{key} is no list of names")
    return list(dict.fromkeys(names))


def imported(path: str, name: str) -> ModuleType:
    """The module in the file PATH, imported as NAME; OSError or PluginExecutionError if that cannot be done."""
    source = Path(path).read_bytes()
    module = ModuleType(name)
    module.__file__ = path
    before = sys.modules.get(name)
    sys.modules[name] = module  # where dataclasses and the like look for the module of a class
    try:
        exec(compile(source, path, "exec", dont_inherit=True), vars(module))
    except (Exception, SystemExit) as err:  # other people's programs may raise anything
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise PluginExecutionError(f"{_place(err, path)}{type(err).__name__}: {err}") from err
    return module


def _place(err: BaseException, path: str) -> str:
    """The line of the file PATH that raised ERR; empty if it cannot be told."""
    if isinstance(err, SyntaxError) and err.filename == path:
        return ""  # it says so itself
    lines = [frame.lineno for frame in traceback.extract_tb(err.__traceback__) if frame.filename == path]
    return f"line {lines[-1]}: " if lines else ""
