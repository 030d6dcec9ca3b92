"""Files that templates include: compiled once, followed as they change."""

import os
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugin.specific import read_file
from bcfg2.server.versioned import Versioned, private_copy, writing

T = TypeVar("T")


class _State(Generic[T]):
    """A file as it was when it was read; `raw` is None if it was not there."""

    __slots__ = ("compiled", "raw")

    def __init__(self, raw: bytes | None) -> None:
        self.raw = raw
        self.compiled: T | None = None


class Includes(Generic[T]):
    """The files that templates of one engine include, wherever they are.

    COMPILE makes a template from a path and a text.  A file is read, and followed from then on, when it is first
    included; that happens in a request, so what is found is only noted, not published as a change.
    """

    _files: Versioned[dict[str, _State[Any]]] = Versioned()

    def __init__(self, core: CoreInterface, compile: Callable[[str, str], T]) -> None:
        self._core = core
        self._compile = compile
        self._files = {}

    def get(self, path: str) -> T:
        """The template at PATH, a full path.

        Raises :exc:`FileNotFoundError` if there is none, what reading raises, and PluginExecutionError, with the path,
        for one that does not decode or compile.
        """
        files = self._files
        state = files.get(path)
        if state is None:
            self._core.fam.AddMonitor(path, self)
            state = files[path] = _read(path)
        if state.raw is None:
            raise FileNotFoundError(path)
        if state.compiled is None:
            try:
                state.compiled = self._compile(path, state.raw.decode(self._core.options.components_encoding))
            except (PluginExecutionError, UnicodeDecodeError) as err:
                raise PluginExecutionError(f"{path}: {err}") from err
        compiled: T = state.compiled
        return compiled

    def HandleEvent(self, event: Any) -> None:
        """An included file may have changed."""
        path = event.filename
        if event.code2str() == "endExist" or not os.path.isabs(path):
            return
        state: _State[T] = _read(path)
        known = self._files.get(path)
        if known is None or known.raw != state.raw:
            with writing():
                private_copy(self, "_files")[path] = state


def _read(path: str) -> _State[Any]:
    try:
        return _State(read_file(path))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return _State(None)
