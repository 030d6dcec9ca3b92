"""The places where probe data can be kept: which one counts, and who is using it."""

import fcntl
import logging
import os

from bcfg2.options import Options
from bcfg2.server.database import DatabaseUnusable
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugins.probes.sqlite import ProbesSQLite
from bcfg2.server.plugins.probes.storage import Storage, StorageError
from bcfg2.server.plugins.probes.xmlfile import ProbedFile

#: What ``[probes] storage`` can name, besides ``auto``.
KINDS = ("xml", "sqlite", "database")

#: The file of the kind ``xml``, in the folder of the plugin.
XML_FILE = "probed.xml"


def kind(options: Options) -> str:
    """The one of `KINDS` that OPTIONS choose; where they do not, the one whose file is there."""
    if options.probes_storage != "auto":
        return str(options.probes_storage)
    if options.probes_use_database:
        return "database"
    return "sqlite" if os.path.exists(path(options, "sqlite")) else "xml"


def warn(options: Options, logger: logging.Logger) -> None:
    """Log what is contradictory in OPTIONS and in the files that are there."""
    chosen = kind(options)
    if options.probes_use_database and chosen != "database":
        logger.warning("[probes] use_database = yes has no effect, because of storage = %s", chosen)
    if chosen != "sqlite" or not os.path.exists(path(options, "xml")):
        return
    if not os.path.exists(path(options, "sqlite")):
        logger.warning(
            "The probe data in %s are not used, because of [probes] storage = sqlite: "
            "bcfg2-admin probes migrate xml sqlite takes them over",
            path(options, "xml"),
        )
    elif options.probes_storage == "auto":
        logger.warning(
            "%s and %s are both there, the first one is used: set [probes] storage, or move the other away",
            path(options, "sqlite"),
            path(options, "xml"),
        )


def path(options: Options, wanted: str) -> str:
    """The file of the kind WANTED, in the repository that OPTIONS name."""
    repository = options.server_repository
    names = {"xml": ("Probes", XML_FILE), "sqlite": ("etc", "probes.sqlite")}
    return os.path.join(repository, *names[wanted])


def opened(wanted: str, core: CoreInterface, logger: logging.Logger) -> Storage:
    """The storage of the kind WANTED; StorageError if it cannot be used.  A database has to be connected."""
    if wanted == "xml":
        return ProbedFile(path(core.options, wanted), logger)
    if wanted == "sqlite":
        return ProbesSQLite(path(core.options, wanted), logger)
    # Django is loaded only where it is wanted.
    from bcfg2.server.plugins.probes.database import ProbesDatabase

    try:
        return ProbesDatabase(core, logger)
    except DatabaseUnusable as err:
        raise StorageError(str(err)) from err


class Use:
    """That this process, with its children, uses the probe data of the repository with the plugin's folder FOLDER.

    It ends with the process, however that ends.  On a file system without locks nobody can tell.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._fd: int | None = None

    def begin(self, *, alone: bool = False) -> None:
        """Use them together with others, or ALONE; StorageError if somebody else's use does not allow that."""
        try:
            self._fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            self.end()
            if alone:
                raise StorageError(f"a server, or another command, is using {self._folder}: stop it first") from None
            raise StorageError(f"bcfg2-admin is changing the probe data of {self._folder}: start again") from None
        except OSError:
            return

    def end(self) -> None:
        """Use them no more."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
