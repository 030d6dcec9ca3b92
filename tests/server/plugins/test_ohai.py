"""Ohai: what clients' ohai prints, kept for templates."""

import json
import logging
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xmlrpc.client import Fault

import pytest
from lxml import etree

from bcfg2.server.plugins import ohai
from tests.support import Site

ADDRESS = ("127.0.0.2", 1)
HOST = "client.example.com"


def make(tmp_path: Path, conf: str = "", **files: str) -> Site:
    return Site(tmp_path, {f"Ohai/{name}.json": text for name, text in files.items()}, "Metadata,Bundler,Ohai", conf)


def upload(site: Site, *answers: str) -> Any:
    document = etree.Element("ProbeData")
    for answer in answers:
        etree.SubElement(document, "probe-data", name="Ohai", source="Ohai").text = answer
    with site.core.request():
        return site.core.RecvProbeData(ADDRESS, etree.tostring(document).decode())


def kept(site: Site) -> Path:
    return site.repo / f"Ohai/{HOST}.json"


def test_every_answer_to_get_probes_has_an_element_of_its_own(tmp_path: Path) -> None:
    site = make(tmp_path)
    for _ in range(2):
        (probe,) = etree.fromstring(site.core.GetProbes(ADDRESS))
        assert dict(probe.attrib) == {"name": "Ohai", "source": "Ohai", "interpreter": "/bin/sh"}
        assert probe.text == ohai.SCRIPT


@pytest.mark.parametrize(("program", "output"), [(None, "{}\n"), ("echo '{\"a\": 1}'", '{"a": 1}\n')])
def test_the_script_prints_what_ohai_prints_or_an_empty_object(
    tmp_path: Path, program: str | None, output: str
) -> None:
    if program is not None:
        (tmp_path / "ohai").write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / "ohai").chmod(0o755)
    run = subprocess.run(
        ["/bin/sh", "-ec", ohai.SCRIPT],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert (run.stdout, run.stderr) == (output, "")


def test_an_answer_is_kept_unaltered_and_survives_a_restart(tmp_path: Path) -> None:
    site = make(tmp_path)
    text = '{\n  "platform": "debian",  "note": "a < b & \u00fc\u4e2d"\n}\n'
    assert site.metadata().Ohai == {}
    assert upload(site, text) is True
    assert kept(site).read_text("utf-8") == text
    assert site.metadata().Ohai == json.loads(text)
    site.restart()
    assert dict(site.metadata().Ohai) == json.loads(text)
    assert "platform" in site.metadata().Ohai and site.metadata().Ohai.get("cpu", 0) == 0


@pytest.mark.parametrize("answer", ["ohai: failed", "[1]", "3", "{", '{"a": 1} x', "[" * 100000])
def test_what_is_no_json_object_is_a_fault_and_changes_nothing(tmp_path: Path, answer: str) -> None:
    site = make(tmp_path)
    upload(site, '{"a": 1}')
    with pytest.raises(Fault) as raised:
        upload(site, answer)
    assert raised.value.faultCode == -32500
    assert kept(site).read_text() == '{"a": 1}'
    assert site.metadata().Ohai == {"a": 1}


def test_an_empty_answer_is_ignored(tmp_path: Path) -> None:
    site = make(tmp_path)
    assert upload(site, "") is True
    assert not kept(site).exists()


def test_a_file_of_an_earlier_run_is_read_by_the_first_request_that_asks(tmp_path: Path) -> None:
    site = make(tmp_path, **{HOST: '{"a": 1}'})
    assert site.metadata().Ohai == {"a": 1}  # made within one request
    kept(site).write_text('{"a": 2}')
    assert site.metadata().Ohai == {"a": 1}
    upload(site, '{"a": 1}')  # which the file is not
    assert kept(site).read_text() == '{"a": 1}'


@pytest.mark.parametrize("text", ["{", "[]", "\0", ""])
def test_a_broken_file_is_one_error_line_and_no_data(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    site = make(tmp_path, **{HOST: text})
    assert [dict(site.metadata().Ohai) for _ in range(2)] == [{}, {}]
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert str(kept(site)) in line
    upload(site, '{"a": 1}')
    assert site.metadata().Ohai == {"a": 1}


def test_an_unchanged_answer_is_not_written_again(tmp_path: Path) -> None:
    site = make(tmp_path)
    upload(site, '{"a": 1}')
    before = kept(site).stat()
    upload(site, '{"a": 1}')
    assert kept(site).stat().st_ino == before.st_ino
    kept(site).unlink()
    upload(site, '{"a": 1}')
    assert kept(site).exists()


def test_a_full_disk_is_a_fault_and_the_old_answer_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make(tmp_path)
    upload(site, '{"a": 1}')

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ohai, "atomic_write", full)
    with pytest.raises(Fault, match="No space"):
        upload(site, '{"a": 2}')
    assert site.metadata().Ohai == {"a": 1}


def test_what_a_template_changes_stays_there_and_a_request_keeps_what_it_has_seen(tmp_path: Path) -> None:
    site = make(tmp_path, **{HOST: '{"a": [1]}'})
    site.metadata().Ohai["a"].append(2)
    assert site.metadata().Ohai["a"] == [1]
    with site.core.request():
        client = SimpleNamespace(hostname=HOST)
        plugin = site.plugin("Ohai")
        assert plugin.get_additional_data(client) == {"a": [1]}
        answer = [etree.fromstring('<probe-data name="Ohai">{"a": 5}</probe-data>')]
        other_request = threading.Thread(target=plugin.ReceiveData, args=(client, answer))
        other_request.start()
        other_request.join(20)
        assert kept(site).read_text() == '{"a": 5}'
        assert plugin.get_additional_data(client) == {"a": [1]}
    assert site.metadata().Ohai == {"a": 5}


@pytest.mark.parametrize("mode", ["off", "initial", "cautious", "aggressive"])
def test_an_answer_counts_at_once_in_every_caching_mode(tmp_path: Path, mode: str) -> None:
    site = make(tmp_path, f"[caching]\nclient_metadata = {mode}")
    assert site.metadata().Ohai == {}
    upload(site, '{"a": 1}')
    assert site.metadata().Ohai == {"a": 1}


def test_no_file_is_written_outside_of_the_folder(tmp_path: Path) -> None:
    site = make(tmp_path)
    client = SimpleNamespace(hostname="../Metadata/x")
    with pytest.raises(Exception, match="cannot be the name of a file"):
        site.plugin("Ohai").ReceiveData(client, [etree.fromstring("<probe-data>{}</probe-data>")])
    assert not (site.repo / "Metadata/x.json").exists()
