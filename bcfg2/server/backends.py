"""The ways to serve that the option ``backend`` knows."""

from bcfg2.server.builtin_core import BuiltinCore
from bcfg2.server.multiprocessing_core import MultiprocessingCore


class StandInCore(BuiltinCore):
    """The builtin core where a configuration names another one that this version does not have."""

    def _run(self) -> bool:
        self.logger.warning("This version serves backend = cherrypy with the builtin core")
        return super()._run()


_BACKENDS: dict[str, type[BuiltinCore]] = {
    "best": BuiltinCore,
    "builtin": BuiltinCore,
    "cherrypy": StandInCore,
    "multiprocessing": MultiprocessingCore,
}


def find_backend(name: str) -> type[BuiltinCore]:
    """The core that serves for the word NAME; :exc:`LookupError` for an unknown one."""
    try:
        return _BACKENDS[name.lower()]
    except KeyError:
        raise LookupError(f"use one of {', '.join(_BACKENDS)}") from None
