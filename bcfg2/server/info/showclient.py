"""``bcfg2-info showclient``: all that metadata says of clients."""

import sys

from bcfg2.log import escaped
from bcfg2.options import Options
from bcfg2.server.info import InfoCommand, client_names, for_each, metadata_of
from bcfg2.server.info.clients import HOSTS
from bcfg2.server.local_core import InspectingCore
from bcfg2.server.plugin import Connector, Metadata

_RULING = "=" * 80
_LABEL, _NAME = 12, 30


class Showclient(InfoCommand):
    """Show profile, groups, bundles and connectors' data of clients."""

    options = (*InfoCommand.options, HOSTS)
    roles = (Metadata, Connector)

    def show(self, core: InspectingCore, options: Options) -> int:
        return for_each(client_names(core, options.host), lambda host: _show(core, host))


def _show(core: InspectingCore, host: str) -> None:
    metadata = metadata_of(core, host)
    holders = {group: category for category, group in metadata.categories.items()}
    groups = [
        f"{name:{_NAME}} Category: {escaped(holders[name])}" if name in holders else escaped(name)
        for name in sorted(metadata.groups)
    ]
    lines = [
        *_labelled("Hostname:", [escaped(metadata.hostname)]),
        *_labelled("Profile:", [str(metadata.profile)]),
        *_labelled("Groups:", groups),
        *_labelled("Bundles:", list(map(escaped, sorted(metadata.bundles)))),
    ]
    if core.plugins_by_type(Connector):
        lines += ["Connector data", _RULING]
        for name in metadata.connectors:
            if data := getattr(metadata, name):
                lines += [f"{name}:  {data}", _RULING]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _labelled(label: str, texts: list[str]) -> list[str]:
    """One line for each of TEXTS, the first of them with LABEL."""
    return [f"{label if number == 0 else '':{_LABEL}}{text}" for number, text in enumerate(texts)]
