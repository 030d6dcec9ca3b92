"""A site whose plugins are in the folder ``site``, which knows the old names only."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bcfg2.server.plugins
from bcfg2.options import OptionParser
from bcfg2.options.common import BASE_OPTIONS
from bcfg2.server.core import NetworkCore
from tests.support import Site

HERE = Path(__file__).parent / "site"


class NetworkSite(Site):
    """A site whose core dispatches calls."""

    def start(self) -> NetworkCore:
        parser = OptionParser("test", "A core without a socket.", BASE_OPTIONS, components=[NetworkCore])
        self.core: Any = NetworkCore(parser.parse(["-C", str(self.conf)]), parser.reread)
        self.core.load_plugins()
        self.core.block_for_fam_events(handle_events=True)
        self.core._start_plugin_threads()
        return self.core

    def call(self, method: str, *arguments: Any, address: tuple[str, int] = ("127.0.0.2", 1)) -> Any:
        """What a client at ADDRESS gets for calling METHOD, if it may; PermissionError if not."""
        if not self.core.check_acls(address, method):
            raise PermissionError(method)
        return self.core.dispatch(method, arguments, address)


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
