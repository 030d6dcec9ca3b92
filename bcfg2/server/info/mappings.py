"""``bcfg2-info mappings``: which plugin binds what."""

from bcfg2.options import Argument, Options
from bcfg2.server.info import JSON, InfoCommand, table
from bcfg2.server.local_core import InspectingCore
from bcfg2.server.plugin import Generator


class Mappings(InfoCommand):
    """Show the entries that generators list by name."""

    options = (
        *InfoCommand.options,
        JSON,
        Argument(dest="type", nargs="?", help="Only entries of this type, such as Path"),
        Argument(dest="name", nargs="?", help="Only entries of this name"),
    )

    def show(self, core: InspectingCore, options: Options) -> int:
        rows = [
            (plugin.name, tag, name)
            for plugin in core.plugins_by_type(Generator)
            for tag, names in plugin.Entries.items()
            for name in names
            if options.type in (None, tag) and options.name in (None, name)
        ]
        table(("Plugin", "Type", "Name"), sorted(rows), options)
        return 0
