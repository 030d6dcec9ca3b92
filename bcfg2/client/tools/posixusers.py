"""POSIXUsers: users and groups of the local files, by the commands of the shadow suite."""

import grp
import pwd
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from bcfg2.client.configuration import title
from bcfg2.client.tools.base import Difference, InstallError, State, Tool, names_of
from bcfg2.options import Option
from bcfg2.xml import Element

#: First and last number of each range; None for a range without an end.
Ranges: TypeAlias = tuple[tuple[int, int | None], ...]


def id_ranges(text: str) -> Ranges:
    """The ranges in TEXT; :exc:`ValueError` if it holds anything else.

    >>> id_ranges("0-999, 1500,60001-")
    ((0, 999), (1500, 1500), (60001, None))
    """
    return tuple(_range(part.strip()) for part in text.split(",") if part.strip())


def _range(part: str) -> tuple[int, int | None]:
    first, dash, last = (word.strip() for word in part.partition("-"))
    if not first.isdecimal() or not (last.isdecimal() or not last):
        raise ValueError(f"{part} is neither a number nor a range such as 1000-1999 or 1000-")
    return int(first), int(last) if last else (None if dash else int(first))


def is_managed(number: int, whitelist: Ranges, blacklist: Ranges) -> bool:
    """Whether NUMBER is one to look after: in WHITELIST if there is one, else not in BLACKLIST."""
    listed = any(first <= number and (last is None or number <= last) for first, last in whitelist or blacklist)
    return listed == bool(whitelist)


