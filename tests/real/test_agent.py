"""Runs of both agents against this server: dry, installing, repairing, probing, and with nothing to do."""

import os
import stat
from pathlib import Path

from lxml import etree

from tests.real.site import BYTES, TEXT, Site


def names(statistics: etree._Element, kind: str) -> set[str]:
    """The last parts of the names of the entries in the section KIND."""
    return {Path(entry.get("name", "")).name for entry in statistics.iterfind(f"{kind}/*")}


def test_a_dry_run_changes_nothing_and_reports_what_is_wrong(site: Site) -> None:
    statistics = site.run_agent("-n")

    assert list(site.target.iterdir()) == []
    assert (statistics.get("total"), statistics.get("good"), statistics.get("state")) == ("4", "0", "dirty")
    assert names(statistics, "Bad") == {"motd", "bytes", "srv", "link"}
    assert names(statistics, "Modified") == set()


def test_a_run_installs_files_directories_and_links(site: Site) -> None:
    statistics = site.run_agent()

    motd, binary, directory = site.target / "etc" / "motd", site.target / "etc" / "bytes", site.target / "srv"
    assert motd.read_text("utf-8") == TEXT
    assert binary.read_bytes() == BYTES
    assert [stat.S_IMODE(path.stat().st_mode) for path in (motd, binary, directory)] == [0o644, 0o600, 0o750]
    assert directory.is_dir()
    assert os.readlink(site.target / "link") == str(motd)
    assert (statistics.get("total"), statistics.get("good"), statistics.get("state")) == ("4", "4", "clean")
    assert names(statistics, "Modified") == {"motd", "bytes", "srv", "link"}
    assert names(statistics, "Bad") == set()


def test_a_run_after_that_finds_everything_good(site: Site) -> None:
    site.run_agent()

    statistics = site.run_agent()

    assert (statistics.get("total"), statistics.get("good"), statistics.get("state")) == ("4", "4", "clean")
    assert names(statistics, "Modified") == names(statistics, "Bad") == set()


def test_what_was_changed_by_hand_is_repaired(site: Site) -> None:
    site.run_agent()
    (site.target / "etc" / "motd").write_text("tampered")
    (site.target / "srv").chmod(0o777)

    statistics = site.run_agent()

    assert (site.target / "etc" / "motd").read_text("utf-8") == TEXT
    assert stat.S_IMODE((site.target / "srv").stat().st_mode) == 0o750
    assert names(statistics, "Modified") == {"motd", "srv"}


def test_an_entry_that_cannot_be_bound_is_bad_and_costs_no_other(site: Site) -> None:
    (site.folder / f"repo/Cfg{site.target}/etc/motd/motd").unlink()
    site.restart()

    statistics = site.run_agent()

    assert names(statistics, "Bad") == {"motd"}
    assert names(statistics, "Modified") == {"bytes", "srv", "link"}
    assert statistics.find("Bad/Path").get("failure")


def test_the_result_of_a_probe_counts_in_the_same_run(site: Site) -> None:
    site.write("repo/Probes/kernel", "#!/bin/sh\necho group:probed\nuname -s\n")
    site.write(
        "repo/Metadata/groups.xml",
        '<Groups><Group name="basic" profile="true" public="true"/>'
        '<Group name="probed"><Bundle name="files"/></Group></Groups>',
    )
    (site.folder / f"repo/Cfg{site.target}/etc/motd/motd").unlink()
    site.write(
        f"repo/Cfg{site.target}/etc/motd/motd.genshi", "${metadata.Probes['kernel'].strip()} on ${metadata.hostname}\n"
    )
    site.restart()

    statistics = site.run_agent()

    assert (site.target / "etc" / "motd").read_text() == "Linux on localhost\n"
    assert statistics.get("good") == "4"


def test_the_server_keeps_the_version_that_the_agent_declares(site: Site) -> None:
    site.run_agent()

    clients = etree.parse(site.folder / "repo/Metadata/clients.xml")
    assert clients.find("Client[@name='localhost']").get("version") == site.agent_version
