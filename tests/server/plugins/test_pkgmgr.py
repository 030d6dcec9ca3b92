"""Pkgmgr: which version of a package a client has, and what is worked out of its file's name."""

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from bcfg2.server.plugin import Dependencies, PluginExecutionError
from bcfg2.server.plugins.pkgmgr import _FILE_NAMES, Pkgmgr
from bcfg2.xml import Element, tostring
from tests.server.plugin.small_core import Client, SmallCore
from tests.support import Site


def pkgmgr(folder: Path, files: dict[str, str]) -> tuple[SmallCore, Any]:
    core = SmallCore(folder)
    core.write({f"Pkgmgr/{name}": text for name, text in files.items()})
    return core, core.make(Pkgmgr, core)


def one(folder: Path, content: str, attributes: str = 'priority="0" type="rpm" uri="http://m"') -> Any:
    """The plugin with one list."""
    return pkgmgr(folder, {"a.xml": f"<PackageList {attributes}>{content}</PackageList>"})[1]


def bound(subject: Any, name: str, *groups: str, host: str = "host", **attributes: str) -> Element:
    entry = etree.Element("Package", name=name, **attributes)
    metadata = Client(host, *groups)
    assert subject.HandlesEntry(entry, metadata)
    subject.HandleEntry(entry, metadata)
    return entry


def facts(subject: Any, name: str, *groups: str) -> dict[str, str]:
    """What a package has got besides that which all lists of these tests give."""
    common = {"priority": "0", "uri": "http://m", "type": "rpm", "name": name}
    found = {str(key): str(value) for key, value in bound(subject, name, *groups).attrib.items()}
    return {key: value for key, value in found.items() if common.get(key) != value}


# attributes


def test_attributes_are_handed_down_but_for_name_and_negate(tmp_path: Path) -> None:
    subject = one(
        tmp_path,
        '<Package name="a"/><Group name="g" negate="true" type="yum" x="1"><Client name="host" x="2">'
        '<Package name="b" uri="http://own"/></Client></Group>',
        'priority="3" type="rpm" uri="http://m" xmlns:i="urn:i" i:schema="s"',
    )
    assert dict(bound(subject, "a").attrib) == {"name": "a", "priority": "3", "type": "rpm", "uri": "http://m"}
    assert dict(bound(subject, "b").attrib) == {
        "name": "b", "priority": "3", "type": "yum", "uri": "http://own", "x": "2",
    }  # fmt: skip


def test_a_nested_condition_is_not_negated_by_the_one_around_it(tmp_path: Path) -> None:
    subject = one(tmp_path, '<Group name="a" negate="true"><Group name="b"><Package name="p"/></Group></Group>')
    assert bound(subject, "p", "b").get("type") == "rpm"
    for groups in ([], ["a"], ["a", "b"]):
        with pytest.raises(PluginExecutionError, match="no list has the package p for host"):
            bound(subject, "p", *groups)


def test_a_list_overrides_what_the_entry_says(tmp_path: Path) -> None:
    entry = bound(one(tmp_path, '<Package name="p" version="1"/>'), "p", version="9", verify="false")
    assert (entry.get("version"), entry.get("verify")) == ("1", "false")


@pytest.mark.parametrize("group", ["x') or True or ('", "__import__('os').system('true')", "'", '"', "a\\"])
def test_a_group_s_name_is_a_name_whatever_it_holds(tmp_path: Path, group: str) -> None:
    root = etree.Element("PackageList", priority="0")
    etree.SubElement(etree.SubElement(root, "Group", name=group), "Package", name="p")
    _, subject = pkgmgr(tmp_path, {"a.xml": tostring(root)})
    assert bound(subject, "p", group).get("priority") == "0"
    with pytest.raises(PluginExecutionError, match="no list"):
        bound(subject, "p", "other")


# file names and URLs


def test_the_name_of_an_rpm_file_is_taken_apart(tmp_path: Path) -> None:
    subject = one(
        tmp_path,
        '<Package file="vim-common-6.3.046-0.40E.7.i386.rpm"/><Package file="d/e-f/libstdc++-4.8-1_2.x86_64.rpm"/>'
        '<Package file="a-1-2.noarch.rpm" name="own" version="v" arch="r"/>',
    )
    assert facts(subject, "vim-common") == {
        "file": "vim-common-6.3.046-0.40E.7.i386.rpm",
        "url": "http://m/vim-common-6.3.046-0.40E.7.i386.rpm",
        "version": "6.3.046-0.40E.7",
        "arch": "i386",
    }
    assert facts(subject, "libstdc++")["url"] == "http://m/d/e-f/libstdc++-4.8-1_2.x86_64.rpm"
    assert (facts(subject, "own")["version"], facts(subject, "own")["arch"]) == ("v", "r")
    assert "a" not in subject.Entries["Package"]


