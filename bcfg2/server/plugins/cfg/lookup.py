"""Which handler a file in the Cfg tree is for, by its name."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bcfg2.server.plugin import Specificity, SpecificityError, parse_specific
from bcfg2.server.plugins.cfg.handlers import CfgHandler


class Found(NamedTuple):
    """A handler, and what the file's name says about its clients."""

    handler: type[CfgHandler]
    specific: Specificity


class HandlerTable:
    """The loaded handlers.  Those that could be for a file are looked up by the file's suffix."""

    def __init__(self, handlers: Iterable[type[CfgHandler]]) -> None:
        ordered = sorted(set(handlers), key=lambda item: (item.__priority__, item.__module__, item.__name__))
        self._by_suffix: dict[str, list[tuple[int, type[CfgHandler]]]] = {}
        for order, handler in enumerate(ordered):
            for suffix in handler.__extensions__ or [""]:
                self._by_suffix.setdefault(suffix, []).append((order, handler))
        self._ignored = tuple(f".{suffix}" for handler in ordered for suffix in handler.__ignore__)

    def find(self, basename: str, filename: str) -> Found | None:
        """The first handler for the file FILENAME of an entry whose last path component is BASENAME.

        None for a file that is to be passed over in silence.  Raises :exc:`SpecificityError` if no handler wants it.
        """
        if filename.endswith(self._ignored):
            return None
        first: tuple[int, Found] | None = None
        for suffix, stem in self._readings(filename):
            for order, handler in self._by_suffix[suffix]:
                if first is not None and order > first[0]:
                    break
                specific = _specificity(handler, basename, stem)
                if specific is not None:
                    first = (order, Found(handler, specific))
                    break
        if first is None:
            raise SpecificityError("no handler understands its name")
        return first[1]

    def _readings(self, filename: str) -> Iterator[tuple[str, str]]:
        """The known suffixes that FILENAME ends with, "" among them, each with what stands in front of it."""
        yield from [("", filename)] if "" in self._by_suffix else []
        dot = filename.find(".", 1)
        while dot > 0:
            suffix = filename[dot + 1 :]
            if suffix in self._by_suffix:
                yield suffix, filename[:dot]
            dot = filename.find(".", dot + 1)


def _specificity(handler: type[CfgHandler], basename: str, stem: str) -> Specificity | None:
    """For which clients a file is that HANDLER would take, None if HANDLER would not take it."""
    for base in handler.__basenames__ or (basename,):
        if stem == base or (handler.__specific__ and stem.startswith(f"{base}.")):
            try:
                return parse_specific(base, stem)
            except SpecificityError:
                continue
    return None
