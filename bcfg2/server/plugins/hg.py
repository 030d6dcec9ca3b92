"""Hg: the local number of Mercurial's tip as the revision."""

from collections.abc import Sequence

from bcfg2.server.plugin.versioncontrol import VersionCommand, first_line


class Hg(VersionCommand):
    """A repository under Mercurial."""

    __vcs_metadata_path__ = ".hg"
    environment = {"HGPLAIN": "1"}

    def head_files(self) -> Sequence[str]:
        return self.below_root(".hg/store/00changelog.i")

    def get_revision(self) -> str:
        """The number of the latest change set."""
        return first_line(self.run("hg", "log", "--rev", "tip", "--template", "{rev}"))
