"""Runs of the agent over a configuration document, without a server and with a tool that changes nothing real."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from lxml import etree

from bcfg2.client.configuration import Configuration, parse
from bcfg2.client.options import OPTIONS
from bcfg2.client.tools.base import Context, InstallError, Tool
from bcfg2.options import OptionParser, Options


def options(*words: str, conf: str = "", folder: Path | None = None) -> Options:
    """The options of the agent for the command line WORDS and a settings file that holds CONF."""
    path = "/nonexistent/bcfg2.conf"
    if folder is not None:
        (folder / "bcfg2.conf").write_text(conf)
        path = str(folder / "bcfg2.conf")
    return OptionParser("bcfg2", "", OPTIONS).parse(["-C", path, *words])


def configuration(body: str) -> Configuration:
    """The configuration that holds BODY."""
    return parse(f'<Configuration version="2.0" revision="1">{body}</Configuration>', "the test")


def context(body: str, *words: str, **further: Any) -> Context:
    """What a run with WORDS hands to a tool."""
    return Context(options(*words), configuration(body), **further)


class Box(Tool):
    """A tool for tests: `<Box name want>` asks for a value under its name in `machine`.

    ``refuse`` makes installation fail, ``spoils`` names a box that it empties, ``crash`` raises in the step it names.
    `log` has what was done.
    """

    handles = (("Box", None),)
    required = {("Box", None): ("name", "want")}
    reported_if_wrong = {"want": "current_want"}
    machine: ClassVar[dict[str, str]] = {}
    log: ClassVar[list[str]] = []

    def expected_state(self, entry: etree._Element) -> dict[str, Any]:
        if entry.get("crash") == "verify":
            raise RuntimeError("crash")
        return {"want": entry.get("want")}

    def actual_state(self, entry: etree._Element) -> dict[str, Any] | None:
        found = self.machine.get(entry.get("name", ""))
        return None if found is None else {"want": found}

    def find_extra(self) -> list[etree._Element]:
        return self.extra_elements("Box", [(name, {}) for name in sorted(self.machine)])

    def fix(self, entry: etree._Element, difference: Any) -> None:
        if entry.get("crash") == "fix":
            raise RuntimeError("crash")
        if entry.get("refuse"):
            raise InstallError("refused")
        self.log.append(f"install {entry.get('name')}")
        self.machine[entry.get("name", "")] = entry.get("want", "")
        self.machine.pop(entry.get("spoils", ""), None)

    def bundle_updated(self, bundle: etree._Element) -> dict[etree._Element, bool]:
        self.log.append(f"updated {bundle.get('name')}")
        return {}

    def bundle_not_updated(self, bundle: etree._Element) -> dict[etree._Element, bool]:
        self.log.append(f"not updated {bundle.get('name')}")
        return {}

    def remove(self, entries: Sequence[etree._Element]) -> None:
        for entry in entries:
            self.log.append(f"remove {entry.get('name')}")
            del self.machine[entry.get("name", "")]
        self.extra = self.find_extra()
