"""``bcfg2-info builddir``: the files of a client, below a folder."""

import base64
import binascii
import grp
import logging
import os
import pwd
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bcfg2.options import Argument, BooleanOption, Options
from bcfg2.server.info import InfoCommand, configuration
from bcfg2.server.info.probes import HOST
from bcfg2.server.local_core import InspectingCore
from bcfg2.xml import Element, is_true

logger = logging.getLogger("bcfg2.info")

#: Types of paths that say nothing about what is to be there.
_LEFT_OUT = ("nonexistent", "permissions")


class Builddir(InfoCommand):
    """Install the files, folders and links of a client below a folder."""

    options = (
        *InfoCommand.options,
        BooleanOption(flags=("-P", "--paranoid"), help="Keep a copy of each file that is replaced, called NAME.bak"),
        HOST,
        Argument(dest="folder", help="The folder, made where it is missing"),
    )

    def show(self, core: InspectingCore, options: Options) -> int:
        paths = [
            entry for entry in configuration(core, options.host).iter("Path") if entry.get("type") not in _LEFT_OUT
        ]
        top = Path(options.folder)
        top.mkdir(parents=True, exist_ok=True)
        installer = _Installer(top, keep=options.paranoid)
        failed = False
        for entry in sorted(paths, key=lambda item: item.get("name", "")):
            if (failure := entry.get("failure")) is not None:
                logger.warning("Path %s is skipped: %s", entry.get("name"), failure)
                continue
            try:
                installer.install(entry)
            except (OSError, ValueError) as err:
                logger.error("Path %s cannot be installed: %s", entry.get("name"), err)
                failed = True
        return int(failed)


class _Installer:
    """Puts what entries describe below the folder TOP, and never anywhere else; KEEP copies of what is replaced."""

    def __init__(self, top: Path, keep: bool) -> None:
        self._top = top.resolve()
        self._keep = keep
        self._makers: dict[str, Callable[[Path, Element], None]] = {
            "file": self._file,
            "directory": self._directory,
            "symlink": self._symlink,
        }

    def install(self, entry: Element) -> None:
        """Install what ENTRY describes; :exc:`OSError` or :exc:`ValueError` says why it cannot be."""
        make = self._makers.get(entry.get("type", ""))
        if make is None:
            logger.warning("Path %s is skipped: only an agent makes the type %s", entry.get("name"), entry.get("type"))
            return
        make(self._place(entry.get("name", "")), entry)

    def _place(self, name: str) -> Path:
        """Where the path NAME is put; its folder is made."""
        parts = Path(name).parts
        if not name.startswith("/") or ".." in parts:
            raise ValueError("not an absolute path")
        place = self._top.joinpath(*parts[1:])
        existing = next(path for path in place.parents if os.path.lexists(path))
        if not existing.resolve().is_relative_to(self._top):  # a link that was installed leads elsewhere
            raise ValueError(f"{existing} leads out of {self._top}")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _file(self, place: Path, entry: Element) -> None:
        data = _contents(entry)
        if os.path.lexists(place):
            if not stat.S_ISREG(place.lstat().st_mode):
                raise ValueError(f"{place} is there, and no file")
            if self._keep:
                os.replace(place, place.with_name(f"{place.name}.bak"))
            else:
                place.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(place, flags, 0o600), "wb") as stream:
            stream.write(data)
            _set_mode(stream.fileno(), entry)

    def _directory(self, place: Path, entry: Element) -> None:
        place.mkdir(exist_ok=True)
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _set_mode(fd, entry)
        finally:
            os.close(fd)

    def _symlink(self, place: Path, entry: Element) -> None:
        if place.is_symlink():
            place.unlink()
        place.symlink_to(entry.get("to", ""))


def _contents(entry: Element) -> bytes:
    if is_true(entry.get("empty")):
        return b""
    text = entry.text or ""
    if entry.get("encoding") == "base64":
        try:
            return base64.b64decode(text)
        except binascii.Error as err:
            raise ValueError(f"its content is no Base64: {err}") from None
    return text.encode()


def _set_mode(fd: int, entry: Element) -> None:
    """Give the open file FD the mode of ENTRY and, if root does it and the machine knows them, owner and group."""
    if os.geteuid() == 0:
        with suppress(OSError, KeyError, OverflowError):
            os.fchown(fd, _number(entry.get("owner"), _user), _number(entry.get("group"), _group))
    mode = entry.get("mode")
    if mode:
        if not re.fullmatch("[0-7]{1,5}", mode):
            raise ValueError(f"{mode} is no mode")
        os.fchmod(fd, int(mode, 8))


def _number(name: str | None, find: Callable[[str], int]) -> int:
    """The number of the owner NAME, -1 for none; :exc:`KeyError` if FIND does not know it."""
    if not name:
        return -1
    return int(name) if name.isdecimal() else find(name)


def _user(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def _group(name: str) -> int:
    return grp.getgrnam(name).gr_gid
