"""What the old server got wrong in bundles, rules and the files around them (section 18 of the description).

One test for each item that the tests of the parts do not show; the items are in its order.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from bcfg2.xml import tostring
from tests.support import Site

XI = 'xmlns:xi="http://www.w3.org/2001/XInclude"'
ALL = "Metadata,Bundler,Rules,Cfg,Defaults,Deps,Pkgmgr,SEModules,NagiosGen,Properties"

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """Makes a site of FILES and shuts it down after the test."""
    made: list[Site] = []

    def make(files: Mapping[str, str], plugins: str = ALL, conf: str = "") -> Site:
        made.append(Site(tmp_path, files, plugins, conf))
        return made[-1]

    yield make
    for site in made:
        site.stop()


def base(content: str, attributes: str = "") -> dict[str, str]:
    """The client's one bundle."""
    return {"Bundler/base.xml": f"<Bundle {XI} {attributes}>{content}</Bundle>"}


def delivered(site: Site) -> list[tuple[str, str | None]]:
    """Tag and name of all entries of the client's bundle."""
    return [(entry.tag, entry.get("name")) for entry in site.config().find("*[@name='base']")]


@pytest.mark.parametrize("plugin", ["Rules", "Defaults"])
@pytest.mark.parametrize("bad", ["<Rules priority='1'>", "", "<Rules priority='x'/>"])
def test_a_file_that_is_unusable_from_the_start_costs_no_entry(make_site: MakeSite, plugin: str, bad: str) -> None:
    good = '<Rules priority="1"><Service name="s" status="on"/></Rules>'
    site = make_site({**base('<Service name="s"/>'), "Rules/good.xml": good, f"{plugin}/bad.xml": bad})
    assert dict(site.entry("Service", "s").attrib) == {"name": "s", "status": "on"}


