"""Fossil: the hash of the check-out as the revision."""

import os
import re
from collections.abc import Sequence

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugin.versioncontrol import VersionCommand

#: What a check-out made on Unix has in place of ``_FOSSIL_``.
_MARKER_ON_UNIX = ".fslckout"
_CHECKOUT = re.compile(r"^checkout:\s*(\S+)", re.MULTILINE)


class Fossil(VersionCommand):
    """A repository under Fossil."""

    __vcs_metadata_path__ = "_FOSSIL_"

    def __init__(self, core: CoreInterface) -> None:
        if os.path.exists(os.path.join(core.options.server_vcs_root, _MARKER_ON_UNIX)):
            self.__vcs_metadata_path__ = _MARKER_ON_UNIX  # type: ignore[misc]  # of this working copy only
        super().__init__(core)

    def head_files(self) -> Sequence[str]:
        return self.below_root(str(self.__vcs_metadata_path__))

    def get_revision(self) -> str:
        """The hash in the line ``checkout:`` of ``fossil info``."""
        found = _CHECKOUT.search(self.run("fossil", "info"))
        if found is None:
            raise PluginExecutionError(f"fossil info names no check-out in {self.vcs_root}")
        return found[1]
