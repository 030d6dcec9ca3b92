"""Bound structures that are the same for many clients: bound once, copied for each.

How most entries are bound follows from the repository's files and from a few groups and host names that these test.
Generators that can tell which (:meth:`Generator.depends_on`) let a structure be bound once for all clients that agree
in those; what may differ for each request, such as a template, is left out and bound then:

.. code-block:: text

    structure, unbound  -> Recipe    the groups and hosts that matter, and which entries can be bound in advance
    + client            -> variant   the structure with these bound, shared by clients that agree in what matters
    + request           -> a copy, in which the other entries are bound; or its text, with those of the other entries
"""

import secrets
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from lxml import etree

from bcfg2.server.metrics import Counter
from bcfg2.server.plugin.interfaces import Dependencies, union
from bcfg2.xml import Element, parse_string, tostring

#: How the structures of configurations came to be bound.
BOUND = Counter("bcfg2_structures_bound_total", "Structures bound, anew or as copies of one bound before.", "how")

Signature = tuple[frozenset[str], str | None]


class Variant:
    """A structure with all entries bound but those at the positions UNBOUND of ELEMENT, in their order.

    It is kept as text, which takes a fraction of the memory of elements: `pieces`, between which the texts of the
    other entries belong.
    """

    def __init__(self, element: Element, unbound: Sequence[int]) -> None:
        self._unbound = [deepcopy(element[position]) for position in unbound]
        self._mark = f"m{secrets.token_hex(16)}"
        for position in unbound:
            element[position] = etree.Element(self._mark)
        self.pieces = tostring(element).split(f"<{self._mark}/>")

    def entries(self) -> list[Element]:
        """Copies of the entries that are still to be bound."""
        return [deepcopy(entry) for entry in self._unbound]

    def copy(self) -> tuple[Element, list[Element]]:
        """A copy of the structure, and the entries in it that are still to be bound."""
        element = parse_string(f"<{self._mark}/>".join(self.pieces), "a structure")
        entries = self.entries()
        for place, entry in zip(list(element.iterchildren(self._mark)), entries, strict=True):
            element.replace(place, entry)
        return element, entries


class Recipe:
    """What decides how the entries of a structure are bound.

    `in_advance`: for each entry, what its binding depends on, or None if that can be told for each request only.
    """

    def __init__(self, in_advance: list[Dependencies | None]) -> None:
        self.in_advance = in_advance
        self._groups, self._hosts = union(item for item in in_advance if item is not None)
        self.variants: dict[Signature, Variant] = {}

    def signature(self, metadata: Any) -> Signature:
        """What of the client matters."""
        groups = self._groups.intersection(metadata.groups)
        return groups, metadata.hostname if metadata.hostname in self._hosts else None


class Bindings:
    """The recipes and variants for one state of the repository.

    MAXIMUM: how many variants are kept; past that all are forgotten and made anew.  Only a structure that is seen for
    the second time is worth one: what a template makes may never come again.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._recipes: dict[bytes, Recipe] = {}
        self._variants = 0
        self._seen: set[int] = set()

    @staticmethod
    def key(structure: Element) -> bytes:
        """What tells STRUCTURE, unbound, from any other."""
        return etree.tostring(structure)

    def is_worth_it(self, key: bytes) -> bool:
        """Whether the structure of this key is to be bound in advance."""
        if key in self._recipes:
            return True
        if len(self._seen) >= 8 * self._maximum:
            self._seen.clear()
        number = hash(key)
        if number in self._seen:
            return True
        if self._maximum:
            self._seen.add(number)
        return False

    def recipe(self, key: bytes) -> Recipe | None:
        """The recipe for the structure of this key."""
        return self._recipes.get(key)

    def add_recipe(self, key: bytes, recipe: Recipe) -> None:
        """Keep RECIPE."""
        self._recipes[key] = recipe

    def add_variant(self, recipe: Recipe, signature: Signature, variant: Variant) -> None:
        """Keep VARIANT."""
        if self._variants >= self._maximum:
            self._recipes.clear()
            self._variants = 0
        recipe.variants[signature] = variant
        self._variants += 1
