"""The embedded store: what it keeps, that nothing acknowledged is lost, and what it does when the file is bad."""

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bcfg2.server.plugin import MetadataRuntimeError
from bcfg2.server.plugins.probes.sqlite import ProbesSQLite
from bcfg2.server.plugins.probes.storage import NOTHING, Record, StorageError
from bcfg2.server.versioned import reading
from tests.support import await_condition

LOGGER = logging.getLogger("bcfg2.Probes")
FULL = Record(1400000001, ("zz", "aa"), {"virt": "a\tb\r\n\u2028", "caf\u00e9": '<"&\ud800', "empty": ""})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "probes.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[ProbesSQLite]:
    made = opened(path)
    yield made
    made.close()


def opened(path: Path) -> ProbesSQLite:
    return ProbesSQLite(str(path), LOGGER)


def rows(path: Path) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT host, timestamp, groups, data FROM clients ORDER BY host").fetchall()
    finally:
        connection.close()


def test_the_file_is_made_with_the_first_record(store: ProbesSQLite, path: Path) -> None:
    assert store.get("a") == NOTHING and store.records() == {}
    assert not path.parent.exists()
    store.put("a", FULL)
    assert path.stat().st_mode & 0o777 == 0o600
    assert store.get("a") == FULL and store.records() == {"a": FULL}
    store.close()
    assert [item.name for item in path.parent.iterdir()] == ["probes.sqlite"]  # its log is in it
    assert rows(path) == [("a", 1400000001, '["zz", "aa"]', json.dumps(dict(FULL.data)))]


def test_records_survive_a_restart_and_are_replaced_one_by_one(store: ProbesSQLite, path: Path) -> None:
    store.put("a", FULL)
    store.put("b", Record(2, ("g",), {"p": "x"}))
    store.put("b", Record(3, (), {"q": "y"}))
    again = opened(path)
    assert again.get("a") == FULL and again.get("b") == Record(3, (), {"q": "y"})
    again.close()


def test_it_is_flushed_to_the_disk_before_a_record_is_acknowledged(store: ProbesSQLite) -> None:
    store.put("a", FULL)
    with store._changer.opened() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_clients_that_answer_at_the_same_time_share_a_transaction(store: ProbesSQLite) -> None:
    store.put("first", FULL)
    commits: list[str] = []
    with store._changer.opened() as connection:
        connection.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
        threads = [threading.Thread(target=store.put, args=(f"h{number}", FULL)) for number in range(8)]
        for thread in threads:  # the first waits for the connection, so the others wait for the first
            thread.start()
        await_condition(lambda: len(store._unwritten) == 8)
        await_condition(lambda: len(store._writer._pending.changes) == 7)
    for thread in threads:
        thread.join()
    assert len(commits) <= 2
    assert len(store.records()) == 9 and store._unwritten == {}


def test_a_request_sees_one_state_of_a_client(store: ProbesSQLite) -> None:
    store.put("old", Record(1, ("before",), {}))
    with reading():
        assert store.get("old").groups == ("before",) and store.get("new") == NOTHING
        for host in ("old", "new"):
            upload = threading.Thread(target=store.put, args=(host, Record(2, ("after",), {})))
            upload.start()
            upload.join()
        assert store.get("old").groups == ("before",) and store.get("new") == NOTHING
        store.put("old", Record(3, ("own",), {}))  # its own counts at once
        assert store.get("old").groups == ("own",)
    assert store.get("new").groups == ("after",)


def test_another_process_sees_what_was_written(store: ProbesSQLite, path: Path) -> None:
    other = opened(path)
    for number in range(3):
        store.put("a", Record(number, (), {}))
        assert other.get("a") == Record(number, (), {})
    other.remove(["a"])
    assert store.get("a") == NOTHING
    other.close()


def test_a_file_that_was_replaced_is_the_one_that_counts(store: ProbesSQLite, path: Path, tmp_path: Path) -> None:
    store.put("a", FULL)
    other = opened(tmp_path / "other.sqlite")
    other.put("b", FULL)
    other.close()
    os.rename(tmp_path / "other.sqlite", path)
    assert store.get("b") == FULL
    path.unlink()
    assert store.records() == {}
    store.put("c", FULL)
    assert [row[0] for row in rows(path)] == ["c"]


