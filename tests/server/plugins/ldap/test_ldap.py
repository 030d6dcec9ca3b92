"""Ldap: results of a site's LDAP queries as data for templates, from a real slapd."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bcfg2.server.plugins.ldap import LdapConnection, LdapQuery, connection
from tests.server.plugins.ldap.slapd import BIND_DN, BIND_PASSWORD, SLAPD, SUFFIX, Slapd
from tests.support import Site, await_condition, free_port

needs_library = pytest.mark.skipif(
    not connection.available, reason="NOT TESTED: python-ldap is missing, run .ci/services or install bcfg2[ldap]"
)
needs_slapd = pytest.mark.skipif(
    not connection.available or SLAPD is None,
    reason="NOT TESTED: slapd or python-ldap is missing, run .ci/services (Debian: slapd, libldap-dev, libsasl2-dev)",
)

CLIENT = "client.example.com"

#: Made as for the old server: its import names, attributes assigned afterwards, hooks without further arguments.
MODULE = """
from Bcfg2.Server.Plugins.Ldap import LdapConnection, LdapQuery

__queries__ = ["Admins", "Everything", "NotForYou"]

directory = LdapConnection(uri="{uri}")
directory.binddn = "{bind_dn}"
directory.bindpw = "{password}"


class Admins(LdapQuery):
    name = "admins"
    base = "{suffix}"
    scope = "one"
    attrs = ["cn"]
    connection = directory

    def prepare_query(self, metadata):
        self.filter = "(host=%s)" % metadata.hostname

    def process_result(self, metadata):
        with open("{count}", "a") as count:
            count.write(metadata.hostname + chr(10))
        return sorted(attrs["cn"][0].decode() for dn, attrs in self.result)


class Everything(LdapQuery):
    base = "{suffix}"
    connection = directory


class NotForYou(LdapQuery):
    connection = directory

    def is_applicable(self, metadata):
        return metadata.inGroup("no-such-group")
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    server = Slapd(tmp_path_factory.mktemp("slapd")).start()
    yield server
    server.stop()


