"""What groups.xml says: declarations, memberships and bundles, as one immutable snapshot."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from bcfg2.server.plugins.metadata.closure import Closed, Memberships, Rule, RuleIndex
from bcfg2.xml import Element, is_true

#: How many results of the group algorithm are remembered; clients of one profile share one.
REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class MetadataGroup:
    """A group as it is declared in groups.xml or defined by a connector.

    BUNDLES is any collection of names; their order is kept.  At most one group of a CATEGORY is given to a client.
    """

    name: str
    bundles: tuple[str, ...] = ()
    category: str | None = None
    is_profile: bool = False
    is_public: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "bundles", tuple(dict.fromkeys(self.bundles or ())))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Standing:
    """What groups.xml makes of a client; shared by all clients for which it is the same.

    `profile`: a group that may be the client's profile.  `remarks`: what administrators should know, each with the
    group that it is about.
    """

    groups: frozenset[str]
    categories: Mapping[str, str]
    bundles: frozenset[str]
    profile: str | None
    remarks: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Conditions:
    """The conditions of the elements around a place in groups.xml."""

    groups: tuple[str, ...] = ()
    not_groups: frozenset[str] = frozenset()
    clients: frozenset[str] = frozenset()
    not_clients: frozenset[str] = frozenset()
    #: Whether there is a Group, or a Client, that is a child of a ``Groups`` element.
    below_group: bool = False
    below_client: bool = False

    @property
    def any(self) -> bool:
        return self.below_group or self.below_client

    def inside(self, element: Element, top: bool) -> "_Conditions":
        """These conditions and that of ELEMENT, a Group or Client with children."""
        name, negate = element.get("name", ""), is_true(element.get("negate"))
        groups, not_groups = self.groups, self.not_groups
        clients, not_clients = self.clients, self.not_clients
        if element.tag == "Group":
            if negate:
                not_groups |= {name}
            else:
                groups = (*groups, name)
        elif negate:
            not_clients |= {name.lower()}
        else:
            clients |= {name.lower()}
        return _Conditions(
            groups,
            not_groups,
            clients,
            not_clients,
            self.below_group or (top and element.tag == "Group"),
            self.below_client or (top and element.tag == "Client"),
        )

    def rules(self, target: str) -> Iterator[Rule]:
        """The rule that gives TARGET under these conditions; none if they contradict each other."""
        if len(self.clients) < 2:
            yield Rule(target, self.groups, self.not_groups, next(iter(self.clients), None), self.not_clients)


@dataclass(slots=True)
class _Collector:
    """What is found while walking through groups.xml."""

    top: list[Element] = field(default_factory=list)
    nested: list[Element] = field(default_factory=list)
    mentioned: list[Element] = field(default_factory=list)
    #: Names of groups with memberships, below a group, and else below a client.
    granted: list[str] = field(default_factory=list)
    granted_to_clients: list[str] = field(default_factory=list)
    grants: list[Rule] = field(default_factory=list)
    negations: list[Rule] = field(default_factory=list)
    bundles: list[Rule] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def walk(self, parent: Element, conditions: _Conditions) -> None:
        """Collect what is below PARENT, which stands under CONDITIONS."""
        top = parent.tag == "Groups"
        for element in parent:
            if element.tag == "Groups":
                self.walk(element, conditions)
            elif not element.get("name"):
                continue  # see faults.py
            elif element.tag in ("Group", "Client"):
                self._take(element, conditions, top)
            elif element.tag == "Bundle" and parent.tag == "Client":
                self.bundles.extend(conditions.rules(element.get("name", "")))

    def _take(self, element: Element, conditions: _Conditions, top: bool) -> None:
        name = element.get("name", "")
        if element.tag == "Client":
            self.hosts.add(name.lower())
        else:
            (self.top if top else self.nested if conditions.below_group else self.mentioned).append(element)
            if len(element) == 0 and conditions.any:
                self._membership(element, name, conditions)
        if len(element):
            self.walk(element, conditions.inside(element, top))

    def _membership(self, element: Element, name: str, conditions: _Conditions) -> None:
        if is_true(element.get("negate")):
            self.negations.extend(conditions.rules(name))
        else:
            (self.granted if conditions.below_group else self.granted_to_clients).append(name)
            self.grants.extend(conditions.rules(name))


class GroupTable:
    """What the document ROOT says; it is not changed any more.

    `groups`: name -> declaration, in the order in which declarations count.  `default`: the name of the default group,
    or None.  `by_category`: category -> names of its groups.
    """

    def __init__(self, root: Element) -> None:
        found = _Collector()
        found.walk(root, _Conditions())
        self.groups: dict[str, MetadataGroup] = {}
        self.default: str | None = None
        for element in (*found.top, *found.nested, *found.mentioned):
            self._declare(element)
        self.by_category: dict[str, list[str]] = {}
        for group in self.groups.values():
            if group.category is not None:
                self.by_category.setdefault(group.category, []).append(group.name)
        self._hosts = frozenset(found.hosts)
        self._profiles = {name: number for number, (name, group) in enumerate(self.groups.items()) if group.is_profile}
        self._client_bundles = RuleIndex(found.bundles)
        self._memberships = Memberships(
            (*found.granted, *found.granted_to_clients),
            found.grants,
            found.negations,
            {group.name: group.category for group in self.groups.values() if group.category is not None},
        )
        self._initial = lru_cache(REMEMBERED)(self._work_out_initial)
        self._complete = lru_cache(REMEMBERED)(self._work_out_complete)

    def _declare(self, element: Element) -> None:
        """The first element of a name declares the group; the others only mention it."""
        name = element.get("name", "")
        if name in self.groups:
            return
        self.groups[name] = MetadataGroup(
            name,
            tuple(bundle.get("name", "") for bundle in element.iterchildren("Bundle") if bundle.get("name")),
            element.get("category") or None,
            _is_set(element.get("profile")),
            _is_set(element.get("public")),
        )
        if _is_set(element.get("default")):
            self.default = name

    def initial(self, profiles: tuple[str, ...], host: str) -> Standing:
        """What becomes of the client HOST for which clients.xml lists PROFILES."""
        return self._initial(profiles, host if host in self._hosts else "")

    def complete(self, groups: frozenset[str], categories: Mapping[str, str], host: str) -> Standing:
        """What becomes of the client HOST that is in GROUPS, of which some hold CATEGORIES."""
        return self._complete(groups, frozenset(categories.items()), host if host in self._hosts else "")

    def _work_out_initial(self, profiles: tuple[str, ...], host: str) -> Standing:
        start: list[str] = []
        held: dict[str, str] = {}
        remarks: list[tuple[str, str]] = []
        for name in profiles:
            group = self.groups.get(name)
            if group is None or not group.is_profile:
                problem = (
                    'which is no profile group: set profile="true"' if group else "which groups.xml does not declare"
                )
                remarks.append((name, f"clients.xml gives it the profile {name}, {problem}"))
            category = group.category if group else None
            if category is not None and held.setdefault(category, name) != name:
                remarks.append(suppressed_remark(name, category, held[category]))
            else:
                start.append(name)
        closed = self._memberships.close(start, held, host)
        if not closed.groups and self.default is not None:
            start.append(self.default)
            held = dict(closed.categories)
            if category := self.groups[self.default].category:
                held[category] = self.default
            closed = self._memberships.close([self.default], held, host)
        profile = next((name for name in start if name in self._profiles), None)
        return self._standing(closed, host, profile, remarks)

    def _work_out_complete(self, groups: frozenset[str], categories: frozenset[tuple[str, str]], host: str) -> Standing:
        return self._standing(self._memberships.close(groups, dict(categories), host), host, None, [])

    def _standing(self, closed: Closed, host: str, profile: str | None, remarks: list[tuple[str, str]]) -> Standing:
        groups = closed.groups
        bundles = {rule.target for rule in self._client_bundles.holding(groups, host)}
        for name in groups & self.groups.keys():
            bundles.update(self.groups[name].bundles)
        if profile is None:
            profile = min(groups & self._profiles.keys(), key=self._profiles.__getitem__, default=None)
        suppressed = (suppressed_remark(item.group, item.category, item.holder) for item in closed.suppressed)
        endless = [endless_remark(closed.unsettled)] if closed.unsettled else []
        return Standing(groups, closed.categories, frozenset(bundles), profile, (*remarks, *suppressed, *endless))


def suppressed_remark(name: str, category: str, holder: str) -> tuple[str, str]:
    """What to say of the group NAME, which a client is not in because HOLDER has the CATEGORY."""
    return name, f"not in group {name}: it is in {holder}, and there may be only one group of category {category}"


def endless_remark(groups: frozenset[str]) -> tuple[str, str]:
    """What to say of a client that GROUPS come to and leave for ever."""
    names = ", ".join(sorted(groups))
    return "", f'groups.xml contradicts itself, {names} come and go for ever: look for negate="true" around them'


def _is_set(value: str | None) -> bool:
    return value in ("true", "1")
