"""Statistics that are handled in a thread: none is lost, whatever happens to the server."""

import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from bcfg2.server.plugin import MetadataRuntimeError, ThreadedStatistics
from bcfg2.xml import Element, tostring
from tests.support import ServerProcess, Site, await_condition

ADDRESS = ("127.0.0.2", 1)
PLUGINS = "Metadata, Bundler, tests.server.plugin.test_threaded_statistics.Collector"


class Collector(ThreadedStatistics):
    """Notes what it handles; waits for `gate` before each document."""

    retry_delay = 0.02

    def __init__(self, core: Any) -> None:
        super().__init__(core)
        self.seen: list[tuple[str, str, str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def handle_statistic(self, metadata: Any, data: Element) -> None:
        self.gate.wait(20)
        found = data.find("Statistics")
        assert found is not None
        if found.get("state") == "poison":
            raise KeyError("poison")
        self.seen.append((metadata.hostname, data.tag, found.get("state", "")))


class Deaf(ThreadedStatistics):
    """Handles nothing until the server is killed, then notes what the next server was given."""

    retry_delay = 0.02

    def handle_statistic(self, metadata: Any, data: Element) -> None:
        go, out = Path(self.core.options.server_repository, "go"), Path(self.core.options.server_repository, "out")
        await_condition(go.exists, 60)
        with out.open("a") as stream:
            stream.write(f"{metadata.hostname} {tostring(data)}\n")


def upload(state: str) -> str:
    return f'<upload><Statistics version="2.0" state="{state}" note="grün"/></upload>'


@pytest.fixture
def site(tmp_path: Path) -> Any:
    made = Site(tmp_path, plugins=PLUGINS)
    yield made
    made.plugin("Collector").gate.set()
    made.stop()


def report(site: Site, *states: str) -> None:
    for state in states:
        with site.core.request():
            assert site.core.RecvStats(ADDRESS, upload(state))


def pending(site: Site) -> list[Path]:
    return sorted((site.repo / "etc/Collector.pending").glob("*"))


def test_documents_are_handled_in_their_order_and_their_files_removed(site: Site) -> None:
    plugin = site.plugin("Collector")
    plugin.start_threads()
    report(site, "clean", "dirty", "clean")
    await_condition(lambda: len(plugin.seen) == 3 and not pending(site))
    assert plugin.seen == [("client.example.com", "upload", state) for state in ("clean", "dirty", "clean")]


def test_the_client_does_not_wait_for_the_handling(site: Site) -> None:
    plugin = site.plugin("Collector")
    plugin.gate.clear()
    plugin.start_threads()
    report(site, "clean", "dirty")
    assert plugin.seen == []
    assert len(pending(site)) == 2
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in pending(site))


def test_what_waits_when_the_server_stops_is_handled_by_the_next_one(site: Site) -> None:
    report(site, "clean", "dirty")  # the threads of a core that serves nobody never start
    first = site.plugin("Collector")
    site.restart()
    second = site.plugin("Collector")
    second.start_threads()
    await_condition(lambda: not pending(site))
    assert first.seen == []
    assert second.seen == [("client.example.com", "upload", state) for state in ("clean", "dirty")]


def test_the_thread_waits_until_metadata_can_be_had(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    report(site, "clean")
    site.restart()
    plugin, tries = site.plugin("Collector"), []
    build = site.core.build_metadata

    def build_metadata(client: str, register: bool = True) -> Any:
        tries.append(client)
        if len(tries) < 3:
            raise MetadataRuntimeError("not yet")
        return build(client, register)

    monkeypatch.setattr(site.core, "build_metadata", build_metadata)
    plugin.start_threads()
    await_condition(lambda: plugin.seen)
    assert len(tries) == 3


def test_statistics_of_a_client_that_is_gone_are_dropped_with_a_line(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    report(site, "clean")
    site.write("Metadata/clients.xml", "<Clients/>")
    site.restart()
    site.plugin("Collector").start_threads()
    await_condition(lambda: not pending(site))
    assert site.plugin("Collector").seen == []
    assert "The statistics of client.example.com are dropped" in caplog.text


def test_a_document_that_fails_is_logged_and_holds_up_no_other(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    plugin = site.plugin("Collector")
    plugin.start_threads()
    report(site, "poison", "clean")
    await_condition(lambda: not pending(site))
    assert [state for _, _, state in plugin.seen] == ["clean"]
    assert "Cannot handle the statistics of client.example.com" in caplog.text


def test_a_broken_file_is_named_and_holds_up_no_other(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    report(site, "clean")
    broken = pending(site)[0].with_name("0-0.xml")
    broken.write_text("<Pending")
    site.restart()
    site.plugin("Collector").start_threads()
    await_condition(lambda: site.plugin("Collector").seen)
    assert str(broken) in caplog.text
    await_condition(lambda: pending(site) == [broken])


def test_more_than_the_limit_is_dropped_with_one_warning(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(type(site.plugin("Collector")), "max_pending", 2)
    report(site, "1", "2", "3", "4")
    plugin = site.plugin("Collector")
    assert len(pending(site)) == 2
    assert caplog.text.count("2 statistics wait already") == 1
    site.restart()
    plugin = site.plugin("Collector")
    plugin.start_threads()
    await_condition(lambda: not pending(site))
    report(site, "5")
    await_condition(lambda: len(plugin.seen) == 3)
    assert [state for _, _, state in plugin.seen] == ["1", "2", "5"]


def test_without_a_place_to_write_to_one_line_tells_what_is_lost(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    (site.repo / "etc").write_text("a file")
    report(site, "clean")
    lines = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(lines) == 1 and lines[0].startswith("The statistics of client.example.com are lost")


def test_the_pickled_file_of_an_older_server_is_put_aside(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    (site.repo / "etc").mkdir()
    (site.repo / "etc/Collector.pending").write_bytes(b"\x80\x02pickled")
    report(site, "clean")
    assert len(pending(site)) == 1
    assert (site.repo / "etc/Collector.pending.old").read_bytes() == b"\x80\x02pickled"
    assert "older server" in caplog.text


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, certificate: Any, monkeypatch: Any) -> None:
    root = str(Path(__file__).parents[3])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, *sys.path]))
    server = ServerProcess(
        tmp_path, certificate, plugins="Metadata, Bundler, tests.server.plugin.test_threaded_statistics.Deaf"
    ).start()
    for state in ("1", "2", "3"):
        assert server.call("RecvStats", upload(state)) is True
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    (server.repo / "go").touch()
    out = server.repo / "out"
    with server:
        await_condition(lambda: out.exists() and out.read_text().count("\n") == 3)
        await_condition(lambda: not list((server.repo / "etc/Deaf.pending").iterdir()))
    assert [line.split('state="')[1][0] for line in out.read_text().splitlines()] == ["1", "2", "3"]
    assert "gr&#252;n" in out.read_text()
