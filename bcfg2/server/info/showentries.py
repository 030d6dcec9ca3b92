"""``bcfg2-info showentries``: the entries that a client is to have, before they are bound."""

from bcfg2.options import Argument, Options
from bcfg2.server.info import JSON, CommandError, InfoCommand, metadata_of, table
from bcfg2.server.info.probes import HOST
from bcfg2.server.local_core import InspectingCore
from bcfg2.xml import is_element


class Showentries(InfoCommand):
    """Show the abstract entries in the bundles of a client."""

    options = (
        *InfoCommand.options,
        JSON,
        HOST,
        Argument(dest="type", nargs="?", help="Only entries of this type, such as Path, and of its Bound form"),
    )

    def show(self, core: InspectingCore, options: Options) -> int:
        metadata = metadata_of(core, options.host)
        try:
            structures = core.GetStructures(metadata)
        except Exception as err:
            raise CommandError(f"{options.host}: there are no bundles to be had: {err}") from err
        tags = {options.type, f"Bound{options.type}"} if options.type else None
        rows = [
            (entry.tag, entry.get("name") or entry.get("group") or entry.get("glob") or "")
            for structure in structures
            for entry in structure
            if is_element(entry) and (tags is None or entry.tag in tags)
        ]
        table(("Entry Type", "Name"), sorted(rows), options)
        return 0