word = st.text("aZ9_.", min_size=1, max_size=6)


@given(st.lists(st.text("aZ9_.+", min_size=1, max_size=5), min_size=1, max_size=3).map("-".join), word, word)
def test_any_rpm_file_gives_back_what_it_is_made_of(name: str, version: str, release: str) -> None:
    match = _FILE_NAMES["rpm"].fullmatch(f"{name}-{version}-{release}.i686.rpm")
    assert match is not None
    assert match.groupdict() == {"name": name, "version": f"{version}-{release}", "arch": "i686"}


def test_the_name_of_an_encap_file_is_taken_apart(tmp_path: Path) -> None:
    subject = one(tmp_path, '<Package type="encap" file="open-ssl-1.0.2k.encap-sun.tar.gz"/>')
    assert facts(subject, "open-ssl") == {
        "file": "open-ssl-1.0.2k.encap-sun.tar.gz",
        "url": "http://m/open-ssl-1.0.2k.encap-sun.tar.gz",
        "type": "encap",
        "version": "1.0.2k",
    }


def test_names_of_other_types_are_not_taken_apart(tmp_path: Path) -> None:
    subject = one(tmp_path, '<Package type="deb" file="a-1-2.i386.rpm" name="p"/>')
    assert facts(subject, "p") == {"type": "deb", "file": "a-1-2.i386.rpm", "url": "http://m/a-1-2.i386.rpm"}


def test_a_simple_file_is_not_taken_apart(tmp_path: Path) -> None:
    subject = one(tmp_path, '<Package name="p" simplefile="a.rpm" file="nonsense"/>')
    assert facts(subject, "p")["url"] == "http://m/a.rpm"


def test_a_given_url_stays_where_no_file_is_named(tmp_path: Path) -> None:
    subject = one(tmp_path, '<Package name="p" url="u"/><Package name="q" url="u" simplefile="f"/>')
    assert (facts(subject, "p")["url"], facts(subject, "q")["url"]) == ("u", "http://m/f")
    subject = one(tmp_path / "no uri", '<Package name="p" url="u" simplefile="f"/>', 'priority="0"')
    assert bound(subject, "p").get("url") == "u"


def test_a_file_for_several_architectures_has_a_url_for_each(tmp_path: Path) -> None:
    subject = one(
        tmp_path,
        '<Package name="p" type="yum" file="%(src)s/p-%(arch)s-%20.rpm" multiarch="i586 i686" srcs="a  b"/>'
        '<Group name="all" multiarch="i386 x86_64"><Package file="q-1-2.%(arch)s.rpm"/></Group>',
    )
    assert facts(subject, "p")["url"] == "http://m/a/p-i586-%20.rpm http://m/b/p-i686-%20.rpm"
    found = facts(subject, "q", "all")
    assert found["url"] == "http://m/q-1-2.i386.rpm http://m/q-1-2.x86_64.rpm"
    assert found["version"] == "1-2"
    assert "arch" not in found


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        ('file="no-version.rpm"', "'no-version.rpm' is no name of a file of type rpm"),
        ('file="a-1-2.i386.deb"', "'a-1-2.i386.deb' is no name of a file of type rpm"),
        ('file="a-1.tar.gz" type="encap"', "'a-1.tar.gz' is no name of a file of type encap"),
        ('type="deb" file="a"', "it has no name"),
        ('name=""', "it has no name"),
        ('name="p" type="deb" file="f" multiarch="a b" srcs="x"', "srcs has 1 words, multiarch 2"),
    ],
)
def test_a_package_that_makes_no_sense_is_left_out_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, package: str, reason: str
) -> None:
    with caplog.at_level(logging.ERROR):
        subject = one(tmp_path, f'\n<Package {package}/>\n<Package name="good"/>')
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/Pkgmgr/a.xml:2: the package is left out: {reason}"
    ]
    assert list(subject.Entries["Package"]) == ["good"]


# instances


INSTANCES = """<Package name="glibc"><Instance arch="x86_64" version="2"><Ignore name="/etc/rpc"/></Instance>
  <Instance arch="i686" version="2"/><Instance version="2"/></Package>"""


