"""The example site: what its two clients get, and that every feature in it does what its comments say."""

import re
from pathlib import Path

import pytest
from lxml import etree

from bcfg2.server.plugin.interfaces import ClientAddress
from bcfg2.xml import Element
from tests.support import Site

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = {
    str(path.relative_to(EXAMPLES / "site")): path.read_bytes()
    for path in sorted((EXAMPLES / "site").rglob("*"))
    if path.is_file()
}
CONF = re.sub(
    r"(?ms)^\[(server|components|communication|logging)\].*?(?=^\[)", "", (EXAMPLES / "site.conf").read_text()
)
WEB, DATABASE = "www1.example.com", "db1.example.com"
ADDRESSES = {WEB: ClientAddress(("127.0.0.11", 1024)), DATABASE: ClientAddress(("127.0.0.12", 1024))}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    plugins = "Bundler,Cfg,Decisions,Metadata,Probes,Properties,Rules"
    return Site(tmp_path, FILES, plugins, CONF)


def probed(site: Site, host: str, **outputs: str) -> Element:
    """The configuration of HOST after its probes have printed OUTPUTS."""
    data = etree.Element("ProbeData")
    for name, output in outputs.items():
        etree.SubElement(data, "probe-data", name=name, source="Probes").text = output
    with site.core.request():
        site.core.RecvProbeData(ADDRESSES[host], etree.tostring(data, encoding="unicode"))
    return site.config(host)


def entries(config: Element) -> dict[str, Element]:
    return {f"{entry.tag} {entry.get('name')}": entry for bundle in config for entry in bundle}


@pytest.mark.parametrize("os", ["", "group:debian\nDebian 12\n", "group:redhat\nRocky 9\n"])
@pytest.mark.parametrize("host", [WEB, DATABASE])
def test_every_entry_is_bound_on_every_system(site: Site, host: str, os: str) -> None:
    config = probed(site, host, os=os, cpus="4\n", space="100\n") if os else site.config(host)
    assert {name: entry.get("failure") for name, entry in entries(config).items() if entry.get("failure")} == {}


def test_each_client_has_the_bundles_of_its_profile(site: Site) -> None:
    common = {"base", "ntp", "ssh", "monitoring"}
    assert {bundle.get("name") for bundle in site.config(WEB)} == common | {"nginx"}
    assert {bundle.get("name") for bundle in site.config(DATABASE)} == common | {"postgresql", "backup"}


def test_a_new_machine_is_in_staging_and_not_monitored(site: Site) -> None:
    metadata = site.metadata("new.example.com")
    assert metadata.profile == "new-machine"
    assert {"server", "staging"} <= set(metadata.groups)
    assert not metadata.inGroup("monitored")
    assert entries(site.config("new.example.com"))["Path /etc/ssh/sshd_config"].get("mode") == "0644"


def test_the_operating_system_decides_package_types_and_names_of_services(site: Site) -> None:
    debian = entries(probed(site, WEB, os="group:debian\n"))
    redhat = entries(probed(site, WEB, os="group:redhat\n"))
    assert debian["Package nginx"].get("type") == "deb"
    assert "Service ssh" in debian
    assert redhat["Package nginx"].get("type") == "yum"
    assert {"Service sshd", "Service chronyd", "Path /etc/chrony.conf"} <= set(redhat)


def test_pinned_versions_go_before_the_general_rule(site: Site) -> None:
    assert entries(site.config(DATABASE))["Package postgresql"].get("version") == "15+248"


def test_probes_may_give_only_the_groups_of_operating_systems(site: Site) -> None:
    probed(site, WEB, os="group:debian\ngroup:os-debian-12\ngroup:database-server\ngroup:time-server\n")
    groups = site.metadata(WEB).groups
    assert {"debian", "os-debian-12"} <= set(groups)
    assert not {"database-server", "time-server"} & set(groups)


