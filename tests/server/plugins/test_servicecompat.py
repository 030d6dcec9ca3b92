"""ServiceCompat: old clients get restart and install as one word."""

import logging
from pathlib import Path

import pytest

from tests.support import Site


def services(tmp_path: Path, *lines: str, version: str | None = None) -> Site:
    bundle = f"<Bundle>{''.join(lines)}</Bundle>"
    site = Site(tmp_path, {"Bundler/base.xml": bundle}, "Metadata,Bundler,ServiceCompat,Defaults")
    if version is not None:
        with site.core.request():
            site.core.DeclareVersion(("127.0.0.2", 1), version)
    return site


def inexact(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "bcfg2.ServiceCompat"]


@pytest.mark.builds_once
@pytest.mark.parametrize(
    ("attributes", "mode", "exact"),
    [
        ("", "default", True),
        ('restart="TRUE" install="True"', "default", True),
        ('restart="Interactive"', "interactive_only", True),
        ('restart="false" install="FALSE"', "manual", True),
        ('restart="false"', "manual", False),
        ('install="false"', "manual", False),
        ('restart="interactive" install="false"', "manual", False),
        ('restart="maybe"', "manual", False),
        ('mode="supervised"', "default", True),
    ],
)
def test_an_old_client_gets_a_mode(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, attributes: str, mode: str, exact: bool
) -> None:
    caplog.set_level(logging.INFO)
    site = services(tmp_path, f'<BoundService name="s" {attributes}/>')
    assert site.entry("Service", "s").get("mode") == mode
    assert len(inexact(caplog)) == (0 if exact else 1)


def test_services_at_any_depth_and_those_that_failed_get_one(tmp_path: Path) -> None:
    site = services(tmp_path, '<Service name="f"/>', '<BoundPath name="/p"><Service name="deep"/></BoundPath>')
    assert site.entry("Service", "f").get("mode") == "default"
    assert site.entry("Service", "deep").get("mode") == "default"


@pytest.mark.builds_once
def test_what_has_no_equal_is_one_line_that_names_client_and_services(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    services(tmp_path, '<BoundService name="a" restart="false"/>', '<BoundService name="b" install="false"/>').config()
    [line] = inexact(caplog)
    assert line.startswith("client.example.com ") and line.endswith(": a, b")


@pytest.mark.parametrize(("version", "mode"), [("1.2.99", "default"), ("nonsense", "default"), ("1.3.0pre1", None)])
def test_the_declared_version_decides(tmp_path: Path, version: str, mode: str | None) -> None:
    site = services(tmp_path, '<BoundService name="s"/>', version=version)
    assert site.entry("Service", "s").get("mode") == mode


def test_attributes_from_defaults_count(tmp_path: Path) -> None:
    site = services(tmp_path, '<BoundService name="s"/>')
    site.write("Defaults/d.xml", '<Defaults priority="0"><Service name=".*" restart="interactive"/></Defaults>')
    assert site.entry("Service", "s").get("mode") == "interactive_only"
