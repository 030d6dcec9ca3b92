"""Something new that is made beside its place and renamed over it when it is complete."""

import contextlib
import os
import re
import secrets
import stat
import time
from typing import Self

#: Begins with a dot, so that nothing that includes a folder (cron, sudo, logrotate) takes it up.
_NAME = re.compile(r"\.bcfg2-(\d+)-[0-9a-f]{16}\.new")
#: Seconds after which something unfinished is abandoned although a process with the number of its maker exists.
_ABANDONED_AFTER = 3600.0


class Unfinished:
    """The place for something new in the folder that is open as FOLDER; a context manager.

    The caller makes a thing with the name `name` in the folder and calls :meth:`finish`.  If he does not, it is removed
    at the end; if the process is killed, :func:`remove_leftovers` of a later run does that.
    """

    def __init__(self, folder: int) -> None:
        self.folder = folder
        self.name = f".bcfg2-{os.getpid()}-{secrets.token_hex(8)}.new"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(FileNotFoundError):
            _remove(self.folder, self.name)

    def create(self) -> int:
        """Make an empty file that nobody else can read; its descriptor, for writing, belongs to the caller."""
        return os.open(self.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=self.folder)

    def finish(self, place: str) -> None:
        """Put what was made in the PLACE, a name in the same folder."""
        os.rename(self.name, place, src_dir_fd=self.folder, dst_dir_fd=self.folder)


def remove_leftovers(folder: int) -> list[str]:
    """Remove what processes that exist no more have left unfinished in the open FOLDER; the names."""
    listing = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
    try:
        names = [name for name in os.listdir(listing) if _is_abandoned(listing, name)]
    finally:
        os.close(listing)
    removed = []
    for name in names:
        # A folder is left empty by us; one that is not is somebody else's.
        with contextlib.suppress(OSError):
            _remove(folder, name)
            removed.append(name)
    return removed


def _is_abandoned(folder: int, name: str) -> bool:
    match = _NAME.fullmatch(name)
    if not match:
        return False
    with contextlib.suppress(OSError):
        age = time.time() - os.stat(name, dir_fd=folder, follow_symlinks=False).st_ctime
        return age > _ABANDONED_AFTER or not _exists(int(match[1]))
    return False


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _remove(folder: int, name: str) -> None:
    if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        os.rmdir(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)
