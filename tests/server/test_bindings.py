"""Structures bound in advance: nothing that a client is given may differ from what binding anew gives."""

import itertools
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from bcfg2.server.filemonitor import Event
from bcfg2.server.plugin import Dependencies, Generator, Plugin, TemplateDataProvider
from tests.support import Site

HOSTS = {
    "a.example.com": "one",
    "b.example.com": "two",
    "c.example.com": "two",
}
FILES = {
    "Metadata/clients.xml": "<Clients>"
    + "".join(f'<Client name="{host}" profile="{group}"/>' for host, group in HOSTS.items())
    + "</Clients>",
    "Metadata/groups.xml": """<Groups>
        <Group name="one" profile="true"><Bundle name="base"/></Group>
        <Group name="two" profile="true"><Bundle name="base"/></Group>
    </Groups>""",
    "Bundler/base.xml": """<Bundle>
        <!-- a comment -->
        <Service name="s"/><Package name="p"/><Path name="/f"/><Path name="/t"/><BoundPath name="/b" type="ignore"/>
        <Path name="/missing"/><Path name="/x" altsrc="/f"/><Group name="two"><Package name="q"/></Group>
    </Bundle>""",
    "Rules/r.xml": """<Rules priority="1">
        <Group name="one"><Service name="s" status="on"><A/></Service></Group>
        <Group name="two"><Service name="s" status="off"><Client name="c.example.com"><B/></Client></Service></Group>
        <Package name="p" type="deb"/><Client name="b.example.com"><Package name="q" type="rpm"/></Client>
    </Rules>""",
    "Cfg/f/f": "for all",
    "Cfg/f/f.G1_two": "for two",
    "Cfg/f/f.H_c.example.com": "for c",
    "Cfg/f/info.xml": """<FileInfo>
        <Client name="a.example.com"><Info mode="0600"/></Client><Path name="/x"><Info mode="0700"/></Path><Info/>
    </FileInfo>""",
    "Cfg/t/t.genshi": "${metadata.hostname}",
}
PLUGINS = "Metadata,Bundler,Rules,Cfg"


@pytest.fixture
def make(tmp_path):
    made = []

    def maker(files=FILES, plugins=PLUGINS, conf=""):
        made.append(Site(tmp_path, files, plugins=plugins, conf=conf))
        return made[-1]

    yield maker
    for site in made:
        site.stop()


def texts(site):
    """Each client's configuration, asked for twice."""
    return {host: etree.tostring(site.config(host)) for _ in range(2) for host in HOSTS}


def anew(site):
    """The same, with nothing bound in advance."""
    site.core._depends_on = lambda entry: None
    site.core._bindings = None
    try:
        return texts(site)
    finally:
        del site.core._depends_on
        site.core._bindings = None


def test_each_client_gets_what_binding_anew_gives(make):
    site = make()
    assert texts(site) == anew(site)
    assert len(set(texts(site).values())) == len(HOSTS)


def test_clients_that_agree_in_what_matters_share_what_is_bound(make, monkeypatch):
    files = {**FILES, "Bundler/base.xml": '<Bundle><Service name="s"/></Bundle>'}
    files["Rules/r.xml"] = '<Rules priority="1"><Group name="one"><Service name="s" status="on"/></Group></Rules>'
    files["Rules/s.xml"] = '<Rules priority="0"><Service name="s" status="off"/></Rules>'
    site = make(files)
    bound = []
    original = site.core._bind_in_advance
    monkeypatch.setattr(site.core, "_bind_in_advance", lambda *args: bound.append(1) or original(*args))
    texts(site)
    assert len(bound) == 2  # for members of the group one, and for all others


class Clock(Plugin, TemplateDataProvider):
    """Gives templates a number that is another one each time."""

    ticks = itertools.count()

    def get_template_data(self, entry, metadata, template):
        return {"tick": next(self.ticks)}


@pytest.mark.builds_once
def test_a_template_is_rendered_for_every_request(make):
    site = make({**FILES, "Cfg/t/t.genshi": "${tick}"}, plugins=f"{PLUGINS},{__name__}.Clock")
    first, second = (site.entry("Path", "/t", "a.example.com").text for _ in range(2))
    assert first != second


def test_what_is_given_to_one_client_may_be_changed_without_others_seeing_it(make):
    site = make()
    before = etree.tostring(site.config("a.example.com"))
    for element in site.config("a.example.com").iter():
        element.set("spoiled", "yes")
    assert etree.tostring(site.config("a.example.com")) == before


