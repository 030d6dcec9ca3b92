"""``<ACL>`` elements as access control lists."""

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from bcfg2.client.files import acl
from bcfg2.client.tools.base import InstallError
from bcfg2.client.tools.posix.owners import Owners
from bcfg2.xml import Element

#: Who (a number; a text: a name that nobody has; None: owner, owning group, others) may do what, by kind and tag.
AclEntries: TypeAlias = Mapping[tuple[str, int, int | str | None], int]

_KINDS = ("access", "default")
_TAGS = {"user": (acl.USER, acl.OWNER), "group": (acl.GROUP, acl.OWNING_GROUP), "other": (acl.OTHER, acl.OTHER)}
_WORDS = {
    acl.OWNER: "user:",
    acl.USER: "user:",
    acl.OWNING_GROUP: "group:",
    acl.GROUP: "group:",
    acl.OTHER: "other:",
}


def wanted(elements: Iterable[Element], owners: Owners) -> AclEntries:
    """What ELEMENTS ask for: in access lists the named users and groups, as the mode tells the rest.

    Raises :exc:`InstallError` for an element that cannot be understood.
    """
    entries: dict[tuple[str, int, int | str | None], int] = {}
    for element in elements:
        kind, scope = element.get("type", ""), element.get("scope", "")
        if kind not in _KINDS or scope not in _TAGS:
            raise InstallError(f'an ACL of the type "{kind}" and the scope "{scope}" is none')
        with_name, without = _TAGS[scope]
        name = element.get(scope) if scope != "other" else None
        permissions = parse_permissions(element.get("perms", ""))
        if name:
            entries[kind, with_name, owners.user(name) if scope == "user" else owners.group(name)] = permissions
        elif kind == "default":
            entries[kind, without, None] = permissions
    return entries


def parse_permissions(text: str) -> int:
    """The permissions in TEXT, an octal digit or letters.

    >>> parse_permissions("r-x"), parse_permissions("wr"), parse_permissions("5")
    (5, 6, 5)
    """
    if re.fullmatch("[0-7]", text):
        return int(text)
    if not re.fullmatch("[rwx-]{1,3}", text):
        raise InstallError(f'"{text}" are no permissions of an ACL: write an octal digit, or some of r, w, x, -')
    return sum(bit for letter, bit in (("r", 4), ("w", 2), ("x", 1)) if letter in text)


def found(access: acl.Acl, default: acl.Acl) -> AclEntries:
    """The entries of the lists ACCESS and DEFAULT that count: in access lists the named ones, the mask never."""
    entries: dict[tuple[str, int, int | str | None], int] = {}
    for (tag, who), permissions in acl.named(access).items():
        entries["access", tag, who] = permissions
    for (tag, who), permissions in default.items():
        if tag != acl.MASK:
            entries["default", tag, who] = permissions
    return entries


def of_kind(entries: AclEntries, kind: str) -> acl.Acl:
    """Those of ENTRIES that are of KIND, as they are set; :exc:`InstallError` if a name in them is unknown."""
    result: dict[tuple[int, int | None], int] = {}
    for (entry_kind, tag, who), permissions in entries.items():
        if entry_kind != kind:
            continue
        if isinstance(who, str):
            raise InstallError(f"there is no {'user' if tag == acl.USER else 'group'} {who}, whom an ACL names")
        result[tag, who] = permissions
    return result


def shown(entries: AclEntries) -> str:
    """ENTRIES as ``getfacl`` has them.

    >>> shown({("default", 2, 33): 5, ("access", 8, 4): 4})
    'group:4:r--, default:user:33:r-x'
    """
    texts = []
    for (kind, tag, who), permissions in sorted(entries.items(), key=lambda item: (item[0][:2], str(item[0][2]))):
        letters = "".join(letter if permissions & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))
        prefix = "default:" if kind == "default" else ""
        texts.append(f"{prefix}{_WORDS[tag]}{'' if who is None else who}:{letters}")
    return ", ".join(texts) or "none"
