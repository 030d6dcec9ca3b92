"""Encrypted data: the recorded vectors, the openssl command, what is refused, and the modern form."""

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bcfg2.server import cipherformats
from bcfg2.server.cipherformats import (
    EncryptionError,
    decode,
    decrypt,
    encrypt_modern,
    encrypt_old,
    is_encrypted,
    is_modern,
    normalized,
)

pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")

VECTORS = json.loads((Path(__file__).parents[1] / "conformance" / "vectors" / "encryption.json").read_text())
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command")


def plaintext(vector: dict[str, Any]) -> bytes:
    if "plaintext" in vector:
        return vector["plaintext"].encode()
    return base64.b64decode(vector["plaintext_base64"])


def named(vectors: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("vector", [pytest.param(v, id=f"{v['name']}-{v.get('source')}") for v in vectors])


def openssl(*arguments: str, data: bytes, passphrase: str) -> bytes:
    """What ``openssl enc`` makes of DATA."""
    words = ["openssl", "enc", "-md", "md5", "-a", *arguments, "-pass", "env:PHRASE"]
    return subprocess.run(words, input=data, check=True, capture_output=True, env={"PHRASE": passphrase}).stdout


@named(VECTORS["vectors"])
def test_recorded_data_is_read(vector: dict[str, Any]) -> None:
    opened = decrypt(vector["ciphertext"], vector["passphrase"].encode(), vector["algorithm"])
    assert opened == plaintext(vector)
    assert is_encrypted(vector["ciphertext"])


@named([vector for vector in VECTORS["vectors"] if vector["source"] == "bcfg2"])
def test_with_the_same_salt_the_recorded_data_is_made(vector: dict[str, Any]) -> None:
    made = encrypt_old(
        plaintext(vector), vector["passphrase"].encode(), vector["algorithm"], bytes.fromhex(vector["salt"])
    )
    assert made + b"\n" == vector["ciphertext"].encode()


@named(VECTORS["refused"])
def test_recorded_data_that_is_no_cipher_text_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(EncryptionError):
        decrypt(vector["ciphertext"], vector["passphrase"].encode())


@needs_openssl
@pytest.mark.parametrize("name", ["aes-256-cbc", "camellia-256-cbc", "aes-256-ctr", "aes-256-cfb", "aes-256-ofb"])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1000])
def test_openssl_and_this_read_each_other(name: str, size: int) -> None:
    data, passphrase = bytes(range(256)) * 4, "pass phrase ñ"
    data = data[:size]
    made = openssl(f"-{name}", data=data, passphrase=passphrase)
    assert decrypt(made, passphrase.encode(), normalized(name)) == data
    made = encrypt_old(data, passphrase.encode(), normalized(name))
    assert openssl(f"-{name}", "-A", "-d", data=made, passphrase=passphrase) == data


@pytest.mark.parametrize("name", [f"{kind}_cbc" for kind in cipherformats._KINDS])
def test_every_cipher_reads_what_it_wrote_or_says_that_the_library_lacks_it(name: str) -> None:
    try:
        made = encrypt_old(b"secret", b"phrase", name)
    except EncryptionError as err:
        assert "does not have" in str(err)
    else:
        assert decrypt(made, b"phrase", name) == b"secret"


@pytest.mark.parametrize(
    ("given", "meant"),
    [("AES-256-CBC", "aes_256_cbc"), ("bf-cbc", "bf_cbc"), ("des3", "des_ede3_cbc"), (" BF ", "bf_cbc")],
)
def test_names_of_ciphers_are_those_of_openssl_in_any_spelling(given: str, meant: str) -> None:
    assert normalized(given) == meant


@pytest.mark.parametrize("name", ["rot13", "aes_256_gcm_siv", "aes_512_cbc", "cbc", ""])
def test_an_unknown_cipher_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(EncryptionError, match="choose aes_256_gcm, or one of aes_128"):
        normalized(name)


def test_what_is_no_base64_character_is_skipped() -> None:
    made = encrypt_old(b"secret" * 20, b"phrase").decode()
    scattered = "\r\n \t".join([made[:13], made[13:50], made[50:]])
    assert decrypt(f"\n {scattered}é \n", b"phrase") == b"secret" * 20


@pytest.mark.parametrize("text", ["", "plain text", "U2FsdGVkX18", "c2VjcmV0", b"\xff\x00", "=U2FsdGVkX18="])
def test_what_is_not_encrypted_does_not_look_so(text: str | bytes) -> None:
    assert not is_encrypted(text)
    assert not is_modern(text)
    with pytest.raises(EncryptionError):
        decrypt(text, b"phrase")


# the modern form


def test_the_modern_form_reads_what_it_wrote_and_is_told_apart() -> None:
    made = encrypt_modern(b"secret \xff", b"phrase")
    assert decrypt(made, b"phrase") == b"secret \xff"
    assert is_encrypted(made)
    assert is_modern(made)
    assert not is_modern(encrypt_old(b"secret", b"phrase"))
    assert made != encrypt_modern(b"secret \xff", b"phrase")


def test_any_changed_bit_of_the_modern_form_is_noticed() -> None:
    raw = decode(encrypt_modern(b"secret", b"phrase"))
    for position in [0, 8, 9, 30, len(raw) - 20, len(raw) - 1]:
        changed = bytearray(raw)
        changed[position] ^= 1
        with pytest.raises(EncryptionError):
            decrypt(base64.b64encode(changed), b"phrase")
    for length in [8, 9, 25, 40, len(raw) - 1]:
        with pytest.raises(EncryptionError):
            decrypt(base64.b64encode(raw[:length]), b"phrase")


def test_the_modern_form_is_not_opened_by_another_passphrase() -> None:
    made = encrypt_modern(b"secret", b"phrase")
    with pytest.raises(EncryptionError, match="passphrase does not fit"):
        decrypt(made, b"other")


def test_an_absurd_cost_is_refused_without_being_tried() -> None:
    raw = bytearray(decode(encrypt_modern(b"secret", b"phrase")))
    raw[8] = 60
    with pytest.raises(EncryptionError, match="cost 60"):
        decrypt(base64.b64encode(raw), b"phrase")


def test_a_key_is_derived_once_for_all_data_of_a_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = cipherformats.hashlib.scrypt

    def counted(*arguments: Any, **named: Any) -> bytes:
        calls.append(arguments)
        return real(*arguments, **named)

    monkeypatch.setattr(cipherformats.hashlib, "scrypt", counted)
    made = [encrypt_modern(b"%d" % number, b"counted phrase") for number in range(1000)]
    assert [decrypt(data, b"counted phrase") for data in made] == [b"%d" % number for number in range(1000)]
    assert len(calls) == 1


def test_without_the_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    made = encrypt_old(b"secret", b"phrase")
    monkeypatch.setattr(cipherformats, "CRYPTOGRAPHY", False)
    with pytest.raises(EncryptionError, match=r"install bcfg2\[encryption\]"):
        decrypt(made, b"phrase")
    with pytest.raises(EncryptionError, match=r"install bcfg2\[encryption\]"):
        encrypt_old(b"secret", b"phrase")