CHANGES = {
    "a rule": ("Rules/r.xml", FILES["Rules/r.xml"].replace('status="on"', 'status="changed"')),
    "a file": ("Cfg/f/f", "changed"),
    "a file for a group that had none": ("Cfg/f/f.G9_one", "changed"),
    "attributes": ("Cfg/f/info.xml", '<FileInfo><Info owner="changed"/></FileInfo>'),
    "a template in the place of a file": ("Cfg/f/f.G5_one.genshi", "${metadata.hostname} changed"),
    "a template of rules": (
        "Rules/t.xml",
        '<Rules priority="9" xmlns:py="http://genshi.edgewall.org/"><Service name="s" status="changed"/></Rules>',
    ),
    "a bundle": ("Bundler/base.xml", '<Bundle><BoundService name="changed"/></Bundle>'),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_anything_counts_at_once(make, change):
    site = make()
    before = texts(site)
    site.write(*CHANGES[change])
    after = texts(site)
    assert after != before
    assert after == anew(site)


def test_an_included_file_of_info_xml_counts_at_once(make):
    xi = 'xmlns:xi="http://www.w3.org/2001/XInclude"'
    files = {
        **FILES,
        "Cfg/f/info.xml": f'<FileInfo {xi}><xi:include href="../../shared.xml"/></FileInfo>',
        "shared.xml": '<FileInfo><Info owner="before"/></FileInfo>',
    }
    site = make(files)
    assert site.entry("Path", "/f", "a.example.com").get("owner") == "before"
    site.write("shared.xml", '<FileInfo><Info owner="after"/></FileInfo>')
    assert site.entry("Path", "/f", "a.example.com").get("owner") == "after"


def test_a_changed_option_counts_at_once(make):
    site = make(conf="[mdata]\nowner = before")
    assert site.entry("Path", "/f", "b.example.com").get("owner") == "before"
    site.conf.write_text(site.conf.read_text().replace("owner = before", "owner = after"))
    site.core.options = site.core._reread()
    assert site.entry("Path", "/f", "b.example.com").get("owner") == "after"


def test_a_request_keeps_the_options_that_it_began_with(make):
    site = make(conf="[mdata]\nowner = before")
    old = etree.tostring(site.config("b.example.com"))
    site.conf.write_text(site.conf.read_text().replace("owner = before", "owner = after"))
    event = Event(0, str(site.conf), "changed")
    with site.core.request():
        thread = threading.Thread(target=site.core.HandleEvent, args=[event])
        thread.start()
        thread.join()
        assert site.core.options.mdata_owner == "before"
        assert etree.tostring(site.config("b.example.com")) == old
    assert site.core.options.mdata_owner == "after"
    assert site.entry("Path", "/f", "b.example.com").get("owner") == "after"


def test_a_request_that_began_before_a_change_is_bound_from_the_old_files(make):
    site = make()
    old = etree.tostring(site.config("a.example.com"))
    with site.core.request():
        site.core.build_metadata("a.example.com")
        change = threading.Thread(target=site.write, args=CHANGES["a rule"])
        change.start()
        change.join()
        assert etree.tostring(site.core.BuildConfiguration("a.example.com")) == old
    assert etree.tostring(site.config("a.example.com")) != old


@pytest.mark.builds_once
def test_entries_that_fail_are_tried_and_reported_for_every_request(make, caplog):
    site = make()
    site.config("a.example.com")
    caplog.clear()
    site.config("a.example.com")
    assert caplog.text.count("no matching generator for Path /missing") == 1


class Moody(Plugin, Generator):
    """Somebody's generator that says nothing about what it depends on."""

    mood = "good"

    def HandlesEntry(self, entry, metadata):
        return entry.tag == "Service"

    def HandleEntry(self, entry, metadata):
        entry.set("mood", self.mood)


class Honest(Moody):
    """The same, with a promise that it does not keep, to tell that it is taken at its word."""

    def depends_on(self, entry):
        return Dependencies()


@pytest.mark.builds_once
@pytest.mark.parametrize(("plugin", "moods"), [(Moody, ["good", "good", "bad"]), (Honest, ["good", "good", "good"])])
def test_a_generator_that_promises_nothing_is_asked_every_time(make, plugin, moods):
    files = {**FILES, "Bundler/base.xml": '<Bundle><Service name="x"/></Bundle>'}
    site = make(files, plugins=f"Metadata,Bundler,{__name__}.{plugin.__name__}")
    seen = []
    for mood in ("good", "good", "bad"):
        site.plugin(plugin.__name__).mood = mood
        seen.append(site.entry("Service", "x", "a.example.com").get("mood"))
    assert seen == moods


def test_no_more_than_the_limit_is_kept(make):
    site = make(conf="[caching]\nbound_structures = 2")
    expected = anew(site)
    assert texts(site) == expected
    bindings = site.core._bindings[2]
    assert sum(len(recipe.variants) for recipe in bindings._recipes.values()) <= 2


names = st.sampled_from(["one", "two", "three"])
conditions = st.lists(
    st.tuples(st.sampled_from(["Group", "Client"]), st.sampled_from(["one", "two", *HOSTS]), st.booleans()), max_size=2
)
rules = st.lists(st.tuples(conditions, st.sampled_from(["s", "p", "q"]), st.integers(0, 3)), max_size=6)
contents = st.dictionaries(
    st.sampled_from(["f", "f.G1_one", "f.G2_two", "f.G1_two", *(f"f.H_{host}" for host in HOSTS)]),
    st.text("xy"),
    max_size=5,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules, contents)
def test_whatever_rules_and_files_there_are_nothing_differs(tmp_path_factory, found, files):
    def element(tests, name, value):
        tag = "Package" if name in "pq" else "Service"
        text = f'<{tag} name="{name}" value="{value}"/>'
        for kind, subject, negate in tests:
            text = f'<{kind} name="{subject}" negate="{str(negate).lower()}">{text}</{kind}>'
        return text

    made = {name: text for name, text in FILES.items() if not name.startswith(("Rules", "Cfg/f"))}
    for priority in range(4):
        body = "".join(element(tests, name, value) for tests, name, value in found if value == priority)
        made[f"Rules/{priority}.xml"] = f'<Rules priority="{priority}">{body}</Rules>'
    made |= {f"Cfg/f/{name}": text for name, text in files.items()}
    site = Site(tmp_path_factory.mktemp("site"), made, plugins=PLUGINS)
    try:
        assert texts(site) == anew(site)
    finally:
        site.stop()
