"""The ways to serve that the option ``backend`` knows."""

from importlib import import_module

from bcfg2.server.builtin_core import BuiltinCore

#: Word -> module, which is loaded only if it is chosen, and class.
_BACKENDS = {
    "best": ("builtin_core", "BuiltinCore"),
    "builtin": ("builtin_core", "BuiltinCore"),
    "cherrypy": ("cherrypy_core", "CherrypyCore"),
    "multiprocessing": ("multiprocessing_core", "MultiprocessingCore"),
}


def find_backend(name: str) -> type[BuiltinCore]:
    """The core that serves for the word NAME; :exc:`LookupError` for an unknown one."""
    try:
        module, core = _BACKENDS[name.lower()]
    except KeyError:
        raise LookupError(f"use one of {', '.join(_BACKENDS)}") from None
    found: type[BuiltinCore] = getattr(import_module(f"bcfg2.server.{module}"), core)
    return found
