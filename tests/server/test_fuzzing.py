"""Bytes that nobody in his right mind sends, thrown at a server with a real core behind it, all in this process."""

import contextlib
import http.client
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import xmlrpc.client

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcfg2.options import OptionParser
from bcfg2.options.common import BASE_OPTIONS
from bcfg2.server.builtin_core import BuiltinCore
from tests.server.https import call_body, context, request
from tests.support import METADATA, await_condition, free_port, write_files

ADDRESS = "127.0.0.2"
FILES = {**METADATA, "Probes/os": "#!/bin/sh\necho group:linux\n"}
#: What an answer to anything may begin with; 500 is not among them.
ANSWER = re.compile(rb"HTTP/1\.1 (200|400|401|408|411|413|414|431|501|505) ")
#: What precedes a traceback: who did what.
NAMED = re.compile(rf"(\S+ failed for (client\.example\.com|{re.escape(ADDRESS)})|.*client\.example\.com)", re.DOTALL)

PROBES = (
    "<ProbeData><probe-data name='os' source='Probes'>group:linux\nrunning</probe-data>"
    "<probe-data name='other' source='Probes'>&lt;x&gt; \u00e9 &#8364;</probe-data></ProbeData>"
)
STATISTICS = (
    "<upload-statistics><Statistics total='3' good='2' bad='1' version='2.0' revision='-1' state='dirty'>"
    "<Flags dry_run='False'/><Bad><Path name='/etc/motd' type='file' current_bdiff='YQ=='/></Bad><Modified/><Extra/>"
    "<OpStamps config_parse='1.5'/></Statistics></upload-statistics>"
)


class Target:
    """A core that serves, and a client of it that tolerates everything but a wrong answer."""

    def __init__(self, folder, certificate):
        write_files(folder / "repo", FILES)
        conf = folder / "bcfg2.conf"
        conf.write_text(
            f"[server]\nrepository = {folder / 'repo'}\nplugins = Metadata,Bundler,Probes\nfilemonitor = pseudo\n"
            "login_delay = 0\nio_timeout = 5\n[communication]\npassword = secret\n"
            f"certificate = {certificate.cert}\nkey = {certificate.key}\n[components]\nbcfg2 = https://127.0.0.1:{free_port()}\n"
        )
        conf.chmod(0o600)
        parser = OptionParser("test", "A core in this process.", BASE_OPTIONS, components=[BuiltinCore])
        self.core = BuiltinCore(parser.parse(["-C", str(conf)]), parser.reread)
        self.core._run()
        self.core.load_plugins()
        self.core.block_for_fam_events(handle_events=True)
        self.server = self.core.server
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        self.tls = context()
        self.connection = None
        self.sent = 0
        self.records = []
        self.handler = logging.Handler()
        self.handler.emit = self.records.append
        logging.getLogger("bcfg2").addHandler(self.handler)

    def close(self):
        self.disconnect()
        logging.getLogger("bcfg2").removeHandler(self.handler)
        self.server.stop()
        self.thread.join(10)
        self.core.shutdown()

    def connect(self):
        plain = socket.create_connection(self.server.server_address, timeout=20, source_address=(ADDRESS, 0))
        return self.tls.wrap_socket(plain)

    def disconnect(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def throw(self, data: bytes) -> None:
        """Send DATA and nothing more over a connection of its own; what comes back, if anything, is an answer."""
        self.sent += 1
        answer = b""
        with self.connect() as sock, contextlib.suppress(OSError):
            sock.sendall(data)
            socket.socket.shutdown(sock, socket.SHUT_WR)
            while more := sock.recv(65536):
                answer += more
        assert not answer or ANSWER.match(answer), answer[:200]

    def call(self, body: bytes) -> int:
        """Send BODY as a call over a connection that is kept as long as possible; the status."""
        self.sent += 1
        for _ in range(2):  # a kept connection may just have been closed
            try:
                self.connection = self.connection or self.connect()
                self.connection.sendall(request(body))
                answer = http.client.HTTPResponse(self.connection)
                answer.begin()
                data = answer.read()
                break
            except (OSError, http.client.BadStatusLine):
                self.disconnect()
        else:
            raise AssertionError(f"no answer to {body!r}")
        if answer.status == 200:
            with contextlib.suppress(xmlrpc.client.Fault):
                xmlrpc.client.loads(data)
        else:
            assert answer.status in (400, 401, 413), answer.status
        if answer.will_close:
            self.disconnect()
        return answer.status


@pytest.fixture
def target(tmp_path, certificate):
    made = Target(tmp_path, certificate)
    yield made
    made.close()


def mutated(*originals: bytes):
    """One of ORIGINALS with a few parts removed, doubled, replaced or added."""
    junk = st.binary(max_size=4) | st.sampled_from(
        [
            b"\x00",
            b"\xff\xfe",
            b"\r\n",
            b"\n ",
            b"<!DOCTYPE a>",
            b"]]>",
            b"<a>" * 300,
            b"&#0;",
            b"&a;",
            b"9" * 30,
            b"<!--",
            b"%",
        ]
    )
    edit = st.tuples(st.sampled_from("ridx"), st.integers(0, 1 << 16), st.integers(1, 20), junk)
    return st.builds(_edited, st.sampled_from(originals), st.lists(edit, min_size=1, max_size=3))


def _edited(data: bytes, edits) -> bytes:
    for kind, position, length, junk in edits:
        at = position % (len(data) + 1)
        part = data[at : at + length]
        replacement = {"r": junk, "i": junk + part, "d": part + part, "x": b""}[kind]
        data = data[:at] + replacement + data[at + length :]
    return data


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.floats()
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20)
    | st.sampled_from(["basic", "client.example.com", "true", "", "../../etc/passwd", "{}%s", "a" * 5000])
    | st.binary(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=4,
)


