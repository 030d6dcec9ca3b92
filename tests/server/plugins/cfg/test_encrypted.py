"""Encrypted files: what clients get of them, and what becomes of those that no passphrase opens."""

import logging
from typing import Any

import pytest

from bcfg2.server import cipherformats
from bcfg2.server.keyring import Keyring
from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugin.services import using
from tests.server.plugin.small_core import Client
from tests.server.plugins.cfg.conftest import Bench, MakeBench

pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")

PHRASES = {"ops": "o-phrase", "dba": "d-phrase"}
TEMPLATES = {
    "genshi": "${metadata.hostname} ü",
    "jinja2": "{{ metadata.hostname }} ü",
    "cheetah": "$self.metadata.hostname ü",
}


def encrypted(content: str | bytes, name: str = "ops", **more: Any) -> str:
    return Keyring(PHRASES, **more).encrypt(content, name) + "\n"


def sealed(bench: MakeBench, files: dict[str, str | bytes], **options: Any) -> Bench:
    return bench(files, encryption=PHRASES, **options)


@pytest.mark.parametrize("modern", [False, True])
@pytest.mark.parametrize("name", ["ops", "dba"])
def test_a_file_of_either_form_is_decrypted_with_any_passphrase(bench: MakeBench, name: str, modern: bool) -> None:
    made = sealed(bench, {"f/f.crypt": encrypted("grün\r\n", name, modern=modern)})
    assert made.text("/f") == "grün\r\n"
    assert made.cfg.entries["f"].depends_on() is not None


def test_binary_and_empty_contents(bench: MakeBench) -> None:
    made = sealed(bench, {"f/f.crypt": encrypted(b"\0\xff"), "e/e.crypt": encrypted("")})
    assert made.bind("/f", encoding="base64").text == "AP8="
    assert made.bind("/e").get("empty") == "true"


@pytest.mark.parametrize("engine", ["genshi", "jinja2", "cheetah"])
@pytest.mark.parametrize("suffix", ["{}.crypt", "crypt.{}"])
def test_an_encrypted_template_is_decrypted_and_rendered(bench: MakeBench, engine: str, suffix: str) -> None:
    pytest.importorskip({"cheetah": "Cheetah"}.get(engine, engine), reason=f"{engine} is not installed")
    made = sealed(bench, {f"f/f.G10_x.{suffix.format(engine)}": encrypted(TEMPLATES[engine])})
    assert made.text("/f", Client("h", "x")) == "h ü"


def test_an_encrypted_file_competes_like_any_other(bench: MakeBench) -> None:
    files: dict[str, str | bytes] = {"f/f": "plain", "f/f.G10_x.crypt": encrypted("x"), "f/f.H_h": "host"}
    made = sealed(bench, files)
    assert [made.text("/f", Client(*who)) for who in [("a",), ("a", "x"), ("h", "x")]] == ["plain", "x", "host"]


@pytest.mark.parametrize("suffix", ["crypt", "genshi.crypt", "crypt.jinja2", "cheetah.crypt"])
@pytest.mark.parametrize("lax", [False, True])
def test_what_no_passphrase_opens_fails_and_is_never_served(
    bench: MakeBench, suffix: str, lax: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    foreign = Keyring({"x": "foreign"}, modern=True).encrypt("secret", "x")
    files: dict[str, str | bytes] = {f"f/f.{suffix}": foreign, "f/f.G10_good": "good"}
    made = sealed(bench, files, encryption_lax_decryption=lax)
    with pytest.raises(PluginExecutionError, match=rf"f/f\.{suffix} cannot be decrypted: no passphrase opens it"):
        made.bind("/f")
    assert made.text("/f", Client("h", "good")) == "good"
    (line,) = [record for record in caplog.records if "cannot be decrypted" in record.getMessage()]
    assert line.levelno == (logging.DEBUG if lax else logging.ERROR)


def test_a_change_to_something_that_does_not_open_serves_nothing_old(bench: MakeBench) -> None:
    made = sealed(bench, {"f/f.crypt": encrypted("one")})
    made.change({"f/f.crypt": "left decrypted"})
    with pytest.raises(PluginExecutionError, match="not encrypted"):
        made.bind("/f")
    made.change({"f/f.crypt": encrypted("two", "dba")})
    assert made.text("/f") == "two"


def test_new_passphrases_have_files_decrypted_again(bench: MakeBench) -> None:
    made = bench({"f/f.crypt": encrypted("one"), "t/t.genshi.crypt": encrypted("$name")}, encryption={"ops": "wrong"})
    for path in ("/f", "/t"):
        with pytest.raises(PluginExecutionError):
            made.bind(path)
    made.core.options.encryption = PHRASES
    with using(made.core):
        made.core.passphrase_users.reload()
    assert [made.text(path) for path in ("/f", "/t")] == ["one", "/t"]


def test_without_the_library_only_encrypted_files_fail(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cipherformats, "CRYPTOGRAPHY", False)
    made = sealed(bench, {"f/f.crypt": "U2FsdGVkX18=", "g/g": "plain"})
    with pytest.raises(PluginExecutionError, match=r"install bcfg2\[encryption\]"):
        made.bind("/f")
    assert made.text("/g") == "plain"