def test_instances_are_copied_with_all_that_is_in_them(tmp_path: Path) -> None:
    subject = one(tmp_path, INSTANCES)
    for _ in range(2):
        entry = bound(subject, "glibc")
        assert "".join(map(tostring, entry)) == (
            '<Instance arch="x86_64" version="2"><Ignore name="/etc/rpc"/></Instance>'
            '<Instance arch="i686" version="2"/><Instance version="2"/>'
        )
        entry[0].set("arch", "changed by the caller")


def test_a_virtual_package_has_the_instances_of_its_architectures(tmp_path: Path) -> None:
    subject = one(tmp_path, INSTANCES)

    def architectures(name: str) -> list[str | None]:
        entry = bound(subject, name)
        assert entry.get("name") == "glibc"
        return [child.get("arch") for child in entry]

    assert architectures("glibc:x86_64") == ["x86_64"]
    assert architectures("glibc:ppc,i686,x86_64") == ["x86_64", "i686"]
    assert architectures("glibc:ppc") == []
    assert "glibc:x86_64" not in subject.Entries["Package"]
    assert not subject.HandlesEntry(etree.Element("Package", name="other:x86_64"), Client())


def test_a_package_with_a_colon_in_its_name_is_that_package(tmp_path: Path) -> None:
    subject = one(tmp_path, '<Package name="libc6"/><Package name="libc6:i386" version="1"/>')
    assert dict(bound(subject, "libc6:i386").attrib)["name"] == "libc6:i386"


def test_conditions_stand_around_instances_too(tmp_path: Path) -> None:
    subject = one(
        tmp_path,
        '<Package name="k"><Group name="a" version="5"><Instance arch="x"/><Group name="b" negate="true" epoch="1">'
        '<Instance arch="y" version="6"/></Group></Group></Package>',
    )
    assert [tostring(child) for child in bound(subject, "k", "a")] == [
        '<Instance arch="x" version="5"/>',
        '<Instance arch="y" version="6" epoch="1"/>',
    ]
    assert [child.get("arch") for child in bound(subject, "k", "a", "b")] == ["x"]
    assert len(bound(subject, "k")) == 0


# which list


def test_the_list_of_the_highest_priority_that_has_it_for_the_client_counts(tmp_path: Path) -> None:
    listed = {
        "a.xml": (5, '<Client name="h1"><Package name="p" version="5"/></Client>'),
        "b.xml": (-1, '<Package name="p" version="-1"/>'),
        "sub/c.xml": (10, '<Group name="g"><Package name="p" version="10"/></Group>'),
    }
    files = {name: f'<PackageList priority="{prio}">{text}</PackageList>' for name, (prio, text) in listed.items()}
    _, subject = pkgmgr(tmp_path, files)
    assert bound(subject, "p").get("version") == "-1"
    assert bound(subject, "p", host="h1").get("version") == "5"
    assert bound(subject, "p", "g", host="h1").get("version") == "10"


def test_two_lists_of_one_priority_contradict_each_other_for_clients_of_both(tmp_path: Path) -> None:
    listed = '<PackageList priority="{}"><Group name="{}"><Package name="p" version="{}"/></Group></PackageList>'
    files = {"a.xml": listed.format(1, "a", 1), "b.xml": listed.format(1, "b", 2), "c.xml": listed.format(2, "c", 3)}
    _, subject = pkgmgr(tmp_path, files)
    assert bound(subject, "p", "a").get("version") == "1"
    assert bound(subject, "p", "b").get("version") == "2"
    assert bound(subject, "p", "a", "b", "c").get("version") == "3"
    with pytest.raises(PluginExecutionError, match=r"two lists of priority 1 have the package p: .*a\.xml, .*b\.xml"):
        bound(subject, "p", "a", "b")


def test_in_one_list_a_condition_counts_before_what_is_beside_it_and_the_last_condition_most(tmp_path: Path) -> None:
    subject = one(
        tmp_path,
        '<Group name="a"><Group name="b"><Package name="p" version="ab"/></Group>'
        '<Package name="p" version="a"/></Group>'
        '<Group name="c"><Package name="p" version="c"/></Group><Package name="p" version="all"/>',
    )
    versions = [bound(subject, "p", *groups).get("version") for groups in ("", "a", "ab", "b", "abc")]
    assert versions == ["all", "a", "ab", "all", "c"]


# files


