"""``authorizedkeys.xml``: who may log in, by public keys that other paths have, and by such as stand there."""

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lxml import etree

from bcfg2.server.plugin import (
    MetadataConsistencyError,
    MetadataRuntimeError,
    PluginExecutionError,
    Specificity,
    StrictStructFile,
)
from bcfg2.server.plugins.cfg.cfgprivatekeycreator import SSHKEYS_OPTIONS
from bcfg2.server.plugins.cfg.handlers import CfgGenerator
from bcfg2.server.versioned import request_memo
from bcfg2.xml import Element


class AuthorizedKeysXML(StrictStructFile):
    """An ``authorizedkeys.xml``."""

    schema = "authorizedkeys"


class CfgAuthorizedKeysGenerator(CfgGenerator):
    """A line for each key that an element ``Allow`` names or holds, with the options that stand in it."""

    __basenames__ = ["authorizedkeys.xml", "authorized_keys.xml"]
    __specific__ = False
    options = SSHKEYS_OPTIONS
    persistent = True

    def __init__(self, name: str, specific: Specificity) -> None:
        super().__init__(name, specific)
        self.xml = AuthorizedKeysXML(name)

    def handle_event(self, event: Any = None) -> None:
        self.xml.HandleEvent(event)

    def get_data(self, entry: Element, metadata: Any) -> str:
        lines: list[str] = []
        for allow in self.xml.XMLMatch(metadata).iter("Allow"):
            lines += self._lines(allow, metadata)
        return "\n".join(lines)

    def _lines(self, allow: Element, metadata: Any) -> list[str]:
        """The lines for one element: one for each key, comments of the file of keys as they are."""
        keys = self._keys(allow, metadata)
        options = ",".join(_option(item) for item in allow.iter("Option") if item.get("name"))
        if not options:
            return [keys] if keys else []
        return [
            line if line.startswith("#") else f"{options} {line}" for line in map(str.strip, keys.splitlines()) if line
        ]

    def _keys(self, allow: Element, metadata: Any) -> str:
        """The text of the keys; empty, with a warning, where there is none to be had."""
        path = allow.get("from")
        if path is None:
            keys = "".join([allow.text or "", *(child.tail or "" for child in allow)]).strip()
            if not keys:
                self._left_out(metadata, "an Allow with neither from nor a key in it")
            return keys
        try:
            with _looking_for(path, owner := self._owner(allow, path, metadata)):
                entry = etree.Element("Path", name=path)
                self.cfg.core.Bind(entry, owner)
                keys = _text(entry)
        except Exception as err:  # noqa: BLE001 - whatever keeps a key from being had, the other lines stand
            self._left_out(metadata, f"{path}: {err}")
            return ""
        if not keys:
            self._left_out(metadata, f"{path} is empty")
        return keys

    def _owner(self, allow: Element, path: str, metadata: Any) -> Any:
        """The client whose key is meant.  PluginExecutionError if there is none."""
        host, group = allow.get("host"), allow.get("group")
        category = allow.get("category") or self.cfg.core.options.sshkeys_category
        if host:
            try:
                return self.cfg.core.build_metadata(host, register=False)
            except (MetadataConsistencyError, MetadataRuntimeError) as err:
                raise PluginExecutionError(f"{err}") from None
        if group:
            return Member(group, metadata)
        if category and not metadata.group_in_category(category):
            raise PluginExecutionError(f"{metadata.hostname} has no group of the category {category}")
        return metadata

    def _left_out(self, metadata: Any, what: str) -> None:
        self.cfg.logger.warning("%s: a line is left out for %s: %s", self.name, metadata.hostname, what)


class Member:
    """A client that there is not, of which is known that it is in one group: what is for that group, it gets."""

    def __init__(self, group: str, asking: Any) -> None:
        """ASKING: the client for which it is made up; it lends its way of asking about others."""
        self.hostname = ""
        self.profile: str | None = None
        self.groups = frozenset((group,))
        self.bundles: frozenset[str] = frozenset()
        self.aliases: frozenset[str] = frozenset()
        self.addresses: frozenset[str] = frozenset()
        self.uuid = self.password = self.version = self.version_info = None
        self.connectors: tuple[str, ...] = ()
        self.query = asking.query

    @property
    def categories(self) -> dict[str, str]:
        """The categories of the group cannot be listed; ask :meth:`group_in_category`."""
        return {}

    def inGroup(self, group: str) -> bool:
        """Whether GROUP is the one."""
        return group in self.groups

    def group_in_category(self, category: str) -> str:
        """The group, if it is of CATEGORY."""
        (group,) = self.groups
        return group if group in self.query.all_groups_in_category(category) else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}{sorted(self.groups)}"


@contextmanager
def _looking_for(path: str, owner: Any) -> Iterator[None]:
    """Refuse to look for a key that is being looked for by this very request: files may name each other in a circle."""
    under_way = request_memo().setdefault("keys that are being looked for", set())
    wanted = (path, owner.hostname, frozenset(owner.groups))
    if wanted in under_way:
        raise PluginExecutionError("it would hold itself")
    under_way.add(wanted)
    try:
        yield
    finally:
        under_way.discard(wanted)


def _option(element: Element) -> str:
    value = element.get("value")
    return f"{element.get('name')}={value}" if value else element.get("name", "")


def _text(entry: Element) -> str:
    """What the bound ENTRY holds.  PluginExecutionError if it failed."""
    if entry.get("failure") is not None:
        raise PluginExecutionError(entry.get("failure", ""))
    text = entry.text or ""
    if entry.get("encoding") == "base64":
        try:
            text = base64.b64decode(text).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise PluginExecutionError("it is no text") from None
    return text.strip()
