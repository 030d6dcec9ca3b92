"""A repository of a small site, and bcfg2-info over it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bcfg2 import bcfg2_info
from tests.support import write_files

FILES = {
    "Metadata/clients.xml": """<Clients>
  <Client name="WWW1.example.com" profile="web"><Alias name="www.example.com"/></Client>
  <Client name="www2.example.com" profile="web"/>
  <Client name="db1.example.com" profile="db"/>
</Clients>
""",
    "Metadata/groups.xml": """<Groups>
  <Group name="web" profile="true" default="true" category="role">
    <Bundle name="nginx"/><Bundle name="base"/><Group name="linux"/>
  </Group>
  <Group name="db" profile="true" category="role"><Bundle name="base"/><Group name="linux"/></Group>
  <Group name="linux"/>
</Groups>
""",
    "Bundler/base.xml": '<Bundle><Path name="/etc/motd"/><Service name="sshd"/></Bundle>\n',
    "Bundler/nginx.xml": """<Bundle xmlns:py="http://genshi.edgewall.org/">
  <Path name="/etc/nginx.conf"/>
  <BoundPath name="/srv/www" type="directory" mode="0755"/>
  <Client name="www2.example.com"><Package name="nginx-${metadata.hostname[:4]}"/></Client>
</Bundle>
""",
    "Cfg/etc/motd/motd": "Größe\n",
    "Cfg/etc/motd/motd.H_db1.example.com": "db\n",
    "Cfg/etc/nginx.conf/nginx.conf": "user nginx;\n",
    "Rules/services.xml": '<Rules priority="1"><Service name="sshd" status="on" type="systemd"/></Rules>\n',
}
PLUGINS = "Metadata,Bundler,Cfg,Rules"

Run = Callable[..., tuple[int, str, str]]


class Place:
    """A folder with the repository `repo` and bcfg2.conf."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repo = folder / "repo"
        write_files(self.repo, FILES)
        self.configure()

    def configure(self, plugins: str = PLUGINS, more: str = "") -> None:
        """Have PLUGINS loaded; MORE is further text of the configuration file."""
        text = f"[server]\nrepository = {self.repo}\nplugins = {plugins}\n[communication]\npassword = topsecret\n{more}"
        conf = self.folder / "bcfg2.conf"
        conf.write_text(text)
        conf.chmod(0o600)

    def files(self) -> dict[str, bytes | None]:
        """All that is in the repository: path -> content, None for a folder."""
        return {
            str(path.relative_to(self.repo)): path.read_bytes() if path.is_file() else None
            for path in self.repo.rglob("*")
        }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """The repository of the site."""
    return Place(tmp_path)


@pytest.fixture
def info(place: Place, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``bcfg2-info WORDS``, which must not change the repository: (exit status, stdout, stderr)."""

    def run(*words: str) -> tuple[int, str, str]:
        before = place.files()
        status = bcfg2_info.main(["-C", str(place.folder / "bcfg2.conf"), *words])
        assert place.files() == before
        return status, *capsys.readouterr()

    return run
