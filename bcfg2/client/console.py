"""What a person sees of a run: progress, changes, a summary; or one JSON document for a machine.

Reports go to standard output when that is a terminal, so that cron has nothing to send as long as all is well; progress
goes to standard error in the same way.  There are colours only on a terminal, and none where ``NO_COLOR`` is set.
"""

import json
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

from bcfg2.client.configuration import Configuration, title
from bcfg2.client.report import Stamps, reported
from bcfg2.client.states import States
from bcfg2.client.tools.base import Tool
from bcfg2.log import escaped
from bcfg2.options import Options
from bcfg2.xml import Element

_BOLD, _RED, _GREEN, _YELLOW, _CYAN = "1", "31", "32", "33", "36"
#: Beginnings of the lines of a diff, and their colours; the first that fits counts.
_DIFF_COLOURS = (("+++", _BOLD), ("---", _BOLD), ("@@", _CYAN), ("+", _GREEN), ("-", _RED))
#: Entries between two looks at the progress line.
_STEP = 100


class Console:
    """Shows a run with OPTIONS."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._shows = sys.stdout.isatty() and not options.json
        self._shows_progress = sys.stderr.isatty()
        self._has_colours = self._shows and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._line_is_open = False
        self._planned: frozenset[Element] = frozenset()
        if self._shows_progress:
            logging.getLogger().handlers.insert(0, _ProgressEraser(self))

    # Progress

    def progress(self, done: int, total: int) -> None:
        """Show that DONE of TOTAL entries were looked at."""
        if not self._shows_progress or (done % _STEP and done != total):
            return
        sys.stderr.write(f"\r\x1b[KVerifying {done}/{total}")
        sys.stderr.flush()
        self._line_is_open = True
        if done == total:
            self.erase_progress()

    def erase_progress(self) -> None:
        """Clear the line for something else."""
        if self._line_is_open:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._line_is_open = False

    # Reports

    def plan(self, states: States, entries: Sequence[Element], removals: Sequence[Element]) -> None:
        """Show what a dry run has found: ENTRIES would be installed, REMOVALS removed."""
        self._planned = frozenset(entries)
        for entry in entries:
            self._write(f"{self._coloured('would install', _YELLOW)} {shown(title(entry))}")
            for line in _reasons(states.tool_of(entry), entry):
                self._write(f"    {self.diff_line(line)}")
        self._list("would remove", _YELLOW, removals)

    def summary(self, configuration: Configuration, states: States, stamps: Stamps) -> None:
        """Show how the run went."""
        if self._options.json:
            json.dump(self._as_data(configuration, states, stamps), sys.stdout, indent=1)
            sys.stdout.write("\n")
            return
        good, bad = reported(states.good, self._options), reported(states.bad, self._options)
        self._list("changed", _GREEN, states.modified)
        for entry in sorted(set(bad) - self._planned, key=title):
            self._list("bad", _RED, [entry])
            for line in takewhile(lambda line: not line.startswith("---"), _reasons(states.tool_of(entry), entry)):
                self._write(f"    {shown(line)}")
        if self._options.show_extra:
            self._list("extra", _YELLOW, states.extra)
        verdict = self._coloured("dirty", _RED) if bad else self._coloured("clean", _GREEN)
        seconds = stamps.times.get("finished", stamps.times["start"]) - stamps.times["start"]
        self._write(
            f"{verdict}: {len(good)} of {len(good) + len(bad)} entries are good, {len(states.modified)} changed, "
            f"{len(states.extra)} extra; revision {configuration.revision}, {seconds:.1f} s"
            f"{' (dry run)' if self._options.dry_run else ''}"
        )

    def question(self, text: str) -> str:
        """TEXT, the last line of which is a question, with colours for the differences above it."""
        *lines, last = text.split("\n")
        return "\n".join([*map(self.diff_line, lines), shown(last)])

    def diff_line(self, line: str) -> str:
        """LINE in the colour that it has as a part of a diff."""
        colour = next((colour for start, colour in _DIFF_COLOURS if line.startswith(start)), None)
        return self._coloured(shown(line), colour) if colour else shown(line)

    def _as_data(self, configuration: Configuration, states: States, stamps: Stamps) -> dict[str, Any]:
        good, bad = reported(states.good, self._options), reported(states.bad, self._options)
        return {
            "revision": configuration.revision,
            "dry_run": self._options.dry_run,
            "only_important": self._options.only_important,
            "state": "dirty" if bad else "clean",
            "total": len(good) + len(bad),
            "good": len(good),
            "bad": [_as_item(entry) | {"why": _reasons(states.tool_of(entry), entry)} for entry in bad],
            "modified": [_as_item(entry) for entry in states.modified],
            "extra": [_as_item(entry) for entry in states.extra],
            "times": stamps.times,
        }

    def _list(self, word: str, colour: str, entries: Iterable[Element]) -> None:
        for entry in sorted(entries, key=title):
            self._write(f"{self._coloured(word, colour)} {shown(title(entry))}")

    def _write(self, line: str) -> None:
        if self._shows:
            sys.stdout.write(f"{line}\n")

    def _coloured(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._has_colours else text


class _ProgressEraser(logging.Handler):
    """Clears the progress line of CONSOLE before another handler writes."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.erase_progress()


def shown(text: str) -> str:
    """TEXT with what would control a terminal spelled out: contents of files are anybody's."""
    return "\t".join(escaped(part) for part in text.split("\t"))


def _as_item(entry: Element) -> dict[str, Any]:
    return {"tag": entry.tag, "type": entry.get("type"), "name": entry.get("name")}


def _reasons(tool: Tool | None, entry: Element) -> list[str]:
    """What is wrong with ENTRY, a line each."""
    if failure := entry.get("failure"):
        return [f"the server could not bind it: {failure}"]
    if tool is None:
        return ["it is not complete, or no tool handles it"]
    return tool.describe(entry)
