"""Whether the database answers, as one of its users knows it."""

import logging
import time

from bcfg2.server.database.connection import DatabaseUnusable

#: Seconds for which nothing is read after the database has not answered, so that requests need not wait for it.
PAUSE = 2.0


class Availability:
    """Says so once in LOGGER when the database stops answering, and when it answers again.

    CONSEQUENCE: what that means, the beginning of the line.
    """

    def __init__(self, logger: logging.Logger, consequence: str) -> None:
        self._logger = logger
        self._consequence = consequence
        self._answers = True
        self._pause_until = 0.0

    def pauses(self) -> bool:
        """Whether it has failed a moment ago, so that who can do without it should."""
        return time.monotonic() < self._pause_until

    def has_failed(self, err: DatabaseUnusable) -> None:
        """Note that it does not answer, because of ERR."""
        self._pause_until = time.monotonic() + PAUSE
        if self._answers:
            self._answers = False
            self._logger.error("%s: %s", self._consequence, err)

    def has_answered(self) -> None:
        """Note that it answers."""
        if not self._answers:
            self._answers = True
            self._pause_until = 0.0
            self._logger.warning("The database answers again")