def test_a_broken_included_file_leaves_the_last_good_combination_and_names_the_chain(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(
        {
            **base('\n<xi:include href="../Include/one.xml"/>'),
            "Include/one.xml": f'<Bundle {XI}>\n\n<BoundPath name="/1"/><xi:include href="two.xml"/></Bundle>',
            "Include/two.xml": '<Bundle><BoundPath name="/2"/></Bundle>',
        }
    )
    before = tostring(site.config())
    site.write("Include/two.xml", "<Bundle>\n\n<BoundPath></Bundle>")
    assert tostring(site.config()) == before
    (line,) = [record.getMessage() for record in caplog.records if "two.xml" in record.getMessage()]
    assert "two.xml: line 3: " in line
    assert f"(included from {site.repo}/Include/one.xml:3)" in line
    assert f"(included from {site.repo}/Bundler/base.xml:2)" in line
    site.write("Include/two.xml", '<Bundle><BoundPath name="/3"/></Bundle>')
    assert delivered(site) == [("Path", "/1"), ("Path", "/3")]


def test_a_file_that_includes_one_of_its_own_folder_keeps_the_others_live(make_site: MakeSite) -> None:
    site = make_site(
        {
            **base('<xi:include href="part.xml"/><RequiredBundle name="other"/>'),
            "Bundler/part.xml": '<Bundle><BoundPath name="/1"/></Bundle>',
            "Bundler/other.xml": '<Bundle><BoundPath name="/2"/></Bundle>',
        }
    )
    site.write("Bundler/other.xml", '<Bundle><BoundPath name="/3"/></Bundle>')
    assert site.entry("Path", "/3") is not None
    site.write("Bundler/part.xml", '<Bundle><BoundPath name="/4"/></Bundle>')
    assert delivered(site) == [("Path", "/4")]


def test_two_parents_of_an_included_file_both_follow_it(make_site: MakeSite) -> None:
    include = '<xi:include href="../Bundler/../Include/x.xml"/>'
    site = make_site(
        {
            **base(f'{include}<RequiredBundle name="other"/>'),
            "Bundler/other.xml": f"<Bundle {XI}>{include}</Bundle>",
            "Include/x.xml": '<Bundle><BoundPath name="/1"/></Bundle>',
        }
    )
    site.write("Include/x.xml", '<Bundle><BoundPath name="/2"/></Bundle>')
    assert [path.get("name") for path in site.config().iter("Path")] == ["/2", "/2"]


def test_matches_of_wildcards_in_included_files_come_and_go(make_site: MakeSite) -> None:
    site = make_site(
        {
            **base('<xi:include href="../Include/all.xml"/>'),
            "Include/all.xml": f'<Bundle {XI}><xi:include href="parts/*.xml"/></Bundle>',
        }
    )
    assert delivered(site) == []
    site.write("Include/parts/a.xml", '<Bundle><BoundPath name="/a"/></Bundle>')
    site.write("Include/parts/b.xml", '<Bundle><BoundPath name="/b"/></Bundle>')
    assert delivered(site) == [("Path", "/a"), ("Path", "/b")]
    site.delete("Include/parts/a.xml")
    assert delivered(site) == [("Path", "/b")]
    site.delete("Include/all.xml")
    assert delivered(site) == []


def test_text_can_be_included_into_an_entry(make_site: MakeSite) -> None:
    text = '<BoundPath name="/x" type="file"><xi:include href="../Include/x.txt" parse="text"/></BoundPath>'
    site = make_site({**base(text), "Include/x.txt": "a < b\n"})
    assert site.entry("Path", "/x").text == "a < b\n"
    site.write("Include/x.txt", "new\n")
    assert site.entry("Path", "/x").text == "new\n"


def test_an_included_bare_entry_has_no_xml_base(make_site: MakeSite) -> None:
    site = make_site(
        {**base('<xi:include href="../Include/x.xml"/>'), "Include/x.xml": '<BoundPath name="/x" type="ignore"/>'}
    )
    assert dict(site.entry("Path", "/x").attrib) == {"name": "/x", "type": "ignore"}


@pytest.mark.parametrize("between", ["<!-- c -->", "<?pi?>", '<Group name="nobody">no</Group>'])
def test_text_on_both_sides_of_what_is_no_content_is_delivered(make_site: MakeSite, between: str) -> None:
    site = make_site(base(f'<BoundPath name="/x">before\n{between} after</BoundPath>'))
    assert site.entry("Path", "/x").text == "before\n after"


def test_comments_and_instructions_among_entries_cost_nothing(make_site: MakeSite) -> None:
    site = make_site(base('<?pi?><BoundPath name="/x"/><!-- c --><Group name="basic"><?pi?></Group>'))
    assert delivered(site) == [("Path", "/x")]


def test_globs_work_beside_generators_without_paths_and_repeat_nothing(make_site: MakeSite) -> None:
    site = make_site(
        {
            **base('<Path glob="/etc/?"/><Path name="/etc/a"/><Path glob="/etc/b"/><Path glob="/none/*"/>'),
            "Cfg/etc/a/a": "a",
            "Rules/r.xml": '<Rules priority="1"><Path name="/etc/b" type="ignore"/><Service name="s"/>'
            '<Group name="basic"><Path name="/etc/hidden"/></Group></Rules>',
        }
    )
    assert sorted(delivered(site)) == [("Path", "/etc/a"), ("Path", "/etc/b")]
    assert not [entry for entry in site.config().iter("Path") if entry.get("failure")]


def test_the_marker_of_an_inherited_modification_is_no_failure(make_site: MakeSite) -> None:
    site = make_site(
        {
            **base('<RequiredBundle name="needed" inherit_modification="true"/>'),
            "Bundler/needed.xml": "<Bundle/>",
            "Metadata/clients.xml": '<Clients><Client name="client.example.com" profile="basic" version="1.4.0"/>'
            "</Clients>",
        }
    )
    assert dict(site.entry("Bundle", "needed").attrib) == {"name": "needed"}
    assert delivered(site) == [("Bundle", "needed")]


def rules(*names: str) -> str:
    return '<Rules priority="1">' + "".join(f'<Package name="{name}" type="deb"/>' for name in names) + "</Rules>"


def test_a_pattern_with_alternatives_is_for_whole_names(make_site: MakeSite) -> None:
    packages = "".join(f'<Package name="{name}"/>' for name in ("a1", "b1", "xa1", "b1x"))
    site = make_site({**base(packages), "Rules/r.xml": rules("a1|b1")}, conf="[rules]\nregex = yes")
    failed = {entry.get("name") for entry in site.config().iter("Package") if entry.get("failure")}
    assert failed == {"xa1", "b1x"}


@pytest.mark.parametrize("template", ["", 'xmlns:py="http://genshi.edgewall.org/" '])
@pytest.mark.parametrize(
    ("name", "said"), [("lib[c", "is no regular expression"), ("libstdc++", "possessive"), ("libstdc\\+\\+", None)]
)
def test_a_name_that_is_no_good_pattern_is_told_of_once_and_costs_no_other(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture, template: str, name: str, said: str | None
) -> None:
    caplog.set_level(logging.WARNING)
    text = rules("other", name).replace("<Rules ", f"<Rules {template}")
    plain = name.replace("\\", "")
    site = make_site(
        {**base(f'<Package name="{plain}"/><Package name="other"/>'), "Rules/r.xml": text},
        conf="[rules]\nregex = yes",
    )
    site.write("Rules/another.xml", rules("x"))
    for _ in range(3):
        assert [entry.get("type") for entry in site.config().iter("Package")] == ["deb", "deb"]
    told = [record.getMessage() for record in caplog.records if repr(name) in record.getMessage()]
    assert len(told) == (said is not None)
    assert all("Rules/r.xml" in line and str(said) in line for line in told)


def test_a_template_that_was_never_good_is_not_served_as_it_is_written(make_site: MakeSite) -> None:
    pytest.importorskip("genshi")
    site = make_site(base('<py:if test="1 +"><BoundPath name="/x"/></py:if>', 'xmlns:py="http://genshi.edgewall.org/"'))
    assert site.config().find("Bundle") is None
    site.change(base('<BoundPath name="/y"/>'))
    assert delivered(site) == [("Path", "/y")]
