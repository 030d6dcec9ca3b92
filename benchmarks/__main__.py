"""Plays the same load against the released server and against this tree, and prints how they compare."""

import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.comparison import configuration, differences
from benchmarks.contenders import Contender, Running, ours, released, running
from benchmarks.machine import machine
from benchmarks.player import RUN, Result, draw, play
from benchmarks.repository import TEMPLATES, Shape
from tests.real.release import Unavailable

#: How many configurations are compared between the servers.
COMPARED = 5
#: How many single calls, one after the other, the time of one GetConfig is taken from.
SINGLE_CALLS = 50


@dataclass(slots=True)
class Measured:
    """What was measured of one contender, a value for each round."""

    runs_per_second: list[float] = field(default_factory=list)
    configs_per_second: list[float] = field(default_factory=list)
    single_config: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    configurations: list[list[str]] = field(default_factory=list)
    errors: int = 0


def main() -> int:
    arguments = _arguments()
    shape = Shape(arguments.clients, arguments.bundles, arguments.entries, arguments.templates, arguments.engines)
    with tempfile.TemporaryDirectory(prefix="bcfg2-bench-") as name:
        scratch = Path(name)
        try:
            contenders = [] if arguments.only_this_tree else [released()]
        except Unavailable as err:
            sys.exit(f"there is nobody to compare with: {err}")
        contenders.append(ours(scratch / "commands"))
        print(machine())
        print(
            f"site: {shape.clients} clients, {shape.bundles} bundles of {shape.entries} entries,"
            f" {shape.templates:.0%} of the files templates ({', '.join(shape.engines)});"
            f" {arguments.runs} runs, {arguments.at_once} at once, {arguments.rounds} rounds"
        )
        results = {contender.name: Measured() for contender in contenders}
        for number in range(arguments.rounds):
            for contender in contenders:
                folder = scratch / f"round{number}" / contender.name.replace(" ", "-")
                with running(contender, folder, shape) as server:
                    measure(server, results[contender.name], arguments.runs, arguments.at_once)
    report(results)
    wrong = compare(contenders, results)
    return 1 if wrong or any(result.errors for result in results.values()) else 0


def _arguments() -> argparse.Namespace:
    shape = Shape()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--clients", type=int, default=shape.clients)
    parser.add_argument("--bundles", type=int, default=shape.bundles)
    parser.add_argument("--entries", type=int, default=shape.entries, help="entries of a bundle")
    parser.add_argument("--templates", type=float, default=shape.templates, help="share of files that are templates")
    parser.add_argument("--engines", type=lambda text: tuple(text.split(",")), default=shape.engines)
    parser.add_argument("--runs", type=int, default=400, help="whole runs, and as many single GetConfig calls")
    parser.add_argument("--at-once", type=int, default=8, help="clients that run at the same time")
    parser.add_argument("--rounds", type=int, default=3, help="how often the servers take turns")
    parser.add_argument("--only-this-tree", action="store_true", help="leave the released server out")
    arguments = parser.parse_args()
    if unknown := set(arguments.engines) - set(TEMPLATES):
        parser.error(f"unknown template engine {', '.join(sorted(unknown))}; there are {', '.join(TEMPLATES)}")
    if arguments.engines != shape.engines and not arguments.only_this_tree:
        parser.error("the released server knows Genshi only: with other engines give --only-this-tree")
    return arguments


def measure(server: Running, measured: Measured, runs: int, at_once: int) -> None:
    """One round: every client once to warm up, whole runs, GetConfig alone, GetConfig one by one."""
    results = [play(server.port, server.clients, list(RUN), at_once)]
    measured.configurations = [configuration(server.port, client) for client in server.clients[:COMPARED]]
    whole = play(server.port, draw(server.clients, runs, seed=2), list(RUN), at_once)
    alone = play(server.port, draw(server.clients, runs, seed=3), ["GetConfig"], at_once)
    single = play(server.port, draw(server.clients, SINGLE_CALLS, seed=4), ["GetConfig"], 1)
    results += [whole, alone, single]
    _note_errors(results, measured)
    measured.runs_per_second.append(whole.rate)
    measured.configs_per_second.append(alone.rate)
    measured.single_config.append(single.median("GetConfig"))
    measured.memory.append(server.memory())


def _note_errors(results: list[Result], measured: Measured) -> None:
    for result in results:
        measured.errors += result.errors.total()
        for text, count in result.errors.most_common(3):
            print(f"{count} x {text}", file=sys.stderr)


def report(results: dict[str, Measured]) -> None:
    """Print one line per measurement; the median of the rounds, and this tree's share of the released server's."""
    rows = [
        ("whole runs per second", "runs_per_second", 1, "more is better"),
        ("GetConfig per second", "configs_per_second", 1, "more is better"),
        ("one GetConfig alone, ms", "single_config", 1000, "less is better"),
        ("largest memory, MiB", "memory", 1, "less is better"),
    ]
    print(f"\n{'median of the rounds':28}" + "".join(f"{name:>20}" for name in results) + f"{'ratio':>10}")
    for title, attribute, factor, remark in rows:
        values = [factor * statistics.median(getattr(result, attribute)) for result in results.values()]
        ratio = f"{values[1] / values[0]:10.2f}" if len(values) == 2 else f"{'-':>10}"
        print(f"{title:28}" + "".join(f"{value:20.2f}" for value in values) + ratio + f"  ({remark})")
    for name, result in results.items():
        spread = ", ".join(f"{rate:.1f}" for rate in result.runs_per_second)
        print(f"{name}: whole runs per second in each round: {spread}; {result.errors} errors")


def compare(contenders: list[Contender], results: dict[str, Measured]) -> bool:
    """Whether the configurations of the two servers differ, which is printed."""
    if len(contenders) < 2:
        return False
    first, second = (results[contender.name].configurations for contender in contenders)
    wrong = [line for a, b in zip(first, second, strict=True) for line in differences(a, b)]
    for line in wrong[:20]:
        print(f"DIFFERS {line}")
    print(f"configurations compared: {len(first)}, " + (f"{len(wrong)} lines differ" if wrong else "all equal"))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
