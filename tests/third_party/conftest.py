"""A site whose plugins are in the folder ``site``, which knows the old names only."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bcfg2.server.plugins
from tests.support import NetworkSite

HERE = Path(__file__).parent / "site"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., NetworkSite]]:
    """Makes a site from its plugins (``module.Class`` or plain names), its files and its configuration."""
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setattr(bcfg2.server.plugins, "__path__", [*bcfg2.server.plugins.__path__, str(HERE / "plain")])
    for name in ("site_roles", "site_files", "bcfg2.server.plugins.Greeter"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    made: list[NetworkSite] = []

    def make(plugins: str, files: dict[str, str] | None = None, conf: str = "") -> NetworkSite:
        made.append(NetworkSite(tmp_path, files, plugins, conf))
        return made[-1]

    yield make
    for item in made:
        item.stop()
