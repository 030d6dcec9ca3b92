"""Bundler: which structures a client gets, and what is in them."""

from pathlib import Path
from typing import Any

import pytest

from bcfg2.server.plugin import Generator
from bcfg2.server.plugins.bundler import Bundler
from bcfg2.version import parse_version
from bcfg2.xml import tostring
from tests.server.plugin.small_core import Client, SmallCore
from tests.support import Site

PY = 'xmlns:py="http://genshi.edgewall.org/"'
XI = 'xmlns:xi="http://www.w3.org/2001/XInclude"'


@pytest.fixture
def core(tmp_path: Path) -> SmallCore:
    return SmallCore(tmp_path, encryption_lax_decryption=False)


def bundler(core: SmallCore, **files: str) -> Any:
    core.write({f"Bundler/{name}.xml": text for name, text in files.items()})
    return core.make(Bundler, core)


def client(*bundles: str, groups: tuple[str, ...] = (), version: str | None = "1.4.0") -> Client:
    return Client("web", *groups, bundles=set(bundles), version_info=parse_version(version))


def built(subject: Any, *bundles: str, **more: Any) -> list[str]:
    return [tostring(structure) for structure in subject.BuildStructures(client(*bundles, **more))]


def test_a_client_gets_the_bundles_of_its_metadata(core: SmallCore) -> None:
    subject = bundler(core, a="<Bundle><Path name='/a'/></Bundle>", b="<Bundle/>", c="<Bundle/>")
    assert built(subject, "a", "b") == ['<Bundle name="a"><Path name="/a"/></Bundle>', '<Bundle name="b"/>']


def test_the_file_name_is_the_name_and_other_attributes_are_delivered(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    subject = bundler(core, **{"sub/a": '<Bundle name="other" description="d" independent="no"/>'})
    (structure,) = subject.BuildStructures(client("a"))
    assert (structure.tag, dict(structure.attrib)) == ("Bundle", {"name": "a", "description": "d", "independent": "no"})
    assert "'other' is ignored" in caplog.text


@pytest.mark.parametrize("value", ["true", "TRUE"])
def test_an_independent_bundle_is_delivered_as_independent(core: SmallCore, value: str) -> None:
    subject = bundler(core, a=f'<Bundle independent="{value}" version="2"/>')
    assert built(subject, "a") == ['<Independent version="2" name="a"/>']


def test_conditions_are_resolved_for_the_client(core: SmallCore) -> None:
    subject = bundler(core, a='<Bundle><Group name="g"><Path name="/g"/></Group><Path name="/all"/></Bundle>')
    assert built(subject, "a") == ['<Bundle name="a"><Path name="/all"/></Bundle>']
    assert built(subject, "a", groups=("g",)) == ['<Bundle name="a"><Path name="/all"/><Path name="/g"/></Bundle>']


def test_an_unknown_bundle_is_one_error_and_costs_no_other(core: SmallCore, caplog: pytest.LogCaptureFixture) -> None:
    subject = bundler(core, a='<Bundle><RequiredBundle name="lost"/></Bundle>')
    assert built(subject, "a", "none") == ['<Bundle name="a"/>']
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "Bundle a requires the bundle lost, which does not exist"
    ]


