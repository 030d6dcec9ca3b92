"""``bcfg2-info probes``: the probes that a client is given."""

import sys

from bcfg2.options import Argument, BooleanOption, Options
from bcfg2.server.info import InfoCommand, indented, metadata_of
from bcfg2.server.local_core import InspectingCore
from bcfg2.server.plugin import Connector, Metadata, Probing

#: Whom a sub-command is about that takes one client.
HOST = Argument(dest="host", help="Name of a client")


class Probes(InfoCommand):
    """Show the probes that a client is to run."""

    options = (
        *InfoCommand.options,
        BooleanOption(flags=("-p", "--pretty"), help="Show the scripts as they are, below their names"),
        HOST,
    )
    roles = (Metadata, Connector, Probing)

    def show(self, core: InspectingCore, options: Options) -> int:
        probes = core.probes_of(metadata_of(core, options.host))
        if not options.pretty:
            sys.stdout.write(indented(probes))
            return 0
        for probe in probes:
            name = probe.get("name", "")
            ruling = "=" * (len(name) + 2)
            sys.stdout.write(f"{ruling}\n {name}\n{ruling}\n\n{probe.text or ''}\n\n")
        return 0
