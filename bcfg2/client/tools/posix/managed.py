"""Which paths have an entry: what pruning and the removal of trees must not touch."""

import os
from collections.abc import Iterable


class Managed:
    """The NAMES of all Path entries."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {os.path.normpath(name) for name in names if name}
        self._above: set[str] = set()
        for name in self._names:
            folder = os.path.dirname(name)
            while folder not in self._above:
                self._above.add(folder)
                folder = os.path.dirname(folder)

    @property
    def folders(self) -> set[str]:
        """The folders of all entries, and those above them."""
        return self._above

    def is_above_entry(self, path: str) -> bool:
        """Whether an entry lies below PATH."""
        return path in self._above

    def is_wanted(self, path: str) -> bool:
        """Whether PATH has an entry, or one lies below it."""
        return path in self._names or path in self._above
