"""Options as they are declared: where a value may come from, what it is turned into, what it is for.

An option says nothing about when it is read; `parser` reads.  One that has a section and a key may stand in bcfg2.conf,
one with flags on the command line, one with `env` in the environment, in any combination.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from bcfg2.options import types
from bcfg2.options.types import Surroundings

Parser: TypeAlias = Callable[[str], Any]


@dataclass(frozen=True)
class Option:
    """A text, or whatever PARSE makes of it (raising :exc:`ValueError` with the reason if it cannot).

    `dest`: the attribute of :class:`Options` that holds the value.  It follows from section and key, or else from the
    longest flag, unless it is given.  `default`: a text is treated like one from the file, anything else is the value.
    `secret`: the value is never shown.
    """

    section: str = ""
    key: str = ""
    _: KW_ONLY
    default: Any = None
    help: str = ""
    flags: Sequence[str] = ()
    env: str = ""
    dest: str = ""
    secret: bool = False
    parse: Parser = str

    #: What stands for the value in the help text.
    metavar: ClassVar[str] = "TEXT"

    def __post_init__(self) -> None:
        if not self.dest:
            object.__setattr__(self, "dest", attribute_name(self._natural_name()))

    def _natural_name(self) -> str:
        if self.key:
            return f"{self.section}_{self.key}" if self.section else self.key
        if self.flags:
            return max(self.flags, key=len).lstrip("-")
        raise ValueError("an option needs a key, a flag or a dest")

    def convert(self, text: str, around: Surroundings) -> Any:
        """The value that TEXT stands for; :exc:`ValueError` says why it stands for none."""
        return self.parse(text)

    def default_value(self, around: Surroundings) -> Any:
        """The value where none is given."""
        return self.convert(self.default, around) if isinstance(self.default, str) else self.default

    @property
    def place(self) -> str:
        """The option's name in the configuration file, if it may stand there."""
        return f"[{self.section}] {self.key}" if self.section else ""

    @property
    def shown_default(self) -> str:
        """The default in the notation of the configuration file."""
        if self.default is None:
            return "none"
        return "(not shown)" if self.secret else self._show(self.default)

    def _show(self, value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, list | tuple):
            return ",".join(map(str, value)) or "none"
        return f"{value:g}" if isinstance(value, float) else str(value)


def attribute_name(text: str) -> str:
    """TEXT in lower case, each character that is no letter or digit turned into an underscore."""
    return re.sub(r"[^a-z0-9]", "_", text.lower())


@dataclass(frozen=True, kw_only=True)
class BooleanOption(Option):
    """Yes or no.  The flags take no value: they mean the opposite of the default, whatever the file says."""

    default: bool = False
    parse: Parser = types.boolean

    metavar: ClassVar[str] = "yes|no"

    @property
    def all_flags(self) -> tuple[str, ...]:
        """The flags; those that switch off are understood with ``--no-`` in front as well."""
        twins = (f"--no-{flag[2:]}" for flag in self.flags if flag.startswith("--") and not flag.startswith("--no-"))
        return (*self.flags, *(twins if self.default else ()))


@dataclass(frozen=True, kw_only=True)
class IntOption(Option):
    """A whole number."""

    parse: Parser = types.integer

    metavar: ClassVar[str] = "NUMBER"


@dataclass(frozen=True, kw_only=True)
class FloatOption(Option):
    """A number."""

    parse: Parser = types.number

    metavar: ClassVar[str] = "NUMBER"


@dataclass(frozen=True, kw_only=True)
class TimeoutOption(Option):
    """Seconds as a number, or ``None`` for no timeout, which is what zero or less stands for."""

    parse: Parser = types.timeout

    metavar: ClassVar[str] = "SECONDS"


@dataclass(frozen=True, kw_only=True)
class SizeOption(Option):
    """A number of bytes, given as ``512k``, ``1m`` ..."""

    parse: Parser = types.size

    metavar: ClassVar[str] = "SIZE"


@dataclass(frozen=True, kw_only=True)
class OctalOption(Option):
    """A number in octal digits, such as a umask."""

    parse: Parser = types.octal

    metavar: ClassVar[str] = "MODE"

    def _show(self, value: Any) -> str:
        return f"{value:04o}" if isinstance(value, int) else str(value)


@dataclass(frozen=True, kw_only=True)
class UserOption(Option):
    """The number of a user given by name or number."""

    parse: Parser = types.user

    metavar: ClassVar[str] = "USER"


@dataclass(frozen=True, kw_only=True)
class GroupOption(Option):
    """The number of a group given by name or number."""

    parse: Parser = types.group

    metavar: ClassVar[str] = "GROUP"


@dataclass(frozen=True, kw_only=True)
class PathOption(Option):
    """A path as an absolute text, ``<repository>`` and ``~`` replaced.  An empty one counts as not given."""

    metavar: ClassVar[str] = "PATH"

    def convert(self, text: str, around: Surroundings) -> Any:
        return types.path(text, around) if text else self.default_value(around)

    def default_value(self, around: Surroundings) -> Any:
        return self.convert(self.default, around) if self.default else None


