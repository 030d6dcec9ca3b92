"""``bcfg2-info buildbundle``: one bundle, as a client gets it."""

import sys

from bcfg2.options import Argument, Options
from bcfg2.server.info import CommandError, InfoCommand, indented, metadata_of, plugin_of
from bcfg2.server.info.probes import HOST
from bcfg2.server.local_core import InspectingCore
from bcfg2.server.plugin import PluginExecutionError


class Buildbundle(InfoCommand):
    """Show a bundle as it is for a client: rendered, conditions resolved, entries not bound."""

    options = (*InfoCommand.options, Argument(dest="bundle", help="Name of the bundle, or of its file"), HOST)

    def show(self, core: InspectingCore, options: Options) -> int:
        bundles = plugin_of(core, "Bundler").bundles
        name = options.bundle
        for suffix in (".xml", ".genshi"):
            if name not in bundles:
                name = name.removesuffix(suffix)
        if name not in bundles:
            raise CommandError(f"No such bundle {options.bundle}")
        metadata = metadata_of(core, options.host)
        try:
            sys.stdout.write(indented(bundles[name].XMLMatch(metadata)))
        except PluginExecutionError as err:
            raise CommandError(f"{options.host}: {err}") from None
        return 0
