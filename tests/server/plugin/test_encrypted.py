"""Encrypted elements in XML files and templates: what is decrypted, what is refused, new passphrases."""

import logging
import re
import traceback
from pathlib import Path
from typing import Any

import pytest

from bcfg2.server.cipherformats import is_encrypted
from bcfg2.server.keyring import Keyring
from bcfg2.server.plugin import PluginExecutionError, StructFile
from bcfg2.server.plugin.services import using
from bcfg2.xml import tostring
from tests.server.plugin.small_core import Client, SmallCore

pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")

PHRASES = {"ops": "o-phrase", "dba": "d-phrase"}


def structfile(core: SmallCore, text: str) -> Any:
    core.write({"f.xml": text})
    return core.make(StructFile, core.path("f.xml"), should_monitor=True)


def matching(file: Any, *arguments: Any) -> str:
    return "".join(tostring(node) for node in file.Match(*arguments))


def encrypted(text: str | bytes, name: str = "ops") -> str:
    """TEXT, encrypted with the passphrase NAME of :func:`crypto_core`."""
    return Keyring(PHRASES).encrypt(text, name)


def crypto_core(folder: Path, **passphrases: str) -> SmallCore:
    return SmallCore(folder, encryption=passphrases or PHRASES)


def test_marked_elements_are_decrypted_at_any_depth_also_in_included_files(tmp_path: Path) -> None:
    core = crypto_core(tmp_path)
    core.write({"part.xml": f'<Group name="web"><i encrypted="dba">\n  {encrypted("<&grün>", "dba")}\n</i></Group>'})
    source = f"""<r xmlns:xi="http://www.w3.org/2001/XInclude"><e encrypted="ops">{encrypted(" a $b ")}<c/></e>
        <xi:include href="part.xml"/></r>"""
    file = structfile(core, source)
    assert matching(file, Client("host", "web")) == (
        '<e encrypted="ops"> a $b <c/></e><i encrypted="dba">&lt;&amp;gr&#252;n&gt;</i>'
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (encrypted("x", "dba"), "does not fit|UTF-8|cannot hold"),
        ("left decrypted", "not encrypted"),
        (encrypted(b"a\0b"), "cannot hold"),
        (encrypted(b"\xff"), "UTF-8"),
    ],
    ids=["other passphrase", "plain text", "not for XML", "no text"],  # the texts are others in each process
)
def test_an_element_that_cannot_be_decrypted_is_named_and_refuses_the_file(
    tmp_path: Path, text: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    core = crypto_core(tmp_path)
    file = structfile(core, f"<r><e encrypted='ops'>{encrypted('good')}</e></r>")
    core.change({"f.xml": f"<r>\n<e encrypted='ops'>{encrypted('new')}</e>\n<e n='1' encrypted='ops'>{text}</e></r>"})
    assert matching(file, Client()) == '<e encrypted="ops">good</e>'
    (line,) = [record.getMessage() for record in caplog.records]
    assert 'f.xml, keeping what was read before: line 3: cannot decrypt the text of <e n="1" encrypted="ops"/>' in line
    assert re.search(reason, line)


def test_lax_decryption_decrypts_the_others_and_leaves_a_line_for_debugging(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    core = crypto_core(tmp_path)
    source = (
        f"<r lax_decryption='True'><e encrypted='nobody'>{encrypted('x')}</e>"
        f"<e encrypted='ops'>{encrypted('y')}</e></r>"
    )
    left, right = structfile(core, source).Match(Client())
    assert is_encrypted(left.text)
    assert right.text == "y"
    (line,) = [record for record in caplog.records if "no passphrase nobody" in record.getMessage()]
    assert line.levelno == logging.DEBUG


def test_comments_do_not_hide_what_is_encrypted(tmp_path: Path) -> None:
    core = crypto_core(tmp_path)
    half = encrypted("secret")
    file = structfile(core, f"<r><e encrypted='ops'><!-- of ops -->{half[:20]}<!-- x -->{half[20:]}</e></r>")
    assert matching(file, Client()) == '<e encrypted="ops">secret</e>'


@pytest.mark.parametrize("attributes", ["", ' py:strip="True"', ' py:if="metadata.hostname"'])
def test_in_a_template_what_is_encrypted_is_decrypted_and_never_taken_for_code(tmp_path: Path, attributes: str) -> None:
    pytest.importorskip("genshi", reason="Genshi (extra genshi) is not installed")
    core = crypto_core(tmp_path)
    secret = "${metadata.hostname} <&> $x grün"
    core.write({"late.xml": f"<l encrypted='dba'>{encrypted('late', 'dba')}</l>"})
    source = f"""<r xmlns:py="http://genshi.edgewall.org/" xmlns:xi="http://www.w3.org/2001/XInclude">
        <e encrypted="ops"{attributes}><!-- c -->{encrypted(secret)}<c/></e><h>${{metadata.hostname}}</h>
        <xi:include href="${{'late'}}.xml"/></r>"""
    rendered = structfile(core, source).XMLMatch(Client())
    text = "".join(rendered.itertext())
    assert secret in text
    assert Client().hostname in rendered.findtext("h")
    assert rendered.findtext("l") == "late"
    assert "U2FsdGVkX1" not in text


def test_a_template_that_includes_what_cannot_be_decrypted_fails_when_it_is_rendered(tmp_path: Path) -> None:
    pytest.importorskip("genshi", reason="Genshi (extra genshi) is not installed")
    core = crypto_core(tmp_path)
    core.write({"late.xml": f"<l encrypted='nobody'>{encrypted('late')}</l>"})
    source = """<r xmlns:py="http://genshi.edgewall.org/" xmlns:xi="http://www.w3.org/2001/XInclude">
        <xi:include href="${'late'}.xml"/></r>"""
    with pytest.raises(PluginExecutionError, match="no passphrase nobody"):
        structfile(core, source).XMLMatch(Client())


def test_errors_of_a_template_name_the_line_also_behind_what_is_encrypted(tmp_path: Path) -> None:
    pytest.importorskip("genshi", reason="Genshi (extra genshi) is not installed")
    core = crypto_core(tmp_path)
    secret = encrypted("one\ntwo\nthree")
    source = f'<r xmlns:py="http://genshi.edgewall.org/"><e\nencrypted="ops">{secret}</e>\n<h>${{1/0}}</h></r>'
    file = structfile(core, source)
    with pytest.raises(PluginExecutionError) as caught:
        file.XMLMatch(Client())
    frames = traceback.extract_tb(caught.value.__cause__.__traceback__)
    assert [frame.lineno for frame in frames if frame.filename.endswith("f.xml")] == [3]


def test_a_change_of_passphrases_has_files_decrypted_again(tmp_path: Path) -> None:
    core = crypto_core(tmp_path, ops="wrong")
    file = structfile(core, f"<r><e encrypted='ops'>{encrypted('x')}</e></r>")
    assert not file.loaded
    core.options.encryption = {"ops": "o-phrase"}
    with using(core):
        core.passphrase_users.reload()
    assert matching(file, Client()) == '<e encrypted="ops">x</e>'
