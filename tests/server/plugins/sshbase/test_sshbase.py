"""SSHbase: host keys, and the list of those of all hosts."""

import base64
import logging
import os
import threading
from pathlib import Path

import pytest

from bcfg2.server.plugins.sshbase import resolver
from bcfg2.xml import Element
from tests.support import Site

CLIENTS = """<Clients>
  <Client name="web2.example.com" profile="web" address="127.0.0.4"/>
  <Client name="web1.example.com" profile="web" address="127.0.0.3">
    <Alias name="www.example.com" address="10.0.0.9"/>
  </Client>
  <Client name="client.example.com" profile="basic" address="127.0.0.2"/>
</Clients>"""
GROUPS = """<Groups>
  <Group name="basic" profile="true" public="true"><Bundle name="base"/></Group>
  <Group name="web" profile="true" public="true"><Bundle name="base"/></Group>
</Groups>"""
ED25519 = "/etc/ssh/ssh_host_ed25519_key"
LIST = "/etc/ssh/ssh_known_hosts"
LOCAL = "localhost,localhost.localdomain,127.0.0.1"
CLIENT_NAMES = "127.0.0.2,client,client.example.com"
WEB1_NAMES = "10.0.0.9,127.0.0.3,web1,web1.example.com,www,www.example.com"
WEB2_NAMES = "127.0.0.4,web2,web2.example.com"


def make(tmp_path: Path, files: dict[str, str | bytes], paths: tuple[str, ...] = (), conf: str = "dns = no") -> Site:
    entries = "".join(f'<Path name="{path}"/>' for path in paths)
    return Site(
        tmp_path,
        {
            "Metadata/clients.xml": CLIENTS,
            "Metadata/groups.xml": GROUPS,
            "Bundler/base.xml": f"<Bundle>{entries}</Bundle>",
            **{f"SSHbase/{name}": content for name, content in files.items()},
        },
        "Metadata,Bundler,SSHbase",
        f"[sshbase]\n{conf}",
    )


def known(site: Site, host: str = "client.example.com") -> list[str]:
    text = site.entry("Path", LIST, host).text or ""
    assert not text or text.endswith("\n")
    return text.splitlines()


def attributes(entry: Element) -> dict[str, str]:
    return {name: value for name, value in entry.attrib.items() if name != "name"}


# handing out


def test_the_best_file_is_handed_out_with_its_attributes(tmp_path: Path) -> None:
    site = make(
        tmp_path,
        {
            "ssh_host_ed25519_key": "ALL\n",
            "ssh_host_ed25519_key.G10_web": "WEB\n",
            "ssh_host_ed25519_key.H_web1.example.com": "WEB1",
            "ssh_host_ed25519_key.pub": "PUBLIC\n",
        },
        (ED25519, f"{ED25519}.pub"),
    )
    hosts = ("client.example.com", "web2.example.com", "web1.example.com")
    assert [site.entry("Path", ED25519, host).text for host in hosts] == ["ALL\n", "WEB\n", "WEB1"]
    private, public = (site.entry("Path", name) for name in (ED25519, f"{ED25519}.pub"))
    assert attributes(private) == {"owner": "root", "group": "root", "mode": "0600", "type": "file"}
    assert attributes(public) == {"owner": "root", "group": "root", "mode": "0644", "type": "file"}


def test_info_xml_tells_entries_apart_by_their_paths(tmp_path: Path) -> None:
    info = f'<FileInfo><Path name="{ED25519}"><Info mode="0640" sensitive="true"/></Path><Info owner="bin"/></FileInfo>'
    files: dict[str, str | bytes] = {
        "ssh_host_ed25519_key": "ALL",
        "ssh_host_ed25519_key.pub": "",
        "info.xml": info,
    }
    site = make(tmp_path, files, (ED25519, f"{ED25519}.pub"))
    assert site.entry("Path", ED25519).get("mode") == "0640"
    public = site.entry("Path", f"{ED25519}.pub")
    assert (public.get("owner"), public.get("empty")) == ("bin", "true")
    site.delete("SSHbase/info.xml")
    assert site.entry("Path", ED25519).get("mode") == "0600"


def test_keys_of_the_first_protocol_are_sent_in_base64(tmp_path: Path) -> None:
    name = "/etc/ssh/ssh_host_key"
    entry = make(tmp_path, {"ssh_host_key": b"SSH\0\xff"}, (name,)).entry("Path", name)
    assert base64.b64decode(entry.text or "") == b"SSH\0\xff"


def test_files_that_do_not_belong_there_are_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = make(tmp_path, {"README": "", "ssh_host_rsa_key.old": "", "ssh_host_rsa_keys": ""})
    site.write("SSHbase/README", "more")
    told = [record.getMessage() for record in caplog.records if "is ignored" in record.getMessage()]
    assert [message.split(" ")[0].rsplit("/", 1)[1] for message in told] == [
        "README",
        "ssh_host_rsa_key.old",
        "ssh_host_rsa_keys",
    ]


