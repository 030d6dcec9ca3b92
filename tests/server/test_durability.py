"""What clients were told is done survives a kill -9 of the server, at whatever moment under load.

Clients call without pause: they declare versions, assert profiles, send probe data, and register new clients.  The
server is killed at a random moment, again and again; after each kill the files of the repository, and then what the
next server makes of them, are compared with what was acknowledged.
"""

import base64
import http.client
import os
import random
import re
import signal
import threading
import time
import xmlrpc.client
from dataclasses import dataclass, field

import pytest
from lxml import etree

from tests.support import ServerProcess, await_condition, insecure

KILLS = 50
CLIENTS = 6

#: Which moments are taken; another number is another test.
SEED = int(os.environ.get("BCFG2_TEST_SEED", "20"))

#: What a killed server may leave besides whole files.
UNFINISHED = re.compile(r"(Metadata|Probes)/\.#(clients|probed)\.xml\.\w+\.bcfg2-new")

PROFILES = ("red", "green", "blue")

FILES = {
    "Metadata/clients.xml": "<Clients>\n"
    + "".join(
        f'  <Client name="c{number}.example.com" profile="red" address="127.0.1.{number}"/>\n'
        for number in range(1, CLIENTS + 1)
    )
    + "</Clients>\n",
    "Metadata/groups.xml": "<Groups>\n"
    + '  <Group name="red" profile="true" public="true" default="true"><Bundle name="state"/></Group>\n'
    + "".join(
        f'  <Group name="{name}" profile="true" public="true"><Bundle name="state"/></Group>\n' for name in PROFILES[1:]
    )
    + "</Groups>\n",
    "Bundler/state.xml": """<Bundle xmlns:py="http://genshi.edgewall.org/">
  <BoundAction name="state" version="${metadata.version}" profile="${metadata.profile}"
               probe="${metadata.Probes.get('counter')}"/>
</Bundle>
""",
    "Probes/counter": "echo\n",
}


@dataclass
class Fact:
    """Something that the server was told: what it has acknowledged, and what it was told but has not answered yet."""

    acknowledged: str | None
    asked: str | None = None

    def allows(self, value: str | None) -> bool:
        return value == self.acknowledged or (self.asked is not None and value == self.asked)


