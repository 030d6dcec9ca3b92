"""``bcfg2-info packageresolve``: what the plugin Packages adds for a client."""

import sys

from lxml import etree

from bcfg2.options import Argument, Options
from bcfg2.server.info import CommandError, InfoCommand, metadata_of, plugin_of
from bcfg2.server.info.probes import HOST
from bcfg2.server.local_core import InspectingCore
from bcfg2.xml import tostring


class Packageresolve(InfoCommand):
    """Show the packages that others of a client need."""

    options = (
        *InfoCommand.options,
        HOST,
        Argument(dest="package", nargs="*", help="Name of a package; by default those in the client's bundles"),
    )

    def show(self, core: InspectingCore, options: Options) -> int:
        plugin = plugin_of(core, "Packages")
        metadata = metadata_of(core, options.host)
        try:
            if options.package:
                structures = [etree.Element("Bundle", {"name": "packages"})]
                for name in options.package:
                    etree.SubElement(structures[0], "Package", {"name": name})
            else:
                structures = core.GetStructures(metadata)
            given = len(structures)
            plugin.validate_structures(metadata, structures)
        except Exception as err:
            raise CommandError(f"{options.host}: packages cannot be resolved: {err}") from err
        added = [entry for structure in structures[given:] for entry in structure.iter("Package", "BoundPackage")]
        sys.stdout.write(f"{len(added)} new packages added\n")
        sys.stdout.write("".join(f"    {tostring(entry)}\n" for entry in added))
        return 0
