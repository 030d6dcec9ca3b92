"""bcfg2-crypt on the elements of Properties files."""

import pytest
from lxml import etree

from bcfg2.options import OptionError
from bcfg2.server.cipherformats import is_encrypted
from bcfg2.xml import Element
from tests.server.crypt.conftest import RING, Bench

MARKED = """<!-- in front -->
<Properties>
    <Database user="shop"><!-- of the shop -->
\t<Password encrypted="dba">s3cret &amp; &lt;more&gt; ü </Password>
    <Host>db1</Host></Database>
  <Group name="prod"><Token encrypted="ops">tok</Token></Group>
  <Empty encrypted="ops"/>
</Properties>
"""


def element(content: bytes, path: str) -> Element:
    found = etree.fromstring(content).find(path)
    assert found is not None
    return found


def texts(content: bytes) -> dict[str, str | None]:
    return {str(node.tag): node.text for node in etree.fromstring(content).iter(etree.Element) if not len(node)}


def test_marked_elements_are_encrypted_each_with_its_passphrase_and_decrypted_again(bench: Bench) -> None:
    path = bench.write("p.xml", MARKED)
    assert bench.crypt("-p", "ops", path) == (0, b"", "", [])
    made = path.read_bytes()
    assert RING.decrypt_text(element(made, ".//Password").text or "", "dba") == "s3cret & <more> ü "
    assert RING.decrypt_text(element(made, ".//Token").text or "", "ops") == "tok"
    assert texts(made)["Host"] == "db1"
    assert bench.crypt(path).status == 0
    assert path.read_text() == MARKED.replace(" ü </", " ü</")


def test_without_marks_every_element_with_a_text_is_encrypted(bench: Bench) -> None:
    path = bench.write("p.xml", '<Properties>\n <a x="1">A<b>B</b></a> <c> </c>\n</Properties>')
    assert bench.crypt("--encrypt", "-p", "dba", path).status == 0
    root = etree.fromstring(path.read_bytes())
    assert [(node.tag, node.get("encrypted")) for node in root.iter()] == [
        ("Properties", None),
        ("a", "dba"),
        ("b", "dba"),
        ("c", None),
    ]
    assert bench.crypt("--decrypt", path).status == 0
    assert texts(path.read_bytes())["b"] == "B"


def test_an_xpath_expression_selects_elements(bench: Bench) -> None:
    path = bench.write("p.xml", MARKED)
    assert bench.crypt("--encrypt", "-p", "ops", "--xpath", "//Host", path).status == 0
    made = path.read_bytes()
    assert element(made, ".//Host").get("encrypted") == "ops"
    assert texts(made)["Token"] == "tok"
    outcome = bench.crypt("--decrypt", "--xpath", "//Nothing", path)
    assert (outcome.status, len(outcome.log)) == (0, 1)
    assert "selects nothing" in outcome.log[0]
    assert path.read_bytes() == made


@pytest.mark.parametrize("expression", ["//Host/text()", "count(//Host)", "//@user", "//comment()"])
def test_an_xpath_expression_for_something_else_is_an_error(bench: Bench, expression: str) -> None:
    outcome = bench.crypt("--encrypt", "-p", "ops", "--xpath", expression, bench.write("p.xml", MARKED))
    assert outcome.status == 1
    assert "has to select elements" in outcome.log[0]


def test_nonsense_for_an_xpath_expression_is_an_error_of_the_command_line(bench: Bench) -> None:
    with pytest.raises(OptionError, match="--xpath.*not an XPath expression"):
        bench.crypt("--xpath", "//[", bench.write("p.xml", MARKED))


def test_an_unknown_mark_is_warned_of_and_replaced(bench: Bench) -> None:
    path = bench.write("p.xml", '<Properties><k encrypted="retired">x</k></Properties>')
    outcome = bench.crypt("--encrypt", "-p", "ops", path)
    assert outcome.status == 0
    assert "line 1: there is no passphrase of the name in" in outcome.log[0]
    assert element(path.read_bytes(), "k").get("encrypted") == "ops"
    path = bench.write("p.xml", '<Properties><k encrypted="retired">x</k></Properties>')
    outcome = bench.crypt("--encrypt", path)
    assert outcome.status == 1
    assert "which passphrase?" in outcome.log[-1]


def test_the_mark_wins_over_the_name_on_the_command_line(bench: Bench) -> None:
    path = bench.write("p.xml", '<Properties><k encrypted="dba">x</k></Properties>')
    assert bench.crypt("--encrypt", "-p", "ops", path).status == 0
    assert RING.decrypt(element(path.read_bytes(), "k").text or "", "dba") == b"x"


