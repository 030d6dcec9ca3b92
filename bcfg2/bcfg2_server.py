"""The command bcfg2-server: serves the repository to clients."""

import logging
import sys
from collections.abc import Sequence

from bcfg2.log import setup_logging
from bcfg2.options import ComponentOption, OptionParser
from bcfg2.options.common import BASE_OPTIONS, SYSLOG
from bcfg2.server.backends import find_backend
from bcfg2.server.core import CoreInitError

OPTIONS = [
    *BASE_OPTIONS,
    SYSLOG,
    ComponentOption(
        "server",
        "backend",
        default="builtin",
        find=find_backend,
        on_missing="error",
        help="How to serve: builtin (or best, which is the same), multiprocessing or cherrypy",
    ),
]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server until it is told to stop; the exit status."""
    parser = OptionParser("bcfg2-server", "Serve configurations to Bcfg2 clients.", OPTIONS)
    options = parser.parse_or_exit(argv)
    setup_logging("bcfg2-server", options, daemon_capable=True, is_daemon=bool(options.daemon), syslog=True)
    logger = logging.getLogger("bcfg2.server")
    for warning in options.warnings:
        logger.warning("%s", warning)
    try:
        options.server_backend(options, parser.reread).run()
    except CoreInitError as err:
        logger.error("Cannot start: %s", err)
        if options.daemon:  # whose log does not go to the terminal
            sys.stderr.write(f"bcfg2-server: error: {err}\n")
        return 1
    except Exception:
        logger.exception("The server ends because of an error of its own, please report it")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