def test_a_forked_process_uses_connections_of_its_own(store: ProbesSQLite) -> None:
    store.put("a", FULL)
    assert store.get("a") == FULL
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if store.get("a") == FULL else 2
            store.put("child", Record(1))
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert store.get("child") == Record(1)
    store.put("b", FULL)
    assert set(store.records()) == {"a", "b", "child"}


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_kept_under_another_name(content: bytes, path: Path, caplog: Any) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    store = opened(path)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] and str(path) in caplog.text
    assert store.get("a") == NOTHING
    with pytest.raises(StorageError, match="cannot be used"):
        store.records()  # so that nobody moves nothing to another place
    assert path.read_bytes() == content  # until there is something to write
    store.put("a", FULL)
    (kept,) = path.parent.glob("probes.sqlite.broken-*")
    assert kept.read_bytes() == content
    assert opened(path).get("a") == FULL
    store.close()


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=2")
    connection.close()
    with pytest.raises(StorageError, match="newer version"):
        opened(path)


def test_an_empty_file_is_one_without_records(store: ProbesSQLite, path: Path) -> None:
    path.parent.mkdir()
    path.touch()  # what a kill at the wrong moment leaves
    assert opened(path).get("a") == NOTHING
    store.put("a", FULL)
    assert opened(path).get("a") == FULL


def test_a_client_whose_record_cannot_be_read_gets_no_answer(store: ProbesSQLite, path: Path) -> None:
    store.put("a", FULL)
    store.put("b", FULL)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE clients SET data = '{' WHERE host = 'a'")
    connection.close()
    with pytest.raises(MetadataRuntimeError, match=r"probe data of a in .*probes\.sqlite"):
        store.get("a")
    assert store.get("b") == FULL


def test_what_the_disk_refuses_is_in_force_and_written_with_the_next(
    store: ProbesSQLite, path: Path, caplog: Any
) -> None:
    store.put("a", NOTHING)
    with store._changer.opened() as connection:
        connection.execute("PRAGMA query_only=1")
    store.put("a", FULL)
    assert "the server has the probe data of 1 clients in memory only" in caplog.text and str(path) in caplog.text
    assert store.get("a") == FULL and rows(path)[0][1] == 0
    other = opened(path)  # a child, which is told
    other.take("a", FULL)
    assert other.get("a") == FULL
    with store._changer.opened() as connection:
        connection.execute("PRAGMA query_only=0")
    store.put("b", FULL)
    assert [row[1] for row in rows(path)] == [FULL.timestamp] * 2
    other.take("a", FULL)
    store.put("a", Record(7))
    assert other.get("a") == Record(7)
    other.close()


@pytest.mark.parametrize("exists", [False, True])
def test_a_file_that_cannot_be_written_is_told_of_at_the_start(
    exists: bool, store: ProbesSQLite, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    if exists:
        store.put("a", FULL)
    place = path if exists else path.parent.parent
    monkeypatch.setattr(os, "access", lambda asked, _mode: Path(asked) != place)
    opened(path)
    assert caplog.messages == [f"Cannot write {place}, the server will have new probe data in memory only"]


def test_all_or_nothing(store: ProbesSQLite) -> None:
    store.put("a", FULL)
    unusable = Record(None, (), {})  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="cannot write"):
        store.replace({"b": FULL, "c": unusable})
    assert store.records() == {"a": FULL}
    store.replace({"b": FULL})
    assert store.records() == {"b": FULL}


UPLOADS = """
import logging, sys, threading
from bcfg2.server.plugins.probes.sqlite import ProbesSQLite
from bcfg2.server.plugins.probes.storage import Record
store = ProbesSQLite(sys.argv[1], logging.getLogger())
say = threading.Lock()
def upload(host, turn):
    while True:
        turn += 1
        store.put(host, Record(turn, (f"g{turn}",), {"turn": str(turn), "text": "x" * 20000}))
        with say:
            print(host, turn, flush=True)
for host in ("a", "b", "c"):
    threading.Thread(target=upload, args=(host, store.get(host).timestamp)).start()
"""


def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    acknowledged: dict[str, int] = {}
    for round_number in range(6):
        process = subprocess.Popen([sys.executable, "-c", UPLOADS, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the uploads have not begun"
        time.sleep(0.02 * round_number)  # the moment at which it is killed
        os.kill(process.pid, signal.SIGKILL)
        for line in [line, *process.stdout]:
            if line.endswith("\n"):
                host, turn = line.split()
                acknowledged[host] = int(turn)
        process.stdout.close()
        process.wait()
        store = opened(path)
        for host, turn in acknowledged.items():
            record = store.get(host)
            assert record.timestamp >= turn
            assert record.groups == (f"g{record.timestamp}",)
            assert record.data["turn"] == str(record.timestamp)
        store.close()
    assert len(acknowledged) == 3
    assert [item.name for item in path.parent.iterdir()] == ["probes.sqlite"]
