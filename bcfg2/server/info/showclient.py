"""``bcfg2-info showclient``: all that metadata says of clients."""

import sys
from typing import Any

from bcfg2.log import escaped
from bcfg2.options import Options
from bcfg2.server.info import JSON, InfoCommand, client_names, for_each, metadata_of, print_json
from bcfg2.server.info.clients import HOSTS
from bcfg2.server.local_core import InspectingCore
from bcfg2.server.plugin import Connector, Metadata

_RULING = "=" * 80
_LABEL, _NAME = 12, 30


class Showclient(InfoCommand):
    """Show profile, groups, bundles and connectors' data of clients."""

    options = (*InfoCommand.options, JSON, HOSTS)
    roles = (Metadata, Connector)

    def show(self, core: InspectingCore, options: Options) -> int:
        found: list[dict[str, Any]] = []

        def show(host: str) -> None:
            metadata = metadata_of(core, host)
            if options.as_json:
                found.append(_object(metadata))
            else:
                sys.stdout.write("".join(f"{line}\n" for line in _lines(core, metadata)))

        status = for_each(client_names(core, options.host), show)
        if options.as_json:
            print_json(found)
        return status


def _lines(core: InspectingCore, metadata: Any) -> list[str]:
    """What is shown of a client."""
    holders = {group: category for category, group in metadata.categories.items()}
    groups = [
        f"{escaped(name):{_NAME}} Category: {escaped(holders[name])}" if name in holders else escaped(name)
        for name in sorted(metadata.groups)
    ]
    lines = [
        *_labelled("Hostname:", [escaped(metadata.hostname)]),
        *_labelled("Profile:", [escaped(str(metadata.profile))]),
        *_labelled("Groups:", groups),
        *_labelled("Bundles:", list(map(escaped, sorted(metadata.bundles)))),
    ]
    if core.plugins_by_type(Connector):
        lines += ["Connector data", _RULING]
        for name, data in _connected(metadata).items():
            lines += [f"{name}:  {data}", _RULING]
    return lines


def _object(metadata: Any) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "hostname": metadata.hostname,
        "profile": metadata.profile,
        "groups": sorted(metadata.groups),
        "categories": metadata.categories,
        "bundles": sorted(metadata.bundles),
        "connectors": _connected(metadata),
    }


def _connected(metadata: Any) -> dict[str, str]:
    """Connector -> its data, for people, of those that have any."""
    return {name: str(data) for name in metadata.connectors if (data := getattr(metadata, name))}


def _labelled(label: str, texts: list[str]) -> list[str]:
    """One line for each of TEXTS, the first of them with LABEL."""
    return [f"{label if number == 0 else '':{_LABEL}}{text}" for number, text in enumerate(texts)]
