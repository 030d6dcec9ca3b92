"""``bcfg2-admin perf``: how long the parts of a server take."""

import sys
from collections.abc import Sequence
from typing import Any

from bcfg2.log import escaped
from bcfg2.options import Options
from bcfg2.server.admin import CommandError, RemoteCommand

HEADER = ("Name", "Min", "Max", "Mean", "Count")


class Perf(RemoteCommand):
    """Show how many seconds the parts of a running server took since its start, and how often."""

    def run(self, options: Options) -> int:
        sys.stdout.write(table(rows(self.call(options, "get_statistics"))))
        return 0


def rows(statistics: Any) -> list[tuple[str, ...]]:
    """The cells of the table for what ``get_statistics`` answers: name -> [minimum, maximum, mean, count].

    >>> rows({"GetConfig": [0.1, 0.3, 0.2, 4]})
    [('GetConfig', '0.100000', '0.300000', '0.200000', '4')]

    Raises :exc:`CommandError` if it is something else.
    """
    try:
        return [
            (escaped(name), f"{low:.6f}", f"{high:.6f}", f"{mean:.6f}", f"{count:d}")
            for name, (low, high, mean, count) in sorted(statistics.items())
        ]
    except (AttributeError, TypeError, ValueError):
        raise CommandError("the answer of get_statistics holds something else than statistics") from None


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """ROWS below a header, their first cells to the left and the numbers to the right of their columns."""
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
    ruling = tuple("=" * width for width in widths)
    return "".join(_line(cells, widths) for cells in (ruling, HEADER, ruling, *rows))


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return " ".join((cells[0].ljust(widths[0]), *numbers)) + "\n"
