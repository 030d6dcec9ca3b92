"""The command bcfg2-admin: an administrator's tools on the server."""

import logging
import sys
from collections.abc import Sequence

from bcfg2.log import setup_logging
from bcfg2.options import BASE_OPTIONS, WEB_CONFIG, OptionParser
from bcfg2.server.admin import commands
from bcfg2.server.subcommands import execute


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sub-command that ARGV names; the exit status."""
    known = commands()
    parser = OptionParser("bcfg2-admin", "Administer a Bcfg2 server.", [*BASE_OPTIONS, WEB_CONFIG], commands=known)
    options = parser.parse_or_exit(argv)
    setup_logging("bcfg2-admin", options)
    logger = logging.getLogger("bcfg2.admin")
    for warning in options.warnings:
        logger.warning("%s", warning)
    return execute(known[options.subcommand]().run, options)


if __name__ == "__main__":
    sys.exit(main())
