"""``bcfg2-admin schemas``: where the schemas of the repository's files are, for editors."""

import sys

from bcfg2.options import Options
from bcfg2.server.admin import Command
from bcfg2.server.schema import KINDS, SCHEMAS


class Schemas(Command):
    """Show which files of a repository the XML schemas are for, and where these are."""

    def run(self, options: Options) -> int:
        width = max(len(pattern) for pattern, _ in KINDS)
        sys.stdout.write("".join(f"{pattern:{width}} {SCHEMAS / kind}.xsd\n" for pattern, kind in KINDS))
        return 0
