"""The command line: what argparse is told about the options, and the help text.

argparse only takes words apart.  What they mean is decided where all sources of an option are at hand (`parser`), so
every value here is a text, a list of texts, or a boolean for a flag without a value; an option that is not on the
command line is not in the result.
"""

import argparse
import platform
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from bcfg2.options.namespace import UsageError
from bcfg2.options.option import (
    Argument,
    BooleanOption,
    ChoiceOption,
    Declaration,
    ExclusiveGroup,
    Option,
    OptionGroup,
    SectionsOption,
    WildcardOption,
)
from bcfg2.options.registry import HELP_FLAGS, VERSION_FLAG, Registry
from bcfg2.version import __version__

#: Names under which the result holds the subcommand and the words behind it; no option's name begins like these.
COMMAND = "_command"
ARGUMENTS = "_arguments"
#: The subcommand that every command with subcommands has.
HELP_COMMAND = "help"
_WIDTH = 100


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, self.format_usage())


def what_is_known(registry: Registry, argv: Sequence[str], *, commands: bool) -> dict[str, Any]:
    """What ARGV says about the options known so far; words that are unknown or make no sense are passed over."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    for flag in (*HELP_FLAGS, VERSION_FLAG):
        parser.add_argument(flag, dest="", action="store_true", default=argparse.SUPPRESS)
    _add_options(parser, registry, complete=False)
    if commands:
        _add_command(parser, nargs="?", choices=None)
    result = argparse.Namespace()
    with suppress(UsageError):  # it comes again when all options are known
        parser.parse_known_args(argv, result)
    return vars(result)


def complete(
    registry: Registry, argv: Sequence[str], prog: str, description: str, commands: Mapping[str, type]
) -> dict[str, Any]:
    """What ARGV says; :exc:`UsageError` if it makes no sense.  Ends the process after printing help or version."""
    return vars(_parser(registry, prog, description, commands).parse_args(argv))


def print_help(registry: Registry, prog: str, description: str, commands: Mapping[str, type]) -> None:
    """Print what ``--help`` prints."""
    _parser(registry, prog, description, commands).print_help()


def _parser(registry: Registry, prog: str, description: str, commands: Mapping[str, type]) -> _Parser:
    parser = _Parser(
        prog=prog,
        description=description,
        add_help=False,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n\n".join(filter(None, (_command_list(commands), _file_settings(registry)))),
    )
    parser.add_argument(*HELP_FLAGS, action="help", help="Print this text")
    version = f"{prog} {__version__} on Python {platform.python_version()}"
    parser.add_argument(VERSION_FLAG, action="version", version=version, help="Print the version")
    _add_options(parser, registry, complete=True)
    if commands:
        _add_command(parser, nargs=None, choices=[*commands, HELP_COMMAND])
    return parser


def _add_command(parser: argparse.ArgumentParser, nargs: str | None, choices: Sequence[str] | None) -> None:
    """Let PARSER take a subcommand, and leave everything behind it to the subcommand's own parser."""
    parser.add_argument(COMMAND, nargs=nargs, choices=choices, metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument(ARGUMENTS, nargs=argparse.REMAINDER, metavar="...", help=argparse.SUPPRESS)


def _add_options(parser: argparse.ArgumentParser, registry: Registry, *, complete: bool) -> None:
    for title, declarations in registry.sections:
        holder = parser.add_argument_group(f"options of {title}") if title else parser
        for declaration, options in declarations:
            group = _group(parser, holder, declaration, complete=complete)
            for option in options:
                _add_option(group, option, complete=complete)


def _group(parser: argparse.ArgumentParser, holder: Any, declaration: Declaration, *, complete: bool) -> Any:
    """What the options of DECLARATION are added to, where HOLDER is that of its section."""
    if isinstance(declaration, OptionGroup):
        return parser.add_argument_group(declaration.title)
    if isinstance(declaration, ExclusiveGroup):
        return holder.add_mutually_exclusive_group(required=declaration.required and complete)
    return holder


def _add_option(holder: Any, option: Option, *, complete: bool) -> None:
    common: dict[str, Any] = {"default": argparse.SUPPRESS, "help": _escaped(_help(option))}
    if isinstance(option, Argument):
        if complete:
            holder.add_argument(option.dest, nargs=option.nargs, metavar=option.dest.upper(), **common)
    elif not option.flags:
        return
    elif isinstance(option, BooleanOption):
        holder.add_argument(
            *option.all_flags, dest=option.dest, action="store_const", const=not option.default, **common
        )
    else:
        holder.add_argument(*option.flags, dest=option.dest, metavar=option.metavar, **common)


def _help(option: Option) -> str:
    """The purpose of OPTION, its name in the file and in the environment, and its default."""
    facts = [option.place, f"${option.env}" if option.env else "", _choices(option)]
    if not isinstance(option, Argument):
        facts.append(f"default: {option.shown_default}")
    if isinstance(option, BooleanOption) and option.default:
        facts.append("the flag means no")
    return f"{option.help} ({'; '.join(filter(None, facts))})" if any(facts) else option.help


def _choices(option: Option) -> str:
    return f"one of {', '.join(option.choices)}" if isinstance(option, ChoiceOption) else ""


def _file_settings(registry: Registry) -> str:
    """The options that stand in the configuration file only."""
    options = [option for option in registry.options.values() if option.section and not option.flags]
    lines = [line for option in sorted(options, key=lambda option: option.place) for line in _setting(option)]
    return "\n".join(["settings that have no flag, in the configuration file:", *lines]) if lines else ""


def _setting(option: Option) -> list[str]:
    if isinstance(option, SectionsOption):
        inner = [f"[{option.section}] {part.key} = {part.shown_default}" for part in option.options]
        return [*(f"  {line}" for line in inner), *_indented(option.help)]
    if isinstance(option, WildcardOption):
        return [f"  {option.place}", *_indented(option.help)]
    facts = "; ".join(filter(None, (f"${option.env}" if option.env else "", _choices(option))))
    purpose = f"{option.help} ({facts})" if facts else option.help
    return [f"  {option.place} = {option.shown_default}", *_indented(purpose)]


def _command_list(commands: Mapping[str, type]) -> str:
    lines = [f"  {name:<15} {summary(command)}" for name, command in commands.items()]
    return "\n".join(["commands (COMMAND --help or help COMMAND says more):", *lines]) if lines else ""


def summary(command: type) -> str:
    """What the class COMMAND does, in one line: the beginning of its docstring."""
    return (command.__doc__ or "").strip().partition("\n")[0]


def _indented(text: str) -> Iterable[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)


def _escaped(text: str) -> str:
    """TEXT for argparse, which takes percent signs for its own."""
    return text.replace("%", "%%")
