"""The command bcfg2-crypt as a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bcfg2.server.keyring import Keyring

pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "bcfg2.conf"
    path.write_text("[encryption]\nops = o-phrase\n")
    path.chmod(0o600)
    return path


def crypt(conf: Path, *words: object, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "bcfg2.bcfg2_crypt", "-C", str(conf), *map(str, words)]
    return subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)


def test_data_goes_from_standard_input_to_standard_output(conf: Path) -> None:
    sealed = crypt(conf, "-", data=b"secret\xff")
    assert (sealed.returncode, sealed.stderr) == (0, b"")
    assert Keyring({"ops": "o-phrase"}).decrypt(sealed.stdout, "ops") == b"secret\xff"
    assert crypt(conf, "--decrypt", "-", data=sealed.stdout).stdout == b"secret\xff"


@pytest.mark.parametrize(
    "words",
    [[], ["--encrypt", "--decrypt", "x"], ["--cfg", "--properties", "x"], ["--edit", "--upgrade", "x"], ["--no"]],
)
def test_a_command_line_that_makes_no_sense_ends_with_status_2(conf: Path, words: list[str]) -> None:
    outcome = crypt(conf, *words)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith(b"usage: bcfg2-crypt")


def test_a_file_that_fails_is_told_on_standard_error_and_by_status_1(conf: Path) -> None:
    outcome = crypt(conf, "--decrypt", conf)
    assert (outcome.returncode, outcome.stdout) == (1, b"")
    assert outcome.stderr.count(b"\n") == 1
    assert b"bcfg2.conf: not encrypted" in outcome.stderr


def test_no_passphrase_and_no_plain_text_is_in_the_log_even_of_debugging(conf: Path, tmp_path: Path) -> None:
    path, log = tmp_path / "a", tmp_path / "log"
    path.write_text("plain text")
    outcome = crypt(conf, "-d", "-v", "-o", log, path, "-")
    assert outcome.returncode == 0
    assert "wrote" in log.read_text()
    for secret in ("o-phrase", "plain text"):
        assert secret not in log.read_text() + outcome.stderr.decode()


def test_a_reader_that_has_seen_enough_is_no_fault(conf: Path, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(300_000))
    command = f"{sys.executable} -m bcfg2.bcfg2_crypt -C {conf} --stdout {path} | head -c 10"
    outcome = subprocess.run(["sh", "-c", command], capture_output=True, check=False, timeout=60)
    assert (len(outcome.stdout), outcome.stderr) == (10, b"")


def test_without_a_configuration_file_there_are_no_passphrases(tmp_path: Path) -> None:
    outcome = crypt(tmp_path / "missing.conf", "--encrypt", "-")
    assert outcome.returncode == 1
    assert b"no passphrases" in outcome.stderr
