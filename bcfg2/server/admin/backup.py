"""``bcfg2-admin backup``: the repository as one archive."""

import logging
import os
import re
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bcfg2.options import REPOSITORY, Options, PathOption
from bcfg2.server.admin import Command, CommandError
from bcfg2.server.storage import create_unfinished, is_unfinished

logger = logging.getLogger("bcfg2.admin")

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
            try:
                tar.add(path, arcname=repository.name / path.relative_to(root), recursive=False)
            except FileNotFoundError:
                logger.warning("%s vanished while the archive was made", path)


def _paths(root: Path) -> Iterator[Path]:
    """ROOT and all that is below it, in a fixed order; links are not followed.  Raises :exc:`OSError`."""
    yield root
    for folder, folders, files in os.walk(root, onerror=_give_up):
        folders.sort()
        yield from (Path(folder, name) for name in sorted((*folders, *files)))


def _give_up(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # an archive without a folder that is there is worse than none
        raise error