def test_a_file_with_an_element_that_is_encrypted_already_is_left_alone(bench: Bench) -> None:
    content = f'<Properties><a encrypted="ops">x</a>\n<b encrypted="ops">{RING.encrypt("y", "ops")}</b></Properties>'
    path = bench.write("p.xml", content)
    outcome = bench.crypt("--encrypt", path)
    assert outcome.status == 1
    assert 'line 2: <b encrypted="ops"/> is encrypted already' in outcome.log[0]
    assert path.read_text() == content


def test_elements_that_do_not_open_are_named_and_skipped(bench: Bench) -> None:
    good, bad = RING.encrypt("good", "ops"), "no cipher text"
    path = bench.write("p.xml", f'<Properties><a encrypted="ops">{good}</a>\n<b encrypted="ops">{bad}</b></Properties>')
    outcome = bench.crypt(path)
    assert (outcome.status, len(outcome.log)) == (0, 1)
    assert 'line 2: cannot decrypt <b encrypted="ops"/>: not encrypted' in outcome.log[0]
    assert texts(path.read_bytes()) == {"a": "good", "b": bad}


def test_a_file_of_which_nothing_opens_fails_and_is_left_alone(bench: Bench) -> None:
    content = '<Properties><b encrypted="ops">no cipher text</b></Properties>'
    path = bench.write("p.xml", content)
    assert bench.crypt("--decrypt", path).status == 1
    assert path.read_text() == content


def test_comments_in_front_of_a_text_do_not_hide_it(bench: Bench) -> None:
    path = bench.write("p.xml", '<Properties><k encrypted="ops"><!-- c -->secret</k></Properties>')
    assert bench.crypt(path).status == 0
    assert b"secret" not in path.read_bytes()
    assert bench.crypt(path).status == 0
    assert b"secret" in path.read_bytes()


def test_a_declaration_goes_and_what_was_in_another_encoding_is_utf_8(bench: Bench) -> None:
    content = '<?xml version="1.0" encoding="iso-8859-1"?>\n<Properties><k>ü</k><e encrypted="ops">ö</e></Properties>'
    path = bench.write("p.xml", content.encode("latin-1"))
    assert bench.crypt(path).status == 0
    assert path.read_bytes().startswith("<Properties><k>ü</k>".encode())
    assert RING.decrypt_text(element(path.read_bytes(), "e").text or "", "ops") == "ö"


def test_the_kind_of_a_file_is_told_by_its_name_and_root_element_or_by_a_flag(bench: Bench) -> None:
    for name, content in [("a.txt", "<Properties>x</Properties>"), ("a.xml", "<Other>x</Other>"), ("b.xml", "<broken")]:
        assert bench.crypt("-p", "ops", bench.write(name, content)).status == 0
        assert is_encrypted((bench.folder / f"{name}.crypt").read_bytes())
    assert bench.crypt("-p", "ops", "--properties", bench.folder / "a.xml").status == 0
    assert is_encrypted(etree.fromstring((bench.folder / "a.xml").read_bytes()).text or "")
    assert bench.crypt("-p", "ops", "--cfg", bench.write("p.xml", MARKED)).status == 0
    assert (bench.folder / "p.xml").read_text() == MARKED
    outcome = bench.crypt("-p", "ops", "--properties", bench.folder / "b.xml")
    assert outcome.status == 1
    assert "not well-formed: b.xml: line 1" in outcome.log[0]


def test_a_document_that_declares_entities_is_refused(bench: Bench) -> None:
    content = '<!DOCTYPE P [<!ENTITY e SYSTEM "/etc/passwd">]><Properties><a>&e;</a></Properties>'
    assert bench.crypt("--properties", "--encrypt", "-p", "ops", bench.write("p.xml", content)).status == 1


def test_each_element_is_asked_for(bench: Bench) -> None:
    path = bench.write("p.xml", "<Properties><a>A<x>X</x></a><b>B</b></Properties>")
    outcome = bench.crypt("-I", "-p", "ops", path, stdin=b"n\ny\n")
    assert outcome.status == 0
    questions = [line for line in outcome.asked.splitlines() if line.startswith("<") or "[y/N] <" in line]
    assert [question.rpartition("[y/N] ")[2] for question in questions] == ["<a>A</a>", "<x>X</x>", "<b>B</b>"]
    found = texts(path.read_bytes())
    assert is_encrypted(found["x"] or "")
    assert found["b"] == "B"
    outcome = bench.crypt("-I", path, stdin=b"")
    assert "--interactive is for encrypting, ignored" in outcome.log[0]


def test_the_result_is_printed_as_xml(bench: Bench) -> None:
    path = bench.write("p.xml", MARKED)
    outcome = bench.crypt("--encrypt", "--stdout", "--remove", path)
    assert "--remove is for whole files, ignored" in outcome.log[0]
    assert is_encrypted(element(outcome.out, ".//Token").text or "")
    assert path.read_text() == MARKED
