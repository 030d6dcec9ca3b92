"""Becoming a daemon, and giving up privileges.

.. code-block:: text

    parent                          child of the child: the daemon
    check the pid file
    fork ------------------------>  detach, give up privileges, write the pid file
    wait for its report             bind, load plugins, read all files
    exit 0   <------- "ready" ----  serve
    exit 1   <------- reason -----  (could not be started)
"""

import contextlib
import grp
import logging
import os
import pwd
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from daemon import DaemonContext
from lockfile import LockError
from lockfile.pidlockfile import PIDLockFile

logger = logging.getLogger("bcfg2.daemon")

#: Seconds that a pid file of a living process is given to go away.
PID_FILE_PATIENCE = 5.0

_READY = b"\0"


class DaemonError(Exception):
    """The server cannot become a daemon; the text says why."""


class Daemon:
    """Makes this process a daemon that keeps PIDFILE, has the given owner, and leaves the files KEEP open."""

    def __init__(self, pidfile: str, uid: int, gid: int, umask: int, keep: Iterable[Any]) -> None:
        self.pidfile = pidfile
        self._uid, self._gid = effective_owner(uid, gid)
        self._umask = umask
        self._keep = list(keep)
        self._report: int | None = None
        self.context: Any = None

    def detach(self, on_signal: Callable[[int, FrameType | None], None]) -> None:
        """Return in the daemon.  The process that called ends here, with exit status 0 once the daemon is ready.

        ON_SIGNAL handles SIGTERM and SIGINT.  Raises :exc:`DaemonError` if there is another server.
        """
        self._make_folder()
        break_stale_lock(self.pidfile)
        listening, self._report = os.pipe()
        if os.fork():
            os.close(self._report)
            sys.stdout.flush()
            os._exit(_await_report(listening))
        os.close(listening)
        os.environ["HOME"] = home_of(self._uid)
        self.context = DaemonContext(
            pidfile=PIDLockFile(self.pidfile, timeout=PID_FILE_PATIENCE),
            uid=self._uid,
            gid=self._gid,
            initgroups=os.geteuid() == 0,
            umask=self._umask,
            working_directory="/",
            detach_process=True,
            files_preserve=[*self._keep, self._report],
            signal_map={signal.SIGTERM: on_signal, signal.SIGINT: on_signal},
        )
        try:
            self.context.open()
        except (LockError, OSError) as err:
            raise DaemonError(f"cannot become a daemon with the pid file {self.pidfile}: {err}") from err

    def report(self, problem: str = "") -> None:
        """Tell the process that started the daemon that it is ready, or what the PROBLEM is."""
        if self._report is not None:
            with contextlib.suppress(OSError):
                os.write(self._report, problem.encode() if problem else _READY)
            os.close(self._report)
            self._report = None

    def leave(self) -> None:
        """Let go, in a process that was forked, of what only the daemon itself reports with."""
        if self._report is not None:
            os.close(self._report)
            self._report = None

    def close(self) -> None:
        """Remove the pid file."""
        if self.context is not None:
            with contextlib.suppress(LockError, OSError):
                self.context.close()

    def _make_folder(self) -> None:
        """Make the folder of the pid file, with its parents, for the daemon's owner."""
        folder = Path(self.pidfile).parent
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            for path in reversed(missing):
                path.mkdir(mode=0o755)
                path.chmod(0o755)
                os.chown(path, self._uid, self._gid)
        except OSError as err:
            raise DaemonError(f"cannot make the folder of the pid file {self.pidfile}: {err}") from err


def _await_report(listening: int) -> int:
    """The exit status that the daemon's report means; a problem goes to stderr."""
    with os.fdopen(listening, "rb") as stream:
        report = stream.read()
    if report == _READY:
        return 0
    problem = report.decode(errors="replace") or "it ended, see the log"
    os.write(2, f"{Path(sys.argv[0]).name}: error: the daemon did not start: {problem}\n".encode())
    return 1


def break_stale_lock(pidfile: str) -> None:
    """Remove PIDFILE if no living process is in it; :exc:`DaemonError` if one stays there.

    What cannot be read as a process number counts as stale.
    """
    lock = PIDLockFile(pidfile)
    deadline = time.monotonic() + PID_FILE_PATIENCE
    try:
        while lock.is_locked():
            pid = lock.read_pid()
            if pid is None or pid == os.getpid() or not is_alive(pid):  # in a container numbers come again
                logger.warning("Removing the pid file %s: there is no other process %s", pidfile, pid)
                lock.break_lock()
                return
            if time.monotonic() > deadline:
                raise DaemonError(f"process {pid} is running with the pid file {pidfile}")
            time.sleep(0.1)
    except OSError as err:
        raise DaemonError(f"cannot use the pid file {pidfile}: {err}") from err


def is_alive(pid: int) -> bool:
    """Whether there is a process PID."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def effective_owner(uid: int, gid: int) -> tuple[int, int]:
    """The owner that this process can have: the wanted one if it is root, else its own."""
    return (uid, gid) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def drop_privileges(uid: int, gid: int, umask: int) -> None:
    """Give this process, if it is root, the owner UID and GID with its supplementary groups, and the umask.

    Raises :exc:`DaemonError`.
    """
    os.umask(umask)
    uid, gid = effective_owner(uid, gid)
    if (uid, gid) == (os.geteuid(), os.getegid()):
        return
    try:
        os.initgroups(_user_name(uid) or str(uid), gid)
        os.setgid(gid)
        os.setuid(uid)
    except (OSError, KeyError) as err:
        raise DaemonError(f"cannot become user {uid} and group {gid}: {err}") from err
    os.environ["HOME"] = home_of(uid)
    logger.info("Running as user %s and group %s", _user_name(uid) or uid, _group_name(gid) or gid)


def home_of(uid: int) -> str:
    """The home folder of user UID; ``/`` if there is none."""
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return "/"


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""
