"""Darcs: the latest patch as the revision."""

from collections.abc import Sequence

from bcfg2.server.plugin.versioncontrol import VersionCommand, first_line


class Darcs(VersionCommand):
    """A repository under darcs."""

    __vcs_metadata_path__ = "_darcs"

    def head_files(self) -> Sequence[str]:
        return self.below_root("_darcs/hashed_inventory")

    def get_revision(self) -> str:
        """What ``darcs changes`` begins with: the hash, or before darcs 2.10 the date and the author, of a patch."""
        return first_line(self.run("darcs", "changes", "--last=1"))
