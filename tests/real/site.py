"""A server with a small repository, and an agent that is run against it; each the released one or that of this tree."""

import os
import subprocess
from pathlib import Path

from lxml import etree

from bcfg2.version import __version__
from tests.conformance.process import Authority, Server, free_port
from tests.real.release import FOLDER, RELEASE

ROOT = Path(__file__).resolve().parents[2]

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
    """A server with a small repository, and an agent that manages files below `target`.

    AGENT and COMMANDS: the folders of the commands ``bcfg2`` and ``bcfg2-server``.  RELEASED_SERVER: the server is the
    released one, which does not know the plugin for statistics.
    """

    def __init__(self, folder: Path, agent: Path, commands: Path, *, released_server: bool = False) -> None:
        self.folder = folder
        self.agent = agent
        self.agent_version = RELEASE if agent == FOLDER / "bin" else __version__
        self.target = folder / "target"
        self.uploads = folder / "uploads"
        self.target.mkdir()
        self.uploads.mkdir()
        self.authority = Authority(folder)
        port = free_port()
        configuration = CONFIGURATION.format(folder=folder, port=port)
        if released_server:
            configuration = configuration.replace(",site_statistics.KeepStatistics", "")
        self.configuration = self.write("bcfg2.conf", configuration)
        self.write("site_statistics.py", STATISTICS_PLUGIN)
        self._write_repository()
        self.port = port
        env = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "STATISTICS_FOLDER": str(self.uploads)}
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
            f'<Bundle name="files"><Path name="{below}/etc/motd"/><Path name="{below}/etc/bytes"/>'
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

    def run_agent(self, *options: str, configuration: Path | None = None) -> etree._Element:
        """One run of the agent, which has to end well; the statistics that it uploaded."""
        before = set(self.uploads.iterdir())
        done = self._run(configuration or self.configuration, *options)
        output = f"{done.stdout}{done.stderr}{self.server.log_tail()}"
        assert done.returncode == 0, output
        new = set(self.uploads.iterdir()) - before
        assert len(new) == 1, f"{len(new)} uploads of statistics\n{output}"
        (statistics,) = etree.parse(new.pop()).getroot().findall("Statistics")
        return statistics

    def refused_agent(self, *options: str, configuration: Path | None = None) -> str:
        """One run of the agent, which the server has to turn away; what the server says about that."""
        before, known = set(self.uploads.iterdir()), len(self.server.log.read_text())
        done = self._run(configuration or self.configuration, *options)
        said = self.server.log.read_text()[known:]
        assert done.returncode != 0, f"{done.stdout}{done.stderr}{said}"
        assert set(self.uploads.iterdir()) == before
        return said

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """One run of the agent, however it ends."""
        return self._run(self.configuration, *options)

    def _run(self, configuration: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command = [self.agent / "bcfg2", "-C", configuration, "-v", *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)
