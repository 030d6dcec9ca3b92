"""Cfg in a whole server: options, failures, altsrc."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import Site

BUNDLE = """<Bundle><Path name="/etc/good"/><Path name="/etc/bad" owner="nobody"/><Path name="/etc/nowhere"/>
<Path name="/etc/alias" altsrc="/etc/good"/></Bundle>"""
FILES = {
    "Bundler/base.xml": BUNDLE,
    "Cfg/etc/good/good.genshi": "$name on $metadata.hostname",
    "Cfg/etc/bad/bad.genshi": "${1 / 0}",
}

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """Makes a site and shuts it down after the test."""
    sites: list[Site] = []

    def make(files: dict[str, str | bytes] | None = None, conf: str = "") -> Site:
        sites.append(Site(tmp_path, {**FILES, **(files or {})}, plugins="Metadata,Bundler,Cfg", conf=conf))
        return sites[-1]

    yield make
    for site in sites:
        site.stop()


def test_a_failure_costs_its_entry_only_and_keeps_the_attributes(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site()
    bad = site.entry("Path", "/etc/bad")
    assert (bad.get("owner"), bad.get("type"), bad.text) == ("root", "file", None)
    reason = f"Cfg: Error rendering {site.repo}/Cfg/etc/bad/bad.genshi: ZeroDivisionError: division by zero"
    assert str(bad.get("failure")).startswith(f"bind error: {reason}")
    assert reason in caplog.text
    assert "client.example.com" in caplog.text
    assert site.entry("Path", "/etc/good").text == "/etc/good on client.example.com"
    assert dict(site.entry("Path", "/etc/nowhere").attrib) == {
        "name": "/etc/nowhere",
        "failure": "no matching generator",
    }


def test_an_alternative_source_is_rendered_under_the_true_name(make_site: MakeSite) -> None:
    entry = make_site().entry("Path", "/etc/alias")
    assert entry.text == "/etc/alias on client.example.com"
    assert entry.get("realname") is None


def test_the_options_of_cfg_and_of_file_defaults(make_site: MakeSite) -> None:
    site = make_site(
        {"Cfg/etc/nowhere/nowhere": "refused", "Cfg/etc/nowhere/:test": "#!/bin/sh\nexit 1"},
        conf="[cfg]\nvalidation = no\nhandlers = CfgPlaintextGenerator, CfgExternalCommandVerifier\n"
        "[mdata]\nowner = sysadmin\nmode = 0604\nimportant = true\n",
    )
    entry = site.entry("Path", "/etc/nowhere")
    assert entry.text == "refused"
    assert (entry.get("owner"), entry.get("mode"), entry.get("important")) == ("sysadmin", "0604", "true")
    assert site.entry("Path", "/etc/good").get("failure") == "no matching generator"


OWN = """
from bcfg2.server.plugins.cfg import CfgGenerator

class Reversed(CfgGenerator):
    __extensions__ = ["reversed"]
    __priority__ = 50

    def get_data(self, entry, metadata):
        return self.data[::-1]
"""


def test_a_handler_of_ones_own_is_named_with_its_module(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site_handlers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    site = make_site(
        {"Cfg/etc/nowhere/nowhere.reversed": "abc"}, conf="[cfg]\nhandlers = site_handlers.Reversed, CfgNonsense\n"
    )
    assert site.entry("Path", "/etc/nowhere").text == "cba"


def test_a_changed_default_takes_effect(make_site: MakeSite) -> None:
    site = make_site(conf="[mdata]\nowner = one\n")
    site.core.fam.AddMonitor(site.core.cfile, site.core)  # as a core does that runs
    site.apply()
    assert site.entry("Path", "/etc/good").get("owner") == "one"
    site.conf.write_text(site.conf.read_text().replace("owner = one", "owner = two"))
    site.apply()
    assert site.entry("Path", "/etc/good").get("owner") == "two"
