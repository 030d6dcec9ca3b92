"""How groups follow from other groups: the rules of groups.xml, compiled, and their repeated application.

A :class:`Rule` is one membership with the conditions of all elements around it.  :class:`Memberships` holds all rules
and finds what follows from a set of groups.  Rules are found through what can make them true (a client's name, or a
group that the client must be in), so the cost depends on the client's own groups, not on the number of all.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """TARGET, the name of a group or bundle, is for clients that satisfy all conditions."""

    target: str
    #: Groups that the client must all be in, outermost first.
    groups: tuple[str, ...] = ()
    #: Groups that it must not be in.
    not_groups: frozenset[str] = frozenset()
    #: The one client that it is for; None: any.
    client: str | None = None
    #: Clients that it is not for.
    not_clients: frozenset[str] = frozenset()

    def holds(self, groups: frozenset[str], host: str) -> bool:
        """Whether the client HOST, being in GROUPS, satisfies the conditions."""
        return (
            (self.client is None or self.client == host)
            and host not in self.not_clients
            and groups.issuperset(self.groups)
            and self.not_groups.isdisjoint(groups)
        )


class RuleIndex:
    """Rules by what can make them true."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._by_client: dict[str, list[Rule]] = {}
        self._by_group: dict[str, list[Rule]] = {}
        self._others: list[Rule] = []
        for rule in rules:
            if rule.client is not None:
                self._by_client.setdefault(rule.client, []).append(rule)
            elif rule.groups:
                self._by_group.setdefault(rule.groups[-1], []).append(rule)
            else:
                self._others.append(rule)

    def holding(self, groups: frozenset[str], host: str) -> Iterator[Rule]:
        """The rules that hold for the client HOST, being in GROUPS, in no promised order."""
        for rule in self._others:
            if rule.holds(groups, host):
                yield rule
        for rule in self._by_client.get(host, ()):
            if rule.holds(groups, host):
                yield rule
        for name in groups:
            for rule in self._by_group.get(name, ()):
                if rule.holds(groups, host):
                    yield rule


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A group that a client is not in because another one holds its category."""

    group: str
    category: str
    holder: str


@dataclass(frozen=True, slots=True)
class Closed:
    """What follows from a set of groups.

    `categories`: category -> the group that holds it.  `unsettled`: groups that come and go for ever, because the rules
    contradict each other.
    """

    groups: frozenset[str]
    categories: Mapping[str, str]
    suppressed: tuple[Suppressed, ...] = ()
    unsettled: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Round:
    """What one round adds and removes, and which categories it takes."""

    added: list[str]
    removed: set[str]
    taken: dict[str, str]
    suppressed: list[Suppressed]


class Memberships:
    """All rules of a groups.xml.

    GRANTS make a client a member of their target; of several groups the one that stands earlier in ORDER is considered
    first.  NEGATIONS make it leave.  CATEGORIES: group -> category.
    """

    def __init__(
        self,
        order: Iterable[str],
        grants: Iterable[Rule],
        negations: Iterable[Rule],
        categories: Mapping[str, str],
    ) -> None:
        self._order = {name: number for number, name in enumerate(dict.fromkeys(order))}
        self._grants = RuleIndex(grants)
        self._negations: dict[str, list[Rule]] = {}
        for rule in negations:
            self._negations.setdefault(rule.target, []).append(rule)
        self._categories = categories

    def close(self, groups: Iterable[str], categories: Mapping[str, str], host: str) -> Closed:
        """All groups of the client HOST that is in GROUPS, whose CATEGORIES are taken.

        Each round adds what holds for the groups at its start, considering groups in their order, then removes what is
        negated for the groups that are then there.  The first round that changes nothing is the last.
        """
        current = frozenset(groups)
        held = dict(categories)
        suppressed: dict[str, Suppressed] = {}
        unsettled: frozenset[str] = frozenset()
        limit = 2 * len(self._order) + 2
        for number in range(limit):
            step = self._round(current, held, host)
            held |= step.taken
            held = {category: holder for category, holder in held.items() if holder not in step.removed}
            suppressed.update((item.group, item) for item in step.suppressed)
            before, current = current, current.union(step.added) - step.removed
            if current == before:
                unsettled = frozenset()
                break
            if 2 * number >= limit:  # what just takes long is over by now
                unsettled |= current ^ before
        absent = tuple(
            item
            for item in suppressed.values()
            if item.group not in current and not self._is_negated(item.group, current, host)
        )
        return Closed(current, held, absent, unsettled)

    def _round(self, current: frozenset[str], held: Mapping[str, str], host: str) -> _Round:
        """One round from the groups CURRENT.

        A group that would take a category and be negated at once leaves it to the next one of that category.
        """
        granted = {rule.target for rule in self._grants.holding(current, host) if rule.target not in current}
        candidates = sorted(granted, key=self._order.__getitem__)
        while True:
            step = self._consider(candidates, held)
            after = current.union(step.added)
            step.removed = {name for name in self._negations.keys() & after if self._is_negated(name, after, host)}
            in_the_way = {item.holder for item in step.suppressed if step.taken.get(item.category) == item.holder}
            in_the_way &= step.removed
            if not in_the_way:
                return step
            candidates = [name for name in candidates if name not in in_the_way]

    def _is_negated(self, name: str, groups: frozenset[str], host: str) -> bool:
        """Whether the client HOST, being in GROUPS, must not be in the group NAME."""
        return any(rule.holds(groups, host) for rule in self._negations.get(name, ()))

    def _consider(self, candidates: Iterable[str], held: Mapping[str, str]) -> _Round:
        """Which of CANDIDATES find their category free."""
        step = _Round([], set(), {}, [])
        for name in candidates:
            category = self._categories.get(name)
            if category is not None:
                holder = held.get(category) or step.taken.get(category)
                if holder is not None:
                    step.suppressed.append(Suppressed(name, category, holder))
                    continue
                step.taken[category] = name
            step.added.append(name)
        return step
