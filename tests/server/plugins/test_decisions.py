"""White and black lists."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import Site

METADATA = {
    "Metadata/clients.xml": "<Clients>"
    '<Client name="web1" profile="web" address="127.0.0.61"/><Client name="db1" profile="db" address="127.0.0.62"/>'
    "</Clients>",
    "Metadata/groups.xml": '<Groups><Group name="web" profile="true"><Group name="debian"/></Group>'
    '<Group name="db" profile="true"/></Groups>',
}
WHITE = """<Decisions>
  <!-- always -->
  <Group name="debian">
    <Decision type="Path" name="/etc/apt/*"/>
    <Group name="frozen" negate="true"><Decision type="*" name="*"/></Group>
  </Group>
  <Decision type="Service" name="cron"/>
  <Client name="db1"><Decisions><Decision type="Action" name="vacuum"/></Decisions></Client>
  <Decisions><Decision type="Path" name="/etc/motd"/></Decisions>
</Decisions>
"""


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """Makes a site and shuts it down after the test."""
    sites: list[Site] = []

    def make(**files: str) -> Site:
        named = {f"Decisions/{name}.xml": text for name, text in files.items()}
        sites.append(Site(tmp_path, {**METADATA, **named}, plugins="Metadata,Decisions"))
        return sites[-1]

    yield make
    for site in sites:
        site.stop()


def listed(site: Site, host: str, mode: str = "whitelist") -> list[tuple[str, str]]:
    with site.core.request():
        return site.core.GetDecisions(site.core.build_metadata(host), mode)


def test_what_is_unconditional_comes_first_then_what_conditions_give(make_site: MakeSite) -> None:
    site = make_site(whitelist=WHITE)
    assert listed(site, "web1") == [
        ("Service", "cron"),
        ("Path", "/etc/motd"),
        ("Path", "/etc/apt/*"),
        ("*", "*"),
    ]
    assert listed(site, "db1") == [("Service", "cron"), ("Path", "/etc/motd"), ("Action", "vacuum")]


def test_a_list_can_be_changed_by_who_gets_it(make_site: MakeSite) -> None:
    site = make_site(whitelist=WHITE)
    listed(site, "web1").clear()
    assert len(listed(site, "web1")) == 4


def test_a_missing_file_is_an_empty_list_until_it_appears_and_again_when_it_is_gone(make_site: MakeSite) -> None:
    site = make_site()
    assert listed(site, "web1", "blacklist") == []
    site.write("Decisions/blacklist.xml", '<Decisions><Decision type="Package" name="kernel"/></Decisions>')
    assert listed(site, "web1", "blacklist") == [("Package", "kernel")]
    assert listed(site, "web1") == []
    site.delete("Decisions/blacklist.xml")
    assert listed(site, "web1", "blacklist") == []


@pytest.mark.parametrize("mode", ["greylist", "", "Whitelist", "../whitelist", "__class__"])
def test_an_unknown_mode_is_an_error_line_and_an_empty_list(
    make_site: MakeSite, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(whitelist=WHITE)
    caplog.clear()
    assert listed(site, "web1", mode) == []
    assert [(record.levelno, repr(mode) in record.getMessage()) for record in caplog.records] == [(logging.ERROR, True)]


def test_a_template_is_rendered_for_the_client(make_site: MakeSite) -> None:
    site = make_site(
        blacklist="<Decisions xmlns:py=\"http://genshi.edgewall.org/\"><py:for each=\"pkg in ('kernel', 'glibc')\">"
        '<Decision type="Package" name="${pkg}-${metadata.profile}"/></py:for></Decisions>',
    )
    assert listed(site, "db1", "blacklist") == [("Package", "kernel-db"), ("Package", "glibc-db")]
    assert listed(site, "web1", "blacklist") == [("Package", "kernel-web"), ("Package", "glibc-web")]


def test_a_template_that_fails_is_an_error_line_and_an_empty_list(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(
        whitelist='<Decisions xmlns:py="http://genshi.edgewall.org/">'
        '<Decision type="Path" name="${1 / 0}"/></Decisions>',
    )
    assert listed(site, "web1") == []
    assert "whitelist.xml" in caplog.text
    assert "web1" in caplog.text


def test_a_file_that_is_broken_leaves_the_list_from_before_in_force(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(whitelist='<Decisions><Decision type="Path" name="/a"/></Decisions>')
    site.write("Decisions/whitelist.xml", '<Decisions><Decision type="Path"')
    assert listed(site, "web1") == [("Path", "/a")]
    assert "whitelist.xml" in caplog.text
    site.write("Decisions/whitelist.xml", '<Decisions xmlns:py="http://genshi.edgewall.org/"/>')
    assert listed(site, "web1") == []


def test_a_decision_without_type_or_name_costs_itself_only(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(
        whitelist='<Decisions>\n<Decision type="Path"/>\n<Decision name="x"/>'
        '<Decision type="Path" name="/a"/></Decisions>',
    )
    caplog.clear()
    for _ in range(3):
        assert listed(site, "web1") == [("Path", "/a")]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2  # told once, not at each request
    assert "whitelist.xml:2:" in messages[0]
    assert "whitelist.xml:3:" in messages[1]
