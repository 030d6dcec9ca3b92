"""Where the value of an option comes from: command line, environment, files, default - the first that has one."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from bcfg2.options.configfile import ConfigFiles, Setting
from bcfg2.options.namespace import KeyValues, OptionError, Options
from bcfg2.options.option import Option, SectionsOption, WildcardOption
from bcfg2.options.types import Surroundings

_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Found:
    """What a source says: a text, on the command line also a list of texts or a boolean; and which source that is."""

    value: Any
    origin: str


@dataclass
class Sources:
    """All sources.  `words`: the command line; `environment`; `files`; `around`: what paths are relative to."""

    words: Mapping[str, Any]
    environment: Mapping[str, str]
    files: ConfigFiles
    around: Surroundings

    def find(self, option: Option) -> Found | None:
        """What the first source that knows OPTION says, if one does."""
        if option.dest in self.words:
            return Found(self.words[option.dest], max(option.flags, key=len, default=option.dest.upper()))
        if option.env and option.env in self.environment:
            return Found(self.environment[option.env], f"${option.env}")
        setting = self.files.get(option.section, option.key) if option.section else None
        return Found(setting.text, location(option.section, setting)) if setting else None

    def origin(self, option: Option) -> str:
        """Where the value of OPTION comes from, as errors say it: ``bcfg2.conf:12: [server] umask``."""
        found = self.find(option)
        return found.origin if found else f"default of {option.place or option.dest}"

    def value(self, option: Option) -> Any:
        """The value of OPTION; :exc:`OptionError` names the source of a text that makes none.

        Of a component option it is the names.
        """
        found = self.find(option)
        if found is None:
            with _naming(option, self.origin(option), option.default):
                return option.default_value(self.around)
        if isinstance(found.value, bool):
            return found.value
        if isinstance(found.value, list):
            return tuple(self._converted(option, text, found.origin) for text in found.value)
        return self._converted(option, found.value, found.origin)

    def wildcard(self, option: WildcardOption, taken: Collection[str]) -> KeyValues:
        """The settings that OPTION matches, without those whose keys in lower case are TAKEN by other options."""
        found = (
            (setting.key if option.keep_case else key, setting.text)
            for key, setting in self.files.own(option.section, literal=option.literal).items()
            if key not in taken and fnmatchcase(key, option.key.lower())
        )
        return KeyValues(found)

    def sections(self, option: SectionsOption) -> dict[str, Options]:
        """The sections that OPTION matches, with the values of its parts."""
        secrets = {part.dest for part in option.options if part.secret}
        return {
            name: Options({part.dest: self._part(name, part) for part in option.options}, secrets=secrets)
            for name in self.files.sections()
            if fnmatchcase(name, option.section)
        }

    def _part(self, section: str, part: Option) -> Any:
        setting = self.files.get(section, part.key)
        if setting is None:
            return part.default_value(self.around)
        return self._converted(part, setting.text, location(section, setting))

    def _converted(self, option: Option, text: str, origin: str) -> Any:
        with _naming(option, origin, text):
            return option.convert(text, self.around)


def location(section: str, setting: Setting) -> str:
    """Where SETTING stands: ``bcfg2.conf:12: [server] umask``."""
    return f"{setting.path}:{setting.line}: [{section}] {setting.key}"


@contextmanager
def _naming(option: Option, origin: str, text: Any) -> Iterator[None]:
    """Turn a :exc:`ValueError` into an :exc:`OptionError` that says what TEXT, from ORIGIN, was meant for."""
    try:
        yield
    except ValueError as err:
        shown = "" if option.secret else f" = {' '.join(str(text).split())[:_SHOWN]}"
        raise OptionError(f"{origin}{shown}: {err}") from None
