"""Groups as a drawing in Graphviz's language."""

import re

import pytest

from bcfg2.server.plugins.metadata.drawing import COLORS
from tests.support import Site


@pytest.fixture
def draw(tmp_path):
    """The drawing of what groups.xml and clients.xml hold."""
    sites = []

    def made(groups, clients="", *, hosts=False, bundles=False, key=False, only=None, **files):
        wanted = {
            "Metadata/groups.xml": f"<Groups>{groups}</Groups>",
            "Metadata/clients.xml": f"<Clients>{clients}</Clients>",
        }
        wanted.update({f"Metadata/{name}.xml": text for name, text in files.items()})
        sites.append(Site(tmp_path, wanted))
        return sites[-1].core.metadata.viz(hosts, bundles, key, only)

    yield made
    for site in sites:
        site.stop()


def lines(drawing):
    return [line.strip() for line in drawing.splitlines()]


def arrows(drawing):
    return [line for line in lines(drawing) if "->" in line]


def test_an_empty_groups_xml_is_an_empty_drawing(draw):
    assert draw("") == 'digraph groups {\n\trankdir="LR";\n}\n'


def test_a_group_shows_whether_it_is_a_profile_and_its_category(draw):
    drawing = draw('<Group name="w" profile="true"/><Group name="o" category="os"/><Group name="n"/>')
    assert lines(drawing)[2:-1] == [
        '"group-n" [label="n", style="filled", fillcolor="grey83"];',
        '"group-o" [label="o", style="filled", fillcolor="steelblue1"];',
        '"group-w" [label="w", style="filled,bold", fillcolor="grey83"];',
    ]


def test_colours_are_taken_in_turn_again_and_again(draw):
    drawing = draw("".join(f'<Group name="g{n:02}" category="c{n:02}"/>' for n in range(len(COLORS) + 1)))
    assert re.findall(r'fillcolor="(\w+)"', drawing) == [*COLORS, COLORS[0]]


def test_arrows_lead_to_what_is_inside_at_any_depth_and_in_nested_documents(draw):
    xi = 'xmlns:xi="http://www.w3.org/2001/XInclude"'
    drawing = draw(
        f'<Group name="a"><Group name="b"><Group name="c"/></Group></Group><xi:include {xi} href="more.xml"/>',
        more='<Groups><Groups><Group name="d"><Group name="a"/></Group></Groups></Groups>',
    )
    assert arrows(drawing) == [
        '"group-a" -> "group-b";',
        '"group-b" -> "group-c";',
        '"group-d" -> "group-a";',
    ]
    assert re.findall(r'"group-(\w)" \[', drawing) == ["a", "b", "c", "d"]


def test_what_is_negated_has_a_dashed_arrow(draw):
    drawing = draw(
        '<Group name="a"><Group name="b" negate="true"/></Group><Group name="c" negate="true"><Group name="d"/></Group>'
    )
    assert arrows(drawing) == ['"group-a" -> "group-b" [style="dashed"];', '"group-c" -> "group-d" [style="dashed"];']


def test_bundles_are_drawn_on_demand_wherever_they_stand(draw):
    groups = '<Group name="a"><Bundle name="x"/></Group><Client name="h"><Bundle name="y"/></Client>'
    assert "bundle" not in draw(groups)
    drawing = draw(groups, bundles=True)
    assert [line for line in lines(drawing) if "septagon" in line] == [
        '"bundle-x" [label="x", shape="septagon"];',
        '"bundle-y" [label="y", shape="septagon"];',
    ]
    assert arrows(drawing) == ['"group-a" -> "bundle-x";']


def test_hosts_stand_sorted_beside_their_profile_or_the_default_group(draw):
    drawing = draw(
        '<Group name="p" profile="true"/><Group name="d" default="true"/>',
        '<Client name="Z" profile="p"/><Client name="a" profile="p"/><Client name="n"/>',
        hosts=True,
    )
    assert lines(drawing)[4:-1] == [
        '"d-instances" [label="n", shape="record"];',
        '"d-instances" -> "group-d";',
        '"p-instances" [label="a|z", shape="record"];',
        '"p-instances" -> "group-p";',
    ]


def test_a_host_without_any_profile_is_named_in_the_log(draw, caplog):
    assert "instances" not in draw('<Group name="a"/>', '<Client name="n"/>', hosts=True)
    assert "n has no profile, and is not drawn" in caplog.text


def test_one_client_alone_by_its_alias(draw):
    groups = (
        '<Group name="p" profile="true"><Group name="a"/><Bundle name="x"/></Group>'
        '<Group name="q" profile="true"><Group name="a"/><Bundle name="y"/></Group>'
    )
    clients = '<Client name="h" profile="p"><Alias name="other"/></Client><Client name="i" profile="q"/>'
    drawing = draw(groups, clients, hosts=True, bundles=True, only="Other")
    assert arrows(drawing) == ['"group-p" -> "group-a";', '"group-p" -> "bundle-x";', '"p-instances" -> "group-p";']
    assert '[label="h", shape="record"]' in drawing
    assert "-q" not in drawing and "-y" not in drawing


def test_the_key_has_a_trapezium_for_each_category(draw):
    drawing = draw('<Group name="a" category="os"/><Group name="b" category="arch"/>', key=True)
    assert re.findall(r'\[label="(\w+)", shape="trapezium", style="filled", fillcolor="(\w+)"', drawing) == [
        ("arch", "steelblue1"),
        ("os", "chartreuse"),
    ]
    assert drawing.count("{") == drawing.count("}") == 2


def test_names_are_quoted(draw):
    drawing = draw(
        '<Group name="a&quot;b\\" profile="true"/>', '<Client name="h|{x}&quot;" profile="a&quot;b\\"/>', hosts=True
    )
    assert lines(drawing)[2:-1] == [
        r'"group-a\"b\\" [label="a\"b\\", style="filled,bold", fillcolor="grey83"];',
        r'"a\"b\\-instances" [label="h\|\{x\}\"", shape="record"];',
        r'"a\"b\\-instances" -> "group-a\"b\\";',
    ]


def test_the_order_of_the_file_does_not_matter(draw):
    one = '<Group name="a" category="x"><Group name="c"/><Bundle name="y"/></Group>'
    two = '<Group name="b" category="w"><Bundle name="z"/></Group>'
    assert draw(one + two, bundles=True, key=True) == draw(two + one, bundles=True, key=True)
