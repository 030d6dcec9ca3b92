"""Fossil: the hash of the check-out as the revision."""

import re
from collections.abc import Sequence

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugin.versioncontrol import VersionCommand

_CHECKOUT = re.compile(r"^checkout:\s*(\S+)", re.MULTILINE)


class Fossil(VersionCommand):
    """A repository under Fossil."""

    __vcs_metadata_path__ = "_FOSSIL_"

    def head_files(self) -> Sequence[str]:
        return self.below_root("_FOSSIL_")

    def get_revision(self) -> str:
        """The hash in the line ``checkout:`` of ``fossil info``."""
        found = _CHECKOUT.search(self.run("fossil", "info"))
        if found is None:
            raise PluginExecutionError(f"fossil info names no check-out in {self.vcs_root}")
        return found[1]
