"""Owner, group, mode, access control lists, label and time of change: what all kinds of paths have."""

import logging
import os
import re
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from bcfg2.client.files import Node, acl, selinux
from bcfg2.client.files.node import unsupported
from bcfg2.client.tools.base import InstallError
from bcfg2.client.tools.posix import aclentries
from bcfg2.client.tools.posix.owners import Owners
from bcfg2.xml import Element

#: Some of: owner, group (numbers; texts if nobody has that name), mode (four octal digits), acl, secontext, mtime.
Metadata: TypeAlias = Mapping[str, Any]

KEYS = frozenset({"owner", "group", "mode", "acl", "secontext", "mtime"})

logger = logging.getLogger("bcfg2.POSIX")


class Label(NamedTuple):
    """An SELinux label; `explicit` if the entry names it itself."""

    context: str
    explicit: bool

    def __str__(self) -> str:
        return self.context


@dataclass(frozen=True)
class MetadataKeeper:
    """Reads what entries ask for and what things have, and sets it.

    `unlabelled`: types of file systems that are never given a label.
    """

    owners: Owners = field(default_factory=Owners)
    policy: selinux.Policy = field(default_factory=selinux.Policy)
    unlabelled: Collection[str] = ()

    def wanted(self, entry: Element, path: str, kind: int) -> dict[str, Any]:
        """What ENTRY asks for: only the keys that it names.  PATH is of the KIND (0: of any)."""
        wanted: dict[str, Any] = {}
        if owner := entry.get("owner"):
            wanted["owner"] = self.owners.user(owner)
        if group := entry.get("group"):
            wanted["group"] = self.owners.group(group)
        if mode := entry.get("mode"):
            wanted["mode"] = normal_mode(mode)
        if mtime := entry.get("mtime"):
            wanted["mtime"] = _seconds(mtime)
        if label := self._wanted_label(entry.get("secontext"), path, kind):
            wanted["secontext"] = label
        elements = entry.findall("ACL")
        if kind != stat.S_IFLNK and (elements or "mode" in wanted):
            wanted["acl"] = self._wanted_acl(elements, path, kind)
        return wanted

    def _wanted_label(self, context: str | None, path: str, kind: int) -> Label | None:
        if not context or not self.policy.enabled:
            return None
        if context != "__default__":
            return Label(context, explicit=True)
        default = self.policy.default(path, kind)
        return Label(default, explicit=False) if default else None

    def _wanted_acl(self, elements: Iterable[Element], path: str, kind: int) -> aclentries.AclEntries:
        entries = aclentries.wanted(elements, self.owners)
        if kind in (0, stat.S_IFDIR):
            return entries
        access = {key: permissions for key, permissions in entries.items() if key[0] == "access"}
        if len(access) < len(entries):
            logger.warning("%s: default ACLs are for directories and ignored here", path)
        return access

    def found(self, node: Node) -> dict[str, Any]:
        """All that NODE has."""
        found: dict[str, Any] = {
            "owner": node.status.st_uid,
            "group": node.status.st_gid,
            "mode": f"{stat.S_IMODE(node.status.st_mode):04o}",
            "mtime": int(node.status.st_mtime),
        }
        if node.kind != stat.S_IFLNK:
            default = acl.read(node, "default") if node.kind == stat.S_IFDIR else {}
            found["acl"] = aclentries.found(acl.read(node, "access"), default)
        if self.policy.enabled:
            found["secontext"] = selinux.label(node)
        return found

    def differs(self, key: str, wanted: Any, found: Any) -> bool:
        """Whether FOUND is something else than WANTED; of labels the type counts."""
        if key != "secontext":
            return bool(wanted != found)
        kind = selinux.type_of(found)
        return kind not in self.unlabelled and kind != selinux.type_of(wanted.context)

    def wrong_below(self, folder: int, wanted: Metadata) -> list[str]:
        """The things below the open FOLDER, by their paths from there, whose owner, group or mode is not as WANTED."""
        wanted = {key: value for key, value in wanted.items() if key in ("owner", "group", "mode")}
        return [path for path, status, _, _ in _walk(folder) if _is_wrong(status, wanted)]

    def apply_below(self, folder: int, wanted: Metadata) -> None:
        """Give all things below the open FOLDER the owner, group and mode that are WANTED."""
        wanted = {key: value for key, value in wanted.items() if key in ("owner", "group", "mode")}
        for _, status, place, name in _walk(folder):
            if _is_wrong(status, wanted):
                with Node(place, name) as node:
                    self.apply(node, wanted)

    def apply(self, node: Node, wanted: Metadata) -> None:
        """Give NODE what is WANTED, as far as it does not have it.

        The owner comes before the mode, because a change of owner takes setuid bits away.  Only root sets owners.
        """
        found = self.found(node)
        if node.may_be_smuggled and any(self.differs(key, wanted[key], found.get(key)) for key in wanted):
            raise InstallError("it has other names, and those who can write to its folder may have linked it there")
        has_new_owner = self._set_owner(node, wanted)
        access = [key for key in ("mode", "acl") if key in wanted and wanted[key] != found.get(key)]
        if node.kind != stat.S_IFLNK and (access or has_new_owner):
            self._set_access(node, wanted, found)
        if "secontext" in wanted and self.differs("secontext", wanted["secontext"], found.get("secontext")):
            self._set_label(node, wanted["secontext"])
        if "mtime" in wanted and wanted["mtime"] != found["mtime"]:
            node.set_mtime(wanted["mtime"])

    def _set_owner(self, node: Node, wanted: Metadata) -> bool:
        uid, gid = wanted.get("owner", -1), wanted.get("group", -1)
        if isinstance(uid, str):
            raise InstallError(f"there is no user {uid}")
        if isinstance(gid, str):
            raise InstallError(f"there is no group {gid}")
        differs = uid not in (-1, node.status.st_uid) or gid not in (-1, node.status.st_gid)
        if differs and os.geteuid() == 0:
            node.set_owner(uid, gid)
            return True
        return False

    def _set_access(self, node: Node, wanted: Metadata, found: Metadata) -> None:
        """Set mode and lists.  With a list the group digit of the mode is its mask, so the mode is set without one."""
        mode = int(wanted["mode"], 8) if "mode" in wanted else _own_mode(node)
        entries = wanted.get("acl")
        access = aclentries.of_kind(entries, "access") if entries is not None else {}
        default = aclentries.of_kind(entries, "default") if entries is not None else {}
        if entries is not None and not access and found["acl"]:
            acl.set_access(node, {}, mode)
        node.set_mode(mode)
        if access:
            acl.set_access(node, access, mode)
        if entries is not None and default != aclentries.of_kind(found["acl"], "default"):
            _set_default(node, default)

    def _set_label(self, node: Node, label: Label) -> None:
        try:
            selinux.set_label(node, label.context)
        except OSError as err:
            if label.explicit or not unsupported(err):
                raise


