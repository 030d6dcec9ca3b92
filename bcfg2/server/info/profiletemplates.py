"""``bcfg2-info profiletemplates``: how long files take to be bound."""

import statistics
import time
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from bcfg2.options import Argument, IntOption, Option, Options
from bcfg2.server.info import (
    JSON,
    CommandError,
    InfoCommand,
    client_names,
    for_each,
    logger,
    metadata_of,
    table,
    words_of,
)
from bcfg2.server.local_core import InspectingCore
from bcfg2.xml import Element

#: Seconds: what is quicker, and not much quicker or slower from time to time, is not worth a look.
_SLOW, _UNSTEADY = 0.01, 1.0


class Profiletemplates(InfoCommand):
    """Bind files again and again, and show which take long."""

    options = (
        *InfoCommand.options,
        JSON,
        Option(flags=("--clients",), dest="for_clients", help="Names of clients, separated by commas; by default all"),
        IntOption(flags=("--runs",), default=5, help="How often each file is bound for each client"),
        Argument(dest="path", nargs="*", help="Name of an entry Path; by default all that take long"),
    )

    def show(self, core: InspectingCore, options: Options) -> int:
        if options.runs < 1:
            raise CommandError("--runs wants a number from 1 on", status=2)
        wanted = set(options.path or ())
        times: dict[str, list[float]] = {}

        def measure(host: str) -> None:
            metadata = metadata_of(core, host)
            for entry in _paths(core, metadata, wanted):
                seconds = _seconds(core, entry, metadata, options.runs)
                times.setdefault(entry.get("name", ""), []).extend(seconds)

        hosts = words_of(options.for_clients) if options.for_clients is not None else None
        status = for_each(client_names(core, hosts), measure)
        rows = ((name, *_measures(seconds)) for name, seconds in times.items() if seconds)
        shown = [row for row in rows if wanted or max(row[1:3]) > _SLOW or row[3] > _UNSTEADY]
        shown.sort(key=lambda row: (-row[1], row[0]))
        table(
            ("Template", "Mean", "Median", "Standard deviation"),
            shown if options.as_json else [(name, *(f"{number:.6f}" for number in seen)) for name, *seen in shown],
            options,
        )
        return status


def _paths(core: InspectingCore, metadata: Any, wanted: set[str]) -> Iterable[Element]:
    """The entries Path of the client that are to be bound, those WANTED or all."""
    try:
        structures = core.GetStructures(metadata)
        core.validate_structures(metadata, structures)
    except Exception as err:
        raise CommandError(f"{metadata.hostname}: there are no bundles to be had: {err}") from err
    for structure in structures:
        for entry in structure.findall("Path"):
            if not wanted or entry.get("name") in wanted:
                yield entry


def _seconds(core: InspectingCore, entry: Element, metadata: Any, runs: int) -> list[float]:
    """How long it takes to bind ENTRY, RUNS times; nothing if it fails."""
    found = []
    for _ in range(runs):
        copy = deepcopy(entry)
        begun = time.perf_counter()
        try:
            core.Bind(copy, metadata)
        except Exception as err:  # noqa: BLE001 - costs this entry only
            logger.error("%s: Path %s cannot be bound: %s", metadata.hostname, entry.get("name"), err)
            return []
        found.append(time.perf_counter() - begun)
        if copy.get("failure") is not None:  # the core has said why
            return []
    return found


def _measures(seconds: list[float]) -> tuple[float, float, float]:
    """Mean, median and standard deviation of SECONDS."""
    return statistics.mean(seconds), statistics.median(seconds), statistics.pstdev(seconds)
