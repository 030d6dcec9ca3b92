"""Bad input in clients.xml and groups.xml: one line for each fault, that says where, and no harm to anything else."""

import pytest

from tests.support import Site

XI = 'xmlns:xi="http://www.w3.org/2001/XInclude"'
GROUPS = '<Groups><Group name="basic" profile="true" public="true" default="true"/></Groups>'


@pytest.fixture
def faults(tmp_path, caplog):
    """Write files into Metadata, and give the errors that reading them logs, without the path of the folder."""
    site = Site(tmp_path, {"Metadata/groups.xml": GROUPS})

    def write(**texts):
        caplog.clear()
        files = {f"{name}.xml": text for name, text in texts.items()}
        for name, text in sorted(files.items(), reverse=True):
            path = site.repo / "Metadata" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        site.apply()
        return [
            record.getMessage().replace(f"{site.repo}/Metadata/", "")
            for record in caplog.records
            if record.levelname == "ERROR"
        ]

    write.site = site
    yield write
    site.stop()


def clients(*lines, end="</Clients>"):
    return "\n".join([f"<Clients {XI}>", *lines, end])


def groups(*lines):
    return "\n".join([f"<Groups {XI}>", *lines, "</Groups>"])


OK = '<Client name="ok" profile="basic" uuid="1"/>'


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('<Client profile="basic"/>', "clients.xml:3: <Client> without a name is ignored"),
        ('<Client name="b"/>', "clients.xml:3: client b has no profile"),
        ('<Client name="b" profile="basic" auth="x"/>', "clients.xml:3: client b has auth='x', taken for cert: use"),
        ('<Client name="b" profile="basic"><Alias/></Client>', "clients.xml:3: <Alias> without a name is ignored"),
        ('<Host name="b"/>', "clients.xml:3: <Host> is ignored: what may be here is Alias, Client, Clients"),
        ('<Client name="OK" profile="basic"/>', "clients.xml:3: client OK is in clients.xml:2 too; what both say"),
        ('<Client name="b" profile="basic" uuid="1"/>', "clients.xml:3: b has the uuid 1, as ok in clients.xml:2; "),
        ('<Client name="b" profile="basic"><Alias name="Ok"/></Client>', "clients.xml:3: ok is an alias of b, and so"),
        (
            '<Client name="b" profile="basic"><Alias name="x"/></Client>'
            '<Client name="c" profile="basic"><Alias name="X"/></Client>',
            "clients.xml:3: x is an alias of c, and of b in clients.xml:3; it stands for the last one",
        ),
    ],
)  # fmt: skip
def test_each_fault_of_clients_xml_is_one_line(faults, line, says):
    (error,) = faults(clients=clients(OK, line, '<Client name="last" profile="basic"/>'))
    assert error.startswith(says)
    assert {"ok", "last"} <= {name.lower() for name in faults.site.core.metadata.list_clients()}
    assert faults.site.metadata("last").profile == "basic"


def test_duplicates_in_two_files_name_both(faults):
    errors = faults(
        clients=clients('<xi:include href="more.xml"/>', OK), more=clients("", '<Client name="ok" profile="basic"/>')
    )
    assert set(errors) == {"more.xml:3: client ok is in clients.xml:3 too; what both say is combined: keep one of them"}


def test_what_is_right_is_no_fault(faults):
    assert not faults(
        clients=clients(
            "<!-- x --><?x?><Clients>", OK, '</Clients><Client name="b" profile="basic"><Alias name="B"/></Client>'
        ),
        groups=groups(
            '<Group name="basic" profile="true" category="c" default="true"><Group name="x"/></Group>',
            '<Group name="x"><Bundle name="b"/></Group>',
            '<Group name="x"><Group name="y"/><Group name="z"/></Group>',
            '<Group name="y" negate="true"><Group name="x"/></Group>',
            '<Group name="z"><Group name="z" negate="true"/></Group>',
            '<Group name="z"><Group name="y"><Group name="x"/></Group></Group>',
            '<Client name="ok"><Group name="basic" category="c"/></Client>',
        ),
    )


def test_faults_are_told_once_for_each_reading(faults):
    assert len(faults(clients=clients("<Host/>"))) == 1
    faults.site.metadata("new")  # is written, which is no reading
    assert not faults()
    assert len(faults(clients=clients("<Host/>", ""))) == 1


