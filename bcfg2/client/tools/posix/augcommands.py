"""The commands in ``<Path type="augeas">``: whether one already holds, and carrying it out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from bcfg2.client.tools.base import InstallError
from bcfg2.xml import Element, shown

_Act: TypeAlias = Callable[[Any, Callable[[str], str], Element], Any]


@dataclass(frozen=True)
class Command:
    """One command, an element; its paths begin at the top of the file's tree."""

    element: Element

    def __str__(self) -> str:
        return shown(self.element)

    def holds(self, augeas: Any, top: str) -> bool:
        """Whether the tree at TOP is as after the command."""
        return bool(_COMMANDS[str(self.element.tag)].holds(augeas, self._below(top), self.element))

    def execute(self, augeas: Any, top: str) -> None:
        """Change the tree at TOP."""
        _COMMANDS[str(self.element.tag)].execute(augeas, self._below(top), self.element)

    def _below(self, top: str) -> Callable[[str], str]:
        def path(attribute: str) -> str:
            value = self.element.get(attribute)
            if not value:
                raise InstallError(f"{self} has no {attribute}")
            return f"{top}/{value.lstrip('/')}"

        return path


def is_command(element: Element) -> bool:
    """Whether ELEMENT is a command."""
    return element.tag in _COMMANDS


@dataclass(frozen=True)
class _Kind:
    """What commands of one name do.  Both take the library, a function for the path in an attribute, the element."""

    holds: _Act
    execute: _Act


def _has(augeas: Any, path: str) -> bool:
    return bool(augeas.match(path))


def _all_set(augeas: Any, path: Callable[[str], str], element: Element) -> bool:
    sub = element.get("sub")
    nodes = (f"{node}/{sub}" if sub else node for node in augeas.match(path("base")))
    return all(augeas.get(node) == element.get("value") for node in nodes)


_COMMANDS = {
    "Set": _Kind(
        holds=lambda augeas, path, element: augeas.get(path("path")) == element.get("value", ""),
        execute=lambda augeas, path, element: augeas.set(path("path"), element.get("value", "")),
    ),
    "Clear": _Kind(
        holds=lambda augeas, path, element: _has(augeas, path("path")) and augeas.get(path("path")) is None,
        execute=lambda augeas, path, element: augeas.set(path("path"), None),
    ),
    "Remove": _Kind(
        holds=lambda augeas, path, element: not _has(augeas, path("path")),
        execute=lambda augeas, path, element: augeas.remove(path("path")),
    ),
    "Move": _Kind(
        holds=lambda augeas, path, element: _has(augeas, path("destination")) and not _has(augeas, path("source")),
        execute=lambda augeas, path, element: augeas.move(path("source"), path("destination")),
    ),
    "SetMulti": _Kind(
        holds=_all_set,
        execute=lambda augeas, path, element: augeas.setm(path("base"), element.get("sub"), element.get("value")),
    ),
    "Insert": _Kind(
        holds=lambda augeas, path, element: _has(augeas, f"{path('path')}/../{element.get('label')}"),
        execute=lambda augeas, path, element: augeas.insert(
            path("path"), element.get("label", ""), element.get("where", "before") == "before"
        ),
    ),
}
