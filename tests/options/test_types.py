"""Texts turned into values."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.options import types
from bcfg2.options.types import Surroundings

AROUND = Surroundings("/work/dir", "/home/me", "/srv/repo")


@pytest.mark.parametrize("text", ["1", "yes", "TRUE", "On", " yes "])
def test_words_for_true_are_taken_in_any_case(text):
    assert types.boolean(text) is True


@pytest.mark.parametrize("text", ["0", "No", "false", "OFF"])
def test_words_for_false_are_taken_in_any_case(text):
    assert types.boolean(text) is False


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (types.integer, "-3", -3),
        (types.number, "2.5", 2.5),
        (types.timeout, "0.5", 0.5),
        (types.timeout, "0", None),
        (types.timeout, "-1", None),
        (types.octal, "0077", 0o77),
        (types.octal, "0o640", 0o640),
        (types.size, "0", 0),
        (types.size, "512k", 512 * 1024),
        (types.size, "1M", 1024**2),
        (types.size, "2g", 2 * 1024**3),
        (types.size, "1T", 1024**4),
        (types.user, "root", 0),
        (types.user, "4711", 4711),
        (types.group, "root", 0),
        (types.group, "4711", 4711),
        (types.comma_list, "a, b b ,c", ("a", "b b", "c")),
        (types.comma_list, "a,\nb\n,c", ("a", "b", "c")),
        (types.comma_list, "", ()),
        (types.comma_list, "  ", ()),
        (types.colon_list, "a: b:c", ("a", " b", "c")),
        (types.colon_list, "", ()),
        (types.dict_literal, "{'a': [1, None]}", {"a": [1, None]}),
        (types.dict_literal, "\n{}", {}),
    ],
)
def test_texts_become_values(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "reason"),
    [
        (types.boolean, "maybe", "not a boolean, say yes or no"),
        (types.boolean, "", "not a boolean, say yes or no"),
        (types.integer, "3.5", "not a whole number"),
        (types.number, "many", "not a number"),
        (types.number, "nan", "not a finite number"),
        (types.timeout, "inf", "not a finite number"),
        (types.timeout, "soon", "not a number"),
        (types.octal, "9z", "not an octal number"),
        (types.octal, "-7", "not an octal number"),
        (types.size, "m", "not a size such as 512k or 1m"),
        (types.size, "1.5m", "not a size such as 512k or 1m"),
        (types.size, "1mb", "not a size such as 512k or 1m"),
        (types.user, "nobody-of-this-name", "no such user"),
        (types.user, "a\0b", "no such user"),
        (types.group, "nobody-of-this-name", "no such group"),
        (types.regex_list, "good ba(d", r"ba\(d is not a regular expression"),
        (types.dict_literal, "[1]", "not a Python dictionary of literals"),
        (types.dict_literal, "{'a': open('/etc/passwd')}", "not a Python dictionary of literals"),
        (types.dict_literal, "{{}: 1}", "not a Python dictionary of literals"),
        (types.dict_literal, "{", "not a Python dictionary of literals"),
    ],
)
def test_texts_without_a_value_say_why(parse, text, reason):
    with pytest.raises(ValueError, match=f"^{reason}"):
        parse(text)


def test_regular_expressions_match_whole_texts_only():
    first, second = types.regex_list("ab|cd\n  (?i)x.*")
    assert first.search("ab")
    assert first.search("cd")
    assert not first.search("abx")
    assert not first.search("xcd")
    assert not first.match("ab\n")
    assert second.match("XYZ")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/a/../b//c/", "/b/c"),
        ("x/y", "/work/dir/x/y"),
        ("..", "/work"),
        ("~", "/home/me"),
        ("~/x", "/home/me/x"),
        ("~root/x", os.path.expanduser("~root/x")),
        ("<repository>/etc", "/srv/repo/etc"),
        ("<repository>/../log", "/srv/log"),
        ("a~b", "/work/dir/a~b"),
    ],
)
def test_paths_are_made_absolute_and_macros_replaced(text, path):
    assert types.path(text, AROUND) == path


def test_the_macro_stays_where_no_repository_is_known():
    assert types.path("/x/<repository>", Surroundings("/", "/")) == "/x/<repository>"


@given(st.text(st.characters(exclude_characters="\0")))
def test_every_text_makes_an_absolute_normalized_path(text):
    path = types.path(text, AROUND)
    assert os.path.isabs(path)
    assert os.path.normpath(path) == path


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters=","), min_size=1).map(str.strip).filter(bool)))
def test_comma_lists_give_back_the_words_that_were_joined(words):
    assert types.comma_list(" , ".join(words)) == tuple(words)


@given(st.integers(0, 2**40), st.sampled_from("kmgt"))
def test_size_units_are_powers_of_1024(count, unit):
    assert types.size(f"{count}{unit}") == count * 1024 ** ("kmgt".index(unit) + 1)


@given(st.integers(0, 0o7777))
def test_octal_numbers_round_trip(value):
    assert types.octal(f"{value:o}") == value
