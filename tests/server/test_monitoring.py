"""The pages for monitoring systems, and what they count."""

import contextlib
import http.client
import logging
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bcfg2.options import OptionError, OptionParser
from bcfg2.options.common import BASE_OPTIONS
from bcfg2.server import builtin_core
from bcfg2.server.builtin_core import BuiltinCore
from bcfg2.server.core import Core
from bcfg2.server.monitoring import networks
from bcfg2.server.plugin.interfaces import ClientAddress
from bcfg2.server.ssl_server import Page
from bcfg2.server.storage import SharedWriter
from tests.support import METADATA, ServerProcess, await_condition, free_port, insecure, write_files

NOBODY = ClientAddress(("192.0.2.1", 4000))
LOCAL = ClientAddress(("127.0.0.1", 4000))


@pytest.fixture
def run(tmp_path, certificate):
    """Makes a core that serves, in this process; its option `metrics_allowed` is what is given."""
    with contextlib.ExitStack() as stack:
        yield lambda allowed="127.0.0.0/8", conf="": stack.enter_context(serving(tmp_path, certificate, allowed, conf))


@contextlib.contextmanager
def serving(folder, certificate, allowed, conf):
    write_files(folder / "repo", METADATA)
    path = folder / "bcfg2.conf"
    path.write_text(
        f"[server]\nrepository = {folder / 'repo'}\nplugins = Metadata, Bundler\nmetrics_allowed = {allowed}\n"
        f"settle_time = 0\n[components]\nbcfg2 = https://127.0.0.1:{free_port()}\n[communication]\npassword = secret\n"
        f"certificate = {certificate.cert}\nkey = {certificate.key}\n{conf}"
    )
    parser = OptionParser("test", "", BASE_OPTIONS, components=[BuiltinCore])
    core = BuiltinCore(parser.parse(["-C", str(path)]), parser.reread)
    thread = threading.Thread(target=Core.run, args=[core])  # NetworkCore's handles signals, in the main thread only
    thread.start()
    try:
        await_condition(lambda: not core.unready())
        yield core
    finally:
        core.terminate.set()
        thread.join(20)
        assert not thread.is_alive()


def numbers(core) -> dict:
    """(name, label values) -> number on the page of CORE."""
    return parsed(core.page("/metrics", LOCAL).body.decode())


def parsed(text: str) -> dict:
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(sample.name, *sample.labels.values()): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


# who gets the pages


def test_without_the_option_nobody_gets_a_page(run):
    core = run(allowed="")
    assert [core.page(path, LOCAL) for path in ("/metrics", "/healthz", "/readyz")] == [None] * 3


def test_only_the_addresses_of_the_option_get_pages(run):
    core = run("127.0.0.1, 192.0.2.128/25, 2001:db8::/32")
    callers = {
        "127.0.0.1": True,
        "127.0.0.2": False,
        "192.0.2.127": False,
        "192.0.2.200": True,
        "2001:db8::7": True,
        "::1": False,
        "fe80::1%eth0": False,
    }
    got = {host: core.page("/healthz", ClientAddress((host, 4000))) is not None for host in callers}
    assert got == callers


def test_the_option_takes_effect_while_the_server_runs(run):
    core = run(allowed="")
    path = core.cfile
    with open(path) as stream:
        text = stream.read()
    with open(path, "w") as stream:
        stream.write(text.replace("metrics_allowed = ", "metrics_allowed = 127.0.0.1"))
    await_condition(lambda: core.page("/healthz", LOCAL))
    assert core.page("/healthz", NOBODY) is None


def test_a_network_may_be_given_by_any_of_its_addresses():
    assert networks(" 192.0.2.7/24 ,::1") == (*networks("192.0.2.0/24"), *networks("::1/128"))
    assert networks("") == ()


def test_what_is_no_network_ends_the_start_with_its_name(tmp_path):
    path = tmp_path / "bcfg2.conf"
    path.write_text("[server]\nmetrics_allowed = 127.0.0.1, 192.0.2.300\n")
    parser = OptionParser("test", "", BASE_OPTIONS, components=[BuiltinCore])
    with pytest.raises(OptionError, match=r"\[server\] metrics_allowed.*192\.0\.2\.300 is no address and no network"):
        parser.parse(["-C", str(path)])


# the pages


def test_other_paths_are_no_pages_and_a_query_does_not_matter(run):
    core = run()
    assert core.page("/", LOCAL) is core.page("/RPC2", LOCAL) is core.page("/metrics/", LOCAL) is None
    assert core.page("/healthz?verbose=1", LOCAL) == Page(200, "text/plain; charset=utf-8", b"ok\n")


