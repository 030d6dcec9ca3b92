"""The command bcfg2: the agent, which makes this machine what the server says it should be."""

import logging
import sys
from collections.abc import Sequence

from bcfg2.client.options import OPTIONS
from bcfg2.client.run import run
from bcfg2.log import setup_logging
from bcfg2.options import OptionError, OptionParser


def main(argv: Sequence[str] | None = None) -> int:
    """Make one run; the exit status."""
    parser = OptionParser("bcfg2", "Make this machine what the Bcfg2 server says it should be.", OPTIONS)
    options = parser.parse_or_exit(argv)
    setup_logging("bcfg2", options, syslog=True)
    logger = logging.getLogger("bcfg2.client")
    for warning in options.warnings:
        logger.warning("%s", warning)
    try:
        return run(options)
    except OptionError as err:
        parser.exit(err)


if __name__ == "__main__":
    sys.exit(main())
