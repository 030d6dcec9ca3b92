"""The ACL plugin: rules by address and by client, patterns, and files that cannot be used."""

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.server.plugins.acl import method_matcher, parse_network
from tests.support import Site

CLIENTS = (
    '<Clients><Client name="client.example.com" profile="basic" address="127.0.0.2"/>'
    '<Client name="localhost" profile="basic" address="127.0.0.1"/></Clients>'
)


@pytest.mark.parametrize(
    ("pattern", "method", "matches"),
    [
        ("*", "GetConfig", True),
        ("*", "Metadata.x", False),
        ("*.*", "Metadata.x", True),
        ("*.*", "a.b.c", False),
        ("*_debug", "set_core_debug", True),
        ("Get*", "GetConfig", True),
        ("Get*", "xGetConfig", False),
        ("Metadata.*", "Metadata.list_clients", True),
        ("GetConfig", "Get*", False),
        ("Get.onfig", "GetConfig", False),
    ],
)
def test_method_patterns(pattern, method, matches):
    assert bool(method_matcher(pattern)(method)) is matches


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 32))
def test_a_prefix_holds_what_the_standard_library_says(base, caller, prefix):
    network = parse_network(str(base), str(prefix))
    assert network.holds(caller) == (caller in ipaddress.ip_network((base, prefix), strict=False))


def test_masks_may_be_dotted_and_need_not_be_contiguous():
    network = parse_network("10.1.2.3", "255.0.255.0")
    assert network.holds(ipaddress.ip_address("10.99.2.77"))
    assert not network.holds(ipaddress.ip_address("10.1.3.3"))
    assert not network.holds(ipaddress.ip_address("::1"))


@pytest.mark.parametrize(
    ("address", "netmask"), [("10.0.0.300", None), ("10.0.0.0", "33"), ("10.0.0.0", "x"), (None, "8")]
)
def test_bad_networks_are_refused(address, netmask):
    with pytest.raises(ValueError, match="."):
        parse_network(address, netmask)


@pytest.fixture
def allowed(tmp_path):
    sites = []

    def make(ip=None, metadata=None):
        files = {"Metadata/clients.xml": CLIENTS}
        if ip is not None:
            files["ACL/ip.xml"] = ip
        if metadata is not None:
            files["ACL/metadata.xml"] = metadata
        sites.append(Site(tmp_path, files, plugins="Metadata,ACL"))
        core = sites[-1].core
        return lambda address, method: core.check_acls((address, 1), method)

    make.sites = sites
    yield make
    for site in sites:
        site.stop()


def test_the_first_matching_rule_decides_and_included_acls_count(allowed):
    may = allowed(
        '<ACL><ACL><Deny address="127.0.0.2" method="GetConfig"/></ACL><Allow method="*"/><Odd method="*.*"/></ACL>'
    )
    assert not may("127.0.0.2", "GetConfig")
    assert may("127.0.0.2", "GetProbes")
    assert not may("127.0.0.2", "Metadata.list_clients")
    assert not may("127.0.0.1", "Metadata.list_clients")


def test_what_neither_file_decides_is_as_if_there_were_no_plugin(allowed):
    may = allowed('<ACL><Allow address="127.0.0.9" method="*.*"/></ACL>')
    assert may("127.0.0.2", "GetConfig")
    assert not may("127.0.0.2", "Metadata.list_clients")
    assert may("127.0.0.1", "Metadata.list_clients")
    assert may("127.0.0.9", "Metadata.list_clients")


def test_without_files_the_default_rules_hold(allowed):
    may = allowed()
    assert may("127.0.0.1", "toggle_debug")
    assert may("127.0.0.2", "GetConfig")
    assert not may("127.0.0.2", "toggle_debug")


