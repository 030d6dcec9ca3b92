"""Cvs: the first line of ``cvs log`` as the revision."""

from bcfg2.server.plugin.versioncontrol import VersionCommand, first_line


class Cvs(VersionCommand):
    """A repository under CVS."""

    __vcs_metadata_path__ = "CVSROOT"

    def get_revision(self) -> str:
        """What ``cvs log`` begins with."""
        return first_line(self.run("cvs", "log"))