def test_ready_says_why_not(run):
    core = run()
    assert core.page("/readyz", LOCAL)[:3:2] == (200, b"ready\n")
    assert numbers(core)["bcfg2_ready",] == 1
    core._loaded.clear()
    assert core.page("/readyz", LOCAL)[:3:2] == (503, b"the repository is being read\n")
    assert numbers(core)["bcfg2_ready",] == 0
    assert core.page("/healthz", LOCAL).status == 200
    core._loaded.set()
    core.terminate.set()
    assert core.page("/readyz", LOCAL)[:3:2] == (503, b"stopping\n")


def test_a_server_that_accepts_no_connections_is_not_ready(run, monkeypatch):
    core = run()
    monkeypatch.setattr(builtin_core, "_PATIENCE", 0.5)
    assert core.unready() == ""
    go_on = threading.Event()
    monkeypatch.setattr(core.server, "service_actions", lambda: go_on.wait(20))
    await_condition(lambda: core.page("/readyz", LOCAL).status == 503)
    assert core.unready() == "no connections are accepted"
    monkeypatch.undo()
    go_on.set()
    await_condition(lambda: not core.unready())


def test_a_server_whose_file_monitor_has_ended_is_not_ready(run):
    core = run()
    core.fam.shutdown()
    await_condition(lambda: core.unready() == "the file monitor has ended")


# what is counted


def test_requests_are_counted_by_method_and_outcome_and_faults_by_code(run):
    core = run()
    core.called("GetConfig", "ok", 0.02, 100, 5000)
    core.called("GetConfig", "ok", 3.0, 100, 5000)
    core.called("GetConfig", "fault -32500", 0.001, 100, 300)
    core.called("Metadata.set_debug", "fault 1", 0.001, 100, 300)
    core.called("ping", "fault 4711", 0.001, 100, 300)
    core.called("", "refused 413", 0.001, 0, 100)
    core.called("GET /metrics?x=1", "ok", 0.001, 0, 100)
    core.called("GET /x", "unauthenticated", 0.001, 0, 100)
    found = numbers(core)
    requests = {key[1:]: number for key, number in found.items() if key[0] == "bcfg2_requests_total"}
    assert requests == {
        ("GetConfig", "ok"): 2,
        ("GetConfig", "fault"): 1,
        ("Metadata.set_debug", "fault"): 1,
        ("ping", "fault"): 1,
        ("unknown", "refused"): 1,
        ("/metrics", "ok"): 1,
        ("unknown", "unauthenticated"): 1,
    }
    faults = {key[1]: number for key, number in found.items() if key[0] == "bcfg2_faults_total"}
    assert faults == {"-32500": 1, "1": 1, "other": 1}
    assert found["bcfg2_request_bytes_total", "GetConfig"] == 300
    assert found["bcfg2_response_bytes_total", "GetConfig"] == 10300
    assert found["bcfg2_request_seconds_bucket", "GetConfig", "0.025"] == 2
    assert found["bcfg2_request_seconds_bucket", "GetConfig", "+Inf"] == 3
    assert found["bcfg2_request_seconds_sum", "GetConfig"] == pytest.approx(3.021)


def test_names_that_clients_make_up_take_no_room(run):
    core = run()
    before = len(numbers(core))
    names = [
        "x",
        "GET /metrics/",
        "__init__",
        "shutdown",
        "options",
        "Nobody.x",
        "Metadata.core",
        "system.multicall",
        "\ud800",
        "a" * 9999,
    ]
    for number in range(500):
        for name in names:
            core.called(f"{name}{number or ''}", "denied", 0.001, 10, 10)
    after = numbers(core)
    assert after["bcfg2_requests_total", "unknown", "denied"] == 500 * len(names)
    assert len(after) - before < 30


def test_built_configurations_and_file_events_are_counted(run):
    core = run()
    before = numbers(core)
    with core.request():
        core.configuration_text("client.example.com")
    with open(core.cfile, "a") as stream:
        stream.write("# changed\n")
    await_condition(lambda: core.fam.batches.value() > before["bcfg2_file_event_batches_total",])
    after = numbers(core)
    assert after["bcfg2_configuration_seconds_count",] == 1
    assert before["bcfg2_file_events_total",] >= 4
    assert after["bcfg2_file_events_total",] == before["bcfg2_file_events_total",] + 1
    assert after["bcfg2_file_events_pending",] == 0
    assert after["bcfg2_part_seconds_count", "BuiltinCore:GetStructures"] >= 1


