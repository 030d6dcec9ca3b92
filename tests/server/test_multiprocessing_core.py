"""The multiprocessing core: children that build configurations, in step and replaced when they end."""

import contextlib
import glob
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tests.support import ServerProcess, await_condition

FILES: dict[str, str | bytes] = {
    "Bundler/base.xml": '<Bundle><Path name="/state"/><Package name="p"/></Bundle>',
    "Rules/rules.xml": '<Rules priority="0"><Package name="p" version="0" type="deb"/></Rules>',
    "Cfg/state/state.genshi": (
        "${','.join(sorted(metadata.groups))} ${metadata.Probes.get('p', '-')} ${metadata.version or '-'}"
    ),
    "Probes/p": "echo group:probed\n",
}
PLUGINS = "Metadata,Bundler,Rules,Cfg,Probes"


def server(
    tmp_path: Path, certificate: Any, files: dict[str, str | bytes] | None = None, **settings: Any
) -> ServerProcess:
    wanted = {"server.backend": "multiprocessing", "server.children": 2}
    wanted |= {f"server.{name}": value for name, value in settings.items()}
    return ServerProcess(tmp_path, certificate, {**FILES, **(files or {})}, PLUGINS, settings=wanted)


def tree_of(pid: int) -> dict[int, list[int]]:
    """Process -> its children, of the process PID and all below it."""
    found: dict[int, list[int]] = {}
    todo = [pid]
    while todo:
        item = todo.pop()
        found[item] = []
        for task in glob.glob(f"/proc/{item}/task/*/children"):
            with contextlib.suppress(OSError):  # a thread that has just ended
                found[item] += map(int, Path(task).read_text().split())
        todo += found[item]
    return found


def children_of(running: ServerProcess) -> list[int]:
    """The processes that build configurations."""
    assert running.process is not None
    tree = tree_of(running.process.pid)
    (nursery,) = tree[running.process.pid]
    return tree[nursery]


def text_of(configuration: str) -> str:
    return etree.fromstring(configuration).findtext(".//Path") or ""


@pytest.fixture
def running(tmp_path: Path, certificate: Any) -> Iterator[ServerProcess]:
    with server(tmp_path, certificate) as process:
        yield process


@pytest.mark.parametrize("storage", ["xml", "sqlite"])
def test_what_a_client_has_sent_counts_in_its_next_configuration_whichever_child_builds_it(
    storage: str, tmp_path: Path, certificate: Any
) -> None:
    running = server(tmp_path, certificate)
    running.conf.write_text(f"{running.conf.read_text()}[probes]\nstorage = {storage}\n")
    with running:
        for number in range(10):
            running.call("DeclareVersion", f"1.4.{number}")
            data = f'<ProbeData><probe-data name="p" source="Probes">group:g{number}\n{number}</probe-data></ProbeData>'
            assert running.call("RecvProbeData", data) is True
            for _ in range(2):
                assert text_of(running.call("GetConfig")) == f"basic,g{number} {number} 1.4.{number}"
        before = children_of(running)
        os.kill(before[0], signal.SIGKILL)
        await_condition(lambda: before[0] not in (now := children_of(running)) and len(now) == 2)
        for _ in range(4):  # also the one that has just begun
            assert text_of(running.call("GetConfig")) == "basic,g9 9 1.4.9"
    assert (running.repo / "etc/probes.sqlite").exists() == (storage == "sqlite")
    assert (running.repo / "Probes/probed.xml").exists() == (storage == "xml")


def test_what_the_server_writes_of_a_client_is_known_to_all_children_at_once(tmp_path: Path, certificate: Any) -> None:
    groups = "".join(
        f'<Group name="p{number}" profile="true" public="true"><Bundle name="base"/></Group>' for number in range(4)
    )
    clients = '<Clients><Client name="client.example.com" profile="p0" address="127.0.0.2"/></Clients>'
    files: dict[str, str | bytes] = {
        "Metadata/groups.xml": f"<Groups>{groups}</Groups>",
        "Metadata/clients.xml": clients,
    }
    with server(tmp_path, certificate, files) as running:
        for number in (1, 2, 3, 0):
            assert running.call("AssertProfile", f"p{number}") is True
            for _ in range(2):
                assert text_of(running.call("GetConfig")) == f"p{number} - -"


