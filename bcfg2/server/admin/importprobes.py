"""``bcfg2-admin importprobes``: probe data from where they were kept before."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bcfg2.options import ComponentOption, Options, find_in
from bcfg2.server import database
from bcfg2.server.admin import CommandError, CoreCommand

if TYPE_CHECKING:
    from bcfg2.server.plugins.probes.storage import Record


class Importprobes(CoreCommand):
    """Take probe data over: into the database from probed.xml or, if [probes] use_database is off, the other way."""

    options = (
        *CoreCommand.options,
        ComponentOption(
            dest="server_plugins", default=["Metadata", "Probes"], find=find_in("bcfg2.server.plugins"), multiple=True
        ),
    )

    def run(self, options: Options) -> int:
        with self.core(options) as core:
            plugin = core.plugins.get("Probes")
            if plugin is None:
                raise CommandError("the plugin Probes cannot be loaded, see above")
            try:
                found = _from_file(plugin.data) if options.probes_use_database else _from_database(options)
                known = plugin.storage.records()
                newer = {
                    host: record
                    for host, record in found.items()
                    if host not in known or known[host].timestamp < record.timestamp
                }
                plugin.storage.put_all(newer)
            except database.DatabaseUnusable as err:
                raise CommandError(str(err)) from None
        return 0


def _from_file(folder: str) -> Mapping[str, "Record"]:
    """The records in probed.xml; :exc:`CommandError` if it cannot be used."""
    from lxml import etree

    from bcfg2.server.plugins.probes.storage import read_records

    path = os.path.join(folder, "probed.xml")
    try:
        return read_records(path)
    except (OSError, etree.XMLSyntaxError, ValueError) as err:
        raise CommandError(f"cannot use {path}: {err}") from None


def _from_database(options: Any) -> Mapping[str, "Record"]:
    """The records in the database."""
    database.connect(options)
    from bcfg2.server.plugins.probes.database import read_records

    database.make_tables()
    return read_records()
