"""Removing what is at a place."""

import errno
import os
import shutil
import stat


def remove(folder: int, name: str) -> None:
    """Remove NAME from the open FOLDER, a folder with all that it contains, links in it not followed.

    Nothing of a tree is removed if another file system is mounted in it.  Raises :exc:`OSError`; what could be removed
    before is gone then.
    """
    if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        _refuse_mounts(folder, name)
        shutil.rmtree(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)


def _refuse_mounts(folder: int, name: str) -> None:
    def stop(err: OSError) -> None:
        raise err

    device = os.fstat(folder).st_dev
    for place, _, _, fd in os.fwalk(name, dir_fd=folder, onerror=stop):
        if os.fstat(fd).st_dev != device:
            raise OSError(errno.EBUSY, "a file system is mounted there", place)
