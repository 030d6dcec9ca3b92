"""OpenSSL's configuration files, as far as the ``ca`` command needs them.

Sections ``[ name ]``, settings ``name = value``, comments from ``#`` to the line's end, a backslash at the end of a
line that goes on, quotes and backslashes that take away what a character means, and ``$name``, ``${name}``,
``${section::name}`` and ``${ENV::name}``, which stand for other settings.  ``.include`` reads a file, or all ``*.cnf``
and ``*.conf`` of a folder.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from bcfg2.server.plugin.exceptions import PluginExecutionError

#: Where settings stand that come before the first section; they count where a section does not have a name.
DEFAULT = "default"

_HEADER = re.compile(r"\[\s*([^\]]*?)\s*\]")
_SETTING = re.compile(r"([^=\s]+)\s*=\s*(.*)", re.DOTALL)
_INCLUDE = re.compile(r"\.include\s*=?\s*(.+)")
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>[^}]*)\}|\((?P<round>[^)]*)\)|(?P<bare>\w+(?:::\w+)?))")
_PIECE = re.compile(
    r"""\\(?P<escaped>.)|'(?P<single>(?:\\.|[^'\\])*)'|"(?P<double>(?:\\.|[^"\\])*)"|(?P<hash>\#)""", re.S
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b"}
_MAX_DEPTH = 10


class OpenSSLConfig:
    """The sections of one file and all that it includes."""

    def __init__(self, path: str) -> None:
        """Read PATH.  Raises PluginExecutionError, which names file and line."""
        self.path = path
        self._sections: dict[str, dict[str, str]] = {DEFAULT: {}}
        self._section = DEFAULT
        self._read(path, 0)

    def section(self, name: str) -> dict[str, str]:
        """The settings of the section NAME, in their order; PluginExecutionError if it is not there."""
        if name not in self._sections:
            raise PluginExecutionError(f"{self.path}: there is no section [{name}]")
        return self._sections[name]

    def get(self, section: str, name: str) -> str | None:
        """The value of NAME in SECTION, else before all sections."""
        for settings in (self._sections.get(section, {}), self._sections[DEFAULT]):
            if name in settings:
                return settings[name]
        return None

    def need(self, section: str, name: str) -> str:
        """Like :meth:`get`; PluginExecutionError if there is none."""
        value = self.get(section, name)
        if not value:
            raise PluginExecutionError(f"{self.path}: section [{section}] has no {name}")
        return value

    def _read(self, path: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise PluginExecutionError(f"{path}: files include each other")
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as err:
            raise PluginExecutionError(f"cannot read the OpenSSL configuration {path}: {err}") from None
        for number, line in _logical_lines(text):
            where = f"{path}:{number}"
            if included := _INCLUDE.fullmatch(line):
                self._include(os.path.join(os.path.dirname(path), _plain(included[1])), depth)
            elif line.startswith("."):
                continue  # .pragma
            elif header := _HEADER.match(line):
                self._section = header[1]
                self._sections.setdefault(self._section, {})
            elif setting := _SETTING.fullmatch(line):
                self._set(setting[1], setting[2], where)
            else:
                raise PluginExecutionError(f"{where}: neither [section] nor name = value")

    def _include(self, path: str, depth: int) -> None:
        if not os.path.isdir(path):
            self._read(path, depth + 1)
            return
        for file in sorted(Path(path).iterdir()):
            if file.suffix in (".cnf", ".conf"):
                self._read(str(file), depth + 1)

    def _set(self, name: str, text: str, where: str) -> None:
        section, _, key = name.rpartition("::")
        settings = self._sections.setdefault(section or self._section, {})
        settings[key] = self._value(text, where)

    def _value(self, text: str, where: str) -> str:
        """TEXT without quotes and backslashes, with the values of variables in their places."""
        value, position = "", 0
        while position < len(text):
            piece = _PIECE.match(text, position)
            variable = None if piece else _VARIABLE.match(text, position)
            if piece:
                if piece["hash"]:
                    break
                value += _unescaped(piece)
                position = piece.end()
            elif variable:
                value += self._variable(variable["braced"] or variable["round"] or variable["bare"] or "", where)
                position = variable.end()
            else:
                value += text[position]
                position += 1
        return value.rstrip() if not text.rstrip().endswith(('"', "'")) else value

    def _variable(self, name: str, where: str) -> str:
        section, _, key = name.rpartition("::")
        value = os.environ.get(key) if section == "ENV" else self.get(section or self._section, key)
        if value is None:
            raise PluginExecutionError(f"{where}: ${name} has no value")
        return value


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines with something on them, those that go on joined, with their numbers."""
    begun, joined = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        begun = begun or number
        if line.endswith("\\") and not line.endswith("\\\\"):
            joined += line[:-1]
            continue
        joined = (joined + line).strip()
        if joined and not joined.startswith("#"):
            yield begun, joined
        begun, joined = 0, ""


def _unescaped(piece: re.Match[str]) -> str:
    if piece["escaped"] is not None:
        return _ESCAPES.get(piece["escaped"], piece["escaped"])
    quoted: str = piece["single"] if piece["single"] is not None else piece["double"]
    return re.sub(r"\\(.)", r"\1", quoted)


def _plain(text: str) -> str:
    return text.split("#")[0].strip().strip("\"'")
