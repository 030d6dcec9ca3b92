"""``bcfg2-info profile``: where another sub-command spends its time."""

import cProfile
import pstats
import sys

from bcfg2.options import Argument, OptionError, Options
from bcfg2.server import info
from bcfg2.server.info import CommandError, InfoCommand
from bcfg2.server.local_core import InspectingCore

#: How many of the costliest calls are shown.
SHOWN = 200


class Profile(InfoCommand):
    """Run another sub-command and show which calls took most time."""

    options = (
        *InfoCommand.options,
        Argument(dest="command", help="Name of the other sub-command"),
        Argument(dest="words", nargs="...", help="What stands behind it"),
    )

    def show(self, core: InspectingCore, options: Options) -> int:
        command = info.commands().get(options.command)
        if command is None or command.show is InfoCommand.show or command is Profile:
            raise CommandError(f"there is no sub-command {options.command} that can be profiled", status=2)
        try:
            wanted = self.parser.parse_command([options.command, *options.words])
        except OptionError as err:
            raise CommandError(f"{options.command}: {err}", status=2) from None
        profile = cProfile.Profile()
        status: int = profile.runcall(command(self.parser).show, core, wanted)
        sys.stdout.flush()
        pstats.Stats(profile, stream=sys.stdout).sort_stats("cumulative").print_stats(SHOWN)
        return status
