"""``bcfg2-info automatch``: a property file, as templates of a client see it."""

import sys

from bcfg2.options import Argument, BooleanOption, Options
from bcfg2.server.info import CommandError, InfoCommand, indented, logger, metadata_of, plugin_of
from bcfg2.server.info.probes import HOST
from bcfg2.server.local_core import InspectingCore
from bcfg2.server.plugin import Connector, Metadata, PluginExecutionError, TemplateDataProvider


class Automatch(InfoCommand):
    """Show what automatch makes of a property file for a client."""

    options = (
        *InfoCommand.options,
        BooleanOption(flags=("-f", "--force"), help="Also if automatch is off for the file"),
        Argument(dest="file", help="Name of an XML file below Properties"),
        HOST,
    )
    roles = (Metadata, Connector, TemplateDataProvider)

    def show(self, core: InspectingCore, options: Options) -> int:
        file = plugin_of(core, "Properties").entries.get(options.file)
        if file is None:
            raise CommandError(f"there is no property file {options.file}")
        if not hasattr(file, "XMLMatch"):
            raise CommandError(f"{options.file} is no XML file, there is nothing to match")
        if not options.force and not file.automatch:
            logger.warning("Automatch is not enabled for %s (option -f shows it all the same)", options.file)
            return 0
        metadata = metadata_of(core, options.host)
        try:
            sys.stdout.write(indented(file.XMLMatch(metadata)))
        except PluginExecutionError as err:
            raise CommandError(f"{options.host}: {err}") from None
        return 0
