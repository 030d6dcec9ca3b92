"""The library Augeas as a pure function: a text and commands in, a text out.

The library never touches a file here.  A text is parsed into its tree by the lens that is for the path, and written out
from the tree; reading and replacing the file is the business of the type `augeas`, like that of all others.
"""

import importlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from types import ModuleType
from typing import Any

from bcfg2.client.tools.base import InstallError
from bcfg2.client.tools.posix.augcommands import Command

#: Nodes of the tree that hold a text before it is parsed and after it is written out.
_GIVEN, _WRITTEN = "/bcfg2/given", "/bcfg2/written"


class Lenses:
    """Augeas, loaded when it is first needed: it reads all its lenses then, which takes about a second."""

    @cached_property
    def _library(self) -> ModuleType | None:
        try:
            return importlib.import_module("augeas")
        except ImportError:
            return None

    @property
    def available(self) -> bool:
        """Whether the library is installed."""
        return self._library is not None

    @cached_property
    def _augeas(self) -> Any:
        assert self._library is not None
        kind = self._library.Augeas
        return kind(root="/", flags=kind.NO_LOAD | kind.SAVE_NOOP)

    def hold(self, path: str, lens: str | None, text: str, commands: Sequence[Command]) -> list[bool]:
        """For each of COMMANDS whether it already holds for the file PATH with the content TEXT.

        LENS is the module of the lens to be used, by default the one that Augeas has for PATH.  Raises
        :exc:`InstallError` if there is no lens or it does not understand the text.
        """
        top = self._parse(path, lens, text)
        return [self._naming_errors(command, command.holds, top) for command in commands]

    def changed(self, path: str, lens: str | None, text: str, commands: Sequence[Command]) -> str:
        """TEXT after COMMANDS were executed in their order."""
        top = self._parse(path, lens, text)
        for command in commands:
            self._naming_errors(command, command.execute, top)
        try:
            self._augeas.text_retrieve(self._lens(path, lens), _GIVEN, top, _WRITTEN)
        except (ValueError, RuntimeError):
            raise InstallError(f"the changes cannot be written out: {self._reason(path)}") from None
        return str(self._augeas.get(_WRITTEN) or "")

    def _parse(self, path: str, lens: str | None, text: str) -> str:
        """Parse TEXT; the place of its tree."""
        top = f"/files{path}"
        self._augeas.remove(top)
        self._augeas.remove(f"/augeas/text{top}")
        self._augeas.set(_GIVEN, text)
        try:
            self._augeas.text_store(self._lens(path, lens), _GIVEN, top)
        except (ValueError, RuntimeError):
            raise InstallError(f"Augeas cannot read it: {self._reason(path)}") from None
        return top

    def _lens(self, path: str, name: str | None) -> str:
        modules = [name.removesuffix(".lns")] if name else self._modules_for(path)
        for module in modules:
            if lens := self._augeas.get(f"/augeas/load/{module}/lens"):
                return f"{lens[1:]}.lns" if lens.startswith("@") else str(lens)
        raise InstallError(
            f"Augeas has no lens {name}" if name else "Augeas has no lens for this path: name one (lens)"
        )

    def _modules_for(self, path: str) -> Iterator[str]:
        for place in self._augeas.match("/augeas/load/*"):
            included = any(self._fits(path, pattern) for pattern in self._augeas.match(f"{place}/incl"))
            excluded = any(self._fits(path, pattern) for pattern in self._augeas.match(f"{place}/excl"))
            if included and not excluded:
                yield place.rpartition("/")[2]

    def _fits(self, path: str, place: str) -> bool:
        pattern = self._augeas.get(place)
        return bool(pattern) and PurePosixPath(path).match(pattern)

    def _naming_errors(self, command: Command, act: Any, top: str) -> Any:
        try:
            return act(self._augeas, top)
        except (ValueError, RuntimeError) as err:
            raise InstallError(f"{command}: {err}") from None

    def _reason(self, path: str) -> str:
        place = f"/augeas/text/files{path}/error"
        message, line = self._augeas.get(f"{place}/message"), self._augeas.get(f"{place}/line")
        return (f"line {line}: " if line else "") + (message or "no reason given")
