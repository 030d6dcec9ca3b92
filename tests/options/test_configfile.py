"""The INI reader: what counts as what, and what is said about the rest."""

import os
import pwd
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.options import OptionError
from bcfg2.options.configfile import ConfigFiles, Setting


@pytest.fixture
def read(tmp_path):
    """Reads texts as files that follow one another."""

    def read(*texts: str | bytes) -> ConfigFiles:
        files = ConfigFiles()
        for number, text in enumerate(texts):
            path = tmp_path / f"{number}.conf"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            assert files.read(str(path))
        return files

    return read


def values(files: ConfigFiles) -> dict[str, dict[str, str]]:
    return {name: {key: setting.text for key, setting in files.own(name).items()} for name in files.sections()}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("key = value", "value"),
        ("KEY:value", "value"),
        ("  Key   =   a  b  ", "a  b"),
        ("key = a = b : c", "a = b : c"),
        ("key : a = b", "a = b"),
        ("key = a # b ; c", "a # b ; c"),
        ("key =", ""),
        ("key = a,\n  b\n\tc", "a,\nb\nc"),
        ("key = a\n# comment\n  ; comment\n\n  b", "a\nb"),
        ("key =\n  a", "a"),
        ("key = a\n  b = c", "a\nb = c"),
        ("  key = a\n  other = b", "a"),
        ("  key = a\n    other = b", "a\nother = b"),
        ("key = a\r\n  b\r\n", "a\nb"),
        ("key = é", "é"),
        ("key = [x]", "[x]"),
    ],
)
def test_a_value_is_read(read, text, value):
    assert read(f"[section]\n{text}").get("section", "key").text == value


def test_section_names_have_case_and_keys_have_not(read):
    files = read("[a]\nX = 1\n[A]\nx = 2\n")
    assert values(files) == {"a": {"x": "1"}, "A": {"x": "2"}}
    assert files.get("a", "x").key == "X"
    assert files.get("b", "x") is None


def test_comments_before_the_first_section_are_no_text(read):
    assert values(read("\n# one\n ; two\n[a]\nx = 1")) == {"a": {"x": "1"}}


def test_a_byte_order_mark_is_passed_over(read):
    assert values(read(b"\xef\xbb\xbf[a]\nx = 1")) == {"a": {"x": "1"}}


def test_default_supplies_keys_to_sections_that_are_there(read):
    files = read("[DEFAULT]\nx = 1\ny = 1\n[a]\ny = 2\n")
    assert files.get("a", "x").text == "1"
    assert files.get("a", "y").text == "2"
    assert files.get("b", "x") is None
    assert list(files.own("a")) == ["y"]
    assert list(files.sections()) == ["a"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("%(site)s-web", "hollin-web"),
        ("%(SITE)s%(own)s", "hollinme"),
        ("%(twice)s", "<hollin>"),
        ("100%%", "100%"),
        ("%%(site)s", "%(site)s"),
        ("100%", "100%"),
        ("%x %(none)s %(site)d %(", "%x %(none)s %(site)d %("),
        ("%(key)s", "%(key)s"),
        ("%(loop)s", "%(key)s"),
    ],
)
def test_interpolation_takes_what_there_is_and_leaves_the_rest(read, written, value):
    text = f"[DEFAULT]\nsite = hollin\ntwice = <%(site)s>\n[a]\nown = me\nloop = %(key)s\nkey = {written}\n"
    assert read(text).get("a", "key").text == value


def test_a_later_file_overrides_an_earlier_one_key_by_key(read):
    files = read("[a]\nx = 1\ny = 1\n[b]\nz = 1\n", "[a]\nX = 2\n[c]\nz = 2\n")
    assert values(files) == {"a": {"x": "2", "y": "1"}, "b": {"z": "1"}, "c": {"z": "2"}}
    assert files.warnings == []


def test_interpolation_looks_at_all_files(read):
    assert read("[a]\nx = %(y)s\n", "[a]\ny = 2\n").get("a", "x").text == "2"


