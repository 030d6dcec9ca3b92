"""SSH key pairs."""

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")

from bcfg2.server.pki import sshkeys
from bcfg2.server.plugin import PluginExecutionError

KINDS = [
    ("rsa", 1024, "ssh-rsa", None),
    ("ecdsa", None, "ecdsa-sha2-nistp256", None),
    ("ecdsa", 521, "ecdsa-sha2-nistp521", None),
    ("ed25519", None, "ssh-ed25519", None),
    ("ed25519", None, "ssh-ed25519", "opens the key"),
]


@pytest.mark.parametrize(("kind", "bits", "name", "passphrase"), KINDS)
def test_the_halves_belong_together(kind: str, bits: int | None, name: str, passphrase: str | None) -> None:
    pair = sshkeys.generate(kind, bits, passphrase)
    assert pair.public.split(" ")[0] == name
    assert pair.private.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert sshkeys.public_half(pair.private, passphrase) == pair.public


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen (openssh-client) is not installed")
@pytest.mark.parametrize(("kind", "bits", "_name", "passphrase"), KINDS)
def test_ssh_keygen_reads_them(tmp_path: Path, kind: str, bits: int | None, _name: str, passphrase: str | None) -> None:
    pair = sshkeys.generate(kind, bits, passphrase)
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_bytes(pair.private)
    command = ["ssh-keygen", "-y", "-P", passphrase or "", "-f", str(key)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert run.stdout.split()[:2] == pair.public.split()


@pytest.mark.parametrize(
    ("kind", "bits"), [("rsa1", None), ("dsa", 1024), ("nosuchtype", None), ("ecdsa", 100), ("rsa", 512), ("", None)]
)
def test_what_there_is_not_is_refused(kind: str, bits: int | None) -> None:
    with pytest.raises(PluginExecutionError):
        sshkeys.generate(kind, bits)


@pytest.mark.parametrize("passphrase", [None, "wrong"])
def test_a_key_that_does_not_open_is_an_error_without_the_passphrase_in_it(passphrase: str | None) -> None:
    private = sshkeys.generate("ed25519", None, "right").private
    with pytest.raises(PluginExecutionError, match="the private key cannot be read") as caught:
        sshkeys.public_half(private, passphrase)
    assert "right" not in str(caught.value) and "wrong" not in str(caught.value)


def test_nonsense_is_an_error() -> None:
    with pytest.raises(PluginExecutionError, match="the private key cannot be read"):
        sshkeys.public_half(b"PRIVATE\n")
