"""``bcfg2-info clients``: the clients and their profiles."""

from bcfg2.options import Argument, Options
from bcfg2.server.info import JSON, CommandError, InfoCommand, assume, client_names, for_each, table
from bcfg2.server.local_core import InspectingCore
from bcfg2.server.plugin import Metadata, MetadataConsistencyError, MetadataRuntimeError

#: Whom a sub-command is about that takes any number of clients.
HOSTS = Argument(dest="host", nargs="*", help="Name of a client, or a pattern such as 'web*'; by default all clients")


class Clients(InfoCommand):
    """Show clients and their profiles."""

    options = (*InfoCommand.options, JSON, HOSTS)
    roles = (Metadata,)

    def show(self, core: InspectingCore, options: Options) -> int:
        rows: list[tuple[str, str | None]] = []
        status = for_each(sorted(client_names(core, options.host)), lambda host: rows.append(_row(core, host)))
        if rows or not status:
            table(("Client", "Profile"), rows, options)
        return status


def _row(core: InspectingCore, host: str) -> tuple[str, str | None]:
    try:
        assume(core, host)
        metadata = core.metadata.initial_metadata(host, register=False)
    except (MetadataConsistencyError, MetadataRuntimeError) as err:
        raise CommandError(f"{host}: {err}") from None
    return metadata.hostname, metadata.profile