def test_a_template_that_fails_is_left_out_and_costs_no_other(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    subject = bundler(
        core,
        a="<Bundle/>",
        t=f'<Bundle {PY}><Path name="${{metadata.none}}"/></Bundle>',
        u=f"<Bundle {PY}>$repo</Bundle>",
    )
    assert built(subject, "a", "t", "u") == ['<Bundle name="a"/>', f'<Bundle name="u">{core.repo}</Bundle>']
    assert f"Bundle t is left out for web: error rendering {core.path('Bundler/t.xml')}:1: " in caplog.text


def test_included_bundles_are_flattened_at_any_depth(core: SmallCore, caplog: pytest.LogCaptureFixture) -> None:
    core.write(
        {
            "Bundler/a.xml": f'<Bundle {XI}><xi:include href="inc/1.xml"/><Path name="/a"/></Bundle>',
            "Bundler/inc/1.xml": f'<Bundle {XI} x="1"><Path name="/1"/><xi:include href="2.xml"/></Bundle>',
            "Bundler/inc/2.xml": '<Bundle><Group name="g"><Path name="/2"/></Group></Bundle>',
        }
    )
    (structure,) = bundler(core).BuildStructures(client("a", groups=("g",)))
    assert [(node.tag, node.get("name")) for node in structure] == [("Path", "/a"), ("Path", "/1"), ("Path", "/2")]


def test_an_empty_bundle_in_a_bundle_is_dropped_with_a_warning(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    subject = bundler(core, a='<Bundle><Bundle name="b"/><Path name="/a"/></Bundle>')
    assert built(subject, "a") == ['<Bundle name="a"><Path name="/a"/></Bundle>']
    assert "empty Bundle element b" in caplog.text


def test_required_bundles_come_along_once_however_they_require_each_other(core: SmallCore) -> None:
    subject = bundler(
        core,
        a='<Bundle><RequiredBundle name="b"/><RequiredBundle name="a"/></Bundle>',
        b='<Bundle><Group name="g"><RequiredBundle name="c"/></Group><RequiredBundle name="a"/></Bundle>',
        c="<Bundle/>",
    )
    assert built(subject, "a") == ['<Bundle name="a"/>', '<Bundle name="b"/>']
    assert built(subject, "a", "b", groups=("g",)) == ['<Bundle name="a"/>', '<Bundle name="b"/>', '<Bundle name="c"/>']


def test_a_bundle_that_two_require_comes_once(core: SmallCore) -> None:
    required = '<Bundle><RequiredBundle name="c"/></Bundle>'
    assert built(bundler(core, a=required, b=required, c="<Bundle/>"), "a", "b") == [
        '<Bundle name="a"/>',
        '<Bundle name="b"/>',
        '<Bundle name="c"/>',
    ]


def test_a_required_bundle_without_a_name_is_a_warning(core: SmallCore, caplog: pytest.LogCaptureFixture) -> None:
    assert built(bundler(core, a="<Bundle><RequiredBundle/></Bundle>"), "a") == ['<Bundle name="a"/>']
    assert "RequiredBundle without a name" in caplog.text


@pytest.mark.parametrize(
    ("version", "inherits"),
    [("1.4.0pre2", True), ("1.4.0", True), ("1.10.0", True), ("1.4.0pre1", False), ("1.3.4", False), (None, False)],
)
def test_modifications_are_inherited_by_clients_that_know_how(
    core: SmallCore, caplog: pytest.LogCaptureFixture, version: str | None, inherits: bool
) -> None:
    subject = bundler(core, a='<Bundle><RequiredBundle name="b" inherit_modification="true"/></Bundle>', b="<Bundle/>")
    first, second = built(subject, "a", version=version)
    assert (first == '<Bundle name="a"><BoundBundle name="b"/></Bundle>') is inherits
    assert second == '<Bundle name="b"/>'
    assert ("too old" in caplog.text) is not inherits


def test_other_spellings_of_inheriting_do_not_count(core: SmallCore) -> None:
    subject = bundler(core, a='<Bundle><RequiredBundle name="b" inherit_modification="True"/></Bundle>', b="<Bundle/>")
    assert built(subject, "a")[0] == '<Bundle name="a"/>'


def test_of_two_files_of_one_name_the_nearest_counts_with_one_warning(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    subject = bundler(core, **{"deep/er/a": "<Bundle>far</Bundle>", "deep/a": "<Bundle>near</Bundle>"})
    core.change({"Bundler/b.xml": "<Bundle/>"})
    assert built(subject, "a") == ['<Bundle name="a">near</Bundle>']
    assert len([text for text in caplog.messages if "defined in" in text]) == 1
    core.delete("Bundler/deep/a.xml")
    assert built(subject, "a") == ['<Bundle name="a">far</Bundle>']


def test_the_suffix_genshi_makes_a_template_with_a_warning(core: SmallCore, caplog: pytest.LogCaptureFixture) -> None:
    core.write({"Bundler/t.genshi": "<Bundle>${metadata.hostname}</Bundle>"})
    assert built(bundler(core), "t") == ['<Bundle name="t">web</Bundle>']
    assert "deprecated" in caplog.text


def test_edits_deletions_and_broken_files_follow_the_rules_of_folders(core: SmallCore) -> None:
    subject = bundler(core, a="<Bundle/>", b="<Bundle/>")
    core.change({"Bundler/a.xml": "<Bundle><Path name='/new'/></Bundle>"})
    core.delete("Bundler/b.xml")
    assert built(subject, "a", "b") == ['<Bundle name="a"><Path name="/new"/></Bundle>']
    core.change({"Bundler/a.xml": "<Bundle>"})
    assert built(subject, "a") == ['<Bundle name="a"><Path name="/new"/></Bundle>']


def test_what_is_delivered_is_the_caller_s_own(core: SmallCore) -> None:
    subject = bundler(core, a="<Bundle><Path name='/a'/></Bundle>")
    subject.BuildStructures(client("a"))[0][0].set("changed", "yes")
    assert built(subject, "a") == ['<Bundle name="a"><Path name="/a"/></Bundle>']


# globs


class Listing(Generator):
    def __init__(self, *paths: str) -> None:
        self.Entries = {"Path": dict.fromkeys(paths)} if paths else {}


def test_a_glob_stands_for_the_paths_that_generators_list(core: SmallCore) -> None:
    core.plugins = [Listing("/etc/b/x.conf", "/etc/a.conf", "/etc/a.CONF"), Listing(), Listing("/etc/c.conf", "/srv/x")]
    subject = bundler(
        core, a="<Bundle><Path name='/z'/><Path glob='/etc/*.conf' important='true'/><Path name='/y'/></Bundle>"
    )
    structures = subject.BuildStructures(client("a"))
    subject.validate_structures(client("a"), structures)
    assert tostring(structures[0]) == (
        '<Bundle name="a"><Path name="/z"/><Path name="/etc/a.conf"/><Path name="/etc/b/x.conf"/>'
        '<Path name="/etc/c.conf"/><Path name="/y"/></Bundle>'
    )


def test_what_a_glob_finds_is_not_repeated_and_nothing_found_leaves_nothing(core: SmallCore) -> None:
    core.plugins = [Listing("/etc/a", "/etc/b")]
    subject = bundler(
        core, a="<Bundle><Path name='/etc/a'/><Path glob='/etc/*'/><Path glob='/etc/?'/><Path glob='/none/*'/></Bundle>"
    )
    structures = subject.BuildStructures(client("a"))
    subject.validate_structures(client("a"), structures)
    assert [node.get("name") for node in structures[0]] == ["/etc/a", "/etc/b"]


@pytest.mark.builds_once
def test_a_template_that_fails_is_one_line_with_its_place_for_each_configuration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(tmp_path, {"Bundler/base.xml": f'<Bundle {PY}>\n<Path name="/a"/>\n<Path name="${{1/0}}"/></Bundle>'})
    caplog.clear()
    site.config()
    lines = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    site.stop()
    place = f"{site.repo}/Bundler/base.xml:3"
    assert lines == [
        f"Bundle base is left out for client.example.com: error rendering {place}: ZeroDivisionError: division by zero"
    ]


def test_no_wrong_line_is_told_of_a_template_that_includes_others(
    core: SmallCore, caplog: pytest.LogCaptureFixture
) -> None:
    core.write({"Bundler/inc/i.xml": "<Bundle/>"})
    subject = bundler(core, t=f'<Bundle {PY} {XI}>\n\n<xi:include href="inc/i.xml"/>\n<Path name="${{1/0}}"/></Bundle>')
    assert built(subject, "t") == []
    assert f"error rendering {core.path('Bundler/t.xml')}: ZeroDivisionError" in caplog.text
