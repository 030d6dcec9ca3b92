"""``<Path type="nonexistent">``: nothing at all."""

import contextlib
import errno
import os
import stat
from typing import Any, ClassVar

from bcfg2.client.files import opened_folder, remove
from bcfg2.client.tools.base import Difference, InstallError, State
from bcfg2.client.tools.posix.pathtype import PathType, kind_of, split
from bcfg2.xml import Element, is_true

#: The state of what is not to be there.
NOTHING: dict[str, Any] = {"type": None}


class Nonexistent(PathType):
    """Nothing; with ``recursive`` a whole tree is removed, unless something in it has an entry."""

    required: ClassVar = ()

    def expected_state(self, entry: Element, path: str) -> dict[str, Any]:
        return NOTHING

    def fix(self, entry: Element, path: str, expected: State, difference: Difference) -> None:
        recursive = is_true(entry.get("recursive"))
        if recursive and self.surroundings.managed.is_above_entry(path):
            raise InstallError("nothing in it is removed, because it contains what has an entry")
        folder_path, name = split(path)
        with opened_folder(folder_path) as folder, contextlib.suppress(FileNotFoundError):
            if recursive or kind_of(folder, name) != stat.S_IFDIR:
                remove(folder, name)
            else:
                _remove_empty(folder, name)


def _remove_empty(folder: int, name: str) -> None:
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as err:
        if err.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise InstallError('the directory is not empty and the entry has no recursive="true"') from None
