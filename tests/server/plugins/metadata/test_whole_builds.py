"""Whole builds of a client's metadata, connectors included, against a plain transcription of their description."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bcfg2.server.plugin import Connector, Plugin
from bcfg2.server.plugins.metadata import MetadataGroup
from bcfg2.server.plugins.metadata.clients import ClientTable
from bcfg2.server.plugins.metadata.groups import GroupTable
from tests.server.plugins.metadata.model import CATEGORIES, HOSTS, NAMES, Oracle, document, element, trees
from tests.support import Site

#: A name that neither groups.xml nor a connector declares.
UNDEFINED = "nobody's"

declarations = st.dictionaries(
    st.sampled_from(NAMES), st.tuples(st.booleans(), st.sampled_from([None, None, *CATEGORIES])), max_size=5
)
definitions = st.builds(
    lambda name, category, is_profile: MetadataGroup(name, (f"b-{name}",), category, is_profile),
    st.sampled_from(["d0", "d1", *NAMES]),
    st.sampled_from([None, *CATEGORIES]),
    st.booleans(),
)
answers = st.lists(st.one_of(st.sampled_from([*NAMES, UNDEFINED]), definitions), max_size=3)
cases = st.fixed_dictionaries(
    {
        "parts": trees,
        "declared": declarations,
        "default": st.booleans(),
        "profiles": st.lists(st.sampled_from(NAMES), unique=True, max_size=2),
        "host": st.sampled_from([*HOSTS, "stranger"]),
        "answers": st.lists(answers, min_size=2, max_size=2),
    }
)


def groups_xml(case):
    """The random elements, behind declarations with a bundle each; the last one may be the default group."""
    root = document(case["parts"])
    for number, (name, (is_profile, category)) in enumerate(case["declared"].items()):
        attributes = {"name": name, "category": category}
        if is_profile:
            attributes["profile"] = "true"
        if case["default"] and number == len(case["declared"]) - 1:
            attributes["default"] = "true"
        root.insert(number, element("Group", [element("Bundle", [], name=f"b-{name}")], **attributes))
    return root


class Model:
    """One build, step by step."""

    def __init__(self, case):
        self.case = case
        self.oracle = Oracle(groups_xml(case))
        self.category = dict(self.oracle.category)
        self.dynamic = {}
        self.settled = True

    def is_profile(self, name):
        return self.case["declared"].get(name, (False,))[0] or (name in self.dynamic and self.dynamic[name].is_profile)

    def close(self, groups, held):
        groups, held, settled = self.oracle.close(groups, held, self.case["host"])
        self.settled &= settled
        return groups, held

    def any_profile(self, groups):
        order = [*self.case["declared"], *sorted(self.dynamic)]
        return next((name for name in order if name in groups and self.is_profile(name)), None)

    def build(self):
        case = self.case
        default = list(case["declared"])[-1] if case["default"] and case["declared"] else None
        listed, held = [], {}
        for name in case["profiles"]:
            self.enter(name, listed, held)
        groups, held = self.close(listed, held)
        if not groups and default is not None:
            listed.append(default)
            self.enter(default, [], held)
            groups, held = self.close([default], held)
        profile = next((name for name in listed if self.is_profile(name)), None) or self.any_profile(groups)
        owners = {}
        for owner, answer in enumerate(case["answers"]):
            for group in answer:
                name = str(group)
                definable = isinstance(group, MetadataGroup) and name not in self.oracle.declared
                if definable and owners.setdefault(name, owner) == owner:
                    self.dynamic[name] = group
                    self.category[name] = group.category
                if name not in groups:
                    entered = []
                    self.enter(name, entered, held)
                    groups |= set(entered)
        groups, held = self.close(groups, held)
        bundles = {f"b-{name}" for name in groups if name in case["declared"] or name in self.dynamic}
        return {
            "groups": groups,
            "categories": held,
            "bundles": bundles,
            "profile": profile or self.any_profile(groups) or default,
        }

    def enter(self, name, groups, held):
        category = self.category.get(name)
        if category is None or held.setdefault(category, name) == name:
            groups.append(name)


class First(Plugin, Connector):
    create = False
    answer = []

    def get_additional_groups(self, metadata):
        return self.answer


class Second(First):
    pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("site"), plugins="Metadata")
    for connector in (First, Second):
        made.core.plugins[connector.__name__] = connector(made.core)
    made.core._by_type.clear()
    yield made
    made.stop()


@settings(max_examples=400, deadline=None)
@given(case=cases)
def test_builds_agree_with_the_description(site, case):
    model = Model(case)
    expected = model.build()
    assume(model.settled and not model.oracle.in_the_way)
    metadata, core = site.core.metadata, site.core
    profiles = case["profiles"] or [None]
    clients = [element("Client", [], name=case["host"], profile=profile) for profile in profiles]
    metadata.clients_xml.table = ClientTable.of(element("Clients", clients))
    metadata.groups_xml.table = GroupTable(groups_xml(case))
    metadata._dynamic, metadata._owners = {}, {}
    core.plugins["First"].answer, core.plugins["Second"].answer = case["answers"]
    built = site.metadata(case["host"])
    found = {name: getattr(built, name) for name in expected}
    assert found == expected
