"""Sub-commands, for commands that have them: every module of a package is one.

.. code-block:: text

    package ``admin``                        Command              bcfg2-admin
      module ``client``, class ``Client``      found by commands()
    package ``info``                         Command              bcfg2-info
      module ``build``, class ``Build``        run by execute()

A new sub-command ``foo`` is a module ``foo`` with a class ``Foo``: a :class:`Command` with `options` of its own, a
docstring whose first line is its help, and a method `run`.  Nothing else has to be told of it.
"""

import importlib
import io
import logging
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import ClassVar, TypeVar

from bcfg2.options import CONFIG, ENCODING, Declaration, Options

logger = logging.getLogger("bcfg2.command")


class CommandError(Exception):
    """The sub-command failed.  The text is one line that says why; `status` is the exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


class Command:
    """A sub-command.  Its result goes to standard output, everything else to the log."""

    #: What may stand behind the name of the sub-command.
    options: ClassVar[Sequence[Declaration]] = (CONFIG, ENCODING)

    def run(self, options: Options) -> int:
        """Do it, and return the exit status; or raise :exc:`CommandError`."""
        raise NotImplementedError


C = TypeVar("C", bound=Command)


def commands(package: ModuleType, base: type[C]) -> dict[str, type[C]]:
    """Name -> class of all sub-commands in PACKAGE, which are of the kind BASE, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return {name: _command(f"{package.__name__}.{name}", name.capitalize(), base) for name in names}


def _command(module: str, name: str, base: type[C]) -> type[C]:
    found: type[C] = getattr(importlib.import_module(module), name)
    assert issubclass(found, base)
    return found


@contextmanager
def local_core_errors(options: Options) -> Iterator[None]:
    """For what is done with a core over the repository of OPTIONS: its errors become :exc:`CommandError`."""
    from bcfg2.server.core import CoreInitError  # commands that only call a server start without it
    from bcfg2.server.plugin import MetadataConsistencyError, MetadataRuntimeError

    repository = Path(options.server_repository)
    if repository.is_dir() and not (repository / "Metadata").is_dir():  # else plugins would begin one there
        raise CommandError(f"{repository} is no repository: it has no folder Metadata (option -Q)")
    try:
        yield
    except (CoreInitError, MetadataConsistencyError, MetadataRuntimeError) as err:
        raise CommandError(str(err)) from None


def execute(run: Callable[[Options], int], options: Options) -> int:
    """Call RUN, of a sub-command, and return the exit status; whatever keeps it from its end is one line of the log."""
    if sys.stdout is None:  # the process was started without one
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    if isinstance(sys.stdout, io.TextIOWrapper):  # the terminal may lack a character of the result
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = run(options)
        sys.stdout.flush()
        return status
    except CommandError as err:
        logger.error("%s", err)
        return err.status
    except KeyboardInterrupt:
        logger.error("Interrupted")
        return 130  # as shells have it: 128 and the number of the signal
    except BrokenPipeError:  # whoever reads the result has read enough
        _close_output()
        return 1
    except OSError as err:
        _close_output()
        logger.error("%s", f"{err.filename}: {err.strerror}" if err.filename else err.strerror or err)
        return 1


def _close_output() -> None:
    """Let nobody try once more, at the end of the process, to write what could not be written."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