def test_a_flood_of_faults_is_cut(faults):
    errors = faults(clients=clients(*['<Client name="a"/>'] * 100))
    assert len(errors) == 51
    assert errors[-1] == "clients.xml: 149 faults more"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('<Group><Group name="x"/></Group>', "groups.xml:3: <Group> without a name is ignored with all that is in it"),
        ('<Group name="b"><Bundle/></Group>', "groups.xml:3: <Bundle> without a name is ignored"),
        (
            '<Package name="b"/>',
            "groups.xml:3: <Package> is ignored: what may be here is Bundle, Client, Group",
        ),
        ('<Group name="ok" category="y"/>', "groups.xml:3: group ok has the category x where it is declared"),
        (
            '<Group name="basic" category="y"/>',
            "groups.xml:3: group basic has no category where it is declared",
        ),
        ('<Group name="b"><Group name="b"/></Group>', "groups.xml:3: a cycle of groups: b > b; who is in one of them"),
        (
            '<Group name="b"><Group name="c"/></Group><Group name="c"><Group name="b"/></Group>',
            "groups.xml:3: a cycle of groups: ",
        ),
    ],
)
def test_each_fault_of_groups_xml_is_one_line(faults, line, says):
    first = '<Group name="basic" profile="true" default="true"/><Group name="ok" category="x"/>'
    (error,) = faults(groups=groups(first, line, '<Client name="a"><Group name="ok"/></Client>'))
    assert error.startswith(says)
    assert faults.site.metadata("a").groups == {"basic", "ok"}
    assert faults.site.metadata("a").categories == {"x": "ok"}


def test_members_of_a_cycle_are_in_all_of_its_groups(faults):
    first = '<Group name="a" profile="true" default="true"><Group name="b"/></Group>'
    faults(groups=groups(first, '<Group name="b"><Group name="c"/></Group><Group name="c"><Group name="a"/></Group>'))
    assert faults.site.metadata("x").groups == {"a", "b", "c"}


@pytest.mark.parametrize("kind", ["clients", "groups"])
def test_a_file_that_includes_itself_is_passed_over_there(faults, kind):
    make = clients if kind == "clients" else groups
    loop = {kind: make('<xi:include href="x.xml"/>'), "x": make('<xi:include href="y.xml"/>')}
    inside = OK if kind == "clients" else '<Group name="basic" profile="true" default="true"/>'
    (error,) = set(faults(**loop, y=make(inside, '<xi:include href="x.xml"/>')))  # new files may be read twice
    assert error.startswith("y.xml:3: x.xml would include itself by this")
    assert faults.site.metadata("ok").profile == "basic"


@pytest.mark.parametrize(("profile", "says"), [("nowhere", "does not declare"), ("plain", "is no profile group")])
def test_a_client_with_an_unknown_profile_is_named_once_and_costs_nobody_else(faults, caplog, profile, says):
    faults(
        clients=clients(OK, f'<Client name="b" profile="{profile}"/>'),
        groups=groups('<Group name="basic" profile="true" default="true"/>', '<Group name="plain"/>'),
    )
    for _ in range(2):
        assert faults.site.metadata("b").groups == {profile}
    assert faults.site.metadata("ok").profile == "basic"
    warnings = [record.getMessage() for record in caplog.records if profile in record.getMessage()]
    assert len(warnings) == 1
    assert warnings[0].startswith("b: clients.xml gives it the profile") and says in warnings[0]


def test_groups_that_come_and_go_for_ever_are_named_for_the_clients_that_they_concern_only(faults, caplog):
    faults(
        clients=clients(OK, '<Client name="b" profile="bad"/>'),
        groups=groups(
            '<Group name="basic" profile="true" default="true"/><Group name="bad" profile="true"/>',
            '<Group name="bad"><Group name="y" negate="true"><Group name="x"/></Group></Group>',
            '<Group name="x"><Group name="y"/></Group>',
            '<Group name="y"><Group name="x" negate="true"/></Group>',
            '<Group name="x" negate="true"><Group name="y" negate="true"/></Group>',
        ),
    )
    assert faults.site.metadata("ok").groups == {"basic"}
    assert "contradicts itself" not in caplog.text
    for _ in range(2):
        assert "bad" in faults.site.metadata("b").groups
    assert caplog.text.count("b: groups.xml contradicts itself, x, y come and go for ever") == 1
