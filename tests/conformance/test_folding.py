"""Folding: answers that correct servers may give are equal, others stay different."""

import re
import xmlrpc.client

import pytest

from tests.conformance.folding import fold, mask, output_lines

NAMES = [(re.compile("/tmp/x"), "@CASE@"), (re.compile(r"(?<!\d)12345(?!\d)"), "@PORT@")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('<a x="1" y="2"/>', '<a y="2" x="1"/>'),
        ("<a><b n='1'/><b n='2'/></a>", "<a>\n <b n='2'/>\n <b n='1'/>\n</a>"),
        ("<a><b><c/></b><b><d/></b></a>", "<a><b><d/></b><b><c/></b></a>"),
        ("<a><!-- x --><b/></a>", "<a><b/></a>"),
        (xmlrpc.client.Binary(b"text"), "text"),
        ((1, [True]), [1, (True,)]),
        ("at /tmp/x/f of 12345", "at @CASE@/f of @PORT@"),
    ],
)
def test_what_may_differ_is_folded(one: object, other: object) -> None:
    assert fold(one, NAMES) == fold(other, NAMES)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('<a x="1"/>', '<a x="2"/>'),
        ("<a>text</a>", "<a>text </a>"),
        ("<a> </a>", "<a/>"),
        ("<a><b/></a>", "<a><b/><b/></a>"),
        ("<a><b><c/></b></a>", "<a><b/><c/></a>"),
        ("<a>x<b/></a>", "<a>y<b/></a>"),
        ("112345", "1@PORT@"),
        (True, "true"),
        (None, ""),
    ],
)
def test_what_must_not_differ_stays_different(one: object, other: object) -> None:
    assert fold(one, NAMES) != fold(other, NAMES)


def test_an_answer_that_only_looks_like_xml_is_compared_as_text() -> None:
    assert fold("<not xml", []) == "<not xml"


def test_masks_apply_to_the_json_text_of_an_answer() -> None:
    assert mask({"value": ["took 12 s", "took 3 s"]}, ["[0-9]+ s"]) == {"value": ["took @MASK@", "took @MASK@"]}


def test_the_output_of_commands_is_compared_without_white_space() -> None:
    assert output_lines("  b \t x\n\n a\n", sort=False) == ["b x", "a"]
    assert output_lines("  b \t x\n\n a\n", sort=True) == ["a", "b x"]
