"""What tests of the tool POSIX have in common."""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from bcfg2.client.configuration import Configuration
from bcfg2.client.options import OPTIONS
from bcfg2.client.tools.base import Context
from bcfg2.client.tools.posix import POSIX
from bcfg2.options import OptionParser
from bcfg2.xml import Element, parse_string

OWNER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = grp.getgrgid(os.getegid()).gr_name
#: Owner and group that tests may always set.
MINE = f'owner="{OWNER}" group="{GROUP}"'

IS_ROOT = os.geteuid() == 0


def posix(entries: str, *argv: str, conf: str = "", folder: Path | None = None) -> POSIX:
    """The tool with a bundle of ENTRIES (XML); ARGV are options of the agent, CONF is its file, kept in FOLDER."""
    file = "/nonexistent"
    if folder is not None:
        (folder / "agent.conf").write_text(conf)
        file = str(folder / "agent.conf")
    declared = [option for option in OPTIONS if getattr(option, "dest", "") != "client_drivers"]
    options = OptionParser("bcfg2", "the agent", [*declared, *POSIX.options]).parse(["-C", file, *argv])
    configuration = Configuration(
        parse_string(f'<Configuration><Bundle name="b">{entries}</Bundle></Configuration>', "x")
    )
    tool = POSIX(Context(options, configuration))
    tool.prepare()
    tool.refresh()
    return tool


def only(tool: POSIX) -> Element:
    """The one entry of TOOL."""
    (entry,) = tool.entries
    return entry


def installed(tool: POSIX) -> bool:
    """Install what is bad; whether all is good then, by another look."""
    bad = [entry for entry in tool.entries if not tool.verify(entry)]
    tool.install(bad)
    return not [entry for entry in tool.entries if not tool.verify(entry)]


def tree(top: Path) -> dict[str, tuple[object, ...]]:
    """Everything below TOP: kind, mode, owner, group, time of change, inode, and content or target."""
    return dict(_walk(top))


def _walk(top: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    for path in [top, *sorted(top.rglob("*"))]:
        status = path.lstat()
        content: object = None
        if stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        yield (
            str(path.relative_to(top)),
            (
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_mtime_ns,
                status.st_ctime_ns,
                status.st_ino,
                content,
            ),
        )