def test_the_connector_gives_templates_the_public_keys(tmp_path: Path) -> None:
    site = make(tmp_path, {"ssh_host_rsa_key.pub.G1_web": "RSA\n", "ssh_host_rsa_key": "PRIVATE"})
    assert site.metadata("web1.example.com").SSHbase == {"ssh_host_rsa_key.pub": "RSA\n"}
    assert site.metadata().SSHbase == {}


# making


def test_a_pair_is_made_for_the_host_and_kept(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    from bcfg2.server.pki import sshkeys

    site = make(tmp_path, {}, (f"{ED25519}.pub", ED25519))
    public, private = (site.entry("Path", name).text or "" for name in (f"{ED25519}.pub", ED25519))
    assert public == f"{sshkeys.public_half(private.encode())} root@client.example.com\n"
    assert sorted(os.listdir(site.repo / "SSHbase")) == [
        "ssh_host_ed25519_key.H_client.example.com",
        "ssh_host_ed25519_key.pub.H_client.example.com",
    ]
    site.restart()
    assert site.entry("Path", ED25519).text == private
    assert site.entry("Path", ED25519, "web1.example.com").text != private


@pytest.mark.builds_once
def test_a_pair_is_known_to_the_others_at_once(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    site = make(tmp_path, {}, (LIST, f"{ED25519}.pub"))
    assert known(site, "web1.example.com") == []
    key = (site.entry("Path", f"{ED25519}.pub").text or "").strip()
    assert f"{CLIENT_NAMES} {key}" in known(site, "web1.example.com")


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_the_name_tells_the_kind(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    name = f"/etc/ssh/ssh_host_{kind}_key.pub"
    assert kind in (make(tmp_path, {}, (name,)).entry("Path", name).text or "").split(" ")[0]


@pytest.mark.parametrize("name", ["/etc/ssh/ssh_host_dsa_key", "/etc/ssh/ssh_host_key"])
def test_kinds_of_the_past_are_not_made(tmp_path: Path, name: str) -> None:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    site = make(tmp_path, {}, (name,))
    assert "are not made" in site.entry("Path", name).get("failure", "")
    assert os.listdir(site.repo / "SSHbase") == []


def test_private_keys_are_encrypted_with_the_passphrase_of_the_section(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    site = make(tmp_path, {}, (ED25519,), "dns = no\npassphrase = keys\n[encryption]\nkeys = secret")
    private = site.entry("Path", ED25519).text
    assert sorted(os.listdir(site.repo / "SSHbase")) == [
        "ssh_host_ed25519_key.H_client.example.com.crypt",
        "ssh_host_ed25519_key.pub.H_client.example.com",
    ]
    site.restart()
    assert site.entry("Path", ED25519).text == private


def test_an_encrypted_key_that_does_not_open_fails_its_entry(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    entry = make(tmp_path, {"ssh_host_ed25519_key.crypt": "U2FsdGVkX19jdXQ="}, (ED25519,)).entry("Path", ED25519)
    assert "cannot be decrypted" in entry.get("failure", "")
    assert entry.text is None


def test_a_public_half_that_is_missing_is_taken_from_the_private_key(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    from bcfg2.server.pki import sshkeys

    pair = sshkeys.generate("ed25519")
    site = make(tmp_path, {"ssh_host_ed25519_key.G20_web": pair.private}, (f"{ED25519}.pub", ED25519))
    public = site.entry("Path", f"{ED25519}.pub", "web1.example.com").text
    assert public == f"{pair.public} root@web1.example.com\n"
    assert (site.repo / "SSHbase/ssh_host_ed25519_key.pub.G20_web").read_text() == public
    assert site.entry("Path", ED25519, "web1.example.com").text == pair.private.decode()


def test_a_deleted_key_is_replaced_at_once_although_nobody_has_told_of_it(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    site = make(tmp_path, {}, (ED25519, f"{ED25519}.pub"))
    first = [site.entry("Path", name).text for name in (ED25519, f"{ED25519}.pub")]
    for name in os.listdir(site.repo / "SSHbase"):
        (site.repo / "SSHbase" / name).unlink()
    second = [site.entry("Path", name).text for name in (ED25519, f"{ED25519}.pub")]
    assert first[0] != second[0] and first[1] != second[1]
    assert second[0] == (site.repo / "SSHbase/ssh_host_ed25519_key.H_client.example.com").read_text()


def test_a_private_key_that_cannot_be_read_is_kept(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    site = make(tmp_path, {"ssh_host_ed25519_key": "PRIVATE\n"}, (ED25519, f"{ED25519}.pub"))
    assert "the private key cannot be read" in site.entry("Path", f"{ED25519}.pub").get("failure", "")
    assert site.entry("Path", ED25519).text == "PRIVATE\n"


def test_fifty_who_ask_at_once_get_one_pair(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    site = make(tmp_path, {}, (ED25519,))
    found: list[str | None] = []
    threads = [threading.Thread(target=lambda: found.append(site.entry("Path", ED25519).text)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 50 and len(set(found)) == 1


# the list


def test_the_list_has_static_lines_then_keys_by_kind_and_name_then_those_of_the_client(tmp_path: Path) -> None:
    site = make(
        tmp_path,
        {
            "b.static": "second\n\n",
            "a.static": "first  \n",
            "empty.static": "\n",
            "ssh_host_rsa_key.pub.H_web1.example.com": "rsa-web1 \n",
            "ssh_host_dsa_key.pub": "dsa-all\n",
            "ssh_host_ed25519_key.pub.G10_web": "ed-web\n",
            "ssh_host_ed25519_key.pub.H_client.example.com": "ed-client",
            "ssh_host_ed25519_key.pub.H_gone.example.com": "ed-gone",
        },
        (LIST,),
    )
    shared = [
        "first",
        "second",
        f"{WEB2_NAMES},{WEB1_NAMES},{CLIENT_NAMES} dsa-all",
        f"{CLIENT_NAMES} ed-client",
        f"{WEB2_NAMES},{WEB1_NAMES} ed-web",
        f"{WEB1_NAMES} rsa-web1",
    ]
    assert known(site) == [*shared, f"{LOCAL} dsa-all", f"{LOCAL} ed-client"]
    assert known(site, "web1.example.com") == [*shared, f"{LOCAL} dsa-all", f"{LOCAL} ed-web", f"{LOCAL} rsa-web1 "]


def test_a_complete_list_is_handed_out_as_it_is(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"ssh_known_hosts.G10_web": "mine", "a.static": "static"}
    site = make(tmp_path, files, (LIST,))
    assert site.entry("Path", LIST, "web1.example.com").text == "mine"
    assert known(site) == ["static"]


def test_the_list_may_be_wanted_in_base64(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"a.static": "static", "info.xml": '<FileInfo><Info encoding="base64"/></FileInfo>'}
    entry = make(tmp_path, files, (LIST,)).entry("Path", LIST)
    assert base64.b64decode(entry.text or "") == b"static\n"


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("SSHbase/a.static", "changed", "changed"),
        ("SSHbase/ssh_host_rsa_key.pub.H_client.example.com", "rsa-new", f"{CLIENT_NAMES} rsa-new"),
        ("Metadata/clients.xml", CLIENTS.replace("www", "xyz"), f"{WEB1_NAMES.replace('www', 'xyz')} rsa"),
    ],
)
def test_the_list_follows_changes_of_keys_and_of_clients(tmp_path: Path, name: str, content: str, line: str) -> None:
    files: dict[str, str | bytes] = {"a.static": "first", "ssh_host_rsa_key.pub.H_web1.example.com": "rsa"}
    site = make(tmp_path, files, (LIST,))
    known(site)
    site.write(name, content)
    found = known(site)
    assert line in found
    site.delete("SSHbase/a.static")
    assert found[0] not in known(site)


def test_the_list_is_made_once_for_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make(tmp_path, {"ssh_host_rsa_key.pub.H_web1.example.com": "rsa"}, (LIST,))
    first = known(site)
    monkeypatch.setattr(site.plugin("SSHbase")._known_hosts, "_lines", lambda *_: pytest.fail("made again"))
    assert known(site)[:1] == first[:1]


def test_what_the_dns_says_is_in_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"web1.example.com": {"192.0.2.1", "web1.lan"}, "www.example.com": {"192.0.2.80"}}
    monkeypatch.setattr(resolver, "look_up", lambda name: frozenset(answers.get(name, ())))
    site = make(tmp_path, {"ssh_host_rsa_key.pub.H_web1.example.com": "rsa"}, (LIST,), "dns_wait = 20")
    names = "10.0.0.9,127.0.0.3,192.0.2.1,192.0.2.80,web1,web1.example.com,web1.lan,www,www.example.com"
    assert known(site) == [f"{names} rsa"]


def test_a_dead_dns_holds_up_nobody_for_longer_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(resolver, "look_up", lambda _name: released.wait(20) and None)
    site = make(tmp_path, {"ssh_host_rsa_key.pub.H_web1.example.com": "rsa"}, (LIST,), "dns_wait = 0.01")
    assert known(site) == [f"{WEB1_NAMES} rsa"]
    released.set()


def test_a_key_of_nobody_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    files: dict[str, str | bytes] = {"ssh_host_rsa_key.pub.G1_nobody": "rsa", "a.static": "one"}
    site = make(tmp_path, files, (LIST,))
    known(site)
    site.write("SSHbase/a.static", "two")
    assert known(site) == ["two"]
    assert sum("is not in the list of known hosts" in record.getMessage() for record in caplog.records) == 1


def test_keys_of_groups_are_bound_for_each_member_and_hosts_without_a_key_get_their_own(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    site = make(tmp_path, {"ssh_host_ed25519_key.G1_web": "WEB"}, (ED25519,))
    for _ in range(3):  # often enough for what can be bound in advance to be
        assert site.entry("Path", ED25519, "web1.example.com").text == "WEB"
        assert site.entry("Path", ED25519, "web2.example.com").text == "WEB"
        assert site.entry("Path", ED25519).text != "WEB"
