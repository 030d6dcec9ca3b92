"""Users and groups as entries name them: by name or by number."""

import grp
import pwd
from collections.abc import Callable


class Owners:
    """Finds the numbers of names, and remembers them until :meth:`forget`."""

    def __init__(self) -> None:
        self._users: dict[str, int] = {}
        self._groups: dict[str, int] = {}

    def forget(self) -> None:
        """Look up again what was known: another tool may have made or changed users."""
        self._users.clear()
        self._groups.clear()

    def user(self, text: str) -> int | str:
        """The number of the user TEXT; TEXT itself if there is no such user."""
        return _number(text, self._users, lambda name: pwd.getpwnam(name).pw_uid)

    def group(self, text: str) -> int | str:
        """The number of the group TEXT; TEXT itself if there is no such group."""
        return _number(text, self._groups, lambda name: grp.getgrnam(name).gr_gid)


def _number(text: str, known: dict[str, int], look_up: Callable[[str], int]) -> int | str:
    if text.isascii() and text.isdecimal():
        return int(text)
    if text not in known:
        try:
            known[text] = look_up(text)
        except (KeyError, ValueError):
            return text
    return known[text]


def user_name(number: int) -> str:
    """The user NUMBER as people know him: ``33 (www-data)``, or just the number."""
    try:
        return f"{number} ({pwd.getpwuid(number).pw_name})"
    except (KeyError, OverflowError):
        return str(number)


def group_name(number: int) -> str:
    """The group NUMBER as people know it."""
    try:
        return f"{number} ({grp.getgrgid(number).gr_name})"
    except (KeyError, OverflowError):
        return str(number)
