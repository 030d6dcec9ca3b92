"""``bcfg2-info groups``: the groups that groups.xml declares."""

from collections.abc import Callable
from typing import Any

from bcfg2.options import Argument, Options
from bcfg2.server.info import JSON, CommandError, InfoCommand, chosen, for_each, table
from bcfg2.server.local_core import InspectingCore
from bcfg2.server.plugin import Metadata

#: Which groups a sub-command is about.
GROUPS = Argument(dest="group", nargs="*", help="Name of a group, or a pattern such as 'web*'; by default all groups")


class Groups(InfoCommand):
    """Show groups, which of them are profiles, and their categories."""

    options = (*InfoCommand.options, JSON, GROUPS)
    roles = (Metadata,)

    def show(self, core: InspectingCore, options: Options) -> int:
        return show_groups(core, options, ("Groups", "Profile", "Category"), _cells)


def _cells(group: Any) -> tuple[Any, ...]:
    return group.name, group.is_profile, group.category


def show_groups(
    core: InspectingCore, options: Options, header: tuple[str, ...], cells: Callable[[Any], tuple[Any, ...]]
) -> int:
    """Print a table of the groups that OPTIONS name, with what CELLS makes of each; the exit status."""
    groups = core.metadata.groups
    rows: list[tuple[Any, ...]] = []

    def add(name: str) -> None:
        if name not in groups:
            raise CommandError(f"there is no group {name}")
        rows.append(cells(groups[name]))

    status = for_each(sorted(chosen(options.group, groups)), add)
    if rows or not status:
        table(header, rows, options)
    return status
