"""A call is authenticated, allowed and answered by one state of the repository, however late its body comes."""

import threading

import pytest

from bcfg2.options import OptionParser
from bcfg2.options.common import BASE_OPTIONS
from bcfg2.server.core import NetworkCore
from tests.server.https import basic, call_body, connect, read_answer, request, serving, value_of
from tests.support import Site

CLIENTS = """<Clients>
  <Client name="client" profile="basic" address="127.0.0.2" uuid="u1" password="own"/>
  <Client name="other" profile="basic" address="127.0.0.3"/>
</Clients>"""
GROUPS = '<Groups><Group name="basic" profile="true" public="true" default="true"/></Groups>'


@pytest.fixture
def core(tmp_path):
    site = Site(tmp_path, {"Metadata/clients.xml": CLIENTS, "Metadata/groups.xml": GROUPS})
    site.stop()
    parser = OptionParser("test", "A core.", BASE_OPTIONS, components=[NetworkCore])
    made = NetworkCore(parser.parse(["-C", str(site.conf)]))
    made.load_plugins()
    made.block_for_fam_events(handle_events=True)
    yield made
    made.shutdown()


def call_during_which(core, certificate, change, user, password):
    """The answer to a call whose body comes when CHANGE has been made, which is after it was authenticated."""
    core.release = threading.Event()  # which `serving` sets at its end
    core._dispatch = core.dispatch  # as BuiltinCore has it
    data = request(call_body("DeclareVersion", "1.3.4"), auth=basic(user, password), extra=["Expect: 100-continue"])
    head, body = data.split(b"\r\n\r\n", 1)
    with serving(certificate, instance=core) as server, connect(server, source="127.0.0.2") as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        change(core.metadata)
        sock.sendall(body)
        return read_answer(sock)


@pytest.mark.parametrize(("user", "password"), [("root", "secret"), ("u1", "own")])
@pytest.mark.parametrize(
    "change",
    [
        lambda metadata: metadata.remove_client("client"),
        lambda metadata: metadata.update_client("client", {"password": "new", "secure": "true", "uuid": "u1"}),
    ],
    ids=["removed", "other password"],
)
def test_what_no_longer_holds_when_the_body_has_come_is_refused(core, certificate, change, user, password, caplog):
    status, _headers, _body = call_during_which(core, certificate, change, user, password)
    assert status == 401
    client = core.metadata._clients.get("client")
    assert client is None or client.version is None
    assert "u1" not in core.metadata.list_clients()


def test_other_changes_in_between_harm_nobody(core, certificate):
    status, _headers, body = call_during_which(
        core, certificate, lambda metadata: metadata.set_version("other", "1"), "u1", "own"
    )
    assert (status, value_of(body)) == (200, True)
    assert core.metadata._clients.get("client").version == "1.3.4"
