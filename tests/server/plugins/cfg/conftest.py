"""A Cfg plugin over a small core, to which files are given by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from bcfg2.options.components import find_in
from bcfg2.server.plugin import default_file_attributes
from bcfg2.server.plugin.entryset import MDATA_OPTIONS
from bcfg2.server.plugins.cfg import Cfg, CfgHandler
from bcfg2.xml import Element
from tests.server.plugin.small_core import Client, SmallCore

HANDLERS: list[type[CfgHandler]] = [
    find_in("bcfg2.server.plugins.cfg")(name)
    for name in (
        "CfgCheetahGenerator",
        "CfgEncryptedCheetahGenerator",
        "CfgEncryptedGenerator",
        "CfgEncryptedGenshiGenerator",
        "CfgEncryptedJinja2Generator",
        "CfgExternalCommandVerifier",
        "CfgGenshiGenerator",
        "CfgInfoXML",
        "CfgJinja2Generator",
        "CfgPlaintextGenerator",
    )
]


class Bench:
    """A Cfg plugin.  Paths of files are relative to its folder."""

    def __init__(self, core: SmallCore) -> None:
        self.core = core
        self.cfg: Cfg = core.make(Cfg, core)

    def path(self, name: str) -> str:
        """The full path of a file."""
        return self.core.path(f"Cfg/{name}")

    def change(self, files: dict[str, str | bytes]) -> None:
        """Write FILES as one batch."""
        self.core.change({f"Cfg/{name}": content for name, content in files.items()})

    def delete(self, name: str) -> None:
        self.core.delete(f"Cfg/{name}")

    def move(self, name: str, to: str) -> None:
        self.core.move(f"Cfg/{name}", f"Cfg/{to}")

    def listed(self) -> list[str]:
        """The paths that the plugin claims."""
        return sorted(self.cfg.Entries.get("Path", {}))

    def bind(self, name: str, client: Client | None = None, **attributes: str) -> Element:
        """The entry for the path NAME, bound for CLIENT."""
        entry = etree.Element("Path", {"name": name, **attributes})
        self.cfg.Entries["Path"][name](entry, client or Client())
        return entry

    def text(self, name: str, client: Client | None = None) -> Any:
        """The text of the entry for the path NAME."""
        return self.bind(name, client).text


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path) -> MakeBench:
    """Makes a plugin over FILES; HANDLERS are known besides ours, OPTIONS replace or are added to the usual ones."""

    def make(files: dict[str, str | bytes], handlers: list[type[CfgHandler]] | None = None, **options: Any) -> Bench:
        defaults = {option.dest: option.default for option in MDATA_OPTIONS}
        known = (*HANDLERS, *(handlers or ()))
        core = SmallCore(
            tmp_path,
            **{**defaults, "cfg_handlers": known, "cfg_validation": True, "cfg_slow_template": 10.0, **options},
        )
        core.write({f"Cfg/{name}": content for name, content in files.items()})
        return Bench(core)

    return make


@pytest.fixture
def defaults(bench: MakeBench) -> dict[str, str]:
    """The attributes that every file has."""
    return {**default_file_attributes(bench({}).core.options), "type": "file"}
