"""GroupLogic: groups that a template works out."""

import logging
import threading
from pathlib import Path

import pytest

from bcfg2.server.plugin import PluginExecutionError
from tests.support import Site

PY = 'xmlns:py="http://genshi.edgewall.org/"'
XI = 'xmlns:xi="http://www.w3.org/2001/XInclude"'
FILE = "GroupLogic/groups.xml"


def site(tmp_path: Path, text: str, plugins: str = "Metadata,Bundler,GroupLogic", conf: str = "", **files: str) -> Site:
    """A repository in which GroupLogic/groups.xml has TEXT in its root element, with ``py:`` and ``xi:``."""
    return Site(tmp_path, {FILE: logic(text), **files}, plugins, conf)


def logic(text: str, prefix: str = PY) -> str:
    return f"<GroupLogic {prefix} {XI}>{text}</GroupLogic>"


def added(site: Site, host: str = "client.example.com") -> set[str]:
    return set(site.metadata(host).groups - {"basic"})


@pytest.mark.parametrize("prefix", ["", PY])
@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ('<Group name="a"/><Group name="b"/>', {"a", "b"}),
        ('<Group name="basic"><Group name="a"/></Group>', {"a"}),
        ('<Group name="other"><Group name="a"/></Group>', set()),
        ('<Group name="other" negate="true"><Group name="a"/></Group>', {"a"}),
        ('<Group name="basic" negate="TRUE"><Group name="a"/></Group>', set()),
        ('<Client name="client.example.com"><Group name="a"/></Client>', {"a"}),
        ('<Client name="CLIENT.example.com"><Group name="a"/></Client>', {"a"}),
        ('<Client name="client.example.com" negate="true"><Group name="a"/></Client>', set()),
        ('<Group name="basic"><Client name="x"><Group name="a"/></Client><Group name="b"/></Group>', {"b"}),
        ('<Group name="a"/><Group name="a"><Group name="b"/></Group>', {"a"}),
        ('<Group name="a"><!-- nothing but words --></Group>', {"a"}),
        ('<Client name="client.example.com"/>', set()),
        ('<GroupLogic><Group name="a"/><GroupLogic><Group name="b"/></GroupLogic></GroupLogic>', {"a", "b"}),
        ('<Group name="basic"><GroupLogic><Group name="a"/></GroupLogic></Group>', {"a"}),
        ('<Unknown><Group name="a"/></Unknown>', set()),
    ],
)
def test_groups_without_children_are_memberships_and_others_conditions(
    tmp_path: Path, prefix: str, text: str, groups: set[str]
) -> None:
    assert added(Site(tmp_path, {FILE: logic(text, prefix)}, "Metadata,Bundler,GroupLogic")) == groups


@pytest.mark.parametrize(
    "content",
    [
        '<Group name="a" py:if="False"/>',
        '<py:if test="False"><Group name="a"/></py:if>',
        "<py:for each=\"name in []\"><Group name='${name}'/></py:for>",
        "${None}",
        '<Group name="other"><Group name="a" py:if="False"/></Group>',
    ],
)
def test_a_condition_stays_one_when_its_templated_content_vanishes(tmp_path: Path, content: str) -> None:
    group = f'<Group name="tested">{content}</Group><Group name="basic">{content}<Group name="b"/></Group>'
    assert added(site(tmp_path, group)) == {"b"}


def test_content_that_an_attribute_or_a_function_gives_makes_a_condition(tmp_path: Path) -> None:
    text = """<py:def function="some(names)"><Group py:for="name in names" name="${name}"/></py:def>
      <Group name="basic" py:content="some(['a'])"/><Group name="other" py:content="some(['b'])"/>
      <Group name="empty" py:content="some([])"/><Group name="basic">${some(['c'])}</Group>"""
    assert added(site(tmp_path, text)) == {"a", "c"}


def test_the_template_sees_the_client_as_other_connectors_have_made_it(tmp_path: Path) -> None:
    patterns = (
        "<GroupPatterns><GroupPattern><NamePattern>^client</NamePattern><Group>p</Group></GroupPattern></GroupPatterns>"
    )
    found = site(
        tmp_path,
        '<Group py:for="name in metadata.groups" name="saw-${name}"/><Group name="p"><Group name="inside"/></Group>',
        "Metadata,Bundler,GroupLogic,GroupPatterns",
        **{"GroupPatterns/config.xml": patterns},
    )
    assert added(found) == {"p", "saw-basic", "saw-p", "inside"}


