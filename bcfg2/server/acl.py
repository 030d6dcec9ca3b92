"""Who may call what, where no plugin says otherwise."""

from typing import Any, ClassVar

from bcfg2.server.plugin import ClientACLs, Plugin
from bcfg2.server.plugin.interfaces import Address

_LOCAL_ONLY = frozenset({"get_statistics", "expire_metadata_cache"})


class DefaultACL(Plugin, ClientACLs):
    """Security by default; loaded only if no other plugin of the role ClientACLs is.

    From 127.0.0.1 everything may be called.  All others may not call plugins' methods, debug switches, statistics and
    cache expiry.
    """

    create: ClassVar[bool] = False

    def check_acl_ip(self, address: Address, rmi: str) -> bool | None:
        """True to allow, False to deny."""
        return allowed_by_default(address[0], rmi)


def allowed_by_default(address: str | None, method: str) -> bool:
    """Whether METHOD may be called from ADDRESS; None is any address but 127.0.0.1."""
    if address == "127.0.0.1":
        return True
    return not ("." in method or method.endswith("_debug") or method in _LOCAL_ONLY)


def allowed(plugins: list[Any], address: Address, rmi: str) -> bool | None:
    """What the address alone decides: all plugins allow, one denies, or (None) the client's metadata must be asked."""
    answers = [plugin.check_acl_ip(address, rmi) for plugin in plugins]
    if all(answers):
        return True
    if any(answer is not None and not answer for answer in answers):
        return False
    return None
