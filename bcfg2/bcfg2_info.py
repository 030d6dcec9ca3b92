"""The command bcfg2-info: a look into a repository, with the server's own logic."""

import logging
import sys
from collections.abc import Sequence

from bcfg2.log import setup_logging
from bcfg2.options import BASE_OPTIONS, PLUGINS, WEB_CONFIG, BooleanOption, OptionParser
from bcfg2.server.info import commands
from bcfg2.server.local_core import InspectingCore
from bcfg2.server.subcommands import execute

PROFILE = BooleanOption(
    flags=("-p", "--profile"), dest="profile_start", help="Show which calls take most time at the start"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sub-command that ARGV names; the exit status."""
    known = commands()
    parser = OptionParser(
        "bcfg2-info",
        "Look into a Bcfg2 repository.",
        [*BASE_OPTIONS, WEB_CONFIG, PLUGINS, PROFILE],
        components=[InspectingCore],
        commands=known,
    )
    options = parser.parse_or_exit(argv)
    setup_logging("bcfg2-info", options)
    logger = logging.getLogger("bcfg2.info")
    for warning in options.warnings:
        logger.warning("%s", warning)
    return execute(known[options.subcommand](parser).run, options)


if __name__ == "__main__":
    sys.exit(main())