class Sites:
    """Makes sites with a query module, and shuts them down."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.count = tmp_path / "count"
        self.made: list[Site] = []

    def __call__(self, uri: str, conf: str = "", module: str = MODULE, caching: str = "") -> Site:
        files = {"Ldap/config.py": self.module(uri, module)}
        ldap = f"[ldap]\nretry_delay = 0.05\ntimeout = 5\n{conf}\n{caching}"
        self.made.append(Site(self.tmp_path, files, "Metadata,Bundler,Ldap", ldap))
        return self.made[-1]

    def module(self, uri: str, module: str = MODULE) -> str:
        return module.format(
            uri=uri,
            bind_dn=BIND_DN,
            password=BIND_PASSWORD,
            suffix=SUFFIX,
            count=self.count,
            port=uri.rpartition(":")[2],
        )

    def runs(self) -> int:
        """How often the query `admins` has run."""
        return len(self.count.read_text().splitlines()) if self.count.exists() else 0


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    made = Sites(tmp_path)
    yield made
    for site in made.made:
        site.stop()


def small(query: str) -> str:
    """A module with one query, whose class body is QUERY."""
    head = "from Bcfg2.Server.Plugins.Ldap import LdapConnection, LdapQuery\n__queries__ = ['Q']\n"
    body = ["base = '{suffix}'", "connection = LdapConnection(uri='{uri}')", *query.splitlines()]
    return head + "class Q(LdapQuery):\n" + "".join(f"    {line}\n" for line in body)


@needs_slapd
def test_a_module_of_the_old_server_works_unchanged(sites: Sites, directory: Slapd) -> None:
    found = sites(directory.uri).metadata().Ldap
    assert found["admins"] == ["alice", "bob"]
    entries = dict(found["Everything"])
    assert entries[f"cn=bob,{SUFFIX}"] == {
        "objectClass": [b"admin"],
        "cn": [b"bob"],
        "host": [b"client.example.com", b"other.example.com"],
    }
    assert f"cn=carol,cn=bob,{SUFFIX}" in entries  # to be seen only by those who have said who they are
    assert set(found) == {"admins", "Everything"}
    assert "NotForYou" not in found
    assert found.get("NotForYou", "nothing") == "nothing"
    assert found.get("unknown") is None


@needs_slapd
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("scope = 'base'", {"example"}),
        ("scope = 'one'", {"alice", "bob"}),
        ("scope = 'sub'", {"example", "alice", "bob"}),
        ("filter = '(cn=a*)'", {"alice"}),
        (f"base = 'cn=bob,{SUFFIX}'", {"bob"}),
        ("connection = LdapConnection('127.0.0.1', {port})", {"example", "alice", "bob"}),
        ("connection = LdapConnection('no.such.host.invalid', 1, '{uri}')", {"example", "alice", "bob"}),
    ],
)
def test_a_query_asks_for_what_its_class_says(sites: Sites, directory: Slapd, query: str, names: set[str]) -> None:
    found = sites(directory.uri, module=small(query)).metadata().Ldap["Q"]
    assert {dn.split(",")[0].partition("=")[2] for dn, _ in found} == names


@needs_slapd
def test_options_of_python_ldap_are_set(sites: Sites, directory: Slapd, caplog: pytest.LogCaptureFixture) -> None:
    options = "options={{ldap.OPT_PROTOCOL_VERSION: 2}}, binddn='{bind_dn}', bindpw='{password}'"
    module = small(f"import ldap\nconnection = LdapConnection(uri='{{uri}}', {options})")
    assert sites(directory.uri, module=module).metadata().Ldap["Q"] is None
    assert "historical protocol version requested" in caplog.text


@needs_slapd
def test_helpers_get_further_arguments(sites: Sites, directory: Slapd) -> None:
    module = small(
        "def prepare_query(self, metadata, who='nobody'):\n"
        "    self.filter = f'(cn={{who}})'\n"
        "def process_result(self, metadata, who='nobody'):\n"
        "    return [dn for dn, _ in self.result]"
    ).replace("__queries__ = ['Q']", "__queries__ = ['R']")
    module += "class R(Q):\n    def get_result(self, metadata):\n        return Q().get_result(metadata, who='alice')\n"
    assert dict(sites(directory.uri, module=module).metadata().Ldap) == {"R": [f"cn=alice,{SUFFIX}"]}


@needs_slapd
def test_templates_see_the_results(sites: Sites, directory: Slapd) -> None:
    pytest.importorskip("genshi", reason="Genshi is not installed")
    site = sites(directory.uri)
    site.write(
        "Bundler/base.xml",
        '<Bundle xmlns:py="http://genshi.edgewall.org/"><py:for each="name in metadata.Ldap[\'admins\']">'
        '<Package name="$name"/></py:for></Bundle>',
    )
    assert [entry.get("name") for entry in site.config().iter("Package")] == ["alice", "bob"]


@needs_slapd
def test_results_are_kept_until_the_clients_next_run(sites: Sites, directory: Slapd) -> None:
    site = sites(directory.uri)
    for expected in (1, 2):
        for _ in range(3):
            assert site.metadata().Ldap["admins"] == ["alice", "bob"]
            assert sites.runs() == expected
        site.plugin("Ldap").start_client_run(SimpleNamespace(hostname="other.example.com"))
        assert site.metadata().Ldap["admins"] and sites.runs() == expected
        site.config()


@needs_slapd
def test_a_run_sees_fresh_results_although_something_asked_before_it_began(sites: Sites, directory: Slapd) -> None:
    site = sites(directory.uri)
    with site.core.request():
        metadata = site.core.build_metadata(CLIENT)
        assert metadata.Ldap["admins"] and metadata.Ldap["admins"] and sites.runs() == 1
        site.plugin("Ldap").start_client_run(metadata)
        assert metadata.Ldap["admins"] and metadata.Ldap["admins"] and sites.runs() == 2


@needs_slapd
def test_with_cache_on_only_expire_cache_drops_results(sites: Sites, directory: Slapd) -> None:
    site = sites(directory.uri, "cache = yes", caching="[caching]\nclient_metadata = aggressive")
    expire = site.core.rmi["Ldap.expire_cache"]
    for arguments, expected in [
        ((), 1),
        (("Everything",), 1),
        (("admins",), 2),
        (("admins", "other.example.com"), 2),
        (("admins", CLIENT), 3),
        ((None, CLIENT), 4),
        ((), 5),
    ]:
        expire(*arguments)
        site.config()
        assert site.metadata().Ldap["admins"] == ["alice", "bob"]
        assert sites.runs() == expected


@needs_slapd
def test_with_cache_off_each_request_has_its_own_result(sites: Sites, directory: Slapd) -> None:
    site = sites(directory.uri, "cache = no")
    for expected in (1, 2):
        with site.core.request():
            metadata = site.core.build_metadata(CLIENT)
            assert metadata.Ldap["admins"] == metadata.Ldap["admins"]
        assert sites.runs() == expected


@needs_slapd
def test_what_a_template_does_to_a_result_stays_there(sites: Sites, directory: Slapd) -> None:
    site = sites(directory.uri, "cache = yes")
    with site.core.request():
        found = site.core.build_metadata(CLIENT).Ldap
        found["admins"].append("mallory")
        assert found["admins"] == ["alice", "bob"]
    assert site.metadata().Ldap["admins"] == ["alice", "bob"]


@needs_slapd
def test_a_changed_module_takes_effect_and_a_broken_one_does_not(
    sites: Sites, directory: Slapd, caplog: pytest.LogCaptureFixture
) -> None:
    site = sites(directory.uri, "cache = yes", caching="[caching]\nclient_metadata = aggressive")
    assert site.metadata().Ldap["admins"] == ["alice", "bob"]
    site.write("Ldap/config.py", sites.module(directory.uri).replace('scope = "one"', 'scope = "base"'))
    assert site.metadata().Ldap["admins"] == []
    for broken, why in [
        ("import nothing_of_this_name", "line 1: ModuleNotFoundError"),
        ("x = 1", "no list __queries__"),
        ("__queries__ = ['Missing']", "Missing in __queries__ is no class"),
        ("__queries__ = 5", "__queries__ is no list of names"),
    ]:
        site.write("Ldap/config.py", broken)
        assert f"Cannot use {site.repo}/Ldap/config.py, keeping what was read before: " in caplog.text
        assert why in caplog.text
        assert set(site.metadata().Ldap) == {"admins", "Everything"}
    site.delete("Ldap/config.py")
    assert dict(site.metadata().Ldap) == {}


@needs_slapd
@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("filter = '(('", "FILTER_ERROR"),
        ("base = 'dc=elsewhere'", "NO_SUCH_OBJECT"),
        ("connection = LdapConnection(uri='{uri}', binddn='{bind_dn}', bindpw='wrong-secret')", "INVALID_CREDENTIALS"),
        ("connection = None", "the query Q has no connection"),
        ("scope = 'subtree'", "the scope 'subtree' is not one of sub, one, base"),
        ("def prepare_query(self, metadata): 1 / 0", "ZeroDivisionError"),
        ("def process_result(self, metadata): raise SystemError('site')", "SystemError: site"),
        ("def is_applicable(self, metadata): return metadata.nothing", "has no attribute 'nothing'"),
    ],
)
def test_a_query_that_fails_is_none_and_is_logged_with_its_trace(
    sites: Sites, directory: Slapd, caplog: pytest.LogCaptureFixture, query: str, why: str
) -> None:
    site = sites(directory.uri, module=small(query))
    with site.core.request():
        metadata = site.core.build_metadata(CLIENT)
        assert dict(metadata.Ldap) == {"Q": None}
        assert metadata.Ldap["Q"] is None
    (record,) = [record for record in caplog.records if record.name == "bcfg2.Ldap" and record.levelno >= logging.ERROR]
    assert record.message == f"The query Q of {site.repo}/Ldap/config.py failed for {CLIENT}"
    assert record.exc_info and why in caplog.text
    assert "secret" not in caplog.text
    assert "base" in site.metadata().bundles


@needs_slapd
def test_a_server_that_was_started_again_is_used_at_once(
    sites: Sites, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Slapd(tmp_path / "slapd").start()
    try:
        site = sites(server.uri, "cache = no\nretries = 0")
        assert site.metadata().Ldap["admins"] == ["alice", "bob"]
        server.stop()
        server.start()
        assert site.metadata().Ldap["admins"] == ["alice", "bob"]
        assert not [record for record in caplog.records if record.name == "bcfg2.Ldap"]
    finally:
        server.stop()


@needs_slapd
def test_a_server_that_is_down_is_tried_again(sites: Sites, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Slapd(tmp_path / "slapd")
    site = sites(server.uri, "retries = 1000")
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append(site.metadata().Ldap["admins"]))
    asking.start()
    try:
        await_condition(lambda: "is down (Can't contact LDAP server" in caplog.text)
        assert f"{server.uri} is down" in caplog.text and "trying again in 0.05 s" in caplog.text
        server.start()
        asking.join(20)
        assert found == [["alice", "bob"]]
    finally:
        site.core.terminate.set()
        server.stop()
        asking.join(20)


@needs_library
def test_a_server_that_stays_down_is_given_up_once_in_a_request(sites: Sites, caplog: pytest.LogCaptureFixture) -> None:
    site = sites(f"ldap://127.0.0.1:{free_port()}", "retries = 2\ncache = yes")
    with site.core.request():
        metadata = site.core.build_metadata(CLIENT)
        assert metadata.Ldap["Everything"] is None
        assert metadata.Ldap["admins"] is None  # whose process_result() expects a list
    lines = [record.levelname for record in caplog.records if "is down" in record.message]
    assert lines == ["WARNING", "WARNING", "ERROR"]
    assert "giving up" in caplog.text
    site.metadata().Ldap["Everything"]  # what is not known is not kept
    assert len([record for record in caplog.records if "giving up" in record.message]) == 2


@needs_library
def test_stopping_the_server_ends_the_waiting_for_ldap(sites: Sites, caplog: pytest.LogCaptureFixture) -> None:
    site = sites(f"ldap://127.0.0.1:{free_port()}", "retry_delay = 1000")
    asking = threading.Thread(target=lambda: site.metadata().Ldap["Everything"])
    asking.start()
    await_condition(lambda: "is down" in caplog.text)
    site.core.terminate.set()
    asking.join(20)
    assert not asking.is_alive()


class Silent:
    """A server that accepts connections and says nothing."""

    def __enter__(self) -> int:
        self.listener = socket.create_server(("127.0.0.1", 0))
        port: int = self.listener.getsockname()[1]
        return port

    def __exit__(self, *_error: object) -> None:
        self.listener.close()


@needs_library
@pytest.mark.parametrize("kind", ["search", "bind", "tls"])
def test_a_silent_server_costs_no_more_than_the_timeouts(sites: Sites, kind: str) -> None:
    with Silent() as port:
        query = "connection = LdapConnection(uri='{uri}'" + (", binddn='a=b', bindpw='c')" if kind == "bind" else ")")
        uri = f"{'ldaps' if kind == 'tls' else 'ldap'}://127.0.0.1:{port}"
        site = sites(uri, "timeout = 0.3\nretries = 1", small(query))
        begun = time.monotonic()
        assert site.metadata().Ldap["Q"] is None
        assert 0.25 < time.monotonic() - begun < 5


@needs_slapd
def test_a_hanging_server_holds_up_only_those_who_need_it(sites: Sites, directory: Slapd) -> None:
    module = small("scope = 'one'") + "class R(Q):\n    connection = LdapConnection(uri='ldap://127.0.0.1:{silent}')\n"
    module = module.replace("['Q']", "['Q', 'R']")
    with Silent() as port:
        site = sites(directory.uri, "timeout = 30\nretries = 0", module.replace("{silent}", str(port)))
        held = [threading.Thread(target=lambda: site.metadata().Ldap["R"], daemon=True) for _ in range(3)]
        for thread in held:
            thread.start()
        begun = time.monotonic()
        for _ in range(5):
            assert len(site.metadata().Ldap["Q"]) == 2
            assert site.config().tag == "Configuration"
        assert time.monotonic() - begun < 10
        assert all(thread.is_alive() for thread in held)
    for thread in held:
        thread.join(40)


@needs_slapd
def test_queries_of_one_connection_do_not_wait_for_each_other(sites: Sites, directory: Slapd) -> None:
    site, shared, meeting = sites(directory.uri), LdapConnection(uri=directory.uri), threading.Barrier(3)

    class Meeting(LdapQuery):
        base = SUFFIX

        @property
        def filter(self) -> str:  # type: ignore[override]
            meeting.wait(20)  # with a handle in hand
            return "(cn=alice)"

    found: list[Any] = []

    def ask() -> None:
        with site.core.request():
            found.extend(shared.run_query(Meeting()) or [])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [dn for dn, _ in found] == [f"cn=alice,{SUFFIX}"] * 3


@pytest.mark.parametrize(
    ("arguments", "url"),
    [
        ({}, "ldap://localhost:389"),
        ({"host": "a.example.com", "port": 636}, "ldaps://a.example.com:636"),
        ({"host": "a", "port": 3389}, "ldap://a:3389"),
        ({"host": "2001:db8::1"}, "ldap://[2001:db8::1]:389"),
        ({"host": "a", "port": 1, "uri": "ldapi:///"}, "ldapi:///"),
    ],
)
def test_the_url_of_a_connection(arguments: dict[str, Any], url: str) -> None:
    assert LdapConnection(**arguments).url == url


def test_without_the_library_the_plugin_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "available", False)
    site = Site(tmp_path, plugins="Metadata,Bundler,Ldap")
    assert "Ldap" not in site.core.plugins
    assert "Plugin Ldap is not loaded: Ldap needs python-ldap: install bcfg2[ldap]" in caplog.text
