"""Where in a Genshi text template something went wrong.

Genshi does not number the lines of a text template.  It numbers texts and directives, which follow each other in turns,
and counts each as at least one line, so that its numbers run ahead of the lines that an editor shows:

.. code-block:: text

    template                     Genshi's numbers
    one {% if a %}two            one: 1   {% if a %}: 3   two: 3
    three{% end %}               three: 4   {% end %}: 6
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_DIRECTIVE = re.compile(r"(?<!\\)\{%\s*\w+\s*.*?\s*%\}|(?<!\\)\{#.*?#\}", re.DOTALL)
#: What stands for itself, or (if there is no group) is taken away with the line end.
_ESCAPE = re.compile(r"\\\n|\\\r\n|\\(\\)|\\(\{%)|\\(\{#)")


class _Piece(NamedTuple):
    """A text or a directive: its source, the line where it begins, and Genshi's number of that."""

    source: str
    is_directive: bool
    line: int
    number: int

    @property
    def further_numbers(self) -> int:
        """How many numbers after the first may mean this piece as well."""
        return 0 if self.is_directive else self.source.count("\n")


def line_number(text: str, number: int, code: str = "") -> int | None:
    """The line of the template TEXT that Genshi means by NUMBER; None if it cannot be told.

    CODE is the Python that it tells about: that of an expression, the first line of a block, or "" if that is not
    known.  Unless it is found in a text, the directive is meant, not the text behind it, which has the same number.
    """
    candidates = [piece for piece in _pieces(text) if 0 <= number - piece.number <= piece.further_numbers]
    for piece in candidates:
        match = _pattern(code, piece.is_directive).search(piece.source)
        if match is not None:
            return piece.line + piece.source.count("\n", 0, match.end())
    for piece in candidates:
        if piece.is_directive or "\n" not in piece.source:
            return piece.line
    return None


def _pattern(code: str, in_directive: bool) -> re.Pattern[str]:
    """Finds the place in front of CODE; of equal expressions in one text the first is the one that fails."""
    wanted = re.escape(code)
    if not code:
        return re.compile("(?!)")
    if in_directive:
        return re.compile(rf"(?<![\w.])(?={wanted})")
    return re.compile(rf"\$\{{\s*(?={wanted}\s*\}})|\$(?={wanted}(?![\w.]))")


def _pieces(text: str) -> Iterator[_Piece]:
    line = number = 1
    offset = 0
    for match in _DIRECTIVE.finditer(text):
        before = text[offset : match.start()]
        if before:
            yield _Piece(before, False, line, number)
            number += len(_unescape(before).splitlines())
            line += before.count("\n")
        number += len(match[0].splitlines())
        yield _Piece(match[0], True, line, number)
        line += match[0].count("\n")
        offset = match.end()
    if offset < len(text):
        yield _Piece(text[offset:], False, line, number)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: match[1] or match[2] or match[3] or "", text)
