"""``bcfg2-info debug``: Python, with a core that has read the repository."""

import code
import importlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bcfg2.options import BooleanOption, ChoiceOption, Options, PathOption
from bcfg2.server.info import CommandError, InfoCommand
from bcfg2.server.local_core import InspectingCore

_BANNER = "The core is self. Its plugins are self.plugins, a client's metadata is self.build_metadata(NAME, False)."


def _python(names: dict[str, Any]) -> None:
    code.interact(banner=_BANNER, local=names, exitmsg="")


def _ipython(names: dict[str, Any]) -> None:
    importlib.import_module("IPython").start_ipython(argv=["--no-banner"], user_ns=names)


def _bpython(names: dict[str, Any]) -> None:
    importlib.import_module("bpython").embed(names, banner=_BANNER)


#: Name of an interpreter -> its module and what starts it, the best first.
_INTERPRETERS: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "ipython": ("IPython", _ipython),
    "bpython": ("bpython", _bpython),
    "python": ("code", _python),
}


class Debug(InfoCommand):
    """Start Python with a core that has read the repository."""

    options = (
        *InfoCommand.options,
        BooleanOption(flags=("-n", "--non-interactive"), help="Only run the statements of -f"),
        PathOption(flags=("-f",), dest="statements", help="Run the Python statements in this file first"),
        ChoiceOption(
            "bcfg2-info",
            "interpreter",
            flags=("--interpreter",),
            env="BCFG2_INFO_INTERPRETER",
            choices=tuple(sorted(_INTERPRETERS)),
            help="Which interpreter; by default the best that is installed",
        ),
    )

    def show(self, core: InspectingCore, options: Options) -> int:
        names: dict[str, Any] = {"self": core}
        if options.statements:
            source = Path(options.statements).read_bytes()
            try:
                exec(compile(source, options.statements, "exec"), names)
            except Exception as err:
                raise CommandError(f"{options.statements}: {type(err).__name__}: {err}") from err
        if not options.non_interactive:
            _interpreter(options.bcfg2_info_interpreter)(names)
        return 0


def _interpreter(name: str | None) -> Callable[[dict[str, Any]], None]:
    """What starts the interpreter NAME, or the best; :exc:`CommandError` if it is not installed."""
    if name is None:
        name = next(name for name, (module, _) in _INTERPRETERS.items() if find_spec(module))
    module, start = _INTERPRETERS[name]
    if find_spec(module) is None:
        raise CommandError(f"the interpreter {name} is not installed (option interpreter of [bcfg2-info])")
    return start
