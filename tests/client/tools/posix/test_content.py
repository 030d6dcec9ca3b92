"""Contents of files and how they differ."""

from bcfg2.client.tools.posix.aclentries import parse_permissions
from bcfg2.client.tools.posix.content import is_text, unified_diff


def test_difference_in_the_last_line_end_alone_is_seen() -> None:
    assert unified_diff("f", b"a", b"a\n", "UTF-8").split("\n")[-1] == "+"


def test_carriage_returns_are_part_of_lines() -> None:
    assert "+a\r" in unified_diff("f", b"a\n", b"a\r\n", "UTF-8").split("\n")


def test_difference_of_large_files_shows_them_whole() -> None:
    old = b"".join(b"%d\n" % number for number in range(30_000))
    lines = unified_diff("f", old, b"new\n", "UTF-8").split("\n")
    assert lines[2:4] == ["@@ -1,30001 +1,2 @@", "-0"] and lines[-2] == "+new"


def test_control_characters_and_foreign_bytes_are_no_text() -> None:
    assert is_text("ü\t\r\n\f".encode(), "UTF-8")
    assert not is_text(b"\x1b[1m", "UTF-8")
    assert not is_text(b"\xff", "UTF-8")


def test_permissions_are_a_digit_or_letters() -> None:
    assert [parse_permissions(text) for text in ("rwx", "r--", "-", "7", "x")] == [7, 4, 0, 7, 1]