def test_no_client_sees_a_change_come_and_go(running: ServerProcess) -> None:
    stop = threading.Event()
    seen: list[list[int]] = [[] for _ in range(4)]

    def read(numbers: list[int]) -> None:
        while not stop.is_set():
            package = etree.fromstring(running.call("GetConfig")).find(".//Package")
            assert package is not None
            numbers.append(int(package.get("version", "")))

    readers = [threading.Thread(target=read, args=(numbers,)) for numbers in seen]
    for reader in readers:
        reader.start()
    rules = running.repo / "Rules/rules.xml"
    for number in range(1, 9):
        new = rules.with_name(".new")
        new.write_text(f'<Rules priority="0"><Package name="p" version="{number}" type="deb"/></Rules>')
        new.rename(rules)
        await_condition(lambda: seen[0] and seen[0][-1] == number)
    stop.set()
    for reader in readers:
        reader.join()
    for numbers in seen:
        assert numbers == sorted(numbers) and numbers[-1] == 8
    # also not from one connection to another: what one has seen, the others see from then on
    assert "may differ" not in running.log.read_text()


def test_included_templates_that_only_a_child_has_asked_for_are_followed(tmp_path: Path, certificate: Any) -> None:
    files: dict[str, str | bytes] = {
        "Cfg/state/state.genshi": "{% include part.genshi_include %}",
        "Cfg/state/part.genshi_include": "one",
    }
    with server(tmp_path, certificate, files) as running:
        for _ in range(4):
            assert text_of(running.call("GetConfig")).strip() == "one"
        (running.repo / "Cfg/state/part.genshi_include").write_text("two")
        await_condition(lambda: text_of(running.call("GetConfig")).strip() == "two")
        for _ in range(4):
            assert text_of(running.call("GetConfig")).strip() == "two"


def test_a_child_that_is_killed_is_replaced_by_one_that_knows_all(running: ServerProcess) -> None:
    data = '<ProbeData><probe-data name="p" source="Probes">group:late\nx</probe-data></ProbeData>'
    running.call("RecvProbeData", data)
    rules = '<Rules priority="0"><Package name="p" version="7" type="deb"/></Rules>'
    (running.repo / "Rules/rules.xml").write_text(rules)
    before = children_of(running)
    assert len(before) == 2
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await_condition(lambda: len(set(children_of(running)) - set(before)) == 2)
    for _ in range(6):
        configuration = running.call("GetConfig")
        assert text_of(configuration) == "basic,late x -"
    await_condition(lambda: 'version="7"' in running.call("GetConfig"))


def test_no_call_fails_while_children_are_killed_and_stopped(tmp_path: Path, certificate: Any) -> None:
    seconds = float(os.environ.get("BCFG2_CHAOS_SECONDS", "5"))
    rng = random.Random(1)
    failed: list[Any] = []
    answers = [0]
    stop = threading.Event()

    with server(tmp_path, certificate, child_patience="1") as running:

        def load() -> None:
            while not stop.is_set():
                try:
                    answer = running.call("GetConfig")
                except Exception as err:  # noqa: BLE001 - whatever it is, it is a failed call
                    failed.append(err)
                    continue
                if not isinstance(answer, str) or "failure" in answer or "<error" in answer:
                    failed.append(answer)
                answers[0] += 1

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            children = children_of(running)
            if children:
                os.kill(rng.choice(children), rng.choice([signal.SIGKILL, signal.SIGSTOP]))
            stop.wait(1)
        stop.set()
        for thread in threads:
            thread.join()
        assert failed == [] and answers[0] > 0
        assert running.stop() == 0


def test_all_processes_end_with_the_server_even_if_it_is_killed(tmp_path: Path, certificate: Any) -> None:
    running = server(tmp_path, certificate).start()
    assert running.process is not None
    everybody = [pid for pid in tree_of(running.process.pid) if pid != running.process.pid]
    assert len(everybody) == 3
    os.kill(children_of(running)[0], signal.SIGSTOP)
    running.process.kill()
    running.process.wait()
    await_condition(lambda: not any(map(_lives, everybody)))


