"""Passphrases and what they open; the functions for plugins and templates of sites."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bcfg2.options import OptionError, OptionParser, Options
from bcfg2.server import alias
from bcfg2.server.cipherformats import MODERN_ALGORITHM, EncryptionError, encrypt_old
from bcfg2.server.encryption import bruteforce_decrypt, is_encrypted, print_xml, ssl_decrypt, ssl_encrypt
from bcfg2.server.keyring import ENCRYPTION_OPTIONS, Keyring
from bcfg2.xml import parse_string
from tests.support import Site

pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")

Read = Callable[[str], Options]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(text: str) -> Options:
        path = tmp_path / "bcfg2.conf"
        path.write_text(text)
        path.chmod(0o600)
        return OptionParser("test", "", ENCRYPTION_OPTIONS).parse(["-C", str(path)])

    return read


def mistaken(right: bytes, wrong: bytes) -> bytes:
    """Data encrypted with RIGHT that WRONG opens, too, to garbage."""
    while True:
        data = encrypt_old(b"secret", right)
        try:
            Keyring({"wrong": wrong.decode()}).decrypt(data, "wrong")
        except EncryptionError:
            continue
        return data


def test_all_keys_of_the_section_but_the_reserved_ones_are_passphrases(read: Read) -> None:
    text = "[encryption]\nalgorithm = AES-128-CBC\nlax_decryption = yes\ndecrypt = lax\nMy Team = 1\ndba: two =2\n"
    keyring = Keyring.of(read(text))
    assert dict(keyring.passphrases) == {"my team": "1", "dba": "two =2"}
    assert (keyring.algorithm, keyring.modern, keyring.lax) == ("aes_128_cbc", False, True)


def test_a_passphrase_is_taken_literally(read: Read) -> None:
    phrases = ["%ops;50#%", "50%%off", "%(other)s", "'quoted'", "a  b", "$x", "[x]", "ü"]
    text = "[encryption]\n" + "\n".join(f"p{number} =  {phrase}  " for number, phrase in enumerate(phrases))
    assert list(read(text).encryption.values()) == phrases


def test_no_passphrases_are_a_valid_configuration_that_opens_nothing(read: Read) -> None:
    keyring = Keyring.of(read("[server]\n"))
    with pytest.raises(EncryptionError, match="no passphrases"):
        keyring.decrypt_any("U2FsdGVkX18=")


def test_an_unknown_algorithm_is_an_error_of_the_configuration_file(read: Read) -> None:
    with pytest.raises(OptionError, match=r"bcfg2\.conf:2: \[encryption\] algorithm = rot13: the algorithm rot13"):
        read("[encryption]\nalgorithm = rot13\n")


def test_no_passphrase_shows_in_the_options_or_the_keyring(read: Read) -> None:
    options = read("[encryption]\nname = hush\n")
    assert "hush" not in repr(options) + repr(Keyring.of(options)) + str(options.encryption)


def test_a_passphrase_in_a_file_that_all_may_read_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "bcfg2.conf"
    path.write_text("[encryption]\nname = hush\n")
    path.chmod(0o644)
    (warning,) = OptionParser("test", "", ENCRYPTION_OPTIONS).parse(["-C", str(path)]).warnings
    assert "every user may read this secret" in warning
    assert "hush" not in warning


def test_new_data_has_the_old_form_unless_the_modern_one_is_chosen(read: Read) -> None:
    old = Keyring.of(read("[encryption]\nname = hush\n"))
    modern = Keyring.of(read(f"[encryption]\nalgorithm = {MODERN_ALGORITHM}\nname = hush\n"))
    assert old.encrypt("x", "NAME").startswith("U2FsdGVkX1")
    assert not modern.encrypt("x", "name").startswith("U2FsdGVkX1")
    for one in (old, modern):
        for other in (old, modern):
            assert one.decrypt(other.encrypt(b"\xff", "name"), "name") == b"\xff"


def test_an_unknown_name_is_named_and_another_passphrase_does_not_open(read: Read) -> None:
    keyring = Keyring({"a": "1", "b": "2"}, modern=True)
    with pytest.raises(EncryptionError, match="no passphrase nobody"):
        keyring.encrypt("x", "nobody")
    with pytest.raises(EncryptionError):
        keyring.decrypt(keyring.encrypt("x", "a"), "b")


def test_of_several_passphrases_the_one_that_yields_text_is_taken() -> None:
    data = mistaken(b"right", b"wrong")
    assert Keyring({"wrong": "wrong", "right": "right"}).opened(data) == ("right", b"secret")
    assert Keyring({"wrong": "wrong"}).decrypt_any(data) != b"secret"


def test_contents_that_are_no_text_are_opened_too() -> None:
    data = encrypt_old(b"\xff\xfe" * 50, b"right")
    assert Keyring({"right": "right", "wrong": "w"}).decrypt_any(data) == b"\xff\xfe" * 50


def test_what_nothing_opens_is_told_without_passphrases() -> None:
    data = Keyring({"c": "gamma"}, modern=True).encrypt("x", "c")
    with pytest.raises(EncryptionError, match="no passphrase opens it") as caught:
        Keyring({"a": "alpha", "b": "beta"}).decrypt_any(data)
    assert "alpha" not in str(caught.value)


def test_garbage_is_no_text() -> None:
    data = mistaken(b"right", b"wrong")
    with pytest.raises(EncryptionError, match="UTF-8"):
        Keyring({"wrong": "wrong"}).decrypt_text(data, "wrong")


# for plugins and templates


@pytest.mark.parametrize("algorithm", ["aes_256_cbc", "des_ede3_cbc", MODERN_ALGORITHM])
@pytest.mark.parametrize("plaintext", ["grün", b"\xff\x00"])
def test_the_functions_read_what_they_wrote(algorithm: str, plaintext: str | bytes) -> None:
    made = ssl_encrypt(plaintext, "phrase", algorithm)
    assert is_encrypted(made)
    assert made.count("\n") == 1
    assert ssl_decrypt(made, "phrase", algorithm) == plaintext
    assert bruteforce_decrypt(made, {"b": "phrase", "a": "x"}, algorithm) == plaintext


def test_a_salt_makes_the_outcome_certain() -> None:
    made = ssl_encrypt("s3cret & <tag>", "staple battery 9", salt=bytes.fromhex("0011223344556677"))
    assert made == "U2FsdGVkX18AESIzRFVmd2emcSJEE1XzbuUE1CC8vEo=\n"


def test_a_template_opens_data_with_the_passphrases_of_the_server(tmp_path: Path) -> None:
    template = (
        "{% python\nfrom Bcfg2.Server.Encryption import bruteforce_decrypt, ssl_decrypt, EVPError\n%}"
        f"${{bruteforce_decrypt('{ssl_encrypt('grün', 'hush').strip()}')}}"
    )
    files = {"Cfg/f/f.genshi": template, "Bundler/base.xml": '<Bundle><Path name="/f"/></Bundle>'}
    site = Site(tmp_path, files, "Metadata,Bundler,Cfg", "[encryption]\nname = hush")
    alias.install()
    assert site.entry("Path", "/f").text == "grün"


def test_an_element_is_shown_without_children_and_text() -> None:
    element = parse_string('<a><b x="1">text<c/></b>tail</a>', "test")[0]
    assert print_xml(element) == '<b x="1"/>'
    assert print_xml(element, keep_text=True) == '<b x="1">text</b>'
    assert len(element) == 1
