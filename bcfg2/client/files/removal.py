"""Removing what is at a place."""

import os
import shutil
import stat


def remove(folder: int, name: str) -> None:
    """Remove NAME from the open FOLDER, a folder with all that it contains, links in it not followed.

    Raises :exc:`OSError`; what could be removed before is gone then.
    """
    if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        shutil.rmtree(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)
