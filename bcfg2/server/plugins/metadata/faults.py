"""What is wrong in clients.xml and groups.xml, for the log: where, and what becomes of it.

Each check takes the files that a document is made of, one after the other, and yields (file:line, text).
"""

import graphlib
from collections.abc import Iterator, Mapping, Sequence

from lxml import etree

from bcfg2.server.plugins.metadata.clients import AUTH_TYPES
from bcfg2.server.plugins.metadata.groups import MetadataGroup
from bcfg2.xml import Element, is_true

#: The path of a file, and its root element.
Source = tuple[str, Element]
Fault = tuple[str, str]

_IN_CLIENTS = frozenset({"Clients", "Client", "Alias"})
_IN_GROUPS = frozenset({"Groups", "Group", "Client", "Bundle"})


def in_clients(sources: Sequence[Source]) -> Iterator[Fault]:
    """What is wrong in a clients.xml."""
    names: dict[str, str] = {}  # name -> place
    uuids: dict[str, tuple[str, str]] = {}  # uuid -> client, place
    aliases: list[tuple[str, str, str]] = []  # alias, client, place
    for path, root in sources:
        for element in root.iter(etree.Element):
            place, name = f"{path}:{element.sourceline}", element.get("name")
            if element.tag == "Client" and name:
                client = name.lower()
                yield from _of_client(element, name, place)
                if client in names:
                    yield place, f"client {name} is in {names[client]} too; what both say is combined: keep one of them"
                names.setdefault(client, place)
                uuid = element.get("uuid")
                if uuid and uuids.setdefault(uuid, (client, place))[0] != client:
                    other, there = uuids[uuid]
                    yield place, f"{name} has the uuid {uuid}, as {other} in {there}; the last one has it: change one"
            elif element.tag == "Alias" and name:
                parent = element.getparent()
                aliases.append((name.lower(), "" if parent is None else parent.get("name", "").lower(), place))
            else:
                yield from _of_other(element, place, _IN_CLIENTS)
    yield from _of_aliases(aliases, names)


def _of_client(element: Element, name: str, place: str) -> Iterator[Fault]:
    if not element.get("profile"):
        yield place, f"client {name} has no profile"
    if element.get("auth") and element.get("auth") not in AUTH_TYPES:
        choices = ", ".join(AUTH_TYPES)
        yield place, f"client {name} has auth={element.get('auth')!r}, taken for cert: use one of {choices}"


def _of_other(element: Element, place: str, known: frozenset[str]) -> Iterator[Fault]:
    tag = str(element.tag)
    if tag in known:
        if tag not in ("Clients", "Groups"):
            yield place, f"<{tag}> without a name is ignored" + (" with all that is in it" if len(element) else "")
    elif not tag.startswith("{"):
        yield place, f"<{tag}> is ignored: what may be here is {', '.join(sorted(known))}"


def _of_aliases(aliases: Sequence[tuple[str, str, str]], names: Mapping[str, str]) -> Iterator[Fault]:
    owners: dict[str, tuple[str, str]] = {}
    for alias, client, place in aliases:
        if alias in names and alias != client:
            yield place, f"{alias} is an alias of {client}, and so hides the client {alias} in {names[alias]}"
        other, there = owners.setdefault(alias, (client, place))
        if other != client:
            yield place, f"{alias} is an alias of {client}, and of {other} in {there}; it stands for the last one"


def in_groups(sources: Sequence[Source], declared: Mapping[str, MetadataGroup]) -> Iterator[Fault]:
    """What is wrong in a groups.xml that has DECLARED these groups."""
    members: dict[str, dict[str, str]] = {}  # group -> groups that its members are in -> place
    for path, root in sources:
        for element in root.iter(etree.Element):
            place, name = f"{path}:{element.sourceline}", element.get("name")
            if element.tag not in ("Group", "Client", "Bundle") or not name:
                yield from _of_other(element, place, _IN_GROUPS)
            elif element.tag == "Group":
                category = element.get("category")
                counts = declared[name].category if name in declared else category
                if category and category != counts:
                    yield place, f"group {name} has {_category(counts)} where it is declared, so not {category} here"
                outer = _unconditional_parent(element)
                if outer:
                    members.setdefault(outer, {}).setdefault(name, place)
    yield from _of_cycles(members)


def _category(name: str | None) -> str:
    return f"the category {name}" if name else "no category"


def _unconditional_parent(element: Element) -> str | None:
    """The group all of whose members are, by ELEMENT, members of another one."""
    parent = element.getparent()
    if parent is None or parent.tag != "Group" or len(element) or is_true(element.get("negate")):
        return None
    above = parent.getparent()
    if above is None or above.tag != "Groups" or is_true(parent.get("negate")):
        return None
    return parent.get("name")


def _of_cycles(members: Mapping[str, Mapping[str, str]]) -> Iterator[Fault]:
    try:
        graphlib.TopologicalSorter(members).prepare()
    except graphlib.CycleError as err:
        cycle: list[str] = err.args[1][::-1]
        yield (
            members[cycle[0]][cycle[1]],
            f"a cycle of groups: {' > '.join(cycle)}; who is in one of them is in all: take out what is not meant",
        )
