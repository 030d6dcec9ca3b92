"""Whatever is there and whatever is asked for: a run makes it so, and a dry run touches nothing."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.client.tools.posix.support import MINE, installed, posix, tree

CONTENTS = st.sampled_from(["", "text\n", "other\r\n", "no end", "ü & <b>\n"])
MODES = st.sampled_from(["0600", "644", "0755", "4755", "2750", "1777", "0700"])
OBSTACLES = st.sampled_from(
    ["nothing", "file", "folder", "tree", "link to file", "link to tree", "dangling link", "fifo", "hard link"]
)
TYPES = st.sampled_from(
    ["file", "deep file", "directory", "pruned", "recursive", "symlink", "hardlink", "fifo", "nonexistent"]
)


@dataclass(frozen=True)
class Slot:
    """One place: what is there, and what is asked for."""

    obstacle: str
    wanted: str
    content: str
    mode: str
    wanted_content: str
    wanted_mode: str

    @property
    def can_be_right(self) -> bool:
        """A file never takes the place of a directory that is not empty, and nothing is made below a file."""
        if self.wanted == "file":
            return self.obstacle != "tree"
        return self.wanted != "deep file" or self.obstacle in ("nothing", "folder", "tree", "link to tree")


SLOTS = st.builds(Slot, OBSTACLES, TYPES, CONTENTS, MODES, CONTENTS, MODES).filter(lambda slot: slot.can_be_right)


def put(slot: Slot, place: Path, outside: Path) -> None:
    """Put the obstacle of SLOT at PLACE."""
    if slot.obstacle == "file":
        place.write_text(slot.content, newline="")
        place.chmod(int(slot.mode, 8))
    elif slot.obstacle in ("folder", "tree"):
        place.mkdir()
        if slot.obstacle == "tree":
            (place / "sub").mkdir()
            (place / "sub/file").write_text(slot.content)
            (place / "sub/link").symlink_to(outside / "file")
        place.chmod(int(slot.mode, 8) | 0o700)
    elif slot.obstacle.startswith("link to"):
        place.symlink_to(outside / ("file" if slot.obstacle == "link to file" else "tree"))
    elif slot.obstacle == "dangling link":
        place.symlink_to("nowhere")
    elif slot.obstacle == "fifo":
        os.mkfifo(place)
    elif slot.obstacle == "hard link":
        os.link(outside / "linked", place)


def entry(slot: Slot, place: Path, outside: Path) -> str:
    """The entry of SLOT."""
    text = slot.wanted_content.replace("&", "&amp;").replace("<", "&lt;").replace("\r", "&#13;")
    file = f'{MINE} mode="{slot.wanted_mode}"' + (f">{text}</Path>" if text else ' empty="true"/>')
    folder_mode = f"{int(slot.wanted_mode, 8) | 0o700:04o}"
    folder = f'<Path type="directory" name="{place}" {MINE} mode="{folder_mode}"'
    return {
        "file": f'<Path type="file" name="{place}" {file}',
        "deep file": f'<Path type="file" name="{place}/new/folder/file" {file}',
        "directory": f"{folder}/>",
        "pruned": f'{folder} prune="true"/>',
        "recursive": f'{folder} recursive="true"/>',
        "symlink": f'<Path type="symlink" name="{place}" to="{slot.mode}"/>',
        "hardlink": f'<Path type="hardlink" name="{place}" to="{outside}/linked"/>',
        "fifo": f'<Path type="device" dev_type="fifo" name="{place}" {MINE} mode="{slot.wanted_mode}"/>',
        "nonexistent": f'<Path type="nonexistent" name="{place}" recursive="true"/>',
    }[slot.wanted]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(SLOTS, min_size=1, max_size=4))
def test_run_makes_everything_right_and_a_dry_run_touches_nothing(slots: list[Slot]) -> None:
    top = Path(tempfile.mkdtemp(prefix="bcfg2-test-"))
    try:
        outside, inside = top / "outside", top / "inside"
        (outside / "tree").mkdir(parents=True)
        inside.mkdir()
        for name in ("file", "linked"):
            (outside / name).write_text(name)
        entries = ""
        for number, slot in enumerate(slots):
            put(slot, inside / str(number), outside)
            entries += entry(slot, inside / str(number), outside)
        before = tree(top)
        dry = posix(entries, "-n")
        for path in dry.entries:
            dry.verify(path)
            dry.question(path)
        assert tree(top) == before
        # A link to the tree is an answer to "deep file": the file goes through it, because the link is ours.
        is_through_link = any(slot.wanted == "deep file" and slot.obstacle == "link to tree" for slot in slots)
        assert installed(posix(entries))
        assert (outside / "file").read_text() == "file"
        assert is_through_link or os.listdir(outside / "tree") == []
        assert not any(name.endswith(".new") for name in tree(top))
        settled = tree(top)
        assert installed(posix(entries))
        assert tree(top) == settled
    finally:
        shutil.rmtree(top)
