"""All options that are known while options are read: those of the command and, one after another, of its components."""

from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from bcfg2.options.option import BooleanOption, Declaration, ExclusiveGroup, Option, OptionGroup

#: Flags that every command has, besides those of options.
HELP_FLAGS = ("-h", "--help")
VERSION_FLAG = "--version"
#: Attributes of the namespace that are no options.
_RESERVED = frozenset({"declared", "subcommand", "undeclared", "warnings"})


class Registry:
    """Declarations in the order in which they were added, in titled sections as the help text shows them.

    The same option may be added any number of times.  Two options that claim one attribute, setting, variable or flag
    are a mistake of the programmer: :exc:`ValueError`.  Those of PARENT may be added again, but not be contradicted.
    """

    def __init__(self, parent: "Registry | None" = None) -> None:
        self.options: dict[str, Option] = {}
        #: The components that options here name, by option and name: the class, or why there is none.
        self.components: dict[tuple[str, str], type | str] = {}
        #: Title of each section, and its declarations with the options of each that no earlier one holds.
        self.sections: list[tuple[str, list[tuple[Declaration, list[Option]]]]] = []
        self._parent = parent
        self._claims: dict[Hashable, str] = dict.fromkeys((*HELP_FLAGS, VERSION_FLAG), "this flag")

    def add(self, declarations: Iterable[Declaration], title: str = "") -> bool:
        """Add all DECLARATIONS or, if one of them cannot be, none; whether any of them is new."""
        fresh: dict[str, Option] = {}
        claims: dict[Hashable, str] = {}
        new: list[tuple[Declaration, list[Option]]] = []
        for declaration in list(declarations):
            unknown = [option for option in members(declaration) if option.dest not in {**self.options, **fresh}]
            for option in members(declaration):
                self._check(option, fresh, claims)
            if unknown:
                new.append((declaration, unknown))
        self.options.update(fresh)
        self._claims.update(claims)
        if new:
            self.sections.append((title, new))
        return bool(new)

    def _check(self, option: Option, fresh: dict[str, Option], claims: dict[Hashable, str]) -> None:
        """Put OPTION among the FRESH ones with what it claims, or raise."""
        known = fresh.get(option.dest) or self.find(option.dest)
        if (known is not None and known != option) or option.dest in _RESERVED or option.dest.startswith("_"):
            raise ValueError(f"there is another option {option.dest}")
        for claim in _claims_of(option):
            owner = claims.get(claim) or self._owner(claim)
            if owner not in (None, option.dest):
                raise ValueError(f"option {option.dest} claims {claim}, which belongs to {owner}")
            claims[claim] = option.dest
        if option.dest not in self.options:
            fresh[option.dest] = option

    def find(self, dest: str) -> Option | None:
        """The option with the attribute DEST, here or in the parent."""
        return self.options.get(dest) or (self._parent.find(dest) if self._parent else None)

    def _owner(self, claim: Hashable) -> str | None:
        """Whose CLAIM is.  A parent's flags belong to another part of the command line and do not count."""
        if claim in self._claims or not self._parent or isinstance(claim, str):
            return self._claims.get(claim)
        return self._parent._owner(claim)


def members(declaration: Declaration) -> Iterator[Option]:
    """The options that DECLARATION holds."""
    if isinstance(declaration, Option):
        yield declaration
    elif isinstance(declaration, OptionGroup | ExclusiveGroup):
        yield from declaration.options
    else:
        raise ValueError(f"{declaration!r} is no option")


def _claims_of(option: Option) -> Iterator[Any]:
    yield from option.all_flags if isinstance(option, BooleanOption) else option.flags
    if option.place:
        yield ("setting", option.section, option.key.lower())
    if option.env:
        yield ("variable", option.env)
