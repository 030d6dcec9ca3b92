"""The statistics that a run hands in."""

import time
from collections.abc import Iterable
from copy import deepcopy

from lxml import etree

from bcfg2.client.configuration import Configuration
from bcfg2.client.states import States
from bcfg2.options import Options
from bcfg2.xml import Element, attributes, is_element, is_true, tostring


class Stamps:
    """When the stages of a run ended, in seconds since the epoch."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {"start": time.time()}

    def stamp(self, stage: str) -> None:
        """Note that STAGE has ended."""
        self.times[stage] = time.time()


def reported(entries: Iterable[Element], options: Options) -> list[Element]:
    """Those of ENTRIES that count: all, or with ``-i`` those that say themselves that they are important."""
    return [entry for entry in entries if not options.only_important or is_true(entry.get("important"))]


def statistics(configuration: Configuration, states: States, stamps: Stamps, options: Options) -> str:
    """The document that tells how the run went."""
    good, bad = reported(states.good, options), reported(states.bad, options)
    root = etree.Element("upload-statistics")
    body = etree.SubElement(
        root,
        "Statistics",
        {
            "total": str(len(good) + len(bad)),
            "good": str(len(good)),
            "version": "2.0",
            "revision": configuration.revision,
            "state": "dirty" if bad else "clean",
        },
    )
    flags = etree.SubElement(body, "Flags")
    for name in ("dry_run", "only_important"):
        etree.SubElement(flags, "Flag", {"name": name, "value": str(getattr(options, name))})
    for part, entries in (("Modified", states.modified), ("Extra", states.extra), ("Good", good), ("Bad", bad)):
        etree.SubElement(body, part).extend(_without_text(entry) for entry in entries)
    etree.SubElement(body, "OpStamps", {stage: f"{moment:.6f}" for stage, moment in stamps.times.items()})
    return tostring(root)


def _without_text(entry: Element) -> Element:
    """A copy of ENTRY with its children, without its content."""
    copy = etree.Element(entry.tag, attributes(entry))
    for child in entry:
        if is_element(child):
            kept = deepcopy(child)
            kept.tail = None
            copy.append(kept)
    return copy
