"""The command bcfg2-crypt: encrypts and decrypts files of the repository."""

import logging
import resource
import sys
from collections.abc import Sequence

from bcfg2.log import setup_logging
from bcfg2.options import BASE_OPTIONS, OptionParser
from bcfg2.server.crypt import tool


def main(argv: Sequence[str] | None = None) -> int:
    """Do what ARGV says; the exit status."""
    parser = OptionParser(
        "bcfg2-crypt", "Encrypt and decrypt files of a Bcfg2 repository.", [*BASE_OPTIONS, *tool.OPTIONS]
    )
    options = parser.parse_or_exit(argv)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold passphrases
    setup_logging("bcfg2-crypt", options)
    logger = logging.getLogger("bcfg2.crypt")
    for warning in options.warnings:
        logger.warning("%s", warning)
    return tool.run(options)


if __name__ == "__main__":
    sys.exit(main())
