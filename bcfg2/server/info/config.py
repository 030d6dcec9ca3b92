"""``bcfg2-info config``: the options in force."""

from typing import Any

from bcfg2.options import BooleanOption, Option, Options
from bcfg2.server.info import JSON, InfoCommand, table


class Config(InfoCommand):
    """Show all options and their values."""

    options = (
        *InfoCommand.options,
        JSON,
        BooleanOption(flags=("--raw",), help="Show values as Python does"),
    )

    def run(self, options: Options) -> int:
        rows = [
            (_description(option), _value(option, getattr(options, option.dest), options.raw))
            for option in options.declared
        ]
        table(("Description", "Value"), sorted(rows), options)
        return 0

    def show(self, core: Any, options: Options) -> int:
        return self.run(options)


def _description(option: Option) -> str:
    """What OPTION is for, behind its place in the file or its flags."""
    return f"{option.place or ', '.join(option.flags) or option.dest}: {option.help}"


def _value(option: Option, value: Any, raw: bool) -> str:
    if option.secret and value is not None:
        return "(not shown)"
    if raw:
        return repr(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.__name__ if isinstance(value, type) else str(value)