def test_groups_of_this_file_do_not_count_as_conditions_in_it_but_do_in_groups_xml(tmp_path: Path) -> None:
    groups = """<Groups><Group name="basic" profile="true"/>
      <Group name="a"><Group name="from-a"/><Bundle name="base"/></Group></Groups>"""
    found = site(
        tmp_path, '<Group name="a"/><Group name="a"><Group name="b"/></Group>', **{"Metadata/groups.xml": groups}
    )
    assert added(found) == {"a", "from-a"}
    assert found.metadata().bundles == {"base"}


def test_the_first_group_of_a_category_counts_whether_conditional_or_not(tmp_path: Path) -> None:
    found = site(
        tmp_path,
        """<Group name="basic"><Group name="one" category="c"/></Group><Group name="two" category="c"/>
        <Group name="three" category="d"/>""",
    )
    metadata = found.metadata()
    assert metadata.groups == {"basic", "one", "three"}
    assert metadata.categories == {"c": "one", "d": "three"}
    assert metadata.query.all_groups_in_category("c") == ["one", "two"]


def test_a_category_that_is_taken_from_a_group_is_gone(tmp_path: Path) -> None:
    found = site(tmp_path, '<Group name="a" category="c"/><Group name="b" category="c"/>')
    assert added(found) == {"a"}
    found.write(FILE, logic('<Group name="a"/><Group name="b"/>'))
    assert added(found) == {"a", "b"}
    assert found.metadata().categories == {}


def test_memberships_that_make_no_sense_are_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = site(tmp_path, '<Group/><Group name="${None}"/><Group name="x" negate="true"/><Group name="a"/>')
    for _ in range(2):
        assert added(found) == {"a"}
    messages = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(messages) == 2
    assert all(str(found.repo / FILE) in message for message in messages)
    found.write(FILE, logic('<Group name="${None}"/><Group name="b"/>'))
    assert added(found) == {"b"}
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 3


def test_included_files_count_with_their_code_and_are_followed(tmp_path: Path) -> None:
    part = f'<GroupLogic {PY}><?python who = metadata.hostname[:6] ?><Group name="is-${{who}}"/></GroupLogic>'
    found = site(
        tmp_path,
        '<?python number = 7 ?><Group name="n-${number}"/><Group name="basic"><xi:include href="more/*.xml"/></Group>',
        **{"GroupLogic/more/a.xml": part},
    )
    assert added(found) == {"n-7", "is-client"}
    found.write("GroupLogic/more/b.xml", '<GroupLogic><Group name="b"/></GroupLogic>')
    assert added(found) == {"n-7", "is-client", "b"}
    found.write("GroupLogic/more/a.xml", "<GroupLogic/>")
    assert added(found) == {"n-7", "b"}


def test_a_missing_file_is_made_as_an_empty_template(tmp_path: Path) -> None:
    found = Site(tmp_path, plugins="Metadata,Bundler,GroupLogic")
    assert PY in (found.repo / FILE).read_text()
    assert added(found) == set()


def test_a_file_that_stops_being_a_template_is_none(tmp_path: Path) -> None:
    found = site(tmp_path, '<Group name="${metadata.profile}-t"/>')
    assert added(found) == {"basic-t"}
    found.write(FILE, "<GroupLogic><Group name='$plain'/></GroupLogic>")
    assert added(found) == {"$plain"}


def test_a_broken_change_leaves_the_content_of_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = site(tmp_path, '<Group name="a"/>')
    for broken in ("<GroupLogic>", logic("<py:nonsense/>"), logic('<Group name="${"/>')):
        caplog.clear()
        found.write(FILE, broken)
        assert added(found) == {"a"}
        assert str(found.repo / FILE) in caplog.text
    found.write(FILE, logic('<Group name="b"/>'))
    assert added(found) == {"b"}


@pytest.mark.parametrize("text", ["<GroupLogic>", logic('\n<Group name="${1/0}"/>')])
def test_without_usable_logic_there_is_no_metadata(tmp_path: Path, text: str) -> None:
    found = Site(tmp_path, {FILE: text}, "Metadata,Bundler,GroupLogic")
    for _ in range(2):  # an error does not leave the client marked as being worked on
        with pytest.raises(PluginExecutionError, match="GroupLogic/groups.xml"):
            found.metadata()
    found.write(FILE, logic('<Group name="a"/>'))
    assert added(found) == {"a"}


def test_errors_of_the_template_name_the_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = site(tmp_path, '<Group name="a"/>')
    found.write(FILE, logic('\n\n<Group\n  name="a"/>\n<py:nonsense/>'))
    assert "line 5" in caplog.text


