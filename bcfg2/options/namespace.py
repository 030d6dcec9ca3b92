"""The values of all options, as everybody reads them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from bcfg2.options.option import Option


class OptionError(Exception):
    """A setting that cannot be used; the text is one line that names where it stands, the setting and the reason."""


class UsageError(OptionError):
    """A command line that cannot be understood.  `usage`: the line that says how it should look."""

    def __init__(self, text: str, usage: str) -> None:
        super().__init__(text)
        self.usage = usage


class Options:
    """An immutable namespace: ``options.server_repository`` is the value of ``[server] repository``.

    `warnings`: lines for the log, about what was passed over.  `undeclared`: lines about settings in the configuration
    files that no option of the command or its components stands for; that is no fault by itself.  `declared`: the
    declarations that the values belong to.
    """

    warnings: tuple[str, ...]
    undeclared: tuple[str, ...]
    declared: tuple[Option, ...]

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        secrets: Iterable[str] = (),
        warnings: Iterable[str] = (),
        undeclared: Iterable[str] = (),
        declared: Iterable[Option] = (),
    ) -> None:
        self.__dict__.update(
            values,
            _secrets=frozenset(secrets),
            warnings=tuple(warnings),
            undeclared=tuple(undeclared),
            declared=tuple(declared),
        )

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"option {name} is declared neither by this command nor by a component that it loads")

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"options are read only, {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"options are read only, {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Options) and {**self.__dict__, "declared": ()} == {**other.__dict__, "declared": ()}

    def __repr__(self) -> str:
        shown = (
            f"{name}=***" if name in self._secrets and value is not None else f"{name}={value!r}"
            for name, value in sorted(self.__dict__.items())
            if not name.startswith("_") and name != "declared"
        )
        return f"Options({', '.join(shown)})"


class KeyValues(Mapping[str, str]):
    """Immutable texts under names that are looked up without regard to case and listed as they were given."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = {name.lower(): (name, text) for name, text in pairs}

    def __getitem__(self, name: str) -> str:
        return self._pairs[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._pairs.values())

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        return f"<KeyValues of {', '.join(self) or 'nothing'}>"
