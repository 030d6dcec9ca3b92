"""ACL: which remote calls are allowed, by address (``ACL/ip.xml``) and by client (``ACL/metadata.xml``).

For each call the rules of ip.xml are asked first.  Where they leave it open, those of metadata.xml decide, with the
client's groups and name.  Where neither file decides, the rules of :class:`~bcfg2.server.acl.DefaultACL` do.

A file that cannot be used leaves its last good rules in force.  If it never had any, everything is denied.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from bcfg2.server.acl import allowed_by_default
from bcfg2.server.plugin import ClientACLs, Plugin, PluginExecutionError, StructFile, XMLFileBacked
from bcfg2.server.plugin.interfaces import Address
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.schema import Fault, Problem
from bcfg2.server.versioned import Versioned
from bcfg2.xml import Element, is_element

_LOCAL_NAMES = ("localhost", "localhost.localdomain")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def method_matcher(pattern: str) -> Callable[[str], Any]:
    """Tells whether a method's name matches PATTERN, in which ``*`` stands for anything but a dot."""
    return re.compile(re.escape(pattern).replace(r"\*", "[^.]*")).fullmatch


class Network(NamedTuple):
    """The addresses of which the bits in `mask` are those of `address`."""

    version: int
    address: int
    mask: int

    def holds(self, address: IPAddress) -> bool:
        """Whether ADDRESS is one of these."""
        return address.version == self.version and int(address) & self.mask == self.address & self.mask


def parse_network(address: str | None, netmask: str | None) -> Network | None:
    """The network that the attributes ``address`` and ``netmask`` stand for; None for all addresses.

    Raises :exc:`ValueError`.
    """
    if address is None:
        if netmask is not None:
            raise ValueError("a netmask needs an address")
        return None
    base = ipaddress.ip_address(address)
    ones = (1 << base.max_prefixlen) - 1
    if netmask is None:
        mask = ones
    elif netmask.isascii() and netmask.isdigit():
        if int(netmask) > base.max_prefixlen:
            raise ValueError(f"the netmask {netmask} is longer than {base.max_prefixlen} bits")
        mask = ones ^ (ones >> int(netmask))
    else:
        mask = int(type(base)(netmask))
    return Network(base.version, int(base), mask)


class Rule(NamedTuple):
    """What calls of some methods from some addresses get: ``Allow``, ``Defer``, or anything else, which denies."""

    verdict: str
    matches: Callable[[str], Any]
    network: Network | None = None


def is_dangerous(problem: Problem) -> bool:
    """Whether rules may hold for others than they are meant for: a word is misspelt, or an unknown element has rules.

    A rule that is neither Allow nor Defer denies, as it always has.
    """
    return bool(problem.meant) or (problem.fault is Fault.ELEMENT and problem.is_parent)


class RuleFile(XMLFileBacked):
    """``ip.xml``."""

    schema = "acl-ip"
    __identifier__ = None

    rules: Versioned[tuple[Rule, ...]] = Versioned(())

    def Index(self) -> None:
        super().Index()
        self.rules = tuple(self._rules(self.xdata.iterdescendants()))

    def _rules(self, elements: Iterable[Element]) -> Iterable[Rule]:
        for element in elements:
            if not is_element(element) or element.tag == "ACL":
                continue
            method = element.get("method")
            if method is None:
                self.logger.error("%s:%s: a rule without method is ignored", self.name, element.sourceline)
                continue
            try:
                network = parse_network(element.get("address"), element.get("netmask"))
            except ValueError as err:
                raise PluginExecutionError(f"line {element.sourceline}: {err}") from None
            yield Rule(element.tag, method_matcher(method), network)

    def refuses(self, problem: Problem) -> bool:
        return is_dangerous(problem)

    @property
    def is_broken(self) -> bool:
        """Whether there is a file that could never be used."""
        return not self.loaded and os.path.exists(self.name)


class ClientRuleFile(StructFile):
    """``metadata.xml``."""

    schema = "acl-metadata"

    def refuses(self, problem: Problem) -> bool:
        return is_dangerous(problem)

    def verdict(self, metadata: Any, method: str) -> str | None:
        """What the first rule for the client and METHOD says; None if there is none."""
        for element in self.select(metadata).descendants():
            pattern = element.get("method")
            if element.tag != "ACL" and pattern is not None and method_matcher(pattern)(method):
                return element.tag
        return None

    @property
    def has_rules(self) -> bool:
        """Whether the file says anything, or would if it could be used."""
        if not self.loaded:
            return os.path.exists(self.name)
        return any(is_element(node) and node.tag != "ACL" for node in self.xdata.iterdescendants())


class ACL(Plugin, ClientACLs):
    """Allows and denies remote calls."""

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        self.ip_rules = RuleFile(os.path.join(self.data, "ip.xml"), should_monitor=True)
        self.client_rules = ClientRuleFile(os.path.join(self.data, "metadata.xml"), should_monitor=True)

    def check_acl_ip(self, address: Address, rmi: str) -> bool | None:
        if self.ip_rules.is_broken:
            return False
        caller = ipaddress.ip_address(address[0].partition("%")[0])
        rules = self.ip_rules.rules
        for rule in rules:
            if rule.matches(rmi) and (rule.network is None or rule.network.holds(caller)):
                return None if rule.verdict == "Defer" else rule.verdict == "Allow"
        if rules and address[0] == "127.0.0.1":
            return True
        return None if self.client_rules.has_rules else allowed_by_default(address[0], rmi)

    def check_acl_metadata(self, metadata: Any, rmi: str) -> bool:
        if not self.client_rules.has_rules:
            return allowed_by_default(None, rmi)
        verdict = self.client_rules.verdict(metadata, rmi)
        return metadata.hostname in _LOCAL_NAMES if verdict is None else verdict == "Allow"
