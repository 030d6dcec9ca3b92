"""``bcfg2-info packagesources``: where the packages of a client come from."""

import sys

from bcfg2.options import Options
from bcfg2.server.info import InfoCommand, metadata_of, plugin_of
from bcfg2.server.info.probes import HOST
from bcfg2.server.local_core import InspectingCore


class Packagesources(InfoCommand):
    """Show the sources of packages that apply to a client."""

    options = (*InfoCommand.options, HOST)

    def show(self, core: InspectingCore, options: Options) -> int:
        plugin = plugin_of(core, "Packages")
        sys.stdout.write(f"{plugin.describe_sources(metadata_of(core, options.host))}\n")
        return 0
