"""The sub-commands of bcfg2-admin: every module of this package is one.

.. code-block:: text

    Command              what all have in common
      RemoteCommand      calls a running server
        Xcmd             module xcmd: the sub-command "xcmd"
        ...
      CoreCommand        works on the repository, through plugins of its own
        Client           module client: the sub-command "client"
        ...

How a sub-command is added: see :mod:`bcfg2.server.subcommands`.
"""

import sys
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bcfg2 import rpc
from bcfg2.options import REPOSITORY, ComponentOption, Options, find_in
from bcfg2.server import subcommands
from bcfg2.server.subcommands import Command, CommandError, local_core_errors

if TYPE_CHECKING:  # commands that only call a server start without it
    from bcfg2.server.local_core import LocalCore

__all__ = ["ONLY_METADATA", "Command", "CommandError", "CoreCommand", "RemoteCommand", "commands"]


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
        with local_core_errors(options), options.core.opened(options, roles) as core:
            yield core


#: The plugins of a core that only has Metadata, whatever ``[server] plugins`` says.
ONLY_METADATA = ComponentOption(
    dest="server_plugins", default=["Metadata"], find=find_in("bcfg2.server.plugins"), multiple=True
)


def commands() -> dict[str, type[Command]]:
    """Name -> class of all sub-commands, by name."""
    return subcommands.commands(sys.modules[__name__], Command)
