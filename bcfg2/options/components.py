"""Components: the classes that options name (plugins, backends, file monitors ...), found and imported by name."""

import contextlib
import importlib
import pkgutil
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from types import ModuleType

from bcfg2.options.option import ComponentOption


class ComponentError(Exception):
    """A component that cannot be loaded; the text says why."""


def find_in(package: str, *, module_name: str = "{lower}", class_name: str = "{name}") -> Callable[[str], type]:
    """A function that gives the class with a name out of PACKAGE, as `find` of a :class:`ComponentOption`.

    MODULE_NAME and CLASS_NAME say which class of which module that is: in them ``{name}`` is the name as it is given,
    ``{lower}`` the name in lower case and ``{capital}`` the name with a capital at its beginning.  Modules that a site
    has added to the package may be called as their class, with its capitals.

    >>> find_in("bcfg2.server", module_name="{lower}_core", class_name="{capital}Core")("builtin")  # doctest: +SKIP
    <class 'bcfg2.server.builtin_core.BuiltinCore'>
    """

    def find(name: str) -> type:
        for pattern in (module_name, module_name.replace("{lower}", "{name}")):
            with contextlib.suppress(LookupError):
                return _class_of(_imported(f"{package}.{_filled(pattern, name)}"), _filled(class_name, name))
        known = _known_words(package, module_name, exact="{name}" in class_name)
        close = get_close_matches(name.lower(), known, n=1)
        hint = f"; did you mean {known[close[0]]}?" if close else ""
        raise ComponentError(f"there is none of this name in {package}{hint}")

    return find


def load(option: ComponentOption, name: str) -> type:
    """The class that NAME means as a value of OPTION; :exc:`ComponentError` says why there is none."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise ComponentError("not a name")
    try:
        if "." in name:
            module, _, class_name = name.rpartition(".")
            return _class_of(_imported(module), class_name)
        return option.find(name)
    except ComponentError:
        raise
    except (LookupError, ImportError) as err:
        raise ComponentError(str(err.args[0]) if err.args else type(err).__name__) from err
    except Exception as err:
        raise ComponentError(_fault(err)) from err


def _filled(pattern: str, name: str) -> str:
    return pattern.format(name=name, lower=name.lower(), capital=name.capitalize())


def _imported(name: str) -> ModuleType:
    """The module NAME; :exc:`LookupError` if there is none, :exc:`ComponentError` if it cannot be imported."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as err:
        if err.name and f"{name}.".startswith(f"{err.name}."):
            raise LookupError(f"there is no module {err.name}") from None
        raise ComponentError(f"needs the Python module {err.name}, which is not installed{_origin(err)}") from err
    except Exception as err:
        raise ComponentError(_fault(err)) from err


def _class_of(module: ModuleType, name: str) -> type:
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise LookupError(f"there is no class {name} in module {module.__name__}")
    return found


def _fault(err: Exception) -> str:
    return f"cannot be imported, {type(err).__name__}: {err}{_origin(err)}"


def _origin(err: Exception) -> str:
    """The file and the line that ERR comes from, in brackets."""
    if isinstance(err, SyntaxError) and err.filename:
        return f" ({err.filename}:{err.lineno})"
    frames = [frame for frame in traceback.extract_tb(err.__traceback__) if not frame.filename.startswith("<frozen")]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if len(frames) > 1 else ""


def _known_words(package: str, module_name: str, *, exact: bool) -> dict[str, str]:
    """What may be said of PACKAGE's modules: lower-case word -> word, with EXACT in the letter case of the class."""
    before, _, after = module_name.partition("{lower}")
    modules = (info.name for info in pkgutil.iter_modules(_imported(package).__path__))
    words = {
        module.removeprefix(before).removesuffix(after): module
        for module in modules
        if module.startswith(before) and module.endswith(after)
    }
    return {word: _class_name(f"{package}.{module}", word) if exact else word for word, module in words.items()}


def _class_name(module_name: str, word: str) -> str:
    """The name of the class in a module that is WORD in lower case; WORD if there is none."""
    try:
        members = vars(_imported(module_name))
    except (ComponentError, LookupError):
        return word
    return next((name for name, value in members.items() if name.lower() == word and isinstance(value, type)), word)
