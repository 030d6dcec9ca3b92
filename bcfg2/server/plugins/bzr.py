"""Bzr: the number of Bazaar's revision, with a ``+`` if there are changes besides."""

import shutil

from bcfg2.server.plugin.versioncontrol import VersionCommand, first_line


class Bzr(VersionCommand):
    """A repository under Bazaar, by the program ``brz`` (Breezy), or else ``bzr``."""

    def get_revision(self) -> str:
        """The revno of the working tree; ``+`` follows if there are changes or unknown files."""
        program = "brz" if shutil.which("brz") else "bzr"
        revno = first_line(self.run(program, "revno", "--tree"))
        return f"{revno}+" if self.run(program, "status", "--short").strip() else revno
