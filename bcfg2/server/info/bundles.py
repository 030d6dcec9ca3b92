"""``bcfg2-info bundles``: the bundles of groups."""

from bcfg2.options import Options
from bcfg2.server.info import JSON, InfoCommand
from bcfg2.server.info.groups import GROUPS, show_groups
from bcfg2.server.local_core import InspectingCore
from bcfg2.server.plugin import Metadata


class Bundles(InfoCommand):
    """Show the bundles that the declarations of groups name."""

    options = (*InfoCommand.options, JSON, GROUPS)
    roles = (Metadata,)

    def show(self, core: InspectingCore, options: Options) -> int:
        return show_groups(core, options, ("Group", "Bundles"), lambda group: (group.name, group.bundles))