class POSIXUsers(Tool):
    """Users (`POSIXUser`) and groups (`POSIXGroup`)."""

    handles = (("POSIXUser", None), ("POSIXGroup", None))
    needs = tuple(f"/usr/sbin/{kind}{verb}" for kind in ("user", "group") for verb in ("add", "mod", "del"))
    reported = {key: f"current_{key}" for key in ("name", "uid", "gid", "gecos", "home", "shell")}
    reported_if_wrong = {"group": "current_gid"}
    options = [
        Option("POSIXUsers", f"{kind}_{colour}list", default=(), parse=id_ranges, help=text)
        for kind, what in (("uid", "users"), ("gid", "groups"))
        for colour, text in (
            ("white", f"Numbers (a-b, a-) of {what} to look after, and no others"),
            ("black", f"Numbers (a-b, a-) of {what} to leave alone, where there is no whitelist"),
        )
    ]

    # Entries

    def prepare(self) -> None:
        """Write defaults into users, and add an entry for each primary group that has none."""
        groups = {entry.get("name") for entry in self.entries if entry.tag == "POSIXGroup"}
        for user in [entry for entry in self.entries if entry.tag == "POSIXUser"]:
            name, structure = user.get("name"), user.getparent()
            if not name or user.get("failure") or structure is None:
                continue
            for attribute, default in _defaults(name).items():
                if not user.get(attribute):
                    user.set(attribute, default)
            group = user.get("group") or name
            if group not in groups:
                groups.add(group)
                self.configuration.add(structure, structure.makeelement("POSIXGroup", {"name": group}))

    def can_install(self, entry: Element) -> bool:
        """Not with a number of its own that is to be left alone."""
        kind = "uid" if entry.tag == "POSIXUser" else "gid"
        number = _number(entry, kind)
        if number is None or self._is_managed(kind, number):
            return True
        self.logger.error("%s is left alone: its %s, %d, is in no range to look after", title(entry), kind, number)
        return False

    def question(self, entry: Element) -> str:
        return "\n".join([*self.describe(entry), f"Install {entry.tag} {entry.get('name')}: (y/N) "])

    # States

    def refresh(self) -> None:
        """Read who is a member of what."""
        self._memberships: dict[str, list[grp.struct_group]] = {}
        for group in grp.getgrall():
            for member in group.gr_mem:
                self._memberships.setdefault(member, []).append(group)

    def expected_state(self, entry: Element) -> State:
        name = entry.get("name") or ""
        if entry.tag == "POSIXGroup":
            return {"name": name, **_given(gid=_number(entry, "gid"))}
        group = _gid(entry.get("group") or name)
        if group is not None:
            entry.set("gid", str(group))
        return {
            "name": name,
            **_given(uid=_number(entry, "uid")),
            **{key: entry.get(key) for key in ("gecos", "home", "shell")},
            "group": entry.get("group") if group is None else group,
            "groups": sorted(wanted_groups(entry)),
        }

    def actual_state(self, entry: Element) -> State | None:
        name = entry.get("name") or ""
        try:
            if entry.tag == "POSIXGroup":
                group = grp.getgrnam(name)
                return {"name": group.gr_name, "gid": group.gr_gid}
            user = pwd.getpwnam(name)
        except (KeyError, ValueError):
            return None
        return {
            "name": user.pw_name,
            "uid": user.pw_uid,
            "gecos": user.pw_gecos,
            "home": user.pw_dir,
            "shell": user.pw_shell,
            "group": user.pw_gid,
            "groups": sorted(self._groups_of(name, managed=True)),
        }

    def find_extra(self) -> list[Element]:
        users = ((user.pw_name, user.pw_uid) for user in pwd.getpwall())
        groups = ((group.gr_name, group.gr_gid) for group in grp.getgrall())
        return [
            *self.extra_elements("POSIXUser", self._managed("uid", users)),
            *self.extra_elements("POSIXGroup", self._managed("gid", groups)),
        ]

    # Changes

    def install(self, entries: Sequence[Element]) -> dict[Element, bool]:
        """Groups first: users need them."""
        return super().install(sorted(entries, key=lambda entry: entry.tag != "POSIXGroup"))

    def fix(self, entry: Element, difference: Difference) -> None:
        verb = "add" if "exists" in difference else "mod"
        kind = "group" if entry.tag == "POSIXGroup" else "user"
        words = self._group_words(entry) if kind == "group" else self._user_words(entry)
        self.run_or_fail([f"/usr/sbin/{kind}{verb}", *words, entry.get("name") or ""])

    def remove(self, entries: Sequence[Element]) -> None:
        for name in names_of([entry for entry in entries if entry.tag == "POSIXUser"]):
            self._delete("/usr/sbin/userdel", name)
        for name in names_of([entry for entry in entries if entry.tag == "POSIXGroup"]):
            if _gid(name) is not None:  # it may have gone with its user
                self._delete("/usr/sbin/groupdel", name)
        self.extra = self.find_extra()

    def _delete(self, program: str, name: str) -> None:
        self.logger.info("Removing %s", name)
        try:
            self.run_or_fail([program, name])
        except InstallError as err:
            self.logger.error("%s cannot be removed: %s", name, err)

    def _group_words(self, entry: Element) -> list[str]:
        gid = _number(entry, "gid")
        return [] if gid is None else ["-g", str(gid)]

    def _user_words(self, entry: Element) -> list[str]:
        """All attributes; memberships that are not looked after stay."""
        uid = _number(entry, "uid")
        kept = self._groups_of(entry.get("name") or "", managed=False)
        return [
            *([] if uid is None else ["-u", str(uid)]),
            *("-g", entry.get("group") or ""),
            *("-G", ",".join(sorted(wanted_groups(entry) | kept))),
            *("-d", entry.get("home") or ""),
            *("-s", entry.get("shell") or ""),
            *("-c", entry.get("gecos") or ""),
        ]

    # Numbers

    def _groups_of(self, name: str, *, managed: bool) -> set[str]:
        """The groups of which NAME is a member that are looked after, or those that are not."""
        groups = self._memberships.get(name, [])
        return {group.gr_name for group in groups if self._is_managed("gid", group.gr_gid) == managed}

    def _managed(self, kind: str, found: Iterable[tuple[str, int]]) -> list[tuple[str, Mapping[str, str]]]:
        return [(name, {}) for name, number in found if self._is_managed(kind, number)]

    def _is_managed(self, kind: str, number: int) -> bool:
        lists = (getattr(self.settings, f"posixusers_{kind}_{colour}list") for colour in ("white", "black"))
        return is_managed(number, *lists)


def wanted_groups(user: Element) -> set[str]:
    """The supplementary groups that USER asks for."""
    members = (member.get("group") or (member.text or "").strip() for member in user.iterchildren("MemberOf"))
    return {group for group in members if group}


def _defaults(name: str) -> dict[str, str]:
    home = "/root" if name == "root" else f"/home/{name}"
    return {"group": name, "gecos": name, "shell": "/bin/bash", "home": home}


def _given(**numbers: int | None) -> dict[str, int]:
    return {key: number for key, number in numbers.items() if number is not None}


def _number(entry: Element, attribute: str) -> int | None:
    text = entry.get(attribute)
    if not text:
        return None
    if not text.isdecimal():
        raise InstallError(f"its {attribute}, {text}, is not a number")
    return int(text)


def _gid(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        return None
