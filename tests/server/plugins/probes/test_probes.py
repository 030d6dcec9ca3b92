"""Which probes a client is given, and what becomes of its answers."""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from bcfg2.server.plugins.probes.scripts import interpreter
from tests.support import Site

METADATA = {
    "Metadata/clients.xml": '<Clients><Client name="web1" profile="web" address="127.0.0.2"/>'
    '<Client name="db1" profile="db" address="127.0.0.3"/></Clients>',
    "Metadata/groups.xml": """<Groups>
        <Group name="web" profile="true"><Group name="debian"/><Group name="nginx"/></Group>
        <Group name="db" profile="true"/>
        <Group name="debian-12" category="os"><Bundle name="apt"/></Group>
        <Group name="debian-11" category="os"/>
    </Groups>""",
}
WEB, DB = ("127.0.0.2", 1000), ("127.0.0.3", 1000)


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """Makes a site and shuts it down after the test."""
    sites: list[Site] = []

    def make(files: Mapping[str, str | bytes] | None = None, conf: str = "") -> Site:
        sites.append(Site(tmp_path, {**METADATA, **(files or {})}, plugins="Metadata,Probes", conf=conf))
        return sites[-1]

    yield make
    for site in sites:
        site.stop()


def probes(site: Site, address: tuple[str, int] = WEB) -> dict[str, tuple[str, str]]:
    """name -> (interpreter, script)"""
    answer = etree.fromstring(site.core.GetProbes(address))
    assert all(probe.get("source") == "Probes" for probe in answer)
    assert len({probe.get("name") for probe in answer}) == len(answer)
    return {probe.get("name"): (probe.get("interpreter"), probe.text or "") for probe in answer}


def upload(site: Site, *answers: tuple[str, str], address: tuple[str, int] = WEB) -> Any:
    document = etree.Element("ProbeData")
    for name, text in answers:
        etree.SubElement(document, "probe-data", name=name, source="Probes").text = text
    return site.core.RecvProbeData(address, etree.tostring(document, encoding="unicode"))


# scripts


def test_the_most_specific_script_of_each_name_is_sent(make_site: MakeSite) -> None:
    site = make_site(
        {
            "Probes/disks": "all",
            "Probes/disks.G10_debian": "debian",
            "Probes/disks.G050_nginx": "nginx",
            "Probes/disks.G99_centos": "centos",
            "Probes/raid.H_web1": "web1 only",
            "Probes/raid.G5_debian": "debian",
            "Probes/none.G5_centos": "",
        },
    )
    assert probes(site) == {"disks": ("/bin/sh", "nginx"), "raid": ("/bin/sh", "web1 only")}
    assert probes(site, DB) == {"disks": ("/bin/sh", "all")}


def test_changes_of_the_folder_are_followed(make_site: MakeSite) -> None:
    site = make_site({"Probes/disks": "all", "Probes/disks.G10_debian": "debian"})
    site.write("Probes/disks.H_web1", "#!/usr/bin/perl\nweb1")
    assert probes(site) == {"disks": ("/usr/bin/perl", "#!/usr/bin/perl\nweb1")}
    site.delete("Probes/disks.H_web1")
    site.write("Probes/disks.G10_debian", "#!/bin/awk -f")
    assert probes(site) == {"disks": ("/bin/awk -f", "#!/bin/awk -f")}
    site.move("Probes/disks.G10_debian", "Probes/cpu")
    assert probes(site) == {"disks": ("/bin/sh", "all"), "cpu": ("/bin/awk -f", "#!/bin/awk -f")}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("#!/bin/bash\n", "/bin/bash"),
        ("#! /usr/bin/perl -w \nprint", "/usr/bin/perl -w "),
        ("#!\t/usr/bin/env python3", "/usr/bin/env python3"),
        ("#!/bin/sh\r\n", "/bin/sh"),
        ("echo\n#!/bin/bash\n", "/bin/sh"),
        (" #!/bin/bash\n", "/bin/sh"),
        ("#!\n", "/bin/sh"),
        ("", "/bin/sh"),
    ],
)
def test_the_first_line_names_the_interpreter(script: str, expected: str) -> None:
    assert interpreter(script) == expected


def test_a_script_is_sent_unaltered(make_site: MakeSite) -> None:
    script = "#!/bin/sh\r\n\techo '<caf\u00e9> & \"more\"'\n\n"
    site = make_site({"Probes/odd-name_1": script})
    assert probes(site) == {"odd-name_1": ("/bin/sh", script)}


