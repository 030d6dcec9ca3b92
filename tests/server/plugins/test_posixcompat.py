"""POSIXCompat: old clients get modes as perms."""

from pathlib import Path

import pytest

from bcfg2.xml import tostring
from tests.support import Site

BUNDLE = """<Bundle>
  <BoundPath name="/d" mode="0755" perms="0000"/>
  <BoundPath name="/l" to="/x"/>
  <BoundPath name="/n"><Path name="inner" mode="1"/></BoundPath>
  <BoundAction name="a" mode="x"/>
  <Path name="/unbound" mode="0600"/>
</Bundle>"""


def declared(tmp_path: Path, version: str | None) -> Site:
    site = Site(tmp_path, {"Bundler/base.xml": BUNDLE}, "Metadata,Bundler,POSIXCompat,Defaults")
    if version is not None:
        with site.core.request():
            site.core.DeclareVersion(("127.0.0.2", 1), version)
    return site


@pytest.mark.parametrize("version", [None, "nonsense", "1.2.4", "1.2.99rc3", "1.3"])
def test_an_old_or_unknown_client_gets_perms(tmp_path: Path, version: str | None) -> None:
    site = declared(tmp_path, version)
    assert site.entry("Path", "/d").get("perms") == "0755"
    assert site.entry("Path", "/unbound").get("perms") == "0600"
    assert site.entry("Action", "a").get("perms") is None
    assert tostring(site.entry("Path", "/l")) == '<Path name="/l" to="/x"/>'
    assert tostring(site.entry("Path", "/n")) == '<Path name="/n"><Path name="inner" mode="1"/></Path>'


@pytest.mark.parametrize("version", ["1.3.0pre1", "1.3.0rc2", "1.3.0", "1.4.0pre2", "1.10.0"])
def test_a_client_since_1_3_0_does_not(tmp_path: Path, version: str) -> None:
    site = declared(tmp_path, version)
    assert site.entry("Path", "/d").get("perms") == "0000"
    assert site.entry("Path", "/unbound").get("perms") is None


def test_modes_from_defaults_count(tmp_path: Path) -> None:
    site = declared(tmp_path, None)
    site.write("Defaults/d.xml", '<Defaults priority="0"><Path name="/l" mode="0711"/></Defaults>')
    assert site.entry("Path", "/l").get("perms") == "0711"


def test_it_needs_no_folder(tmp_path: Path) -> None:
    declared(tmp_path, None)
    assert not (tmp_path / "repo/POSIXCompat").exists()