def test_metadata_rules_go_by_group_and_name_and_deny_what_they_do_not_mention(allowed):
    may = allowed(
        metadata='<ACL><Group name="basic"><Allow method="GetConfig"/></Group>'
        '<Client name="localhost"><Deny method="GetProbes"/></Client></ACL>'
    )
    assert may("127.0.0.2", "GetConfig")
    assert not may("127.0.0.2", "GetProbes")
    assert not may("127.0.0.1", "GetProbes")
    assert may("127.0.0.1", "RecvStats")
    assert not may("127.0.0.77", "GetConfig")


def test_defer_leaves_it_to_metadata(allowed):
    may = allowed(
        '<ACL><Defer address="127.0.0.2" method="GetConfig"/><Allow method="*"/></ACL>',
        '<ACL><Deny method="GetConfig"/></ACL>',
    )
    assert not may("127.0.0.2", "GetConfig")
    assert may("127.0.0.3", "GetConfig")


@pytest.mark.parametrize("broken", ["<ACL><Allow", '<ACL><Allow method="*" address="nowhere"/></ACL>'])
def test_a_broken_file_denies_everything_if_it_never_was_good(allowed, broken):
    may = allowed(broken)
    assert not may("127.0.0.2", "GetConfig")
    assert not may("127.0.0.1", "GetConfig")


def test_broken_metadata_rules_deny_everything_that_comes_to_them(allowed):
    may = allowed(metadata="<ACL><Allow")
    assert not may("127.0.0.2", "GetConfig")


def test_a_file_that_breaks_or_goes_away_leaves_the_last_good_rules_in_force(allowed):
    may = allowed('<ACL><Deny method="GetConfig"/></ACL>')
    site = allowed.sites[0]
    site.write("ACL/ip.xml", "<ACL>")
    assert not may("127.0.0.2", "GetConfig")
    site.delete("ACL/ip.xml")
    assert not may("127.0.0.2", "GetConfig")
    site.write("ACL/ip.xml", "<ACL/>")
    assert may("127.0.0.2", "GetConfig")


@pytest.mark.parametrize(
    "slip",
    [
        '<Alow method="*"/>',
        '<Allow method="*" adress="127.0.0.9"/>',
        '<Allow method="*" address="127.0.0.9" netmsk="32"/>',
        '<Rules><Allow method="*"/></Rules>',
        '<Group name="basic"><Allow method="*"/></Group>',
    ],
)
def test_a_slip_in_ip_rules_is_refused_with_its_line(allowed, caplog, slip):
    may = allowed(f"<ACL>\n{slip}</ACL>")
    assert not may("127.0.0.2", "GetProbes")
    assert re.search(r"ACL/ip\.xml:2: <\w+> ", caplog.text)
    site = allowed.sites[0]
    site.write("ACL/ip.xml", '<ACL><Allow method="GetProbes"/></ACL>')
    assert may("127.0.0.2", "GetProbes")
    site.write("ACL/ip.xml", f"<ACL>\n\n{slip}</ACL>")
    assert may("127.0.0.2", "GetProbes") and not may("127.0.0.2", "toggle_debug")


@pytest.mark.parametrize(
    "slip",
    [
        '<Allw method="*"/>',
        '<Grp name="ops"><Allow method="*"/></Grp>',
        '<Role name="ops"><Allow method="*"/></Role>',
        '<Group name="basic" negat="true"><Allow method="*"/></Group>',
    ],
)
def test_a_slip_in_metadata_rules_denies_what_comes_to_them(allowed, caplog, slip):
    may = allowed(metadata=f"<ACL>\n{slip}</ACL>")
    assert not may("127.0.0.2", "GetProbes")
    assert re.search(r"ACL/metadata\.xml:2: <\w+> ", caplog.text)


def test_an_unknown_rule_denies_as_ever_with_a_warning(allowed, caplog):
    may = allowed('<ACL><Reject method="GetConfig"/><Allow method="*"/></ACL>')
    assert may("127.0.0.2", "GetProbes") and not may("127.0.0.2", "GetConfig")
    assert [record.levelname for record in caplog.records if "<Reject> is not known" in record.getMessage()] == [
        "WARNING"
    ]
