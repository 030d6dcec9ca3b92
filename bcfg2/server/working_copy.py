"""The repository as a working copy: its files and its revision come into force together.

.. code-block:: text

    somebody else moves the tree        a plugin moves it, through Core.changing_repository()
      events -> WorkingCopy.read()        held back until that has ended, then read() at once
        waits while the tree moves
        files are read
        the revision is asked for
        again, if the tree has moved meanwhile
      both are published as one generation

What a Version plugin knows of that is in its `head_files` and its `is_moving`; a plugin that has neither is asked for
the revision with each batch of changes.
"""

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from bcfg2.server.plugin import Version

logger = logging.getLogger("bcfg2.WorkingCopy")

#: Seconds for which a tree that moves, and moves again, is waited for; then it is taken as it is.
PATIENCE = 60.0
#: Seconds between two looks, and for which the tree has to be still after it has moved.
_TICK = 0.1


class WorkingCopy:
    """Reads batches of changes of CORE's repository together with the revision that belongs to them."""

    def __init__(self, core: Any, ask: Callable[[], bool]) -> None:
        """ASK takes the revision from the Version plugins and tells whether there is one."""
        self._core = core
        self._ask = ask
        self._asked_at: Any = None  # the state of the Version plugins when they were asked last

    def await_stillness(self, deadline: float | None = None) -> None:
        """Return when nobody moves the tree (or DEADLINE, by default :data:`PATIENCE` seconds from now, has come)."""
        deadline = time.monotonic() + PATIENCE if deadline is None else deadline
        while self._moves() and time.monotonic() < deadline:
            if self._core.terminate.wait(_TICK):
                return

    def read(self, look: Callable[[bool], object], at_once: bool) -> None:
        """Have LOOK handle the file events, and ask for the revision that these led to.

        LOOK is given AT_ONCE: whether events of a moment ago are due as well.  If the tree moves meanwhile, LOOK is
        called again for everything.  The caller holds the core's lock and publishes.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            self.await_stillness(deadline)
            before = self._state()
            look(at_once)
            if before is None or before != self._asked_at:
                self._asked_at = before if self._ask() else None
            if self._state() == before and not self._moves():
                return
            if time.monotonic() >= deadline or self._core.terminate.is_set():
                logger.warning("The working copy has been changing for %g seconds, using it as it is", PATIENCE)
                return
            self._core.fam.rescan()
            at_once = True

    def _plugins(self) -> list[Any]:
        plugins: list[Any] = self._core.plugins_by_type(Version)
        return plugins

    def _moves(self) -> bool:
        try:
            return any(plugin.is_moving() for plugin in self._plugins())
        except Exception:
            logger.exception("Cannot tell whether somebody moves the working copy")
            return False

    def _state(self) -> Any:
        """What changes whenever the revision may; None if that cannot be told without asking."""
        try:
            files = [plugin.head_files() for plugin in self._plugins()]
        except Exception:
            logger.exception("Cannot tell where the revision of the working copy stands")
            return None
        if not all(files):
            return None
        return tuple((path, _stamp(path)) for paths in files for path in paths)


def _stamp(path: str) -> Any:
    """What tells one state of a file from another; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
