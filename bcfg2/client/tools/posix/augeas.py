"""``<Path type="augeas">``: single settings in a file that is otherwise left as it is."""

import logging
import stat
from collections.abc import Sequence
from typing import Any, ClassVar

from bcfg2.client.files import Node, opened_folder
from bcfg2.client.tools.base import Difference, InstallError, State
from bcfg2.client.tools.posix.augcommands import Command, is_command
from bcfg2.client.tools.posix.file import File
from bcfg2.client.tools.posix.lenses import Lenses
from bcfg2.client.tools.posix.pathtype import PathType, Surroundings, split
from bcfg2.xml import Element, is_element, leading_text

logger = logging.getLogger("bcfg2.POSIX")


class Augeas(File):
    """A file that is changed by commands to Augeas.

    State `commands`: for each command whether it holds.  If one does not, all are carried out.
    """

    remade_for: ClassVar[frozenset[str]] = frozenset({"exists", "type", "commands"})

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.lenses = Lenses()

    def missing(self, entry: Element) -> list[str]:
        has_child = any(is_element(child) for child in entry)
        return PathType.missing(self, entry) + ([] if has_child else ["a command"])

    def own_expected(self, entry: Element, path: str) -> dict[str, Any]:
        for child in entry:
            if is_element(child) and child.tag not in ("ACL", "Initial") and not is_command(child):
                logger.error("%s: %s is no command that Augeas knows here", path, child.tag)
        return {"commands": (True,) * len(commands(entry))}

    def own_found(self, entry: Element, path: str, node: Node) -> dict[str, Any]:
        if node.kind != stat.S_IFREG:
            return {"commands": ()}
        text = self._text(node.read())
        return {"commands": tuple(self.lenses.hold(path, entry.get("lens"), text, commands(entry)))}

    def fix(self, entry: Element, path: str, expected: State, difference: Difference) -> None:
        if "type" in difference and "exists" not in difference:
            raise InstallError(f"it is a {difference['type'].found}: Augeas changes only files")
        if self.remade_for & difference.keys():
            changed = self.lenses.changed(path, entry.get("lens"), self._present(entry, path), commands(entry))
            expected = {**expected, "content": changed.encode(self.surroundings.encoding)}
        super().fix(entry, path, expected, difference)

    def can_settle(self, node: Node) -> bool:
        return True

    def _present(self, entry: Element, path: str) -> str:
        """What the file contains, or is to begin with."""
        folder_path, name = split(path)
        try:
            with opened_folder(folder_path) as folder, Node(folder, name) as node:
                return self._text(node.read())
        except (FileNotFoundError, NotADirectoryError):
            initial = entry.find("Initial")
            return "" if initial is None else leading_text(initial)

    def _text(self, content: bytes) -> str:
        try:
            return content.decode(self.surroundings.encoding)
        except UnicodeDecodeError as err:
            raise InstallError(f"its content is no text: {err}") from None


def commands(entry: Element) -> Sequence[Command]:
    """The commands of ENTRY, in their order."""
    return [Command(child) for child in entry if is_command(child)]


def report_commands(entry: Element, found: Sequence[bool]) -> None:
    """Note on each command of ENTRY whether it was FOUND to hold; none does in a file that is not there."""
    for number, command in enumerate(commands(entry)):
        holds = number < len(found) and found[number]
        command.element.set("verified", "true" if holds else "false")
