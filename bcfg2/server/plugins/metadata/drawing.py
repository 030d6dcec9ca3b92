"""The groups of groups.xml as a drawing in the language of Graphviz.

A Group that stands below a Group, at any depth, is an arrow from the outer to the inner one; of both it does not matter
here which of them is a condition.  Equal files make equal drawings, whatever the order of what is in them.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bcfg2 import xml
from bcfg2.server.plugin import MetadataRuntimeError
from bcfg2.server.plugins.metadata.groups import MetadataGroup
from bcfg2.xml import Element, is_true

#: The colours of categories, in turn.
COLORS = (
    "steelblue1",
    "chartreuse",
    "gold",
    "magenta",
    "indianred1",
    "limegreen",
    "orange1",
    "lightblue2",
    "green1",
    "blue1",
    "yellow1",
    "darkturquoise",
    "gray66",
)
#: The colour of groups without a category.
PLAIN = "grey83"


@dataclass(frozen=True, slots=True)
class Selection:
    """What alone is drawn of groups and bundles."""

    groups: frozenset[str]
    bundles: frozenset[str]


@dataclass(slots=True)
class _Structure:
    """What stands in groups.xml: names, and pairs of (group, group or bundle inside, whether one is negated)."""

    groups: set[str] = field(default_factory=set)
    bundles: set[str] = field(default_factory=set)
    contained: set[tuple[str, str, bool]] = field(default_factory=set)
    bundled: set[tuple[str, str, bool]] = field(default_factory=set)

    @classmethod
    def of(cls, root: Element, only: Selection | None) -> "_Structure":
        """That of the document ROOT, as far as ONLY has it."""
        found = cls(bundles={bundle.get("name") or "" for bundle in root.iter("Bundle")} - {""})
        found._walk(root)
        if only is not None:
            found.groups &= only.groups
            found.bundles &= only.bundles
            found.contained = {pair for pair in found.contained if only.groups.issuperset(pair[:2])}
            found.bundled = {pair for pair in found.bundled if pair[0] in only.groups and pair[1] in only.bundles}
        return found

    def _walk(self, parent: Element) -> None:
        for element in parent.iterchildren("Groups", "Group"):
            if element.tag == "Groups":
                self._walk(element)
            elif element.get("name"):
                self._take(element)

    def _take(self, group: Element) -> None:
        name, negated = group.get("name", ""), is_true(group.get("negate"))
        self.groups.add(name)
        for child in group.iterchildren("Group", "Bundle"):
            if inner := child.get("name"):
                pairs = self.contained if child.tag == "Group" else self.bundled
                pairs.add((name, inner, negated or is_true(child.get("negate"))))
        self._walk(group)


def draw(
    path: str,
    declared: Mapping[str, MetadataGroup],
    instances: Mapping[str, Sequence[str]],
    only: Selection | None = None,
    *,
    bundles: bool = False,
    key: bool = False,
    colors: Sequence[str] = COLORS,
) -> str:
    """The drawing of the groups.xml at PATH, a text of several lines.

    DECLARED: name -> group, for what groups look like.  INSTANCES: profile -> the clients to draw beside it.  ONLY:
    draw no other groups and bundles.  BUNDLES and KEY: draw them.  COLORS: of the categories, in turn.

    Raises MetadataRuntimeError if the file cannot be read.
    """
    try:
        structure = _Structure.of(xml.load(path).root, only)
    except (OSError, xml.XMLError) as err:
        raise MetadataRuntimeError(f"cannot draw {path}: {err}") from err
    categories = sorted({group.category for group in declared.values() if group.category is not None})
    colored = dict(zip(categories, itertools.cycle(colors), strict=False))
    lines = [
        *_groups(structure.groups | instances.keys(), declared, colored),
        *_arrows("group", structure.contained),
        *(_bundles(structure) if bundles else ()),
        *_hosts(instances),
        *(_key(colored, bundles=bundles, hosts=bool(instances)) if key else ()),
    ]
    return "".join(f"{line}\n" for line in ("digraph groups {", '\trankdir="LR";', *lines, "}"))


def _groups(names: Iterable[str], declared: Mapping[str, MetadataGroup], colored: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(names):
        group = declared.get(name) or MetadataGroup(name)
        style = "filled,bold" if group.is_profile else "filled"
        color = PLAIN if group.category is None else colored[group.category]
        yield _node(f"group-{name}", label=name, style=style, fillcolor=color)


def _bundles(structure: _Structure) -> Iterator[str]:
    for name in sorted(structure.bundles):
        yield _node(f"bundle-{name}", label=name, shape="septagon")
    yield from _arrows("bundle", structure.bundled)


def _arrows(kind: str, pairs: Iterable[tuple[str, str, bool]]) -> Iterator[str]:
    """The arrows from groups to what they contain, which is of this KIND; dashed where one of both is negated."""
    for outer, inner, negated in sorted(pairs):
        yield _arrow(f"group-{outer}", f"{kind}-{inner}", dashed=negated)


def _hosts(instances: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for profile, names in sorted(instances.items()):
        fields = "|".join(re.sub(r"([\\{}|<> ])", r"\\\1", name) for name in sorted(names))
        yield f'\t{_quoted(f"{profile}-instances")} [label={_string(fields)}, shape="record"];'
        yield _arrow(f"{profile}-instances", f"group-{profile}")


def _key(colored: Mapping[str, str], *, bundles: bool, hosts: bool) -> Iterator[str]:
    yield "\tsubgraph cluster_key {"
    yield '\t\tlabel="Key"; style="filled"; color="lightblue";'
    yield "\t" + _node("key-group", label="Group", style="filled", fillcolor=PLAIN)
    yield "\t" + _node("key-profile", label="Profile", style="filled,bold", fillcolor=PLAIN)
    if bundles:
        yield "\t" + _node("key-bundle", label="Bundle", shape="septagon")
    if hosts:
        yield "\t" + _node("key-hosts", label="Hosts", shape="record")
    for category, color in colored.items():
        yield "\t" + _node(f"category-{category}", label=category, shape="trapezium", style="filled", fillcolor=color)
    yield "\t}"


def _node(identity: str, **attributes: str) -> str:
    described = ", ".join(f"{name}={_quoted(value)}" for name, value in attributes.items())
    return f"\t{_quoted(identity)} [{described}];"


def _arrow(start: str, end: str, *, dashed: bool = False) -> str:
    style = ' [style="dashed"]' if dashed else ""
    return f"\t{_quoted(start)} -> {_quoted(end)}{style};"


def _quoted(text: str) -> str:
    """TEXT as a string of the language that stands for nothing but itself."""
    return _string(text.replace("\\", "\\\\"))


def _string(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'