def throw_many(strategy, batches: int, throw) -> None:
    """Call THROW with BATCHES times ten examples of STRATEGY."""

    @settings(max_examples=batches, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(strategy, min_size=10, max_size=10))
    def batch_by_batch(batch):
        for example in batch:
            throw(example)

    batch_by_batch()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_ten_thousand_bad_requests_leave_no_thread_no_descriptor_and_no_unnamed_traceback(target):
    for method in ("GetProbes", "GetConfig"):  # whoever is needed once for all has come then
        target.throw(request(call_body(method)))
    await_condition(lambda: target.server.counters.connections == 0)
    threads, opened = threading.active_count(), descriptors()
    heads = mutated(
        request(call_body("GetProbes")),
        request(b"4\r\nabcd\r\n0\r\n\r\n", length=False, extra=["Transfer-Encoding: chunked", "A: b"]),
        request("", verb="GET", auth=None),
    )
    calls = mutated(call_body("RecvProbeData", "x", 1, None, [True]), call_body("GetConfig"))
    methods = [*target.core.listMethods(("127.0.0.1", 1)), "x", "system.multicall", "__init__", "run"]
    documents = {
        "RecvProbeData": st.text(max_size=20).map(str.encode) | mutated(PROBES.encode()),
        "RecvStats": st.text(max_size=20).map(str.encode) | mutated(STATISTICS.encode()),
    }

    throw_many(st.binary(max_size=200) | heads, 150, target.throw)
    throw_many(st.binary(max_size=50) | calls, 150, target.call)
    throw_many(
        st.tuples(st.sampled_from(methods), st.lists(values, max_size=3)),
        250,
        lambda call: target.call(xmlrpc.client.dumps(tuple(call[1]), call[0], allow_none=True).encode()),
    )
    for method, batches in (("RecvProbeData", 150), ("RecvStats", 320)):
        throw_many(
            documents[method],
            batches,
            lambda text, method=method: target.call(call_body(method, text.decode("utf-8", "replace"))),
        )

    assert target.sent >= 10_000
    target.disconnect()
    await_condition(lambda: target.server.counters.connections == 0)
    await_condition(lambda: threading.active_count() <= threads and descriptors() <= opened)
    unnamed = [
        record.getMessage() for record in target.records if record.exc_info and not NAMED.match(record.getMessage())
    ]
    assert unnamed == []
    assert [target.call(call_body(method)) for method in ("GetProbes", "GetConfig")] == [200, 200]


ATHERIS = """
import sys
import atheris
with atheris.instrument_imports(include=["bcfg2.server.http_request", "bcfg2.unmarshal"]):
    from bcfg2.server.http_request import Refusal, read_body, read_head
    from bcfg2.unmarshal import unmarshal
import io, xmlrpc.client

def one(data):
    stream = io.BytesIO(data)
    try:
        head = read_head(stream, 1 << 12)
        if head is not None:
            read_body(stream, head, 1 << 12)
    except Refusal:
        pass
    try:
        unmarshal(data)
    except (ValueError, xmlrpc.client.Fault):
        pass

atheris.Setup([sys.argv[0], "-atheris_runs=20000", "-max_len=600", *sys.argv[1:]], one)
atheris.Fuzz()
"""


def test_a_fuzzer_that_watches_the_code_finds_no_other_exception(tmp_path):
    pytest.importorskip("atheris", reason="atheris is not installed (it exists for some Pythons only)")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(
        (request(call_body("GetProbes")), call_body("RecvStats", STATISTICS, 1, None, [2.5]))
    ):
        (corpus / str(number)).write_bytes(seed)
    found = subprocess.run(
        [sys.executable, "-c", ATHERIS, str(corpus)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert found.returncode == 0, found.stderr[-3000:]
