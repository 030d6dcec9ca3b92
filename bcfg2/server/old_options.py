"""``Bcfg2.Options`` as plugins of existing sites use it: they declare options, and read the values of all of them.

.. code-block:: python

    options = [Bcfg2.Options.Option(cf=("racks", "prefix"), default="rack-", help="What groups begin with")]
    ...
    Bcfg2.Options.setup.racks_prefix

A declaration becomes one of :mod:`bcfg2.options`.  A plugin that is written anew uses these, and ``self.settings``.
"""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from bcfg2.options import (
    BASE_OPTIONS,
    PASSWORD,
    PLUGINS,
    REPOSITORY,
    FloatOption,
    GroupOption,
    IntOption,
    OctalOption,
    SizeOption,
    TimeoutOption,
    UserOption,
    WildcardOption,
    types,
)
from bcfg2.options import BooleanOption as _BooleanOption
from bcfg2.options import ChoiceOption as _ChoiceOption
from bcfg2.options import Option as _Option
from bcfg2.options import PathOption as _PathOption
from bcfg2.options.option import attribute_name
from bcfg2.server.plugin.services import current_core

__all__ = ["BooleanOption", "Option", "PathOption", "Types", "setup"]

#: What the server declares itself: it may be declared again, and is read by its flag's name as well.
_SHARED = (REPOSITORY, PASSWORD, PLUGINS, *BASE_OPTIONS)


class Types:
    """What turns texts into values: for the argument `type` of options."""

    path = staticmethod(types.path)
    boolean = staticmethod(types.boolean)
    timeout = staticmethod(types.timeout)
    octal = staticmethod(types.octal)
    size = staticmethod(types.size)
    username = staticmethod(types.user)
    groupname = staticmethod(types.group)

    @staticmethod
    def comma_list(text: str) -> list[str]:
        """Words separated by commas."""
        return list(types.comma_list(text))

    @staticmethod
    def colon_list(text: str) -> list[str]:
        """Words separated by colons."""
        return list(types.colon_list(text))


_KINDS: dict[Any, type[_Option]] = {
    int: IntOption,
    float: FloatOption,
    types.path: _PathOption,
    types.boolean: _BooleanOption,
    types.timeout: TimeoutOption,
    types.octal: OctalOption,
    types.size: SizeOption,
    types.user: UserOption,
    types.group: GroupOption,
}


def Option(
    *flags: str,
    cf: tuple[str, str] | None = None,
    env: str | None = None,
    default: Any = None,
    type: Callable[..., Any] | None = None,
    choices: Sequence[str] | None = None,
    help: str | None = None,
    dest: str | None = None,
) -> _Option:
    """An option with FLAGS on the command line, with section and key CF in the configuration file, or with both.

    Its attribute is DEST, else the longest flag, else section and key joined by an underscore.
    """
    section, key = cf or ("", "")
    shared = next((option for option in _SHARED if (option.section, option.key) == (section, key)), None)
    if shared is not None:
        return shared
    if not dest and flags:
        dest = attribute_name(max(flags, key=len).lstrip("-"))
    common: dict[str, Any] = {"default": default, "help": help or "", "flags": flags, "env": env or ""}
    if dest:
        common["dest"] = dest
    if any(sign in key for sign in "*?["):
        return WildcardOption(section, key, **common)
    if choices:
        return _ChoiceOption(section, key, choices=tuple(choices), parse=type or str, **common)
    kind = _KINDS.get(type)
    if kind is not None:
        return kind(section, key, **common)
    return _Option(section, key, parse=type or str, **common)


def BooleanOption(*flags: str, default: bool = False, **more: Any) -> _Option:
    """An :func:`Option` that is yes or no; a flag means the opposite of DEFAULT."""
    return Option(*flags, default=default, type=Types.boolean, **more)


def PathOption(*flags: str, **more: Any) -> _Option:
    """An :func:`Option` that is a path: ``<repository>`` and ``~`` are replaced."""
    return Option(*flags, type=Types.path, **more)


class _Setup:
    """The values of all options, as the core in force has them."""

    def __getattr__(self, name: str) -> Any:
        try:
            options = current_core().options
        except LookupError:
            raise AttributeError(f"option {name}: options are read later; ask in a method of the plugin") from None
        return getattr(options, _BY_FLAG.get(name, name))

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"options are read only, {name} cannot be set")


#: The attribute of each shared option by the name of its longest flag.
_BY_FLAG = {
    attribute_name(max(option.flags, key=len).lstrip("-")): option.dest for option in _SHARED if option.flags
} | {"plugins": PLUGINS.dest}

setup = _Setup()
