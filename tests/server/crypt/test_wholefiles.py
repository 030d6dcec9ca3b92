"""bcfg2-crypt on whole files."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from bcfg2.server import cipherformats
from bcfg2.server.cipherformats import EncryptionError, decrypt, encrypt_old, is_encrypted, is_modern
from bcfg2.server.crypt import tool
from tests.server.crypt.conftest import PHRASES, RING, Bench


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("content", [b"", b"text\n", "grün\r\n".encode(), bytes(range(256)) * 100])
def test_what_is_encrypted_is_decrypted_to_the_same_bytes(bench: Bench, content: bytes) -> None:
    path = bench.write("a", content)
    assert bench.crypt("-p", "ops", "--encrypt", path) == (0, b"", "", [])
    encrypted = bench.folder / "a.crypt"
    assert encrypted.read_bytes().count(b"\n") == 1
    assert RING.decrypt(encrypted.read_bytes(), "ops") == content
    path.unlink()
    assert bench.crypt("--decrypt", "-p", "ops", encrypted).status == 0
    assert path.read_bytes() == content


def test_without_a_mode_what_is_encrypted_is_decrypted_and_the_rest_encrypted(bench: Bench) -> None:
    plain, sealed = bench.write("a", "A"), bench.write("b.crypt", RING.encrypt("B", "dba"))
    assert bench.crypt("-p", "dba", plain, sealed).status == 0
    assert RING.decrypt((bench.folder / "a.crypt").read_bytes(), "dba") == b"A"
    assert (bench.folder / "b").read_bytes() == b"B"


def test_a_name_without_suffix_is_decrypted_in_place(bench: Bench) -> None:
    path = bench.write("a", RING.encrypt("A", "dba"))
    assert bench.crypt("--decrypt", path).status == 0
    assert path.read_bytes() == b"A"


def test_cipher_text_has_the_mode_of_the_file_and_plain_text_is_for_the_owner(bench: Bench) -> None:
    path = bench.write("a", "A")
    path.chmod(0o640)
    bench.crypt("-p", "ops", path)
    encrypted = bench.folder / "a.crypt"
    assert mode(encrypted) == 0o640
    path.unlink()
    bench.crypt("--decrypt", encrypted)
    assert mode(path) == 0o600
    path.chmod(0o644)
    bench.crypt("--decrypt", encrypted)
    assert mode(path) == 0o644


def test_several_passphrases_and_none_chosen_writes_nothing(bench: Bench) -> None:
    outcome = bench.crypt("--encrypt", bench.write("a", "A"))
    assert outcome.status == 1
    assert outcome.log == [f"ERROR {bench.folder}/a: which passphrase? choose one by -p: ops, dba"]
    assert not (bench.folder / "a.crypt").exists()


def test_the_only_passphrase_needs_no_name(bench: Bench) -> None:
    bench.configure("only = x\n")
    assert bench.crypt(bench.write("a", "A")).status == 0
    assert decrypt((bench.folder / "a.crypt").read_bytes(), b"x") == b"A"


def test_without_passphrases_nothing_can_be_done(bench: Bench) -> None:
    bench.configure("")
    outcome = bench.crypt(bench.write("a", "A"), bench.write("b", RING.encrypt("B", "ops")))
    assert outcome.status == 1
    assert [line.split(": ", 1)[1] for line in outcome.log] == [
        "section [encryption] of the configuration file has no passphrases"
    ] * 2


def test_what_is_encrypted_gets_no_second_coat(bench: Bench) -> None:
    outcome = bench.crypt("--encrypt", "-p", "ops", bench.write("a.crypt", RING.encrypt("A", "ops")))
    assert (outcome.status, len(outcome.log)) == (1, 1)
    assert not (bench.folder / "a.crypt.crypt").exists()


def test_a_passphrase_that_does_not_fit_writes_nothing(bench: Bench) -> None:
    sealed = bench.write("a.crypt", replace(RING, modern=True).encrypt("A", "ops"))
    target = bench.write("a", "not touched")
    outcome = bench.crypt("--decrypt", "-p", "dba", sealed)
    assert (outcome.status, len(outcome.log)) == (1, 1)
    assert "the passphrase does not fit" in outcome.log[0]
    assert target.read_text() == "not touched"


def test_where_several_passphrases_open_binary_data_none_is_guessed(bench: Bench) -> None:
    content = b"\xff" * 31
    while True:
        data = encrypt_old(content, PHRASES["ops"].encode())
        try:
            decrypt(data, PHRASES["dba"].encode())
        except EncryptionError:
            continue
        break
    path = bench.write("a", data)
    outcome = bench.crypt("--decrypt", path)
    assert outcome.status == 1
    assert "several passphrases seem to open it, choose one by -p: ops, dba" in outcome.log[0]
    assert path.read_bytes() == data
    assert bench.crypt("--decrypt", "-p", "ops", path).status == 0
    assert path.read_bytes() == content


def test_one_file_that_fails_keeps_no_other_from_being_done(bench: Bench) -> None:
    bench.write("folder/x", "")
    os.mkfifo(bench.folder / "fifo")
    names = [bench.write("a", "A"), "/missing", bench.folder / "folder", bench.folder / "fifo", bench.write("b", "B")]
    outcome = bench.crypt("--encrypt", "-p", "ops", *names)
    assert outcome.status == 1
    assert [line.split(": ", 1)[1] for line in outcome.log] == [
        "No such file or directory",
        *["not a regular file"] * 2,
    ]
    assert is_encrypted((bench.folder / "a.crypt").read_bytes())
    assert is_encrypted((bench.folder / "b.crypt").read_bytes())


def test_results_are_printed_under_their_names(bench: Bench) -> None:
    one, two = (bench.write(f"{name}.crypt", RING.encrypt(f"{name}\n", "ops")) for name in ("one", "two"))
    assert bench.crypt("--decrypt", "--stdout", one).out == b"one\n"
    assert bench.crypt("--decrypt", "--stdout", one, two).out == (
        f"----- {one} -----\none\n\n----- {two} -----\ntwo\n\n".encode()
    )
    assert sorted(path.name for path in bench.folder.iterdir()) == ["bcfg2.conf", "one.crypt", "two.crypt"]


def test_standard_input_goes_to_standard_output(bench: Bench) -> None:
    sealed = bench.crypt("-p", "ops", "-", stdin=b"\xff\0")
    assert (sealed.status, sealed.log) == (0, [])
    assert bench.crypt("-", stdin=sealed.out).out == b"\xff\0"
    document = b'<Properties><a encrypted="ops">x</a></Properties>'
    assert is_encrypted(bench.crypt("-p", "ops", "-", stdin=document).out)
    assert b'<a encrypted="ops">U2F' in bench.crypt("--properties", "-", stdin=document).out


def test_the_plain_file_is_removed_after_it_was_encrypted_and_only_then(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.write("a", "A")
    outcome = bench.crypt("--encrypt", "-p", "ops", "--stdout", "--remove", path)
    assert "--remove is ignored" in outcome.log[0]
    assert path.exists()

    def fail(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tool, "atomic_write", fail)
        assert bench.crypt("--encrypt", "-p", "ops", "--remove", path).status == 1
    assert path.exists()
    assert bench.crypt("--encrypt", "-p", "ops", "--remove", path) == (0, b"", "", [])
    assert not path.exists()
    encrypted = bench.folder / "a.crypt"
    for words in ([], ["--decrypt"]):
        assert "--remove is for encrypting, ignored" in bench.crypt("--remove", *words, encrypted).log[0]
        assert encrypted.exists()


def test_flags_for_properties_are_ignored_with_a_message(bench: Bench) -> None:
    outcome = bench.crypt("--encrypt", "-p", "ops", "-I", "--xpath", "//x", bench.write("a", "A"))
    assert outcome.status == 0
    assert [line.rpartition(": ")[2] for line in outcome.log] == [
        "--xpath is for Properties, ignored",
        "--interactive is for Properties, ignored",
    ]


def test_a_name_that_is_not_there_is_not_repeated_as_it_may_be_a_passphrase(bench: Bench) -> None:
    outcome = bench.crypt("-p", "s3cret", bench.write("a", "A"))
    assert outcome.status == 1
    assert "has ops, dba" in outcome.log[0]
    assert "s3cret" not in outcome.log[0]


def test_with_the_modern_algorithm_new_data_takes_the_salt_that_is_in_the_repository(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.configure("ops = o-phrase\nalgorithm = AES-256-GCM\n")
    assert bench.crypt(bench.write("Cfg/a/a", "A")).status == 0
    monkeypatch.setattr(cipherformats, "_salts", {})  # as if it were another run
    assert bench.crypt(bench.write("Cfg/b/b", "B")).status == 0
    made = [(bench.folder / f"Cfg/{name}/{name}.crypt").read_bytes() for name in ("a", "b")]
    assert all(is_modern(data) for data in made)
    assert made[0][:33] == made[1][:33]
    assert bench.crypt("--decrypt", "--stdout", bench.folder / "Cfg/b/b.crypt").out == b"B"
