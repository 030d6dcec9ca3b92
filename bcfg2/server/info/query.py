"""``bcfg2-info query``: clients by what they have."""

import sys

from bcfg2.log import escaped
from bcfg2.options import ExclusiveGroup, Option, Options
from bcfg2.server.info import JSON, InfoCommand, print_json, words_of
from bcfg2.server.local_core import InspectingCore
from bcfg2.server.plugin import Connector, Metadata
from bcfg2.server.plugins.metadata.query import MetadataQuery


class Query(InfoCommand):
    """Show the clients that have all of some groups or bundles, or one of some profiles."""

    options = (
        *InfoCommand.options,
        JSON,
        ExclusiveGroup(
            Option(flags=("-g", "--group"), dest="query_groups", help="Groups, separated by commas: in all of them"),
            Option(flags=("-p", "--profile"), dest="query_profiles", help="Profiles: with any of them"),
            Option(flags=("-b", "--bundle"), dest="query_bundles", help="Bundles: with all of them"),
            required=True,
        ),
    )
    roles = (Metadata, Connector)

    def show(self, core: InspectingCore, options: Options) -> int:
        names = sorted(_found(core, options))
        if options.as_json:
            print_json(names)
        else:
            sys.stdout.write("".join(f"{escaped(name)}\n" for name in names))
        return 0


def _found(core: InspectingCore, options: Options) -> list[str]:
    query: MetadataQuery = core.metadata.query
    if options.query_groups is not None:
        return query.names_by_groups(words_of(options.query_groups))
    if options.query_profiles is not None:
        return query.names_by_profiles(words_of(options.query_profiles))
    wanted = set(words_of(options.query_bundles))
    return [metadata.hostname for metadata in query.all() if wanted <= metadata.bundles]
