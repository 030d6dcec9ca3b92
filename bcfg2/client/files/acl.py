"""POSIX access control lists as Linux keeps them: extended attributes with a small binary format.

The library and its commands (``setfacl``) take paths, which others may lead elsewhere; the attributes can be set on a
descriptor and need nothing installed.
"""

import struct
from collections.abc import Mapping
from typing import Final, TypeAlias

from bcfg2.client.files.node import Node

#: Permissions (0 to 7) by (tag, id of a named user or group or None).
Acl: TypeAlias = Mapping[tuple[int, int | None], int]

OWNER: Final = 0x01
USER: Final = 0x02
OWNING_GROUP: Final = 0x04
GROUP: Final = 0x08
MASK: Final = 0x10
OTHER: Final = 0x20

_ATTRIBUTES = {"access": "system.posix_acl_access", "default": "system.posix_acl_default"}
_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_VERSION = 2
_NOBODY = 0xFFFFFFFF


def parse(data: bytes) -> Acl:
    """The list in the attribute DATA.

    >>> parse(bytes.fromhex("02000000 01000600ffffffff 02000400e8030000 20000000ffffffff"))
    {(1, None): 6, (2, 1000): 4, (32, None): 0}
    """
    if len(data) < _HEADER.size or _HEADER.unpack_from(data)[0] != _VERSION:
        raise ValueError("an access control list of an unknown version")
    return {
        (tag, who if tag in (USER, GROUP) else None): permissions
        for tag, permissions, who in _ENTRY.iter_unpack(data[_HEADER.size :])
    }


def dump(acl: Acl) -> bytes:
    """The attribute that holds ACL, its entries in the order that the kernel asks for."""
    entries = sorted((tag, _NOBODY if who is None else who, permissions) for (tag, who), permissions in acl.items())
    return _HEADER.pack(_VERSION) + b"".join(_ENTRY.pack(tag, permissions, who) for tag, who, permissions in entries)


def with_mask(acl: Acl) -> Acl:
    """ACL with the mask that takes nothing away from its named entries and the owning group."""
    masked = 0
    for (tag, _), permissions in acl.items():
        if tag in (USER, OWNING_GROUP, GROUP):
            masked |= permissions
    return {**acl, (MASK, None): masked}


def named(acl: Acl) -> Acl:
    """The entries of ACL for named users and groups."""
    return {key: permissions for key, permissions in acl.items() if key[0] in (USER, GROUP)}


def read(node: Node, kind: str) -> Acl:
    """The list of NODE that is of the KIND access or default; empty if it has none."""
    data = node.attribute(_ATTRIBUTES[kind])
    return parse(data) if data else {}


def set_access(node: Node, entries: Acl, mode: int) -> None:
    """Let the users and groups named in ENTRIES at NODE, and owner, owning group and others as MODE says."""
    base: Acl = {
        (OWNER, None): mode >> 6 & 7,
        (OWNING_GROUP, None): mode >> 3 & 7,
        (OTHER, None): mode & 7,
    }
    node.set_attribute(_ATTRIBUTES["access"], dump(with_mask({**base, **entries})) if entries else None)


def set_default(node: Node, entries: Acl) -> None:
    """Have what is made in the folder NODE get ENTRIES; nothing if there are none."""
    has_names = bool(named(entries))
    complete = with_mask(entries) if has_names else entries
    node.set_attribute(_ATTRIBUTES["default"], dump(complete) if entries else None)
