"""A machine for the agent that is only a folder: the demonstration lets the real agent look after it.

In the copy of the example site a client of its own has a bundle of paths in that folder; files are bound from the same
sources as those of the other clients (``altsrc``).
"""

import grp
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

HOST = "folder.example.com"
#: The agent calls from the loopback interface's own address.
ADDRESS = "127.0.0.1"

_BUNDLE = """<!-- What the demonstration has the real agent look after. -->
<Bundle>
  <BoundPath name="{root}/etc" type="directory" owner="{owner}" group="{group}" mode="0755"/>
  <Path name="{root}/etc/motd" altsrc="/etc/motd"/>
  <Path name="{root}/etc/cron.allow" altsrc="/etc/cron.allow"/>
  <BoundPath name="{root}/etc/issue" type="symlink" to="motd"/>
  <BoundAction name="note" command="date &gt;&gt; {root}/changes" shell="true" timing="post" when="modified"
               status="check"/>
</Bundle>
"""
_CONFIG = """[client]
drivers = POSIX,Action
[components]
bcfg2 = {url}
lockfile = {folder}/agent.lock
[communication]
user = root
password = {password}
ca = {certificate}
[logging]
syslog = no
"""


class AgentError(Exception):
    """The agent did not do what it should; the text has what it said."""


class Machine:
    """The machine in FOLDER, an absolute path."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "machine"
        self._folder = folder
        self._config = folder / "agent.conf"

    def join(self, repository: Path, url: str, password: str, certificate: Path) -> None:
        """Make the machine a client of the site in REPOSITORY, with a bundle, and write the agent's settings."""
        self.root.mkdir()
        owner, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
        bundle = _BUNDLE.format(root=self.root, owner=owner, group=group)
        (repository / "Bundler/machine.xml").write_text(bundle)
        _insert(repository / "Metadata/clients.xml", f'<Client name="{HOST}" profile="folder" address="{ADDRESS}"/>')
        _insert(
            repository / "Metadata/groups.xml", '<Group name="folder" profile="true"><Bundle name="machine"/></Group>'
        )
        self._config.touch(mode=0o600)
        self._config.write_text(
            _CONFIG.format(url=url, folder=self._folder, password=password, certificate=certificate)
        )

    def run_agent(self, *options: str) -> Any:
        """One run of the agent; its report, as ``--json`` gives it."""
        command = [sys.executable, "-m", "bcfg2.bcfg2_client", "-C", str(self._config), "--json", *options]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AgentError(f"the agent ended with exit status {done.returncode}:\n{done.stderr}")
        return json.loads(done.stdout)


def _insert(path: Path, element: str) -> None:
    """Put ELEMENT at the end of the root element of the file PATH."""
    text = path.read_text()
    end = text.rindex("</")
    path.write_text(f"{text[:end]}  {element}\n{text[end:]}")