def _set_default(node: Node, default: acl.Acl) -> None:
    lacking = [word for tag, word in _BASE if (tag, None) not in default]
    if default and lacking:
        raise InstallError(f"its default ACL needs an entry for {', '.join(lacking)} (without a name) as well")
    acl.set_default(node, default)


_BASE = ((acl.OWNER, "user"), (acl.OWNING_GROUP, "group"), (acl.OTHER, "other"))


def _own_mode(node: Node) -> int:
    """The mode of NODE, with what the owning group itself may do where a list hides that."""
    mode = stat.S_IMODE(node.status.st_mode)
    group = acl.read(node, "access").get((acl.OWNING_GROUP, None))
    return mode if group is None else mode & ~0o070 | group << 3


def normal_mode(text: str) -> str:
    """The mode TEXT with four digits; :exc:`InstallError` if it is none.

    >>> normal_mode("644")
    '0644'
    """
    if not re.fullmatch("[0-7]{1,5}", text) or len(text.lstrip("0")) > 4:
        raise InstallError(f'the mode "{text}" is not an octal number of up to four digits')
    return text.lstrip("0").zfill(4)


def _seconds(text: str) -> int:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        raise InstallError(f'the mtime "{text}" is not a number of seconds') from None


def _walk(folder: int) -> Iterable[tuple[str, os.stat_result, int, str]]:
    """Path, status, folder and name of everything below the open FOLDER, links not followed."""

    def stop(err: OSError) -> None:
        raise err

    for place, folders, files, fd in os.fwalk(".", dir_fd=folder, onerror=stop):
        for name in [*folders, *files]:
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:  # gone meanwhile
                continue
            yield os.path.normpath(os.path.join(place, name)), status, fd, name


def _is_wrong(status: os.stat_result, wanted: Metadata) -> bool:
    """Whether owner, group or mode are not as WANTED; the mode of a link means nothing."""
    is_link = stat.S_ISLNK(status.st_mode)
    return (
        wanted.get("owner", status.st_uid) != status.st_uid
        or wanted.get("group", status.st_gid) != status.st_gid
        or (not is_link and "mode" in wanted and int(wanted["mode"], 8) != stat.S_IMODE(status.st_mode))
    )
