"""What the server tells systemd when that has started it: ready, what it is doing, still alive, stopping.

Everything here does nothing where the environment says that nobody listens (see sd_notify(3), sd_watchdog_enabled(3)).
"""

import logging
import os
import socket
import threading
from collections.abc import Callable

logger = logging.getLogger("bcfg2.systemd")


def notify(*assignments: str) -> None:
    """Tell systemd ASSIGNMENTS, such as ``READY=1`` and ``STATUS=Serving``; none may hold a line break."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.settimeout(1)
            sock.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            sock.send("\n".join(assignments).encode())
        except OSError as err:
            logger.warning("Cannot tell systemd %s at %s: %s", ", ".join(assignments), address, err)


def watchdog_interval() -> float | None:
    """Seconds between two signs of life, half of what systemd puts up with; None if it does not watch this process."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 2e6 if text.isascii() and text.isdigit() and int(text) else None


class Watchdog:
    """A thread that gives systemd signs of life as long as there are any.

    PROBLEM tells in a few words why the server does not serve, or nothing.  After a problem that lasts, systemd kills
    and restarts the server, so it is logged.
    """

    def __init__(self, problem: Callable[[], str]) -> None:
        self._problem = problem
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, if systemd wants signs of life."""
        interval = watchdog_interval()
        if interval is not None:
            self._thread = threading.Thread(target=self._watch, args=(interval,), name="watchdog", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Give no more signs."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, interval: float) -> None:
        known = ""
        while True:
            problem = self._problem()
            if not problem:
                notify("WATCHDOG=1")
            elif problem != known:
                logger.error("No sign of life for the watchdog of systemd: %s", problem)
            known = problem
            if self._stopped.wait(interval):
                return
