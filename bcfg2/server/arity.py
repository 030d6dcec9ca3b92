"""How many arguments a method takes, so that a wrong call is refused before it is made, in words that help."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Arity:
    """From `least` to `most` arguments (None: any number), which are called `names`."""

    names: tuple[str, ...] = ()
    least: int = 0
    most: int | None = None

    def refuses(self, number: int) -> bool:
        """Whether NUMBER arguments are too few or too many."""
        return number < self.least or (self.most is not None and number > self.most)

    def __str__(self) -> str:
        """As in "takes 1 argument (version)"."""
        if self.most == 0:
            return "no arguments"
        if self.most is None:
            words = f"at least {self.least} arguments"
        elif self.least == self.most:
            words = f"{self.most} argument{'s' if self.most > 1 else ''}"
        else:
            words = f"{self.least} to {self.most} arguments"
        return f"{words} ({', '.join(self.names)})" if self.names else words


class Arities:
    """What the methods of a core take, looked up once for each name."""

    def __init__(self) -> None:
        self._known: dict[str, Arity] = {}

    def problem(self, name: str, function: Callable[..., Any], number: int, *, first: int) -> str:
        """Why FUNCTION, called NAME, cannot be called with NUMBER arguments behind its FIRST; empty if it can."""
        arity = self._known.get(name)
        if arity is None:
            arity = self._known[name] = arity_of(function, first=first)
        return f"{name} takes {arity}, and was called with {number}" if arity.refuses(number) else ""


def arity_of(function: Callable[..., Any], *, first: int = 0) -> Arity:
    """What FUNCTION takes behind its FIRST arguments."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[first:]
    except (TypeError, ValueError):  # some that are written in C cannot tell
        return Arity()
    positional = [item for item in parameters if item.kind in _POSITIONAL]
    return Arity(
        tuple(item.name for item in positional),
        sum(item.default is item.empty for item in positional),
        None if any(item.kind is item.VAR_POSITIONAL for item in parameters) else len(positional),
    )
