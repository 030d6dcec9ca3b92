"""What ``expirecache`` asks the server for."""

from pathlib import Path
from typing import Any

import pytest

from bcfg2.options import OptionParser
from bcfg2.rpc import Proxy
from bcfg2.server.admin import commands
from bcfg2.server.admin.expirecache import Expirecache


@pytest.mark.parametrize(
    ("hosts", "arguments"), [([], ()), (["www1", "WWW2.example.com"], (["www1", "www2.example.com"],))]
)
def test_the_named_hosts_are_forgotten_or_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hosts: list[str], arguments: tuple[Any, ...]
) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(Proxy, "call", lambda self, *call: calls.append(call))
    parser = OptionParser("bcfg2-admin", "", [], commands=commands())
    assert Expirecache().run(parser.parse(["-C", str(tmp_path / "none"), "expirecache", *hosts])) == 0
    assert calls == [("expire_metadata_cache", *arguments)]
