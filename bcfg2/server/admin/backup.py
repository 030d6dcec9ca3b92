"""``bcfg2-admin backup``: the repository as one archive."""

import logging
import os
import re
import sqlite3
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from bcfg2.options import REPOSITORY, Options, PathOption
from bcfg2.server.admin import Command, CommandError
from bcfg2.server.storage import create_unfinished, is_unfinished

logger = logging.getLogger("bcfg2.admin")

#: What the names of SQLite's files for changes under way end with; a copy of the database has what is in them.
_LOGS = (".sqlite-wal", ".sqlite-shm", ".sqlite-journal")

#: What earlier archives in the repository are called.
_ARCHIVE = re.compile(r"[0-9]{14}\.tar\.gz")


class Backup(Command):
    """Archive the repository, as a compressed tar file that only its owner may read."""

    options = (
        *Command.options,
        REPOSITORY,
        PathOption(flags=("-o", "--outfile"), help="The archive (default: YYYYmmddHHMMSS.tar.gz in the repository)"),
    )

    def run(self, options: Options) -> int:
        repository = Path(options.server_repository)
        if not repository.is_dir():
            raise CommandError(f"the repository {repository} does not exist (option repository of [server], or -Q)")
        target = Path(options.outfile or repository / time.strftime("%Y%m%d%H%M%S.tar.gz"))
        if not target.parent.is_dir():
            raise CommandError(f"the archive cannot be made, {target.parent} is no folder (option -o)")
        archive(repository, target)
        sys.stdout.write(f"Archive {target.name} was stored under {target.parent}\n")
        return 0


def archive(repository: Path, target: Path) -> None:
    """Put what is in REPOSITORY into the file TARGET, which is made whole or not at all.

    Earlier archives, unfinished files, and files that vanish meanwhile are left out.  Raises :exc:`OSError`.
    """
    fd, unfinished = create_unfinished(target.parent, target.name)
    try:
        with os.fdopen(fd, "wb") as stream:
            _fill(stream, repository, earlier=target.resolve())
            stream.flush()
            os.fsync(fd)
        os.rename(unfinished, target)
    except BaseException:
        os.unlink(unfinished)
        raise


def _fill(stream: BinaryIO, repository: Path, earlier: Path) -> None:
    """Write the archive of REPOSITORY without the archive EARLIER; its members stand below the folder's name."""
    root = repository.resolve()  # a link to the repository is not what is wanted
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for path in _paths(root):
            is_archive = path == earlier or (path.parent == root and _ARCHIVE.fullmatch(path.name))
            if is_archive or is_unfinished(path.name):
                continue
            if path.name.endswith(_LOGS) and path.with_name(path.name.rpartition("-")[0]).exists():
                continue
            name = str(repository.name / path.relative_to(root))
            try:
                if path.suffix == ".sqlite" and path.is_file() and not path.is_symlink():
                    _add_database(tar, path, name)
                else:
                    tar.add(path, arcname=name, recursive=False)
            except FileNotFoundError:
                logger.warning("%s vanished while the archive was made", path)


def _add_database(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """Add the file PATH of SQLite as it is now, whoever is writing it; as it stands if it is no such file."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        try:
            with (
                closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
        except sqlite3.Error as err:
            logger.warning("%s is archived as it stands, SQLite cannot use it: %s", path, err)
            tar.add(path, arcname=name, recursive=False)
            return
        member = tar.gettarinfo(path, arcname=name)
        member.size = copy.stat().st_size
        with copy.open("rb") as stream:
            tar.addfile(member, stream)


def _paths(root: Path) -> Iterator[Path]:
    """ROOT and all that is below it, in a fixed order; links are not followed.  Raises :exc:`OSError`."""
    yield root
    for folder, folders, files in os.walk(root, onerror=_give_up):
        folders.sort()
        yield from (Path(folder, name) for name in sorted((*folders, *files)))


def _give_up(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # an archive without a folder that is there is worse than none
        raise error
