"""Runs of the released agent against this server: dry, installing, repairing, probing, and with nothing to do."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from tests.conformance.process import Authority, Server, find_commands, free_port
from tests.real.release import RELEASE, Unavailable, released_commands

TEXT = 'Grüße\n<tag> & "quotes"\n'
BYTES = bytes(range(256))

#: A plugin as sites write them: it keeps each upload in a file of its own.
STATISTICS_PLUGIN = """
import os
from lxml import etree
from bcfg2.server.plugin import Statistics


class KeepStatistics(Statistics):
    def process_statistics(self, client, xdata):
        folder = os.environ["STATISTICS_FOLDER"]
        name = "%s-%d.xml" % (client.hostname, len(os.listdir(folder)))
        with open(os.path.join(folder, name), "wb") as stream:
            stream.write(etree.tostring(xdata))
"""

CONFIGURATION = """
[server]
repository = {folder}/repo
plugins = Metadata,Bundler,Cfg,Rules,Probes,site_statistics.KeepStatistics
[logging]
syslog = off
[communication]
protocol = xmlrpc/ssl
password = secret
certificate = {folder}/cert.pem
key = {folder}/key.pem
ca = {folder}/cert.pem
[components]
bcfg2 = https://localhost:{port}
lockfile = {folder}/agent.lock
[client]
drivers = POSIX
"""


class Site:
    """A server of this tree with a small repository, and the released agent; the agent manages files below `target`."""

    def __init__(self, folder: Path, agent: Path, commands: Path) -> None:
        self.folder = folder
        self.agent = agent
        self.target = folder / "target"
        self.uploads = folder / "uploads"
        self.target.mkdir()
        self.uploads.mkdir()
        Authority(folder)
        port = free_port()
        self.configuration = self.write("bcfg2.conf", CONFIGURATION.format(folder=folder, port=port))
        self.write("site_statistics.py", STATISTICS_PLUGIN)
        self._write_repository()
        env = os.environ | {"PYTHONPATH": str(folder), "STATISTICS_FOLDER": str(self.uploads)}
        command = [str(commands / "bcfg2-server"), "-C", str(self.configuration)]
        self.server = Server(command, port, folder, env)

    def _write_repository(self) -> None:
        below = self.target
        self.write("repo/Metadata/clients.xml", '<Clients><Client name="localhost" profile="basic"/></Clients>')
        self.write(
            "repo/Metadata/groups.xml",
            '<Groups><Group name="basic" profile="true" public="true"><Bundle name="files"/></Group></Groups>',
        )
        self.write(
            "repo/Bundler/files.xml",
            f'<Bundle><Path name="{below}/etc/motd"/><Path name="{below}/etc/bytes"/>'
            f'<Path name="{below}/srv"/><Path name="{below}/link"/></Bundle>',
        )
        self.write(
            "repo/Rules/rules.xml",
            f'<Rules priority="1"><Path name="{below}/srv" type="directory" owner="root" group="root" mode="0750"/>'
            f'<Path name="{below}/link" type="symlink" to="{below}/etc/motd"/></Rules>',
        )
        self.write(f"repo/Cfg{below}/etc/motd/motd", TEXT)
        self.write(f"repo/Cfg{below}/etc/bytes/bytes", BYTES)
        self.write(f"repo/Cfg{below}/etc/bytes/info.xml", '<FileInfo><Info encoding="base64" mode="0600"/></FileInfo>')

    def write(self, relative: str, content: str | bytes) -> Path:
        path = self.folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def restart(self) -> None:
        self.server.stop()
        self.server.start()

    def run_agent(self, *options: str) -> etree._Element:
        """One run of the agent, which has to end well; the statistics that it uploaded."""
        before = set(self.uploads.iterdir())
        done = subprocess.run(
            [self.agent / "bcfg2", "-C", self.configuration, "-v", *options],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        output = f"{done.stdout}{done.stderr}{self.server.log_tail()}"
        assert done.returncode == 0, output
        new = set(self.uploads.iterdir()) - before
        assert len(new) == 1, f"{len(new)} uploads of statistics\n{output}"
        (statistics,) = etree.parse(new.pop()).getroot().findall("Statistics")
        return statistics


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    try:
        agent = released_commands()
    except Unavailable as reason:
        pytest.skip(f"THE RELEASED AGENT IS NOT TESTED: {reason}")
    site = Site(tmp_path, agent, find_commands(tmp_path / "commands"))
    try:
        site.server.start()
        yield site
        site.server.stop()
    finally:
        site.server.kill()


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
    assert clients.find("Client[@name='localhost']").get("version") == RELEASE