def test_lists_are_followed_and_what_is_removed_is_no_longer_known(tmp_path: Path) -> None:
    core, subject = pkgmgr(tmp_path, {"a.xml": '<PackageList priority="0"><Package name="p"/></PackageList>'})
    core.change({"Pkgmgr/a.xml": '<PackageList priority="0"><Package name="q"/></PackageList>'})
    core.change({"Pkgmgr/new/b.xml": '<PackageList priority="0"><Package name="r"/></PackageList>'})
    assert set(subject.Entries["Package"]) == {"q", "r"}
    assert not subject.HandlesEntry(etree.Element("Package", name="p"), Client())
    core.delete("Pkgmgr/a.xml")
    assert set(subject.Entries["Package"]) == {"r"}
    core.delete("Pkgmgr/new")
    assert set(subject.Entries["Package"]) == set()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("<PackageList priority='0'>", "line 1"),
        ('<PackageList priority="high"><Package name="q"/></PackageList>', "needs an integer attribute priority"),
        ('<PackageList><Package name="q"/></PackageList>', "needs an integer attribute priority, not None"),
    ],
)
def test_a_list_that_becomes_unusable_stays_as_it_was_and_one_that_never_was_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str, reason: str
) -> None:
    good = '<PackageList priority="0"><Package name="{}"/></PackageList>'
    core, subject = pkgmgr(tmp_path, {"a.xml": good.format("p"), "b.xml": broken})
    assert set(subject.Entries["Package"]) == {"p"}
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        core.change({"Pkgmgr/a.xml": broken, "Pkgmgr/b.xml": good.format("r")})
    assert set(subject.Entries["Package"]) == {"p", "r"}
    assert len(caplog.records) == 1
    assert "Pkgmgr/a.xml" in caplog.text
    assert reason in caplog.text


def test_a_pipe_in_the_place_of_a_list_is_refused_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "Pkgmgr").mkdir()
    os.mkfifo(tmp_path / "Pkgmgr/a.xml")
    with caplog.at_level(logging.ERROR):
        _, subject = pkgmgr(tmp_path, {"b.xml": '<PackageList priority="0"><Package name="p"/></PackageList>'})
    assert "not a regular file" in caplog.text
    assert set(subject.Entries["Package"]) == {"p"}


def test_neither_includes_nor_templates_are_followed(tmp_path: Path) -> None:
    _, subject = pkgmgr(
        tmp_path,
        {
            "a.xml": '<PackageList priority="0" xmlns:xi="http://www.w3.org/2001/XInclude" '
            'xmlns:py="http://genshi.edgewall.org/"><xi:include href="b.inc"/><Package name="${1}" py:if="False"/>'
            "</PackageList>",
        },
    )
    assert set(subject.Entries["Package"]) == {"${1}"}


# in the core


def test_what_a_package_depends_on(tmp_path: Path) -> None:
    subject = one(
        tmp_path,
        '<Package name="p"/><Group name="a"><Client name="h"><Package name="p"/></Client></Group>'
        '<Package name="q"><Group name="i" negate="true"><Instance/></Group></Package>',
    )

    def depends(tag: str, name: str) -> Dependencies | None:
        answer: Dependencies | None = subject.depends_on(etree.Element(tag, name=name))
        return answer

    assert depends("Package", "p") == Dependencies(frozenset({"a"}), frozenset({"h"}))
    assert depends("Package", "q:x86_64") == Dependencies(frozenset({"i"}))
    assert depends("Package", "other") == depends("Service", "p") == Dependencies()


def test_a_configuration_has_packages_of_lists_and_says_which_are_in_none(tmp_path: Path) -> None:
    entries = '<Package name="p"/><Package name="z" altsrc="p:i386"/><Package name="none"/><Package name="g"/>'
    listed = '<Package name="p"><Instance arch="i386"/><Instance/></Package><Group name="x"><Package name="g"/></Group>'
    site = Site(
        tmp_path,
        {
            "Bundler/base.xml": f"<Bundle>{entries}</Bundle>",
            "Pkgmgr/l.xml": f'<PackageList priority="0" type="rpm">{listed}</PackageList>',
        },
        "Metadata, Bundler, Pkgmgr",
    )
    for _ in range(3):
        assert len(site.entry("Package", "p")) == 2
        assert tostring(site.entry("Package", "z")) == (
            '<Package name="z" priority="0" type="rpm"><Instance arch="i386"/></Package>'
        )
        assert site.entry("Package", "none").get("failure") == "no matching generator"
        failure = "bind error: no list has the package g for client.example.com"
        assert site.entry("Package", "g").get("failure") == failure
