"""Conditions in files of every plugin that has them: any document, against a slow and obvious reading of the manual.

A document is drawn as a tree of Python objects.  From that the files are written, one for each plugin, and from that is
worked out what a client gets, without any XML: a condition that holds is replaced by its content, one that does not is
replaced by nothing; a template is rendered before; an include is replaced by the root of the included file.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcfg2.xml import Element
from tests.support import Site

pytest.importorskip("genshi", reason="some of the documents are templates: install bcfg2[genshi]")

#: Host -> groups: as the profile, by inheritance, and by a connector.
HOSTS = {"c1": {"p1", "g1"}, "c2": {"p2", "g2", "connected"}, "c3": {"p2", "g2"}}
FILES = {
    "Metadata/clients.xml": '<Clients><Client name="c1" profile="p1"><Alias name="alias"/></Client>'
    '<Client name="c2" profile="p2"/><Client name="c3" profile="p2"/></Clients>',
    "Metadata/groups.xml": '<Groups><Group name="p1" profile="true"><Group name="g1"/><Bundle name="all"/></Group>'
    '<Group name="p2" profile="true"><Group name="g2"/><Bundle name="all"/></Group></Groups>',
    "GroupPatterns/config.xml": "<GroupPatterns><GroupPattern><NamePattern>c2</NamePattern><Group>connected</Group>"
    "</GroupPattern></GroupPatterns>",
}
NAMES = ("s1", "s2", "s3")

#: What is delivered, in any order: tag, attributes, text, children.
Delivered = tuple[str, tuple[tuple[str, str], ...], str, tuple[Any, ...]]


# documents


@dataclass(frozen=True)
class Leaf:
    """An entry, or something inside of one; TEXT stands on both sides of what comes between, and is kept exactly."""

    name: str
    extra: str
    text: tuple[str, ...] = ()
    between: str = ""


@dataclass(frozen=True)
class Branch:
    """An element with content."""

    name: str
    content: tuple[Any, ...]


@dataclass(frozen=True)
class Condition:
    tag: str
    name: str | None
    negate: str | None
    unknown: str
    content: tuple[Any, ...]


@dataclass(frozen=True)
class Rendered:
    """An element of a template that is there for the members of a group only."""

    group: str
    content: tuple[Any, ...]


@dataclass(frozen=True)
class Nothing:
    """A comment, an instruction, white space."""

    text: str


@dataclass(frozen=True)
class Include:
    """A file with this CONTENT; without FOUND a missing one, and CONTENT is what is there in its place, if not None."""

    found: bool
    content: tuple[Any, ...] | None


names = st.sampled_from(NAMES)
nothing = st.sampled_from(["<!-- <Group name='g1'> -->", "<?py no code?>", "\n  ", "<!---->"]).map(Nothing)
leaves = st.builds(
    Leaf,
    names,
    st.sampled_from(["", "x", "<&>\"'"]),
    st.sampled_from([(), ("t",), (" t\n",), ("a", "b"), ("\n", "&<")]),
    st.sampled_from(["<!-- c -->", "<?instruction?>", "<![CDATA[]]>"]),
)
tests = st.one_of(
    st.tuples(st.just("Group"), st.sampled_from(["p1", "g1", "g2", "connected", "G1", "nobody", "", "g\xfc", None])),
    st.tuples(st.just("Client"), st.sampled_from(["c1", "c2", "C1", "alias", "", None])),
)


def with_content(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    content = st.lists(inner, max_size=4).map(tuple)
    return st.one_of(
        st.builds(
            lambda test, negate, unknown, content: Condition(*test, negate, unknown, content),
            tests,
            st.sampled_from([None, None, "true", "TRUE", "false", "yes", "1", ""]),
            st.sampled_from(["", "", 'comment="true" Negate="true"', "xmlns:o='urn:o' o:negate='true'"]),
            content,
        ),
        st.builds(Branch, names, content),
        st.builds(Rendered, st.sampled_from(["g1", "g2", "connected"]), content),
        st.builds(Include, st.just(True), content),
        st.builds(Include, st.just(False), st.one_of(st.none(), content)),
    )


documents = st.lists(st.recursive(leaves | nothing, with_content, max_leaves=14), max_size=5).map(tuple)


# as files


class Writer:
    """Writes a document for one plugin: ROOT is the root element, TAG that of entries, MORE their attributes."""

    def __init__(self, path: str, root: str, tag: str, more: str = "", *, template: bool) -> None:
        self._path = path
        self._root = root
        self._tag = tag
        self._more = more
        self._template = template
        self.files: dict[str, str] = {}

    def write(self, content: tuple[Any, ...], attributes: str = "") -> dict[str, str]:
        """Relative path -> text of the file and of what it includes."""
        self.files[self._path] = self._document(content, "../Include/", attributes)
        return self.files

    def _document(self, content: tuple[Any, ...], folder: str, attributes: str = "") -> str:
        declared = 'xmlns:xi="http://www.w3.org/2001/XInclude"'
        if self._template:
            declared += ' xmlns:py="http://genshi.edgewall.org/"'
        root = self._root.partition("/")[0]
        return f"<{root} {declared} {attributes}>{self._text(content, folder)}</{root}>"

    def _text(self, content: tuple[Any, ...], folder: str) -> str:
        return "".join(self._node(node, folder) for node in content)

    def _node(self, node: Any, folder: str) -> str:
        if isinstance(node, Nothing):
            return node.text
        if isinstance(node, Leaf):
            text = node.between.join(escape(part) for part in node.text)
            attributes = f"name={quoteattr(node.name)}{self._more} extra={quoteattr(node.extra)}"
            return f"<{self._tag} {attributes}>{text}</{self._tag}>"
        inner = self._text(node.content, folder) if not isinstance(node, Include) else ""
        if isinstance(node, Branch):
            return f"<{self._tag} name={quoteattr(node.name)}{self._more}>{inner}</{self._tag}>"
        if isinstance(node, Rendered):
            return f"<py:if test=\"'{node.group}' in metadata.groups\">{inner}</py:if>" if self._template else inner
        if isinstance(node, Condition):
            attributes = {"name": node.name, "negate": node.negate}
            written = " ".join(f"{key}={quoteattr(value)}" for key, value in attributes.items() if value is not None)
            return f"<{node.tag} {written} {node.unknown}>{inner}</{node.tag}>"
        return self._include(node, folder)

    def _include(self, node: Include, folder: str) -> str:
        name = f"{self._root.lower()}{len(self.files)}.xml"
        if node.found:
            self.files[f"Include/{name}"] = ""  # takes the name
            self.files[f"Include/{name}"] = self._document(node.content or (), "")
            return f'<xi:include href="{folder}{name}"/>'
        if node.content is None:
            return f'<xi:include href="{folder}no-{name}"/>'
        fallback = f"<xi:fallback>{self._text(node.content, folder)}</xi:fallback>"
        return f'<xi:include href="{folder}no-{name}">{fallback}</xi:include>'


# as the manual says


def holds(condition: Condition, host: str) -> bool:
    answer = condition.name in HOSTS[host] if condition.tag == "Group" else condition.name == host
    return not answer if (condition.negate or "").lower() == "true" else answer


def applying(content: tuple[Any, ...], host: str, *, template: bool) -> Iterator[Any]:
    """The leaves, branches and included files that are for HOST."""
    for node in content:
        if isinstance(node, Nothing):
            continue
        if isinstance(node, Condition):
            if holds(node, host):
                yield from applying(node.content, host, template=template)
        elif isinstance(node, Rendered):
            if not template or node.group in HOSTS[host]:
                yield from applying(node.content, host, template=template)
        elif isinstance(node, Include) and not node.found:
            yield from applying(node.content or (), host, template=template)
        else:
            yield node


class Reading:
    """What HOST gets of a document; ROOT, TAG and MORE as for the writer."""

    def __init__(
        self, host: str, root: str, tag: str, more: tuple[tuple[str, str], ...] = (), *, template: bool
    ) -> None:
        self._host = host
        self._root = root
        self._tag = tag
        self._more = more
        self._template = template

    def applying(self, content: tuple[Any, ...]) -> Iterator[Any]:
        return applying(content, self._host, template=self._template)

    def flat(self, content: tuple[Any, ...]) -> Iterator[Any]:
        """What applies, included files replaced by their content."""
        for node in self.applying(content):
            if isinstance(node, Include):
                yield from self.flat(node.content or ())
            else:
                yield node

    def everywhere(self, content: tuple[Any, ...]) -> Iterator[Any]:
        """All leaves and branches, at any depth."""
        for node in self.flat(content):
            yield node
            if isinstance(node, Branch):
                yield from self.everywhere(node.content)

    def delivered(self, node: Any) -> Delivered:
        if isinstance(node, Leaf):
            attributes = (("extra", node.extra), ("name", node.name), *self._more)
            return self._tag, tuple(sorted(attributes)), "".join(node.text), ()
        if isinstance(node, Include):
            return self._root, (), "", self.all(self.applying(node.content or ()))
        return self._tag, tuple(sorted((("name", node.name), *self._more))), "", self.all(self.applying(node.content))

    def all(self, nodes: Iterator[Any]) -> tuple[Delivered, ...]:
        return tuple(sorted(self.delivered(node) for node in nodes))


def got(element: Element) -> Delivered:
    """ELEMENT as it compares with what is expected: white space counts as text in leaves only."""
    attributes = tuple(sorted((str(key), str(value)) for key, value in element.attrib.items()))
    text = element.text or ""
    return str(element.tag), attributes, text if text.strip() or "extra" in element.attrib else "", all_of(element)


def all_of(elements: Any) -> tuple[Delivered, ...]:
    return tuple(sorted(got(element) for element in elements))


# the tests

BUNDLE_ALL = "<Bundle>" + "".join(f'<Service name="{name}"/>' for name in NAMES) + "</Bundle>"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), FILES, "Metadata,Bundler,Rules,Properties,Decisions,GroupPatterns")
    yield site
    site.stop()


def check(test: Any) -> Any:
    """A property of documents, plain or templates; BCFG2_TEST_FACTOR times as many as usual are tried."""
    examples = 30 * int(os.environ.get("BCFG2_TEST_FACTOR", "1"))
    decorated = given(documents, st.booleans())(test)
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))(decorated)


@check
def test_a_bundle_holds_the_entries_that_apply(site: Site, content: tuple[Any, ...], template: bool) -> None:
    site.change(Writer("Bundler/all.xml", "Bundle", "BoundService", template=template).write(content))
    for host in HOSTS:
        reading = Reading(host, "Bundle", "Service", template=template)
        entries = reading.all(reading.flat(content))
        (bundle,) = site.config(host)
        assert all_of(bundle) == tuple(sorted((*entry[:3], _bound(entry[3])) for entry in entries))


def _bound(children: tuple[Delivered, ...]) -> tuple[Delivered, ...]:
    """CHILDREN of an entry, which keep the tags that are written."""
    return tuple(
        sorted(
            ("BoundService" if tag == "Service" else tag, attributes, text, _bound(below))
            for tag, attributes, text, below in children
        )
    )


@check
def test_properties_match_in_both_ways(site: Site, content: tuple[Any, ...], template: bool) -> None:
    site.change(Writer("Properties/x.xml", "Properties", "e", template=template).write(content))
    for host in HOSTS:
        reading = Reading(host, "Properties", "e", template=template)
        expected = reading.all(reading.applying(content))
        with site.core.request():
            metadata = site.core.build_metadata(host)
            found = metadata.Properties["x.xml"]
            assert all_of(found.Match(metadata)) == expected
            assert all_of(found.XMLMatch(metadata)) == expected


@check
def test_decisions_are_those_that_apply_at_any_depth(site: Site, content: tuple[Any, ...], template: bool) -> None:
    writer = Writer("Decisions/whitelist.xml", "Decisions", "Decision", ' type="T"', template=template)
    site.change(writer.write(content))
    for host in HOSTS:
        reading = Reading(host, "Decisions", "Decision", template=template)
        with site.core.request():
            found = site.core.GetDecisions(site.core.build_metadata(host), "whitelist")
        assert sorted(found) == sorted(("T", node.name) for node in reading.everywhere(content))


@check
def test_rules_bind_from_the_one_element_that_applies(site: Site, content: tuple[Any, ...], template: bool) -> None:
    files = Writer("Rules/r.xml", "Rules", "Service", template=template).write(content, 'priority="1"')
    site.change({**files, "Bundler/all.xml": BUNDLE_ALL})
    for host in HOSTS:
        reading = Reading(host, "Rules", "Service", template=template)
        candidates: dict[str, list[Any]] = {name: [] for name in NAMES}
        for node in reading.everywhere(content):
            candidates[node.name].append(node)
        for entry in site.config(host).iter("Service"):
            if entry.getparent().tag != "Bundle":
                continue
            found = candidates[entry.get("name", "")]
            if len(found) == 1:
                tag, attributes, text, children = reading.delivered(found[0])
                assert got(entry) == (tag, attributes, text if text.strip() else "", children)  # blank text is none
            else:
                assert ("conflicting sources" if found else "no matching generator") in entry.get("failure", "")
