"""Configuration files: INI as Bcfg2 has always read it, but every value knows its file and line.

Sections ``[name]``, keys ``key = value`` or ``key: value`` (keys in any case), comment lines that begin with ``#`` or
``;``, and lines indented deeper than their key, which continue its value.  ``[DEFAULT]`` supplies keys to every section
that is there.  ``%(key)s`` takes the value of a key of the same section or of ``[DEFAULT]``, ``%%`` is a percent sign,
any other ``%`` stands for itself.  A key or section that is given again is a warning, and the last value counts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from bcfg2.options.namespace import OptionError

DEFAULT = "DEFAULT"

_HEADER = re.compile(r"\[([^]]+)\]")
_SETTING = re.compile(r"([^=:]*?)\s*[=:]\s*(.*)", re.DOTALL)
_INTERPOLATION = re.compile(r"%(?:%|\(([^)]*)\)s)")


@dataclass(frozen=True, slots=True)
class Setting:
    """The text of one key, where it stands, and the key as it is written there."""

    key: str
    text: str
    path: str
    line: int


@dataclass
class ConfigFiles:
    """The sections of all files read so far; a later file overrides an earlier one, key by key.

    `paths`: the files that were there.  `warnings`: lines about what was given more than once.
    """

    paths: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _sections: dict[str, dict[str, Setting]] = field(default_factory=dict)

    def read(self, path: str) -> bool:
        """Add the file PATH; whether it is there.  :exc:`OptionError` names file and line of what cannot be read."""
        try:
            with open(path, "rb") as stream:
                data = stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as err:
            raise OptionError(f"{path}: cannot read the configuration file: {err.strerror}") from None
        file = _Reader(path)
        file.read(_decoded(data, path))
        for name, settings in file.sections.items():
            self._sections.setdefault(name, {}).update(settings)
        self.paths.append(path)
        self.warnings.extend(file.warnings)
        return True

    def get(self, section: str, key: str) -> Setting | None:
        """What KEY is in SECTION, or by default in every section; nothing in a section that is not there."""
        if section not in self._sections:
            return None
        found = self._written(section, key.lower())
        return found and self._interpolated(section, found)

    def own(self, section: str, *, literal: bool = False) -> dict[str, Setting]:
        """What stands in SECTION itself, by key in lower case; with LITERAL exactly as it is written there."""
        written = self._sections.get(section, {})
        if literal:
            return dict(written)
        return {key: self._interpolated(section, setting) for key, setting in written.items()}

    def sections(self) -> Iterator[str]:
        """The names of all sections but ``[DEFAULT]``."""
        return (name for name in self._sections if name != DEFAULT)

    def _written(self, section: str, key: str) -> Setting | None:
        return self._sections[section].get(key) or self._sections.get(DEFAULT, {}).get(key)

    def _interpolated(self, section: str, setting: Setting) -> Setting:
        return replace(setting, text=self._expand(section, setting, (setting.key.lower(),)))

    def _expand(self, section: str, setting: Setting, under_way: tuple[str, ...]) -> str:
        def value(match: re.Match[str]) -> str:
            if match[1] is None:
                return "%"
            key = match[1].lower()
            other = None if key in under_way else self._written(section, key)
            return self._expand(section, other, (*under_way, key)) if other else match[0]

        return _INTERPOLATION.sub(value, setting.text)


def _decoded(data: bytes, path: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = data.count(b"\n", 0, err.start) + 1
        raise OptionError(f"{path}:{line}: not UTF-8; save the file in this encoding") from None


@dataclass
class _Reader:
    """Reads the lines of one file."""

    path: str
    sections: dict[str, dict[str, Setting]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    #: First line of each section.
    _headers: dict[str, int] = field(default_factory=dict)
    _section: str | None = None
    #: The setting that an indented line continues, and its own indentation.
    _current: Setting | None = None
    _indentation: int = 0

    def read(self, text: str) -> None:
        for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
            content = line.strip()
            if not content or content[0] in "#;":
                continue
            indentation = len(line) - len(line.lstrip())
            if self._current and indentation > self._indentation:
                self._put(replace(self._current, text=f"{self._current.text}\n{content}".lstrip()))
            elif header := _HEADER.match(content):
                self._begin_section(header[1], number)
            else:
                self._begin_setting(content, number)
                self._indentation = indentation

    def _begin_section(self, name: str, number: int) -> None:
        if name in self.sections:
            self.warnings.append(
                f"{self.path}:{number}: section [{name}] begins again, after line {self._headers[name]}; "
                "where both give a key, the last one counts"
            )
        self._headers.setdefault(name, number)
        self.sections.setdefault(name, {})
        self._section = name
        self._current = None

    def _begin_setting(self, content: str, number: int) -> None:
        if self._section is None:
            raise OptionError(f"{self.path}:{number}: text before the first [section]")
        match = _SETTING.fullmatch(content)
        if not match or not match[1]:
            raise OptionError(f"{self.path}:{number}: neither [section] nor key = value")
        key, text = match.groups()
        if earlier := self.sections[self._section].get(key.lower()):
            self.warnings.append(
                f"{self.path}:{number}: [{self._section}] {key} is given again, line {earlier.line} does not count"
            )
        self._put(Setting(key, text, self.path, number))

    def _put(self, setting: Setting) -> None:
        assert self._section is not None
        self.sections[self._section][setting.key.lower()] = setting
        self._current = setting