def test_templates_use_probes_properties_and_other_clients(site: Site) -> None:
    web = entries(probed(site, WEB, os="Testix 1\n", cpus="6\n"))
    assert "worker_processes 6;" in (web["Path /etc/nginx/nginx.conf"].text or "")
    assert "It runs Testix 1." in (web["Path /etc/motd"].text or "")
    assert (web["Path /etc/chrony/chrony.conf"].text or "").startswith("server db1.example.com iburst\ndriftfile")
    sites = web["Path /etc/nginx/conf.d/sites.conf"].text or ""
    assert re.findall(r"server_name (\S+);", sites) == ["www.example.com", "api.example.com"]
    assert sites.count("proxy_pass") == 1
    database = entries(probed(site, DATABASE, space="50000\n"))
    assert "127.0.0.11/32  scram-sha-256  # www1.example.com\n" in (
        database["Path /etc/postgresql/pg_hba.conf"].text or ""
    )
    assert "keep_days = 14" in (database["Path /etc/backup.conf"].text or "")


def test_templates_do_without_probes(site: Site) -> None:
    assert "worker_processes auto;" in (entries(site.config(WEB))["Path /etc/nginx/nginx.conf"].text or "")
    assert "keep_days = 3" in (entries(site.config(DATABASE))["Path /etc/backup.conf"].text or "")


def test_versions_for_a_host_and_for_a_group_go_before_the_one_for_all(site: Site) -> None:
    database = entries(site.config(DATABASE))
    assert "Think before you type" in (database["Path /etc/motd"].text or "")
    assert "AllowGroups admins dba" in (database["Path /etc/ssh/sshd_config"].text or "")
    assert "max_connections = 400" in (database["Path /etc/postgresql/conf.d/site.conf"].text or "")
    assert (database["Path /etc/chrony/chrony.conf"].text or "").startswith("pool pool.ntp.org")


def test_each_client_has_its_own_checks(site: Site) -> None:
    def checks(host: str) -> set[str]:
        return {name.split("/")[-1] for name in entries(site.config(host)) if "/etc/monitoring/checks/" in name}

    assert checks(WEB) == {"load.conf", "disk.conf", "http.conf"}
    assert checks(DATABASE) == {"load.conf", "disk.conf", "postgresql.conf"}
    assert entries(site.config(WEB))["Path /etc/monitoring/checks/disk.conf"].text == (
        "command = check_disk -w 10% -c 5%\nevery = 10m\n"
    )


def test_the_check_keeps_a_careless_sudoers_file_from_clients(site: Site) -> None:
    site.write("Cfg/etc/sudoers.d/admins/admins", "%admins ALL=(ALL) NOPASSWD: ALL\n")
    assert "NOPASSWD" in (entries(site.config(WEB))["Path /etc/sudoers.d/admins"].get("failure") or "")
    assert entries(site.config(DATABASE))["Path /etc/sudoers.d/admins"].get("failure") is None


def test_conditions_inside_an_entry_count(site: Site) -> None:
    user = entries(site.config(DATABASE))["POSIXUser postgres"]
    assert [child.get("group") for child in user] == ["backup"]


def test_databases_are_left_alone_by_agents_with_a_blacklist(site: Site) -> None:
    with site.core.request():
        assert ["Service", "postgresql"] in site.core.GetDecisionList(ADDRESSES[DATABASE], "blacklist")
        assert site.core.GetDecisionList(ADDRESSES[WEB], "blacklist") == []
        assert ["Path", "/etc/motd"] in site.core.GetDecisionList(ADDRESSES[WEB], "whitelist")


def test_only_databases_are_asked_for_free_space(site: Site) -> None:
    def names(host: str) -> set[str | None]:
        with site.core.request():
            return {probe.get("name") for probe in etree.fromstring(site.core.GetProbes(ADDRESSES[host]))}

    assert names(WEB) == {"os", "cpus"}
    assert names(DATABASE) == {"os", "cpus", "space"}
