"""``bcfg2-info build``: the configuration of a client."""

from bcfg2.options import Argument, Options
from bcfg2.server.info import InfoCommand, configuration, document, output
from bcfg2.server.info.probes import HOST
from bcfg2.server.local_core import InspectingCore


class Build(InfoCommand):
    """Build the configuration of a client."""

    options = (
        *InfoCommand.options,
        HOST,
        Argument(dest="file", nargs="?", help="Where to write it; by default to standard output"),
    )

    def show(self, core: InspectingCore, options: Options) -> int:
        output(document(configuration(core, options.host)), options.file)
        return 0