def test_a_client_is_built_once_more_in_each_mode_when_the_file_changes(tmp_path: Path) -> None:
    found = site(tmp_path, '<Group name="a"/>', conf="[caching]\nclient_metadata = aggressive")
    assert added(found) == {"a"}
    assert found.metadata() is found.metadata()
    found.write(FILE, logic('<Group name="b"/>'))
    assert added(found) == {"b"}


# clients that ask about each other

NAMED = """<Group name="own-${metadata.hostname.split('.')[0]}"/>"""


def clients(*names: str) -> dict[str, str]:
    """A clients.xml with NAMES below ``.example``."""
    listed = "".join(f'<Client name="{name}.example" profile="basic"/>' for name in names)
    return {"Metadata/clients.xml": f"<Clients>{listed}</Clients>"}


def test_a_template_sees_the_groups_that_it_gives_to_others_but_not_its_own(tmp_path: Path) -> None:
    ask = """<Client name="a.example"><py:for each="host in sorted(metadata.query.all_clients())"
      ><Group py:for="name in sorted(metadata.query.by_name(host).groups)" name="${host[0]}:${name}"/>
    </py:for></Client>"""
    found = site(tmp_path, NAMED + ask, **clients("a", "b"))
    assert added(found, "a.example") == {"own-a", "a:basic", "b:basic", "b:own-b"}
    assert added(found, "b.example") == {"own-b"}


def test_answers_follow_a_chain_of_clients(tmp_path: Path) -> None:
    text = """<?python host = metadata.hostname; before = chr(ord(host[0]) - 1) + '.example' ?>
      <Group py:if="host == 'a.example'" name="chain-a"/>
      <py:if test="host > 'b'"><Group py:for="name in sorted(metadata.query.by_name(before).groups)"
        py:if="name.startswith('chain')" name="${name}${host[0]}"/></py:if>"""
    found = site(tmp_path, text, **clients("a", "b", "c", "d", "e"))
    assert added(found, "e.example") == {"chain-abcde"}
    assert added(found, "c.example") == {"chain-abc"}


def test_clients_that_ask_in_a_circle_get_an_answer_without_the_groups_of_the_one_who_began(tmp_path: Path) -> None:
    text = (
        """<?python other = {'a.example': 'b.example'}.get(metadata.hostname, 'a.example') ?>
      <Group py:for="name in sorted(metadata.query.by_name(other).groups)" name="of-${other[0]}-${name}"/>"""
        + NAMED
    )
    found = site(tmp_path, text, **clients("a", "b"))
    assert added(found, "a.example") == {"own-a", "of-b-basic", "of-b-own-b", "of-b-of-a-basic"}


def test_what_is_built_for_a_question_is_not_cached(tmp_path: Path) -> None:
    text = (
        """<?python other = {'a.example': 'b.example'}.get(metadata.hostname, 'a.example') ?>
      <Group py:for="name in sorted(metadata.query.by_name(other).groups)" name="of-${other[0]}-${name}"/>"""
        + NAMED
    )
    found = site(tmp_path, text, conf="[caching]\nclient_metadata = cautious", **clients("a", "b"))
    of_a = added(found, "a.example")
    assert added(found, "b.example") == {"own-b", "of-a-basic", *(f"of-a-{name}" for name in of_a)}
    assert found.metadata("a.example") is found.metadata("a.example")


def test_many_clients_may_all_ask_about_all(tmp_path: Path) -> None:
    names = [f"n{number:03}" for number in range(120)]
    ask = """<Group py:for="host in metadata.query.names_by_groups(['basic'])" name="knows-${host.split('.')[0]}"/>"""
    found = site(tmp_path, NAMED + ask, **clients(*names))
    with found.core.request():
        metadata = found.core.build_metadata("n000.example")
        assert metadata.groups == {"basic", "own-n000", *(f"knows-{name}" for name in names)}
        for name in ("n000", "n001", "n007", "n008", "n119"):  # later questions see complete answers, its own too
            assert metadata.query.names_by_groups([f"own-{name}"]) == [f"{name}.example"]


def test_two_threads_do_not_take_each_other_for_a_circle(tmp_path: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()
    found = site(tmp_path, '<?python hold() ?><Group name="a"/>')
    file = found.plugin("GroupLogic").file

    def hold() -> None:
        if threading.current_thread().name == "slow":
            inside.set()
            assert go_on.wait(20)

    file.template_variables = lambda metadata: {"metadata": metadata, "hold": hold}
    results: list[set[str]] = []
    slow = threading.Thread(target=lambda: results.append(added(found)), name="slow")
    slow.start()
    try:
        assert inside.wait(20)
        assert added(found) == {"a"}
    finally:
        go_on.set()
        slow.join(20)
    assert results == [{"a"}]
