"""Batches of random changes of a repository: what editors, version control and accidents do to files."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.server.reload.contents import FOLDERS, SLOTS, Content, Slot


class Disk:
    """The repository in FOLDER, changed at random; `files`: what there is in the slots."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.files: dict[str, Content] = {}
        #: What the last batch of changes was, and which files it deleted and made anew, or did not.
        self.done: list[str] = []
        self.anew: set[str] = set()
        self._rng = rng
        self._linked = 0

    def fill(self) -> None:
        """Put a good file into most slots."""
        for slot in SLOTS.values():
            if self._rng.random() < 0.8 or slot.path.startswith("Metadata/"):
                self._write(slot.path, Content(slot.good(self._rng)))

    def change(self) -> None:
        """Make a batch of changes."""
        self.done.clear()
        self.anew = set()
        if self._rng.random() < 0.1:
            self._do(self._move_folder)
            return
        kinds: list[Callable[[Slot], None]] = [
            self._edit,
            self._break,
            self._delete,
            self._move,
            self._link,
            self._litter,
        ]
        kinds += [self._edit, self._edit, self._edit, self._break, self._into_folder]
        for _ in range(self._rng.choice([1, 1, 2, 4, 12])):
            self._do(self._rng.choice(kinds), self._rng.choice(list(SLOTS.values())))

    def _do(self, change: Callable[..., None], *slots: Slot) -> None:
        self.done.append(f"{change.__name__} {' '.join(slot.path for slot in slots)}")
        change(*slots)

    def _edit(self, slot: Slot) -> None:
        self._write(slot.path, Content(slot.good(self._rng)))

    def _break(self, slot: Slot) -> None:
        self._write(slot.path, slot.bad(self._rng))

    def _delete(self, slot: Slot) -> None:
        self.files.pop(slot.path, None)
        _remove(self.folder / slot.path)

    def _move(self, slot: Slot) -> None:
        """Give a file the name of another, or of a copy that an editor leaves."""
        others = [other.path for other in SLOTS.values() if other.family == slot.family and other.kind == slot.kind]
        content = self.files.pop(slot.path, None)
        if content is None:
            return
        to = self._rng.choice([path for path in others if path != slot.path] + [f"{slot.path}~"])
        if content.includes and Path(to).parent != Path(slot.path).parent:
            _remove(self.folder / slot.path)  # what it includes is written relative to its place
            self._write(to, content)
        else:
            _remove(self.folder / to, keep_file=True)
            (self.folder / to).parent.mkdir(parents=True, exist_ok=True)
            os.rename(self.folder / slot.path, self.folder / to)
        if to in SLOTS:
            self.files[to] = content

    def _link(self, slot: Slot) -> None:
        """Put a symbolic link to a file elsewhere in the place of a file."""
        content = Content(slot.good(self._rng))
        self._linked += 1
        target = self.folder / f"Elsewhere/{self._linked}"
        target.parent.mkdir(exist_ok=True)
        target.write_text(content.placed(slot.path))
        path = self.folder / slot.path
        _remove(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
        self.files[slot.path] = content

    def _litter(self, slot: Slot) -> None:
        """Leave something beside a file that means nothing."""
        path = self.folder / slot.path
        path.parent.mkdir(parents=True, exist_ok=True)
        name = self._rng.choice([".#{}", "{}~", ".{}.swp", "4913"]).format(path.name)
        (path.parent / name).write_text("left over")

    def _into_folder(self, slot: Slot) -> None:
        """Put a folder in the place of a file."""
        self._delete(slot)
        (self.folder / slot.path).mkdir(parents=True)

    def _move_folder(self) -> None:
        """Move a folder away with all that is in it; or back, if it was moved, in place of what is there now."""
        source, to = self._rng.choice(list(FOLDERS.items()))
        if (self.folder / to).exists():
            source, to = to, source
        self.done.append(f"{source} to {to}")
        if not (self.folder / source).exists():
            return
        _remove(self.folder / to)
        os.rename(self.folder / source, self.folder / to)
        moved = {path for path in self.files if path.startswith(f"{source}/")}
        self.anew = {path for path in self.files if path.startswith(f"{to}/")}
        kept = {path: content for path, content in self.files.items() if path not in moved | self.anew}
        self.files = kept | {to + path.removeprefix(source): self.files[path] for path in moved}

    def _write(self, path: str, content: Content) -> None:
        """Write the file in place, or beside and into its place, perhaps with an old time."""
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        old = place.stat() if place.exists() else None
        if place.is_dir():
            _remove(place)
        if self._rng.random() < 0.5 and not place.is_symlink():
            place.write_text(content.placed(path))
        else:
            beside = place.parent / f".#{place.name}.new"
            beside.write_text(content.placed(path))
            beside.replace(place)
        if old is not None and self._rng.random() < 0.2:
            os.utime(place, ns=(old.st_atime_ns, old.st_mtime_ns))
        self.files[path] = content


def _remove(path: Path, *, keep_file: bool = False) -> None:
    """Remove what is at PATH, if anything; with KEEP_FILE only a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif not keep_file:
        path.unlink(missing_ok=True)
