"""What a server is to answer from, after each batch of changes: written down without any cleverness.

A file that cannot be used leaves what was read before in force, together with what it included then.  So for each file
that is read by itself there is a *reading*: its content and the files that it included.  A new server that is started
on a repository made of the present readings must give the answers that the running one gives.
"""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.server.reload.contents import SLOTS, Content, Kind

Files = Mapping[str, Content]


@dataclass(frozen=True)
class Reading:
    """A file as it was read: its content, and all files that it included directly or indirectly."""

    content: Content
    included: dict[str, Content]

    @property
    def usable(self) -> bool:
        files = (self.content, *self.included.values())
        compiles = not self.content.is_template or all(file.compiles for file in files)
        return self.content.usable and compiles and all(file.parses for file in files)


Readings = dict[str, Reading]


def read(path: str, files: Files) -> Reading:
    """What reading PATH now gives."""
    included: dict[str, Content] = {}
    todo = [(path, files[path])]
    while todo:
        parent, content = todo.pop()
        for pattern in content.includes:
            folder = pattern.rpartition("/")[0]
            for name, found in files.items():
                if name.rpartition("/")[0] == folder and fnmatch.fnmatchcase(name, pattern) and name != parent:
                    if name not in included:
                        todo.append((name, found))
                    included[name] = found
    return Reading(files[path], included)


def after(readings: Readings, before: Files, files: Files) -> Readings:
    """The readings in force once the files, until then BEFORE, are FILES."""
    result: Readings = {}
    for path, slot in SLOTS.items():
        kept = readings.get(path)
        if slot.kind is Kind.INCLUDE or (path not in files and (kept is None or slot.kind is not Kind.SINGLE)):
            continue
        if path not in files:
            assert kept is not None
            result[path] = kept
            continue
        reading = read(path, files)
        if slot.kind is Kind.PLAIN or reading.usable:
            result[path] = reading
        elif kept is not None and (path in before or slot.kind is Kind.SINGLE) and kept.usable:
            result[path] = kept
        elif slot.kind is Kind.VALUE:
            result[path] = reading
    return result


def write(readings: Readings, folder: Path) -> None:
    """Make a repository of READINGS in FOLDER, each with its own copies of what it includes."""
    for number, (path, reading) in enumerate(readings.items()):
        base = f"Readings/{number}"
        _write(folder / path, reading.content.placed(path, base))
        for name, content in reading.included.items():
            place = f"{base}/{name}"
            _write(folder / place, content.placed(place, base))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
