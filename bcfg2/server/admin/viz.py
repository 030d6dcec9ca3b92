"""``bcfg2-admin viz``: the groups as a drawing."""

import subprocess
import sys
from pathlib import Path

from bcfg2.options import PLUGINS, BooleanOption, Option, Options, PathOption
from bcfg2.server.admin import CommandError, CoreCommand

#: Extensions of files that hold the language of Graphviz itself.
_PLAIN = ("dot", "gv")


class Viz(CoreCommand):
    """Draw the groups, in the language of Graphviz or through its program dot."""

    options = (
        *CoreCommand.options,
        PLUGINS,
        BooleanOption(flags=("-H", "--includehosts"), help="Draw the hosts of each profile"),
        BooleanOption(flags=("-b", "--includebundles"), help="Draw the bundles of each group"),
        BooleanOption(flags=("-k", "--includekey"), help="Draw a key of shapes and colours"),
        Option(flags=("-c", "--only-client"), help="Draw only what this host has"),
        PathOption(
            flags=("-o", "--outfile"), help="Drawing, of the kind that its extension says (default: DOT on stdout)"
        ),
    )

    def run(self, options: Options) -> int:
        from bcfg2.server.plugin import Connector, Metadata

        kind = _kind(options.outfile)
        # Only where it is about one host, groups of other plugins matter.
        roles = (Metadata,) if options.only_client is None else (Metadata, Connector)
        with self.core(options, *roles) as core:
            drawing = core.metadata.viz(
                options.includehosts, options.includebundles, options.includekey, options.only_client
            )
        if options.outfile is None:
            sys.stdout.write(drawing)
        elif kind in _PLAIN:
            Path(options.outfile).write_text(drawing, encoding="utf-8")
        else:
            _render(drawing, kind, options.outfile)
        return 0


def _kind(path: str | None) -> str:
    """The kind of the file PATH, after its extension; :exc:`CommandError` if it has none."""
    if path is None:
        return _PLAIN[0]
    kind = Path(path).suffix.removeprefix(".").lower()
    if not kind:
        raise CommandError(f"the kind of the drawing {path} is not known: give it an extension, such as .svg", status=2)
    return kind


def _render(drawing: str, kind: str, path: str) -> None:
    """Have the program dot make a file PATH of this KIND; what it complains of goes to standard error."""
    try:
        status = subprocess.run(
            ["dot", f"-T{kind}", "-o", path], input=drawing.encode(), stdout=subprocess.DEVNULL, check=False
        ).returncode
    except FileNotFoundError:
        raise CommandError(
            f"the program dot of Graphviz, which makes .{kind}, is not installed; .dot needs none"
        ) from None
    if status:
        raise CommandError(f"dot could not make {path} (status {status})")
