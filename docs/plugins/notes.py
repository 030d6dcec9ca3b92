"""Notes: texts for templates, one file each, from Notes/**/*.txt."""

import re
from typing import Any

from bcfg2.server.plugin import Connector, DirectoryBacked, FileBacked, Plugin, PluginExecutionError
from bcfg2.server.versioned import Versioned


class Note(FileBacked):
    """One text.  One that is empty is refused, and the one before stays."""

    words: Versioned[int] = Versioned(0)

    def Index(self) -> None:
        if not self.data.strip():
            raise PluginExecutionError("a note must not be empty")
        self.words = len(self.data.split())


class Notes(Plugin, DirectoryBacked, Connector):
    """``metadata.Notes["folder/name.txt"]`` is a text."""

    __child__ = Note
    patterns = re.compile(r"\.txt$")

    def __init__(self, core: Any) -> None:
        Plugin.__init__(self, core)
        DirectoryBacked.__init__(self, self.data)

    def get_additional_data(self, metadata: Any) -> dict[str, str]:
        return {name: note.data for name, note in self}