def test_a_value_knows_its_file_and_the_line_of_its_key(read, tmp_path):
    files = read("[a]\n\nx = 1\n  2\ny = 3\n")
    path = str(tmp_path / "0.conf")
    assert files.get("a", "x") == Setting("x", "1\n2", path, 3)
    assert files.get("a", "y") == Setting("y", "3", path, 5)


def test_a_key_given_twice_is_a_warning_and_the_last_one_counts(read, tmp_path):
    files = read("[a]\nx = 1\n  more\nX = 2\n")
    assert values(files) == {"a": {"x": "2"}}
    assert files.warnings == [f"{tmp_path}/0.conf:4: [a] X is given again, line 2 does not count"]


def test_a_section_given_twice_is_a_warning_and_both_parts_count(read, tmp_path):
    files = read("[a]\nx = 1\ny = 1\n[b]\n[a]\ny = 2\n")
    assert values(files) == {"a": {"x": "1", "y": "2"}, "b": {}}
    assert files.warnings == [
        f"{tmp_path}/0.conf:5: section [a] begins again, after line 1; where both give a key, the last one counts",
        f"{tmp_path}/0.conf:6: [a] y is given again, line 3 does not count",
    ]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (b"x = 1\n[a]\n", 1, "text before the first [section]"),
        (b"# c\n\n  nonsense\n", 3, "text before the first [section]"),
        (b"[a]\nx = 1\nnonsense\n", 3, "neither [section] nor key = value"),
        (b"[a]\n= 1\n", 2, "neither [section] nor key = value"),
        (b"[a]\n[b\n", 2, "neither [section] nor key = value"),
        (b"[]\n", 1, "text before the first [section]"),
        (b"[a]\nx = 1\ny = \xff\n", 3, "not UTF-8; save the file in this encoding"),
    ],
)
def test_an_error_names_file_and_line(read, tmp_path, text, line, reason):
    with pytest.raises(OptionError) as caught:
        read(text)
    assert str(caught.value) == f"{tmp_path}/0.conf:{line}: {reason}"


def test_a_missing_file_is_no_error(tmp_path):
    files = ConfigFiles()
    assert not files.read(str(tmp_path / "none.conf"))
    assert not files.read(str(tmp_path / "none" / "none.conf"))
    assert files.paths == []


def test_a_folder_is_an_error(tmp_path):
    with pytest.raises(OptionError, match=f"^{tmp_path}: cannot read the configuration file: Is a directory$"):
        ConfigFiles().read(str(tmp_path))


@pytest.fixture
def without_privileges():
    """The rest of the test runs as a user who may not read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    yield
    os.seteuid(user)


def test_a_file_without_permission_is_an_error(without_privileges):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "closed.conf")
        path.touch(mode=0)
        with pytest.raises(OptionError, match=f"^{path}: cannot read the configuration file: Permission denied$"):
            ConfigFiles().read(str(path))


names = st.text("abcXYZ09_-. :", min_size=1, max_size=8).map(str.strip).filter(bool)
keys = st.text("abcxyz09_-. ", min_size=1, max_size=8).map(str.strip).filter(bool)
lines = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=20).map(str.strip)
inner_lines = lines.filter(lambda line: line and line[0] not in "#;")
texts = st.one_of(lines, st.builds(lambda first, more: "\n".join([first, *more]), inner_lines, st.lists(inner_lines)))


@given(st.dictionaries(names.filter(lambda name: name != "DEFAULT"), st.dictionaries(keys, texts), max_size=5))
def test_what_is_written_is_read_back(tmp_path_factory, sections):
    path = tmp_path_factory.mktemp("ini") / "bcfg2.conf"
    written = []
    for name, settings in sections.items():
        written.append(f"[{name}]")
        written += [f"{key} = {text.replace('%', '%%')}".replace("\n", "\n  ") for key, text in settings.items()]
    path.write_text("\n".join(written), encoding="utf-8", newline="\n")
    files = ConfigFiles()
    assert files.read(str(path))
    assert values(files) == sections
    assert files.warnings == []


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_read_or_refused_with_a_line(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("ini") / "bcfg2.conf"
    path.write_text(text, encoding="utf-8", newline="")
    files = ConfigFiles()
    try:
        files.read(str(path))
        values(files)
    except OptionError as err:
        assert str(err).startswith(f"{path}:")
