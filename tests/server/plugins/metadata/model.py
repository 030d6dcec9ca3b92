"""The group algorithm as its description has it, slow and obvious, and random documents to compare it on."""

from dataclasses import dataclass, field

from hypothesis import strategies as st
from lxml import etree

NAMES = [f"g{number}" for number in range(7)]
HOSTS = ["h0", "h1", "h2"]
CATEGORIES = ["c0", "c1"]


# The description, word by word; slow and obvious.


@dataclass
class Oracle:
    """The algorithm over a parsed groups.xml."""

    root: etree._Element
    in_the_way: bool = False
    category: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        top = [e for e in self.root.iter("Group") if e.getparent().tag == "Groups"]
        nested = [e for e in self.root.iter("Group") if self.top(e, "Group")]
        rest = [e for e in self.root.iter("Group") if e not in top and e not in nested]
        self.declared = {}
        for element in [*top, *nested, *rest]:
            self.declared.setdefault(element.get("name"), element)
        self.category = {name: e.get("category") for name, e in self.declared.items() if e.get("category")}
        childless = [e for e in self.root.iter("Group") if len(e) == 0 and self.ancestors(e)]
        granting = [e for e in childless if e.get("negate") != "true"]
        self.negating = [e for e in childless if e.get("negate") == "true"]
        below_groups = [e for e in granting if self.top(e, "Group")]
        below_clients = [e for e in granting if self.top(e, "Client")]
        self.order = list(dict.fromkeys(e.get("name") for e in [*below_groups, *below_clients]))
        self.granting = granting

    @staticmethod
    def ancestors(element):
        return [e for e in element.iterancestors() if e.tag in ("Group", "Client")]

    def top(self, element, tag):
        return [e for e in self.ancestors(element) if e.tag == tag and e.getparent().tag == "Groups"]

    def applies(self, element, groups, host):
        for condition in self.ancestors(element):
            answer = condition.get("name") in (groups if condition.tag == "Group" else {host})
            if answer is (condition.get("negate") == "true"):
                return False
        return True

    def close(self, groups, categories, host):
        groups, categories = set(groups), dict(categories)
        for _ in range(2 * len(self.order) + 2):
            before = set(groups)
            start = set(groups)
            noted, taken, passed_over = [], {}, set()
            for name in self.order:
                if name in groups:
                    continue
                if not any(e.get("name") == name and self.applies(e, start, host) for e in self.granting):
                    continue
                category = self.category.get(name)
                if category is None:
                    noted.append(name)
                elif category not in categories:
                    noted.append(name)
                    categories[category] = taken[category] = name
                else:
                    passed_over.add(category)
            groups |= set(noted)
            leaving = {
                name
                for name in groups
                if any(e.get("name") == name and self.applies(e, groups, host) for e in self.negating)
            }
            for name in leaving:
                category = self.category.get(name)
                if category is not None and categories.get(category) == name:
                    del categories[category]
                    if taken.get(category) == name and category in passed_over:
                        self.in_the_way = True
            groups -= leaving
            if groups == before:
                return groups, categories, True
        return groups, categories, False


# Random groups.xml


def element(tag, children, **attributes):
    node = etree.Element(tag, {key: value for key, value in attributes.items() if value is not None})
    node.extend(children)
    return node


negate = st.sampled_from([None, None, None, "true"])
leaf = st.builds(
    lambda name, negate, category: ("Group", name, negate, category, ()),
    st.sampled_from(NAMES),
    negate,
    st.sampled_from([None, None, None, *CATEGORIES]),
)


def condition(children):
    return st.one_of(
        st.builds(
            lambda name, negate, category, inner: ("Group", name, negate, category, tuple(inner)),
            st.sampled_from(NAMES),
            negate,
            st.sampled_from([None, None, *CATEGORIES]),
            st.lists(children, max_size=4),
        ),
        st.builds(
            lambda name, negate, inner: ("Client", name, negate, None, tuple(inner)),
            st.sampled_from(HOSTS),
            negate,
            st.lists(children, max_size=4),
        ),
        st.builds(lambda inner: ("Groups", None, None, None, tuple(inner)), st.lists(children, max_size=3)),
    )


trees = st.lists(st.recursive(leaf, condition, max_leaves=12), min_size=1, max_size=7)


def build(parts):
    return [
        element(tag, build(inner), name=name, negate=negated, category=category)
        for tag, name, negated, category, inner in parts
    ]


def document(parts):
    return element("Groups", build(parts))


@st.composite
def beginnings(draw, category):
    """Groups, and the categories that they hold."""
    groups, held = [], {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3)):
        own = category.get(name)
        if own is None or own not in held:
            groups.append(name)
            if own is not None:
                held[own] = name
    return groups, held