def test_an_orderly_stop_leaves_nobody_and_says_nothing_bad(tmp_path: Path, certificate: Any) -> None:
    running = server(tmp_path, certificate).start()
    assert running.process is not None
    everybody = list(tree_of(running.process.pid))
    for pid in everybody:  # as when Ctrl-C is pressed, or systemd stops the unit
        os.kill(pid, signal.SIGTERM)
    assert running.stop() == 0
    assert not any(map(_lives, everybody))
    assert "ERROR" not in running.log.read_text()


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_without_the_nursery_the_main_process_builds_configurations_itself(running: ServerProcess) -> None:
    assert running.process is not None
    (nursery,) = tree_of(running.process.pid)[running.process.pid]
    os.kill(nursery, signal.SIGKILL)
    await_condition(lambda: "No more children can be made" in running.log.read_text())
    assert text_of(running.call("GetConfig")).startswith("basic")


def test_a_configuration_that_is_never_done_costs_its_client_only(tmp_path: Path, certificate: Any) -> None:
    template = "{% for x in iter(int, metadata.hostname == 'client.example.com' or 0) %}{% end %}done"
    clients = """<Clients><Client name="client.example.com" profile="basic" address="127.0.0.2"/>
      <Client name="good.example.com" profile="basic" address="127.0.0.3"/></Clients>"""
    files: dict[str, str | bytes] = {"Cfg/state/state.genshi": template, "Metadata/clients.xml": clients}
    with server(tmp_path, certificate, files, child_timeout="1", child_threads="1") as running:
        with pytest.raises(Exception, match="could not be built within 1 seconds"):
            running.call("GetConfig")
        assert text_of(running.call("GetConfig", source="127.0.0.3")) == "done"


def test_too_many_that_wait_are_told_to_come_back(tmp_path: Path, certificate: Any) -> None:
    template = "{% python import time; time.sleep(1) %}done"
    files: dict[str, str | bytes] = {"Cfg/state/state.genshi": template}
    settings = {"children": 1, "child_threads": 1, "max_queue": 1}
    results: list[Any] = []
    with server(tmp_path, certificate, files, **settings) as running:

        def call() -> None:
            try:
                results.append(text_of(running.call("GetConfig")))
            except Exception as err:  # noqa: BLE001 - the fault is what is looked at
                results.append(str(err))

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(set(results))[-1] == "done" and any("the server is busy" in result for result in results)


def test_debug_switches_reach_children_and_statistics_of_all_add_up(running: ServerProcess) -> None:
    assert running.call("set_debug", True, source="127.0.0.1") is True
    running.call("GetConfig")
    assert running.call("set_debug", False, source="127.0.0.1") is False
    for _ in range(4):
        running.call("GetConfig")
    values = running.call("get_statistics", source="127.0.0.1")
    name = "Core:BindStructures"
    counts = [values[f"Child-{number}:{name}"][3] for number in (0, 1) if f"Child-{number}:{name}" in values]
    assert counts and values[f"Total:{name}"][3] == sum(counts) == 5


def test_a_fault_while_files_are_read_keeps_no_child_waiting(tmp_path: Path, certificate: Any) -> None:
    # a working copy whose tool fails in a way that nobody has foreseen
    code = """
import sys
from bcfg2.server import multiprocessing_core as module
look = module._Batch.look
failures = ["no"]
def failing(self, at_once):
    look(self, at_once)
    if self.handled and failures:
        raise RuntimeError(failures.pop())
module._Batch.look = failing
from bcfg2.bcfg2_server import main
sys.exit(main())
"""
    process = server(tmp_path, certificate)
    process.command = lambda *arguments: [sys.executable, "-c", code, "-C", str(process.conf), *arguments]  # type: ignore[method-assign]
    with process as running:
        before = set(children_of(running))
        rules = '<Rules priority="0"><Package name="p" version="5" type="deb"/></Rules>'
        (running.repo / "Rules/rules.xml").write_text(rules)
        await_condition(lambda: len(set(children_of(running)) - before) == 2)
        for _ in range(4):
            await_condition(lambda: 'version="5"' in running.call("GetConfig"))
