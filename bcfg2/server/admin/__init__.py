"""The sub-commands of bcfg2-admin: every module of this package is one.

.. code-block:: text

    Command              what all have in common
      RemoteCommand      calls a running server
        Xcmd             module xcmd: the sub-command "xcmd"
        ...
      CoreCommand        works on the repository, through plugins of its own
        Client           module client: the sub-command "client"
        ...

A new sub-command ``foo`` is a module ``foo`` with a class ``Foo``: a :class:`Command` with `options` of its own, a
docstring whose first line is its help, and a method `run`.  Nothing else has to be told of it.
"""

import importlib
import io
import logging
import os
import pkgutil
import sys
import xmlrpc.client
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bcfg2 import rpc
from bcfg2.options import CONFIG, ENCODING, REPOSITORY, ComponentOption, Declaration, Options, find_in

if TYPE_CHECKING:  # commands that only call a server start without it
    from bcfg2.server.local_core import LocalCore

logger = logging.getLogger("bcfg2.admin")


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


class RemoteCommand(Command):
    """A sub-command that calls a running server."""

    options = (*Command.options, *rpc.OPTIONS)

    def call(self, options: Options, method: str, *args: Any) -> Any:
        """What METHOD of the server that OPTIONS name answers to ARGS; :exc:`CommandError` if it does not."""
        try:
            return rpc.Proxy.from_options(options).call(method, *args)
        except xmlrpc.client.Fault as fault:
            raise CommandError(f"{method} failed: {fault.faultString} (fault {fault.faultCode})") from None
        except (rpc.RPCError, ValueError) as err:
            raise CommandError(str(err)) from None


class CoreCommand(Command):
    """A sub-command that works on the repository, with a core in its own process; a server may run meanwhile.

    A subclass adds an option with the `dest` ``server_plugins``, ``PLUGINS`` or :data:`ONLY_METADATA`.
    """

    options = (
        *Command.options,
        REPOSITORY,
        # A component, so that its options are known, and its modules loaded, only for these commands.
        ComponentOption(
            dest="core",
            default="local",
            find=find_in("bcfg2.server", module_name="{lower}_core", class_name="{capital}Core"),
        ),
    )

    @contextmanager
    def core(self, options: Options, *roles: type) -> Iterator["LocalCore"]:
        """A core with the plugins that have one of ROLES, by default all; its errors become :exc:`CommandError`."""
        from bcfg2.server.core import CoreInitError
        from bcfg2.server.plugin import MetadataConsistencyError, MetadataRuntimeError

        repository = Path(options.server_repository)
        if repository.is_dir() and not (repository / "Metadata").is_dir():  # else plugins would begin one there
            raise CommandError(f"{repository} is no repository: it has no folder Metadata (option -Q)")
        try:
            with options.core.opened(options, roles) as core:
                yield core
        except (CoreInitError, MetadataConsistencyError, MetadataRuntimeError) as err:
            raise CommandError(str(err)) from None


#: The plugins of a core that only has Metadata, whatever ``[server] plugins`` says.
ONLY_METADATA = ComponentOption(
    dest="server_plugins", default=["Metadata"], find=find_in("bcfg2.server.plugins"), multiple=True
)


def commands() -> dict[str, type[Command]]:
    """Name -> class of all sub-commands, by name."""
    return {name: _command(name) for name in sorted(module.name for module in pkgutil.iter_modules(__path__))}


def _command(name: str) -> type[Command]:
    found: type[Command] = getattr(importlib.import_module(f"{__name__}.{name}"), name.capitalize())
    return found


def execute(command: type[Command], options: Options) -> int:
    """Run COMMAND and return its exit status; whatever keeps it from its end is one line of the log."""
    if sys.stdout is None:  # the process was started without one
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    if isinstance(sys.stdout, io.TextIOWrapper):  # the terminal may lack a character of the result
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = command().run(options)
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
