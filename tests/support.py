"""What many tests need: a repository, and a core over it."""

import base64
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bcfg2.options import OptionParser
from bcfg2.options.common import BASE_OPTIONS
from bcfg2.server.core import Core, NetworkCore
from bcfg2.xml import Element, parse_string

#: Enough metadata for one client, ``client.example.com``, of one profile, ``basic``, with one bundle, ``base``.
METADATA = {
    "Metadata/clients.xml": """<Clients>
  <Client name="client.example.com" profile="basic" address="127.0.0.2"/>
</Clients>
""",
    "Metadata/groups.xml": """<Groups>
  <Group name="basic" profile="true" public="true"><Bundle name="base"/></Group>
</Groups>
""",
}


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write FILES, relative path -> content, below FOLDER."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


#: With BCFG2_TEST_VERIFY=1 in the environment each configuration is built twice, with what is kept and without.
VERIFY = "[caching]\nverify = yes\n" if os.environ.get("BCFG2_TEST_VERIFY") else ""


class Site:
    """A repository in TMP_PATH, and a core without a network over it.

    FILES are added to, or replace, those of METADATA.  PLUGINS is the option ``plugins``, CONF further text of
    the configuration file.  Changes made through the methods below are applied at once, as one batch of file events.
    """

    def __init__(
        self,
        tmp_path: Path,
        files: Mapping[str, str | bytes] | None = None,
        plugins: str = "Metadata,Bundler",
        conf: str = "",
        metadata: Mapping[str, str] = METADATA,
    ) -> None:
        self.repo = tmp_path / "repo"
        self.repo.mkdir(exist_ok=True)
        write_files(self.repo, {**metadata, **(files or {})})
        self.conf = tmp_path / "bcfg2.conf"
        self.conf.write_text(
            f"[server]\nrepository = {self.repo}\nplugins = {plugins}\nfilemonitor = pseudo\n"
            f"{VERIFY}[communication]\npassword = secret\n{conf}\n"
        )
        self.core = self.start()

    def start(self) -> Core:
        """A new core over the repository as it is now."""
        parser = OptionParser("test", "A core without a network.", BASE_OPTIONS, components=[Core])
        self.core = Core(parser.parse(["-C", str(self.conf)]), parser.reread)
        self.core.load_plugins()
        self.core.block_for_fam_events(handle_events=True)
        return self.core

    def stop(self) -> None:
        """Shut the core down."""
        self.core.shutdown()

    def restart(self) -> Core:
        """Shut the core down and start another one."""
        self.stop()
        return self.start()

    def plugin(self, name: str) -> Any:
        """The plugin NAME."""
        return self.core.plugins[name]

    def metadata(self, host: str = "client.example.com") -> Any:
        """The metadata of HOST."""
        with self.core.request():
            return self.core.build_metadata(host)

    def config(self, host: str = "client.example.com") -> Element:
        """The configuration of HOST."""
        with self.core.request():
            return parse_string(self.core.configuration_text(host), host)

    def entry(self, tag: str, name: str, host: str = "client.example.com") -> Element:
        """The entry TAG with the given name in the configuration of HOST."""
        for entry in self.config(host).iter(tag):
            if entry.get("name") == name:
                return entry
        raise KeyError(f"{tag} {name}")

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file of the repository."""
        self.change({name: content})

    def change(self, files: Mapping[str, str | bytes]) -> None:
        """Write several files of the repository as one batch."""
        write_files(self.repo, files)
        self.apply()

    def delete(self, name: str) -> None:
        """Delete a file, or a folder with all that is in it."""
        path = self.repo / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.apply()

    def move(self, name: str, to: str) -> None:
        """Rename a file or folder of the repository."""
        (self.repo / to).parent.mkdir(parents=True, exist_ok=True)
        os.rename(self.repo / name, self.repo / to)
        self.apply()

    def apply(self) -> None:
        """Have the core notice what has changed on disk."""
        self.core.fam.rescan()
        self.core.block_for_fam_events(handle_events=True)


class NetworkSite(Site):
    """A :class:`Site` whose core dispatches calls, and whose plugins have their threads."""

    def start(self) -> NetworkCore:
        parser = OptionParser("test", "A core without a socket.", BASE_OPTIONS, components=[NetworkCore])
        self.core: Any = NetworkCore(parser.parse(["-C", str(self.conf)]), parser.reread)
        self.core.load_plugins()
        self.core.block_for_fam_events(handle_events=True)
        self.core._start_plugin_threads()
        return self.core

    def call(self, method: str, *arguments: Any, address: tuple[str, int] = ("127.0.0.2", 1)) -> Any:
        """What a client at ADDRESS gets for calling METHOD, if it may; PermissionError if not."""
        if not self.core.check_acls(address, method):
            raise PermissionError(method)
        return self.core.dispatch(method, arguments, address)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


def await_condition(condition: Callable[[], object], limit: float = 20.0) -> None:
    """Return as soon as CONDITION is true; fail after LIMIT seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"{condition} did not come true in {limit:g} s"
        time.sleep(0.02)


