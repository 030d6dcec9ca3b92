"""What binding costs per entry, and how that grows with the number of rules.

``python -m benchmarks.binding`` makes repositories of 10, 1,000 and 20,000 rules, has a core without a network build
the configuration of one client, and prints the microseconds of processor time per entry:

- *first*: of the first request after a change of the rules, for which candidates are looked for anew;
- *anew*: of later requests that bind everything anew, which is what the plugins cost;
- *copied*: of requests that may copy what was bound before.

The cost of *anew* and *copied* must not grow with the number of rules, that of *first* only with the number of patterns
for the tag of the entries: each of these is tried once for each name.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import machine
from tests.support import Site

SIZES = (10, 1_000, 20_000)
#: Entries of the client's bundle, whatever the number of rules.
ENTRIES = 500
#: Requests of which the quickest counts: the others were disturbed by whatever else the machine does.
REQUESTS = 9

METADATA = {
    "Metadata/clients.xml": '<Clients><Client name="client" profile="p"/></Clients>',
    "Metadata/groups.xml": '<Groups><Group name="p" profile="true"><Group name="held"/><Bundle name="b"/></Group>'
    "</Groups>",
}


def names(rules: int) -> list[str]:
    """The names of the client's entries: spread over all rules."""
    return [f"service-{number * rules // ENTRIES:06}" for number in range(ENTRIES)]


def bundle(rules: int) -> str:
    return "<Bundle>" + "".join(f'<Service name="{name}"/>' for name in names(rules)) + "</Bundle>"


def rule(name: str, tag: str = "Service") -> str:
    return f'<{tag} name="{name}" type="systemd" status="on" restart="true"/>'


def document(rules: list[str]) -> str:
    return f'<Rules priority="1">{"".join(rules)}</Rules>'


def by_name(rules: int) -> dict[str, str]:
    exact = [rule(f"service-{number:06}") for number in range(rules)]
    return {"Bundler/b.xml": bundle(rules), "Rules/r.xml": document(exact)}


def in_files(rules: int) -> dict[str, str]:
    """Rules by name in files of at most 100."""
    exact = [rule(f"service-{number:06}") for number in range(rules)]
    files = {f"Rules/{start:06}.xml": document(exact[start : start + 100]) for start in range(0, rules, 100)}
    return {"Bundler/b.xml": bundle(rules), **files}


def by_pattern(rules: int) -> dict[str, str]:
    """Each rule is a pattern for the tag of the entries."""
    patterns = [rule(f"service-{number:06}|other-{number}.*") for number in range(rules)]
    return {"Bundler/b.xml": bundle(rules), "Rules/r.xml": document(patterns)}


def of_other_tags(rules: int) -> dict[str, str]:
    """Rules by name, and as many patterns for a tag that the client has no entries of."""
    exact = [rule(f"service-{number:06}") for number in range(rules)]
    patterns = [rule(f"package-{number}.*", "Package") for number in range(rules)]
    return {"Bundler/b.xml": bundle(rules), "Rules/r.xml": document([*exact, *patterns])}


def bound(rules: int) -> dict[str, str]:
    """The entries stand in the bundle as they are delivered, beside rules that nobody asks for."""
    entries = "".join(rule(name, "BoundService") for name in names(rules))
    return {**by_name(rules), "Bundler/b.xml": f"<Bundle>{entries}</Bundle>"}


def grouped(rules: int) -> dict[str, str]:
    """Two rules for each name, for members of a group and for others; the entries are in conditions, too."""
    held, others = ([rule(f"service-{number:06}") for number in range(rules)] for _ in range(2))
    text = "".join(held)
    negated = "".join(others)
    entries = "".join(f'<Group name="held"><Service name="{name}"/></Group>' for name in names(rules))
    return {
        "Bundler/b.xml": f"<Bundle>{entries}</Bundle>",
        "Rules/r.xml": document(
            [f'<Group name="held">{text}</Group>', f'<Group name="held" negate="true">{negated}</Group>']
        ),
    }


KINDS: dict[str, Callable[[int], dict[str, str]]] = {
    "Rules by name": by_name,
    "the same in files of 100": in_files,
    "with patterns of another tag": of_other_tags,
    "Rules by pattern": by_pattern,
    "grouped": grouped,
    "Bound entries": bound,
}


def requests(site: Site) -> float:
    """Microseconds per entry of one request, the quickest of several."""
    times = []
    for _ in range(REQUESTS):
        begun = time.thread_time()
        configuration = site.config("client")
        times.append(time.thread_time() - begun)
        entries = configuration[0]
        assert len(entries) == ENTRIES and all(entry.get("status") == "on" for entry in entries)
    return 1e6 * min(times) / ENTRIES


def first_request(site: Site) -> float:
    """Microseconds per entry of the first request after a change of the rules, the quickest of several."""
    times = []
    for number in range(3):
        path = min((site.repo / "Rules").glob("*.xml"))
        site.write(f"Rules/{path.name}", f"{path.read_text()}<!-- {number} -->")
        begun = time.thread_time()
        site.config("client")
        times.append(time.thread_time() - begun)
    return 1e6 * min(times) / ENTRIES


def measure(files: dict[str, str]) -> tuple[float, float, float]:
    """Microseconds per entry: of the first request after a change, of later ones that bind anew, and that copy."""
    found = []
    for kept in (0, 1000):
        with tempfile.TemporaryDirectory(prefix="bcfg2-bench-") as folder:
            site = Site(
                Path(folder),
                files,
                "Metadata,Bundler,Rules",
                f"[rules]\nregex = yes\n[caching]\nbound_structures = {kept}\n",
                METADATA,
            )
            site.config("client")
            site.config("client")
            found.append(requests(site))
            if not kept:
                first = first_request(site)
            site.stop()
    return first, *found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.binding", description="What binding costs per entry.")
    parser.add_argument("--limit", type=float, default=2.0, help="how often that of the fewest rules it may cost")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"{machine()}\nmicroseconds per entry, {ENTRIES} entries; in brackets: the ratio to the fewest rules\n")
    print(f"{'rules':>38}" + "".join(f"{size:>20,}" for size in SIZES))
    grown = []
    for kind, files in KINDS.items():
        results = [measure(files(size)) for size in SIZES]
        for what, row in zip(("first", "anew", "copied"), zip(*results, strict=True), strict=True):
            cells = "".join(f"{value:12.2f} ({value / row[0]:5.2f})" for value in row)
            print(f"{kind if what == 'first' else '':30}{what:>8}{cells}", flush=True)
            if what != "first" and row[-1] > arguments.limit * row[0]:
                grown.append(f"{kind}, {what}")
    print("\nthe cost grows with the number of rules: " + ("; ".join(grown) or "nowhere"))
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
