"""SELinux labels: whether this machine has them, and what its policy says of a path."""

import ctypes
from functools import cached_property

from bcfg2.client.files.node import Node

_ATTRIBUTE = "security.selinux"


class Policy:
    """The policy of this machine, asked by means of its library (libselinux), which every such machine has."""

    @cached_property
    def enabled(self) -> bool:
        """Whether labels count here."""
        return self._library is not None and self._library.is_selinux_enabled() == 1

    @cached_property
    def _library(self) -> ctypes.CDLL | None:
        try:
            return ctypes.CDLL("libselinux.so.1")
        except OSError:
            return None

    def default(self, path: str, kind: int) -> str | None:
        """The label that the policy gives to PATH if it is of the KIND (see :class:`Node`); None if it names none."""
        assert self._library is not None
        label = ctypes.c_char_p()
        if self._library.matchpathcon(path.encode(), ctypes.c_uint(kind), ctypes.byref(label)) != 0:
            return None
        try:
            return (label.value or b"").decode()
        finally:
            self._library.freecon(label)


def label(node: Node) -> str | None:
    """The label of NODE; None if it has none."""
    data = node.attribute(_ATTRIBUTE)
    return data.rstrip(b"\0").decode("utf-8", "replace") if data else None


def set_label(node: Node, context: str) -> None:
    """Give NODE the label CONTEXT."""
    node.set_attribute(_ATTRIBUTE, context.encode() + b"\0")


def type_of(context: str | None) -> str | None:
    """The type in CONTEXT, its third field.

    >>> type_of("system_u:object_r:etc_t:s0")
    'etc_t'
    """
    fields = (context or "").split(":")
    return fields[2] if len(fields) > 2 else None
