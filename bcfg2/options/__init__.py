"""Declarative options: configuration file, environment and command line, one set for the whole suite.

A command, and every component that it loads, declares what can be set; :class:`OptionParser` reads it once and hands
the values on as an immutable :class:`Options`:

>>> parser = OptionParser("bcfg2-example", "An example", [REPOSITORY, *BASE_OPTIONS])
>>> options = parser.parse(["-C", "/nonexistent", "-Q", "/srv/bcfg2"])
>>> options.server_repository
'/srv/bcfg2'

The modules: `option` (declarations), `types` (texts into values), `configfile` (the INI reader), `commandline`
(argparse), `components` (classes by name), `registry` (what is known), `sources` (which source counts), `parser` (the
order of it all), `checks` (what is worth a warning), `common` (options of several commands).
"""

from bcfg2.options.common import (
    BASE_OPTIONS,
    CA,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    CONFIG,
    DAEMON,
    DEBUG,
    ENCODING,
    LOGFILE,
    PASSWORD,
    PLUGINS,
    PROTOCOL,
    REPOSITORY,
    RETRIES,
    RETRY_DELAY,
    SERVER,
    SERVER_CERTIFICATE,
    SERVER_COMMON_NAMES,
    SERVER_KEY,
    SYSLOG,
    TIMEOUT,
    USER,
    VERBOSE,
    WEB_CONFIG,
)
from bcfg2.options.components import ComponentError, find_in
from bcfg2.options.namespace import KeyValues, OptionError, Options, UsageError
from bcfg2.options.option import (
    Argument,
    BooleanOption,
    ChoiceOption,
    ColonListOption,
    ComponentOption,
    ConfigFileOption,
    Declaration,
    DictOption,
    ExclusiveGroup,
    FloatOption,
    GroupOption,
    IntOption,
    ListOption,
    MacroOption,
    OctalOption,
    Option,
    OptionGroup,
    PathOption,
    RegexListOption,
    SectionsOption,
    SizeOption,
    TimeoutOption,
    UserOption,
    WildcardOption,
)
from bcfg2.options.parser import OptionParser

__all__ = [
    "BASE_OPTIONS",
    "CA",
    "CLIENT_CERTIFICATE",
    "CLIENT_KEY",
    "CONFIG",
    "DAEMON",
    "DEBUG",
    "ENCODING",
    "LOGFILE",
    "PASSWORD",
    "PLUGINS",
    "PROTOCOL",
    "REPOSITORY",
    "RETRIES",
    "RETRY_DELAY",
    "SERVER",
    "SERVER_CERTIFICATE",
    "SERVER_COMMON_NAMES",
    "SERVER_KEY",
    "SYSLOG",
    "TIMEOUT",
    "USER",
    "VERBOSE",
    "WEB_CONFIG",
    "Argument",
    "BooleanOption",
    "ChoiceOption",
    "ColonListOption",
    "ComponentError",
    "ComponentOption",
    "ConfigFileOption",
    "Declaration",
    "DictOption",
    "ExclusiveGroup",
    "FloatOption",
    "GroupOption",
    "IntOption",
    "KeyValues",
    "ListOption",
    "MacroOption",
    "OctalOption",
    "Option",
    "OptionError",
    "OptionGroup",
    "OptionParser",
    "Options",
    "PathOption",
    "RegexListOption",
    "SectionsOption",
    "SizeOption",
    "TimeoutOption",
    "UsageError",
    "UserOption",
    "WildcardOption",
    "find_in",
]
