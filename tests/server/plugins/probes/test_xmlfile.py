"""probed.xml: its shape, what it takes, and that nothing that was acknowledged is lost."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from bcfg2.server.plugins.probes import xmlfile
from bcfg2.server.plugins.probes.storage import Record
from bcfg2.server.plugins.probes.xmlfile import ProbedFile
from bcfg2.server.versioned import reading

LOGGER = logging.getLogger("bcfg2.Probes")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "probed.xml"


def opened(path: Path) -> ProbedFile:
    return ProbedFile(str(path), LOGGER)


def test_a_missing_file_is_created_empty(path: Path) -> None:
    opened(path)
    assert path.read_bytes() == b"<Probed/>\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_shape_of_the_file(path: Path) -> None:
    probed = opened(path)
    probed.put("www2", Record(1400000001, (), {"virt": "none\n"}))
    probed.put("www1", Record(1400000002, ("kvm", "amd64"), {"virt": "a\tb\n", "caf\u00e9": '<"&'}))
    assert path.read_text("utf-8") == (
        "<Probed>\n"
        '  <Client name="www1" timestamp="1400000002">\n'
        '    <Probe name="caf\u00e9" value="&lt;&quot;&amp;"/>\n'
        '    <Probe name="virt" value="a&#9;b&#10;"/>\n'
        '    <Group name="kvm"/>\n'
        '    <Group name="amd64"/>\n'
        "  </Client>\n"
        '  <Client name="www2" timestamp="1400000001">\n'
        '    <Probe name="virt" value="none&#10;"/>\n'
        "  </Client>\n"
        "</Probed>\n"
    )


_text = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff", include_characters="\t\n\r\x85")
)
_words = _text.filter(bool)
_records = st.builds(
    Record,
    st.integers(0, 2**40),
    st.lists(_words, unique=True).map(tuple),
    st.dictionaries(_words, _text, max_size=4),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.dictionaries(_words, _records, max_size=4))
def test_everything_is_the_same_after_a_restart(path: Path, records: dict[str, Record]) -> None:
    path.unlink(missing_ok=True)
    probed = opened(path)
    for host, record in records.items():
        probed.put(host, record)
    again = opened(path)
    for host, record in records.items():
        assert again.get(host) == probed.get(host) == record


def test_other_records_are_kept_with_their_times(path: Path) -> None:
    path.write_text(
        '<Probed><Client name="b" timestamp="1300000000"><Group name="physical"/>'
        '<Probe name="virt" value="none&#10;"/></Client></Probed>'
    )
    probed = opened(path)
    probed.put("a", Record(5, (), {}))
    assert opened(path).get("b") == Record(1300000000, ("physical",), {"virt": "none\n"})


def test_nothing_but_an_upload_writes_the_file(path: Path) -> None:
    text = '<Probed>\n\n <Client name="b" timestamp="1"/></Probed>'
    path.write_text(text)
    opened(path).get("b")
    assert path.read_text() == text


def test_comments_unknown_elements_and_missing_attributes_are_tolerated(path: Path) -> None:
    path.write_text(
        "<!-- top --><Probed><!-- one --><Other/><Client/>"
        '<Client name="a"><!-- two --><Probe name="p"/><Probe value="x"/><Group/><Group name="g"/></Client>'
        '<Client name="b" timestamp="soon"/></Probed>'
    )
    probed = opened(path)
    assert probed.get("a") == Record(0, ("g",), {"p": ""})
    probed.put("c", Record(7, (), {}))
    assert opened(path).get("a") == Record(0, ("g",), {"p": ""})


def test_a_client_without_a_record_has_nothing(path: Path) -> None:
    assert opened(path).get("nobody") == Record(0, (), {})


@pytest.mark.parametrize(
    "content", [b"", b'<Probed><Client name="a" timestamp="1"/>', b"<Clients/>", b"<Probed>\xff</Probed>", b"&#0;"]
)
def test_a_broken_file_is_named_in_the_log_and_kept_under_another_name(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(content)
    probed = opened(path)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert str(path) in caplog.text
    assert path.read_bytes() == content  # until there is something to write
    for number in range(2):
        probed.put("b", Record(number, (), {}))
    kept = [item for item in path.parent.iterdir() if item != path]
    assert len(kept) == 1
    assert re.fullmatch(r"probed\.xml\.broken-\d+", kept[0].name)
    assert kept[0].read_bytes() == content
    assert opened(path).get("b") == Record(1, (), {})


def test_very_long_answers_can_be_read_again(path: Path) -> None:
    long = "line\n" * 3_000_000
    opened(path).put("a", Record(1, (), {"log": long}))
    assert opened(path).get("a").data["log"] == long


def test_a_write_error_is_logged_and_the_data_stay_in_force(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    probed = opened(path)

    def refuse(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(xmlfile, "atomic_write", refuse)
        probed.put("a", Record(1, ("g",), {"p": "x"}))
    assert "No space left on device" in caplog.text
    assert probed.get("a") == Record(1, ("g",), {"p": "x"})
    assert path.read_bytes() == b"<Probed/>\n"
    probed.put("b", Record(2, (), {}))
    assert opened(path).get("a") == Record(1, ("g",), {"p": "x"})


def test_a_request_sees_one_state_of_a_client(path: Path) -> None:
    probed = opened(path)
    probed.put("old", Record(1, ("before",), {}))
    with reading():
        for host in ("old", "new"):
            upload = threading.Thread(target=probed.put, args=(host, Record(2, ("after",), {})))
            upload.start()
            upload.join()
        assert probed.get("old").groups == ("before",)
        assert probed.get("new").groups == ()
    assert probed.get("old").groups == probed.get("new").groups == ("after",)


def test_many_clients_at_once_lose_nothing(path: Path) -> None:
    probed = opened(path)

    def upload(number: int) -> None:
        for turn in range(10):
            probed.put(f"host{number}", Record(turn, (f"g{turn}",), {"n": str(number)}))
            probed.put("shared", Record(turn, (f"of-{number}",), {}))

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = opened(path)
    for number in range(8):
        assert again.get(f"host{number}") == Record(9, ("g9",), {"n": str(number)})
    assert again.get("shared") == probed.get("shared")


UPLOADS = """
import logging, sys, threading
from bcfg2.server.plugins.probes.storage import Record
from bcfg2.server.plugins.probes.xmlfile import ProbedFile
probed = ProbedFile(sys.argv[1], logging.getLogger())
say = threading.Lock()
def upload(host, turn):
    while True:
        turn += 1
        probed.put(host, Record(turn, (f"g{turn}",), {"turn": str(turn), "text": "x" * 20000}))
        with say:
            print(host, turn, flush=True)
for host in ("a", "b", "c"):
    threading.Thread(target=upload, args=(host, probed.get(host).timestamp)).start()
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
        etree.parse(str(path))
        probed = opened(path)
        for host, turn in acknowledged.items():
            record = probed.get(host)
            assert record.timestamp >= turn
            assert record.groups == (f"g{record.timestamp}",)
            assert record.data["turn"] == str(record.timestamp)
    assert len(acknowledged) == 3
    assert [item.name for item in path.parent.iterdir() if not item.name.startswith(".#")] == ["probed.xml"]