def test_a_handler_of_file_events_that_raises_is_counted(run, caplog):
    core = run()
    broken = type("Broken", (), {"HandleEvent": lambda self, event: 1 / 0})()
    core.fam.AddMonitor(core.cfile, broken)
    await_condition(lambda: numbers(core)["bcfg2_file_event_failures_total",] >= 1)


def test_lookups_in_the_cache_of_metadata_are_counted(run):
    core = run(conf="[caching]\nclient_metadata = aggressive\n")
    for _ in range(3):
        with core.request():
            core.build_metadata("client.example.com")
    found = numbers(core)
    lookups = {key[1]: number for key, number in found.items() if key[0] == "bcfg2_metadata_cache_lookups_total"}
    assert lookups == {"miss": 1, "hit": 2}
    assert found["bcfg2_metadata_cache_clients",] == 1


def test_writes_that_wait_are_shown(run):
    core = run()
    go_on = threading.Event()
    writer = SharedWriter(lambda changes: go_on.wait(20))
    threads = [threading.Thread(target=writer.submit, args=["x"]) for _ in range(3)]
    for thread in threads:
        thread.start()
    await_condition(lambda: numbers(core)["bcfg2_pending_writes",] == 3)
    go_on.set()
    for thread in threads:
        thread.join()
    assert numbers(core)["bcfg2_pending_writes",] == 0


def test_warnings_and_errors_in_the_log_are_counted_until_the_core_stops(run):
    core = run()
    before = numbers(core)
    logger = logging.getLogger("bcfg2.Something")
    logger.info("nothing")
    logger.warning("one")
    logger.error("two")
    logger.critical("three")
    after = numbers(core)
    for level, number in {"warning": 1, "error": 2}.items():
        key = ("bcfg2_log_messages_total", level)
        assert after[key] - before.get(key, 0) == number
    handlers = logging.getLogger("bcfg2").handlers
    assert core.monitoring._log_counter in handlers
    core.shutdown()
    assert core.monitoring._log_counter not in handlers


def test_the_process_is_measured(run):
    found = numbers(run())
    assert 10 << 20 < found["process_resident_memory_bytes",] < 2 << 30
    assert 3 < found["process_open_fds",] < found["process_max_fds",]
    assert found["process_cpu_seconds_total",] > 0
    assert found["bcfg2_threads",] >= 3


# over the network


@pytest.fixture(scope="module")
def server(tmp_path_factory, certificate):
    folder = tmp_path_factory.mktemp("monitored")
    conf = {"server.metrics_allowed": "127.0.0.1, 127.0.0.2"}
    with ServerProcess(folder, certificate, settings=conf) as running:
        yield running


def get(server, path, source="127.0.0.1", verb="GET"):
    """(status, content type, body)"""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", server.port, timeout=20, context=insecure(), source_address=(source, 0)
    )
    with contextlib.closing(connection):
        connection.request(verb, path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def test_pages_need_no_password_from_addresses_that_are_allowed(server):
    assert get(server, "/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
    assert get(server, "/readyz") == (200, "text/plain; charset=utf-8", "ready\n")
    assert get(server, "/healthz", verb="HEAD") == (200, "text/plain; charset=utf-8", "")


def test_other_addresses_and_other_paths_are_asked_for_a_password(server):
    assert get(server, "/healthz", source="127.0.0.3")[0] == 401
    assert get(server, "/other")[0] == 401
    assert get(server, "/metrics", verb="POST")[0] in (401, 411)


def test_every_request_of_the_network_is_on_the_page(server):
    before = parsed(get(server, "/metrics")[2])
    assert "<Configuration" in server.call("GetConfig")
    assert server.call("GetProbes", password="wrong") == 401
    assert server.call("toggle_debug") == 401
    status, content_type, text = get(server, "/metrics")
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    after = parsed(text)
    for key in [("GetConfig", "ok"), ("unknown", "unauthenticated"), ("toggle_debug", "denied")]:
        name = ("bcfg2_requests_total", *key)
        assert after[name] - before.get(name, 0) == 1, key
    assert after["bcfg2_request_bytes_total", "GetConfig"] > 50
    assert after["bcfg2_response_bytes_total", "GetConfig"] > 100
    assert after["bcfg2_configuration_seconds_count",] == before.get(("bcfg2_configuration_seconds_count",), 0) + 1
    assert after["bcfg2_connections_accepted_total",] >= before["bcfg2_connections_accepted_total",] + 4
    assert after["bcfg2_connections",] >= 1
    assert after["bcfg2_connections_refused_total",] == 0
    assert after["bcfg2_requests_in_flight",] == 1