class ServerProcess:
    """bcfg2-server over a repository in FOLDER, as a process; FILES, PLUGINS and CONF are those of :class:`Site`.

    CONF may hold sections of its own, which count before those made here.
    """

    def __init__(
        self,
        folder: Path,
        certificate: Any,
        files: Mapping[str, str | bytes] | None = None,
        plugins: str = "Metadata,Bundler",
        conf: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.repo = folder / "repo"
        self.repo.mkdir()
        write_files(self.repo, {**METADATA, **(files or {})})
        self.port = free_port()
        self.log = folder / "server.log"
        self.conf = folder / "bcfg2.conf"
        wanted = {
            "server.repository": self.repo,
            "server.plugins": plugins,
            "communication.password": "secret",
            "communication.certificate": certificate.cert,
            "communication.key": certificate.key,
            "components.bcfg2": f"https://127.0.0.1:{self.port}",
            **(settings or {}),
        }
        sections: dict[str, list[str]] = {}
        for name, value in wanted.items():
            section, _, key = name.rpartition(".")
            sections.setdefault(section, []).append(f"{key} = {value}")
        self.conf.write_text(
            "\n".join(f"[{section}]\n" + "\n".join(lines) for section, lines in sections.items()) + "\n" + conf
        )
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        """The command line that starts the server."""
        return [sys.executable, "-m", "bcfg2.bcfg2_server", "-C", str(self.conf), *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the server to its end, which must come soon."""
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=30, check=False)

    def start(self, *arguments: str) -> "ServerProcess":
        """Start the server and wait until it serves."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(*arguments), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        await_condition(self._serves)
        return self

    def _serves(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended: {self.log.read_text()}"
        return self.answers()

    def answers(self) -> bool:
        """Whether somebody makes TLS connections on the port."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock, insecure().wrap_socket(sock):
                return True
        except OSError:
            return False

    def call(
        self, method: str, *arguments: Any, password: str = "secret", source: str = "127.0.0.2", user: str = "root"
    ) -> Any:
        """Call METHOD from the address SOURCE: the value, or the HTTP status where it is not 200, or an exception."""
        body = xmlrpc.client.dumps(arguments, method, allow_none=True)
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=30, context=insecure(), source_address=(source, 0)
        )
        try:
            connection.request("POST", "/", body.encode(), {"Authorization": f"Basic {credentials}"})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            return answer.status
        return xmlrpc.client.loads(data)[0][0]

    def stop(self) -> int:
        """Tell the server to stop; its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def __enter__(self) -> "ServerProcess":
        return self.start()

    def __exit__(self, *_error: object) -> None:
        assert self.process is not None
        try:
            self.stop()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


def insecure() -> ssl.SSLContext:
    """TLS as a client that does not look at the server's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