@dataclass
class Client:
    """A client that calls from an address of its own until the server is gone."""

    number: int
    facts: dict[str, Fact] = field(
        default_factory=lambda: {"version": Fact(None), "profile": Fact("red"), "probe": Fact(None)}
    )
    registered: list[str] = field(default_factory=list)
    calls: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"c{self.number}.example.com"

    def run(self, server: ServerProcess) -> None:
        """Call until the connection breaks."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", server.port, timeout=20, context=insecure(), source_address=(f"127.0.1.{self.number}", 0)
        )
        try:
            while not self.problems:
                self._step(connection)
        except (OSError, http.client.HTTPException):
            pass  # the server is gone
        finally:
            connection.close()

    def _step(self, connection: http.client.HTTPSConnection) -> None:
        self.calls += 1
        kind, text = self.calls % 4, str(self.calls)
        if kind == 0:
            self._tell(connection, "version", text, "DeclareVersion", text)
        elif kind == 1:
            profile = PROFILES[self.calls // 4 % len(PROFILES)]
            self._tell(connection, "profile", profile, "AssertProfile", profile)
        elif kind == 2:
            data = f'<ProbeData><probe-data name="counter" source="Probes">{text}</probe-data></ProbeData>'
            self._tell(connection, "probe", text, "RecvProbeData", data)
        else:
            name = f"new{self.number}-{self.calls}.example.com"
            self._call(connection, "DeclareVersion", "1.0", user=name)
            self.registered.append(name)

    def _tell(self, connection, key: str, value: str, method: str, argument: str) -> None:
        fact = self.facts[key]
        fact.asked = value
        self._call(connection, method, argument)
        fact.acknowledged, fact.asked = value, None

    def _call(self, connection, method: str, argument: str, user: str = "root") -> None:
        credentials = base64.b64encode(f"{user}:secret".encode()).decode()
        body = xmlrpc.client.dumps((argument,), method).encode()
        connection.request("POST", "/", body, {"Authorization": f"Basic {credentials}"})
        answer = connection.getresponse()
        data = answer.read()
        try:
            assert answer.status == 200
            assert xmlrpc.client.loads(data)[0] == (True,)
        except (AssertionError, xmlrpc.client.Fault) as err:
            self.problems.append(f"{self.name}: {method} {argument}: {answer.status} {err}")


def check_files(server: ServerProcess, clients: list[Client]) -> None:
    """The files are whole and hold all that was acknowledged."""
    names = {str(path.relative_to(server.repo)) for path in server.repo.rglob("*") if path.is_file()}
    unfinished = {
        name for name in names if re.fullmatch(r"(Metadata|Probes)/\.#(clients|probed)\.xml\..*\.bcfg2-new", name)
    }
    assert names - unfinished <= {*FILES, "Probes/probed.xml"}
    for name in names - unfinished:
        if name.endswith(".xml"):
            etree.parse(server.repo / name)
    listed = {node.get("name"): node for node in etree.parse(server.repo / "Metadata/clients.xml").iter("Client")}
    probed = {
        node.get("name"): node.find("Probe").get("value")
        for node in etree.parse(server.repo / "Probes/probed.xml").iter("Client")
    }
    for client in clients:
        element = listed[client.name]
        found = {
            "version": element.get("version"),
            "profile": element.get("profile"),
            "probe": probed.get(client.name),
        }
        for key, fact in client.facts.items():
            assert fact.allows(found[key]), f"{client.name} {key}: {found[key]} instead of {fact}"
            fact.acknowledged, fact.asked = found[key], None
        assert set(client.registered) <= listed.keys()


def check_server(server: ServerProcess, clients: list[Client]) -> None:
    """The server knows all that was acknowledged."""
    for client in clients:
        config = etree.fromstring(server.call("GetConfig", source=f"127.0.1.{client.number}"))
        state = config.find("Bundle/Action")
        for key, fact in client.facts.items():
            assert state.get(key) == fact.acknowledged, f"{client.name} {key}: {state.get(key)} instead of {fact}"
    known = set(server.call("Metadata.list_clients", source="127.0.0.1"))
    assert {name for client in clients for name in client.registered} <= known


def end_under_load(server: ServerProcess, clients: list[Client], seconds: float, number: int) -> int:
    """Have CLIENTS call, and send the server signal NUMBER SECONDS after the first was answered; its exit status."""
    before = {client.number: client.calls for client in clients}
    threads = [threading.Thread(target=client.run, args=(server,)) for client in clients]
    for thread in threads:
        thread.start()
    await_condition(lambda: any(client.calls > before[client.number] + 1 for client in clients))
    time.sleep(seconds)
    assert server.process is not None
    server.process.send_signal(number)
    status = server.process.wait(20)
    for thread in threads:
        thread.join(30)
    assert [problem for client in clients for problem in client.problems] == []
    return status


@pytest.fixture
def server(tmp_path, certificate):
    made = ServerProcess(
        tmp_path,
        certificate,
        FILES,
        plugins="Metadata,Bundler,Probes",
        settings={"server.filemonitor": "pseudo", "logging.syslog": "false"},
    )
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


@pytest.fixture
def clients():
    return [Client(number) for number in range(1, CLIENTS + 1)]


def test_what_was_acknowledged_survives_a_kill_at_any_moment(server, clients):
    print(f"BCFG2_TEST_SEED={SEED}")
    moments = random.Random(SEED)
    for _ in range(KILLS):
        server.start()
        check_server(server, clients)
        end_under_load(server, clients, moments.uniform(0.0, 0.15), signal.SIGKILL)
        check_files(server, clients)
    assert sum(client.calls for client in clients) > 10 * KILLS  # there was load
    for path in server.repo.rglob(".#*"):
        os.utime(path, (1, 1))
    server.start()
    check_server(server, clients)
    assert list(server.repo.rglob(".#*")) == []
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()
    assert "Cannot use" not in server.log.read_text()


def test_a_server_that_is_told_to_stop_under_load_ends_in_an_orderly_way(server, clients):
    for _ in range(3):
        server.start()
        check_server(server, clients)
        assert end_under_load(server, clients, 0.3, signal.SIGTERM) == 0
        check_files(server, clients)
        assert list(server.repo.rglob(".#*")) == []
    assert "Traceback" not in server.log.read_text()
    assert "given up" not in server.log.read_text()