@dataclass(frozen=True, kw_only=True)
class ConfigFileOption(PathOption):
    """The path of a further configuration file, read after the main one into the same sections if it exists."""


@dataclass(frozen=True, kw_only=True)
class MacroOption(Option):
    """A text in which ``<repository>`` and a ``~`` at its beginning are replaced."""

    def convert(self, text: str, around: Surroundings) -> Any:
        return types.with_macros(text, around)


@dataclass(frozen=True, kw_only=True)
class ListOption(Option):
    """A tuple of words, separated by commas."""

    default: Any = ()
    parse: Parser = types.comma_list

    metavar: ClassVar[str] = "WORD,..."

    def default_value(self, around: Surroundings) -> Any:
        value = super().default_value(around)
        return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, kw_only=True)
class ColonListOption(ListOption):
    """A tuple of words, separated by colons."""

    parse: Parser = types.colon_list

    metavar: ClassVar[str] = "WORD:..."


@dataclass(frozen=True, kw_only=True)
class RegexListOption(Option):
    """A tuple of compiled regular expressions, separated by white space, that match whole texts only."""

    parse: Parser = types.regex_list

    metavar: ClassVar[str] = "PATTERN ..."


@dataclass(frozen=True, kw_only=True)
class DictOption(Option):
    """A dictionary in Python's notation."""

    default: Any = "{}"
    parse: Parser = types.dict_literal

    metavar: ClassVar[str] = "DICTIONARY"


@dataclass(frozen=True, kw_only=True)
class ChoiceOption(Option):
    """One of the words CHOICES, as PARSE leaves them (which may fold their case)."""

    choices: Sequence[str] = ()

    metavar: ClassVar[str] = "WORD"

    def convert(self, text: str, around: Surroundings) -> Any:
        value = self.parse(text)
        if value not in self.choices:
            raise ValueError(f"not one of {', '.join(self.choices)}")
        return value


@dataclass(frozen=True, kw_only=True)
class ComponentOption(Option):
    """The classes (`multiple`: a tuple; otherwise one class) that the value names; their `options` are read as well.

    `find`: gives the class of a name, or raises :exc:`LookupError` or :exc:`ImportError` with the reason (see
    `components.find_in`).  A name with a dot, ``package.module.Class``, is imported as it is.  `on_missing`: ``warn``
    drops what cannot be loaded with a warning, ``ignore`` without one, ``error`` refuses it.
    """

    find: Callable[[str], type]
    multiple: bool = False
    on_missing: Literal["ignore", "warn", "error"] = "error"

    metavar: ClassVar[str] = "NAME"

    def convert(self, text: str, around: Surroundings) -> Any:
        """The names in TEXT, each once."""
        names = types.comma_list(text) if self.multiple else (text.strip(),)
        return tuple(dict.fromkeys(name for name in names if name))

    def default_value(self, around: Surroundings) -> Any:
        """The names where none are given."""
        text = self.default if isinstance(self.default, str) else ",".join(self.default or ())
        return self.convert(text, around)


@dataclass(frozen=True, kw_only=True)
class WildcardOption(Option):
    """All keys of one section that match the glob KEY and are no options of their own, with their texts.

    The value looks names up without regard to case; it lists them in lower case, or with `keep_case` as they are
    written.  What ``[DEFAULT]`` holds does not count.  With `literal` a percent sign in a text stands for itself.
    """

    keep_case: bool = False
    literal: bool = False

    def _natural_name(self) -> str:
        return attribute_name(f"{self.section}_{self.key}").rstrip("_")


@dataclass(frozen=True, kw_only=True)
class SectionsOption(Option):
    """All sections whose names match the glob SECTION: a dictionary from the name to a namespace of OPTIONS.

    OPTIONS have keys but no sections; the attributes of a namespace are named after the keys.
    """

    options: Sequence[Option] = ()

    def _natural_name(self) -> str:
        return attribute_name(self.section).rstrip("_")


@dataclass(frozen=True, kw_only=True)
class Argument(Option):
    """Words on the command line that stand for themselves, without a flag.

    `nargs`: ``?`` for one that may be missing, ``*`` for any number, ``+`` for at least one, ``...`` for all that
    follow, even with dashes (these three give a tuple).
    """

    nargs: Literal["?", "*", "+", "..."] | None = None


class OptionGroup:
    """Options that stand together in the help text."""

    def __init__(self, title: str, *options: Option) -> None:
        self.title = title
        self.options = options


class ExclusiveGroup:
    """Flags of which the command line has at most one, or with REQUIRED exactly one."""

    def __init__(self, *options: Option, required: bool = False) -> None:
        self.options = options
        self.required = required


Declaration: TypeAlias = Option | OptionGroup | ExclusiveGroup
