"""``bcfg2-info buildfile``: one file, as a client gets it."""

from bcfg2.options import Argument, Option, Options, PathOption
from bcfg2.server.info import InfoCommand, bound, output
from bcfg2.server.info.probes import HOST
from bcfg2.server.local_core import InspectingCore
from bcfg2.xml import tostring

ALTSRC = Option(flags=("--altsrc",), help="Bind the entry as if it had this attribute altsrc")
PATH = Argument(dest="path", help="Name of the entry, such as /etc/motd")


class Buildfile(InfoCommand):
    """Show an entry Path, bound for a client."""

    options = (
        *InfoCommand.options,
        PathOption(flags=("-f", "--outfile"), help="Write it to this file"),
        ALTSRC,
        PATH,
        HOST,
    )

    def show(self, core: InspectingCore, options: Options) -> int:
        entry = bound(core, options.path, options.host, options.altsrc)
        output(f"{tostring(entry)}\n".encode(), options.outfile)
        return 0