def test_without_probes_the_answer_is_empty(make_site: MakeSite) -> None:
    assert make_site().core.GetProbes(WEB) == "<probes/>"


def test_folders_are_passed_over(make_site: MakeSite) -> None:
    site = make_site({"Probes/lib/helper": "echo", "Probes/disks": "all"})
    assert list(probes(site)) == ["disks"]
    site.write("Probes/more/helper", "echo")
    assert list(probes(site)) == ["disks"]


def test_files_of_editors_and_of_the_server_are_passed_over_in_silence(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["probed.xml", "probed.xml.broken-12", ".#disks", "disks~", ".disks.tmp", ".disks.swp", ".disks.swx"]
    site = make_site({f"Probes/{name}": "<Probed/>" for name in names})
    assert probes(site) == {}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("name", ["disk.sh", "a b", "disks.G_debian", "disks.H_", "disks.G10_de bian", "x.y.H_web1"])
def test_a_name_that_does_not_fit_is_an_error_line(
    make_site: MakeSite, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site({f"Probes/{name}": "echo", "Probes/good": "echo"})
    assert list(probes(site)) == ["good"]
    assert [record for record in caplog.records if record.levelno == logging.ERROR and name in record.getMessage()]


@pytest.mark.parametrize("content", [b"echo \xff", b"echo \x00", b"echo \x1b[1m"])
def test_a_script_that_cannot_be_sent_is_an_error_line_and_costs_itself_only(
    make_site: MakeSite, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site({"Probes/bad": content, "Probes/good": "echo"})
    assert list(probes(site)) == ["good"]
    assert [record for record in caplog.records if record.levelno == logging.ERROR and "bad" in record.getMessage()]
    site.write("Probes/bad", "mended")
    assert list(probes(site)) == ["bad", "good"]


def test_each_answer_has_elements_of_its_own(make_site: MakeSite) -> None:
    site = make_site({"Probes/disks": "all"})
    plugin = site.plugin("Probes")
    plugin.GetProbes(site.metadata("web1"))[0].text = "changed"
    assert plugin.GetProbes(site.metadata("web1"))[0].text == "all"


# answers


def test_groups_and_data_are_in_force_when_the_upload_is_answered(make_site: MakeSite) -> None:
    site = make_site()
    assert dict(site.metadata("web1").Probes) == {}
    assert upload(site, ("os", "group:debian-12\n6.1\n"), ("cpu", "16\n")) is True
    metadata = site.metadata("web1")
    assert "debian-12" in metadata.groups
    assert "apt" in metadata.bundles
    assert dict(metadata.Probes) == {"os": "6.1\n", "cpu": "16\n"}
    assert metadata.Probes["cpu"].json == 16
    assert dict(site.metadata("db1").Probes) == {}


def test_an_upload_replaces_all_that_was_there(make_site: MakeSite) -> None:
    site = make_site()
    upload(site, ("os", "group:debian-12\ngroup:gpu"), ("cpu", "16"))
    upload(site, ("os", "group:gpu\n"))
    metadata = site.metadata("web1")
    assert "gpu" in metadata.groups
    assert "debian-12" not in metadata.groups
    assert dict(metadata.Probes) == {"os": ""}


def test_a_probe_that_answers_twice_adds_its_groups_and_leaves_its_last_text(make_site: MakeSite) -> None:
    site = make_site()
    upload(site, ("os", "group:one\nfirst"), ("os", "group:two\nsecond"))
    metadata = site.metadata("web1")
    assert {"one", "two"} <= set(metadata.groups)
    assert dict(metadata.Probes) == {"os": "second"}


@pytest.mark.parametrize("first", ["debian-11", "debian-12"])
def test_of_two_groups_of_one_category_the_one_uploaded_first_counts(make_site: MakeSite, first: str) -> None:
    site = make_site()
    second = ({"debian-11", "debian-12"} - {first}).pop()
    upload(site, ("os", f"group:{first}\ngroup:{second}\n"))
    for _ in range(2):
        assert {"debian-11", "debian-12"} & set(site.metadata("web1").groups) == {first}
        site.restart()


def test_everything_is_there_after_a_restart(make_site: MakeSite) -> None:
    site = make_site()
    upload(site, ("os", "group:debian-12\n6.1\n"), ("json", '{"a": 1}'))
    site.restart()
    metadata = site.metadata("web1")
    assert "debian-12" in metadata.groups
    assert dict(metadata.Probes) == {"os": "6.1\n", "json": '{"a": 1}'}
    assert metadata.Probes["json"].json == {"a": 1}


def test_a_probed_group_switches_on_further_probes(make_site: MakeSite) -> None:
    site = make_site({"Probes/serial.G20_kvm": "serial", "Probes/virt": "virt"})
    assert list(probes(site)) == ["virt"]
    upload(site, ("virt", "group:kvm"))
    assert list(probes(site)) == ["serial", "virt"]


def test_an_empty_answer_is_an_info_line_and_an_empty_text(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site()
    with caplog.at_level(logging.INFO):
        upload(site, ("nothing", ""))
    datum = site.metadata("web1").Probes["nothing"]
    assert (datum, datum.xdata, datum.json, datum.yaml) == ("", None, None, None)
    assert [record for record in caplog.records if "nothing" in record.getMessage() and "web1" in record.getMessage()]


def test_an_answer_without_a_name_costs_itself_only(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site()
    site.core.RecvProbeData(
        WEB,
        '<P><probe-data source="Probes">lost</probe-data><probe-data source="Probes" name="a">kept</probe-data></P>',
    )
    assert dict(site.metadata("web1").Probes) == {"a": "kept"}
    assert [record for record in caplog.records if record.levelno == logging.WARNING and "web1" in record.getMessage()]


def test_only_the_leading_text_of_an_answer_counts(make_site: MakeSite) -> None:
    site = make_site()
    site.core.RecvProbeData(
        WEB, '<P><probe-data source="Probes" name="a">a &amp; <![CDATA[<b>]]>&#233;<x>no</x>nor this</probe-data></P>'
    )
    assert dict(site.metadata("web1").Probes) == {"a": "a & <b>\u00e9"}


# allowed groups

ALLOWED = "[probes]\nallowed_groups = debian-(10|11|12) web|db\n    site-\\w+\n"


def test_a_group_counts_if_a_pattern_matches_its_whole_name(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(conf=ALLOWED)
    names = ["debian-12", "debian-120", "xdebian-11", "DEBIAN-10", "web-anything", "site-north", "site-", "payroll"]
    upload(site, ("os", "\n".join(f"group:{name}" for name in names) + "\ntext"))
    metadata = site.metadata("web1")
    assert set(names) & set(metadata.groups) == {"debian-12", "site-north"}
    assert metadata.Probes["os"] == "text"
    warning = next(
        record for record in caplog.records if record.levelno == logging.WARNING and "web1" in record.message
    )
    assert all(name in warning.getMessage() for name in set(names) - {"debian-12", "site-north"})
    stored = etree.parse(site.repo / "Probes" / "probed.xml")
    assert [group.get("name") for group in stored.iter("Group")] == ["debian-12", "site-north"]


def test_an_empty_option_allows_nothing(make_site: MakeSite) -> None:
    site = make_site(conf="[probes]\nallowed_groups =\n")
    upload(site, ("os", "group:debian-12\n"))
    assert "debian-12" not in site.metadata("web1").groups


def test_tightening_the_option_is_effective_for_what_is_stored(make_site: MakeSite) -> None:
    site = make_site()
    upload(site, ("os", "group:debian-12\ngroup:payroll\n"))
    site.conf.write_text(site.conf.read_text() + ALLOWED)
    site.restart()
    assert "payroll" not in site.metadata("web1").groups
    assert "debian-12" in site.metadata("web1").groups


# caches


@pytest.mark.parametrize("mode", ["off", "initial", "cautious", "aggressive"])
def test_cached_metadata_follows_an_upload(make_site: MakeSite, mode: str) -> None:
    site = make_site(conf=f"[caching]\nclient_metadata = {mode}\n")
    other = site.metadata("db1")
    for turn in ("one", "two"):
        site.metadata("web1")
        upload(site, ("p", f"group:{turn}\n{turn}"))
        metadata = site.metadata("web1")
        assert {"one", "two"} & set(metadata.groups) == {turn}
        assert metadata.Probes["p"] == turn
        assert site.metadata("db1").query.by_name("web1").Probes["p"] == turn
    if mode in ("cautious", "aggressive"):
        assert site.metadata("db1") is other


def test_without_a_database_the_plugin_is_left_out(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site(conf="[probes]\nuse_database = yes\n[database]\nname = /proc/nowhere/db\n")
    assert "Probes" not in site.core.plugins
    assert "use_database" in caplog.text
    assert not (site.repo / "Probes" / "probed.xml").exists()
