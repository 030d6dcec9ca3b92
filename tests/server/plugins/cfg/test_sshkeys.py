"""privkey.xml and pubkey.xml: SSH key pairs that are made for those who have none."""

import os
import re
import stat
import threading
from multiprocessing import get_context
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")

from lxml import etree

from bcfg2.server.keyring import Keyring
from bcfg2.server.pki import sshkeys
from tests.conftest import Certificate
from tests.support import ServerProcess, Site

FOLDER = "Cfg/root/.ssh"
BUNDLE = """<Bundle><Path name="/root/.ssh/id"/><Path name="/root/.ssh/id.pub"/></Bundle>"""
CLIENTS = """<Clients>
  <Client name="client.example.com" profile="basic" address="127.0.0.2"/>
  <Client name="web1.example.com" profile="web" address="127.0.0.3"/>
  <Client name="web2.example.com" profile="web" address="127.0.0.4"/>
</Clients>"""
GROUPS = """<Groups>
  <Group name="basic" profile="true" public="true"><Bundle name="base"/></Group>
  <Group name="web" profile="true" public="true"><Bundle name="base"/><Group name="farm"/></Group>
  <Group name="farm" category="site"/>
</Groups>"""
ED25519 = '<PrivateKey><Params type="ed25519"/></PrivateKey>'


def make(tmp_path: Path, privkey: str = ED25519, conf: str = "", **more: str) -> Site:
    files = {
        "Metadata/clients.xml": CLIENTS,
        "Metadata/groups.xml": GROUPS,
        "Bundler/base.xml": BUNDLE,
        f"{FOLDER}/id/privkey.xml": privkey,
        f"{FOLDER}/id.pub/pubkey.xml": "<PublicKey/>",
        **more,
    }
    wanted = {name: content for name, content in files.items() if content}
    return Site(tmp_path, wanted, "Metadata,Bundler,Cfg", conf)


def halves(site: Site, host: str = "client.example.com") -> tuple[str, str]:
    """The private and the public key of HOST."""
    texts = {entry.get("name"): entry.text or "" for entry in site.config(host).iter("Path")}
    return texts["/root/.ssh/id"], texts["/root/.ssh/id.pub"]


def belong_together(private: str, public: str) -> bool:
    return sshkeys.public_half(private.encode()) == " ".join(public.split()[:2])


def stored(site: Site, name: str) -> list[str]:
    """The files in a folder."""
    return sorted(os.listdir(site.repo / FOLDER / name))


def test_a_pair_is_made_stored_and_served_again(tmp_path: Path) -> None:
    site = make(tmp_path)
    private, public = halves(site)
    assert belong_together(private, public)
    path = site.repo / FOLDER / "id.pub/id.pub.H_client.example.com"
    assert public == path.read_text()
    assert public.endswith(f" {path}\n")
    assert (site.repo / FOLDER / "id/id.H_client.example.com").read_text() == private
    assert stored(site, "id") == ["id.H_client.example.com", "privkey.xml"]
    assert halves(site) == (private, public)
    site.apply()
    assert halves(site) == (private, public)
    site.restart()
    assert halves(site) == (private, public)


def test_the_public_half_is_there_in_the_same_answer_without_pubkey_xml(tmp_path: Path) -> None:
    site = make(tmp_path, **{f"{FOLDER}/id.pub/pubkey.xml": ""})
    assert belong_together(*halves(site))


def test_only_the_owner_reads_what_is_made(tmp_path: Path) -> None:
    site = make(tmp_path)
    halves(site)
    for name in ("id/id", "id.pub/id.pub"):
        path = site.repo / FOLDER / f"{name}.H_client.example.com"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_group_of_a_category_shares_a_key(tmp_path: Path) -> None:
    site = make(tmp_path, '<PrivateKey category="site" priority="7"><Params type="ed25519"/></PrivateKey>')
    assert halves(site, "web1.example.com") == halves(site, "web2.example.com")
    assert stored(site, "id") == ["id.G07_farm", "privkey.xml"]
    assert belong_together(*halves(site))  # who has no group in it gets a key of its own
    assert "id.H_client.example.com" in stored(site, "id")


def test_perhost_beats_the_category(tmp_path: Path) -> None:
    site = make(tmp_path, '<PrivateKey category="site" perhost="true"><Params type="ed25519"/></PrivateKey>')
    assert halves(site, "web1.example.com") != halves(site, "web2.example.com")


@pytest.mark.parametrize("section", ["sshkeys", "cfg"])
def test_category_and_passphrase_may_come_from_the_configuration(tmp_path: Path, section: str) -> None:
    site = make(tmp_path, conf=f"[{section}]\ncategory = site\npassphrase = keys\n[encryption]\nkeys = secret")
    private, public = halves(site, "web1.example.com")
    assert belong_together(private, public)
    assert stored(site, "id") == ["id.G50_farm.crypt", "privkey.xml"]
    data = (site.repo / FOLDER / "id/id.G50_farm.crypt").read_bytes()
    assert Keyring.of(site.core.options).decrypt(data, "keys") == private.encode()
    assert stored(site, "id.pub") == ["id.pub.G50_farm", "pubkey.xml"]
    assert halves(site, "web2.example.com") == (private, public)


def test_a_passphrase_that_there_is_not_fails_the_entry_and_stores_no_private_key(tmp_path: Path) -> None:
    site = make(tmp_path, conf="[sshkeys]\npassphrase = keys")
    assert "no passphrase keys" in site.entry("Path", "/root/.ssh/id").get("failure", "")
    assert stored(site, "id") == ["privkey.xml"]


def test_a_key_may_have_a_passphrase_for_some(tmp_path: Path) -> None:
    site = make(
        tmp_path,
        '<PrivateKey><Params type="ed25519"/><Group name="web"><Passphrase>opens it</Passphrase></Group></PrivateKey>',
    )
    private, public = halves(site, "web1.example.com")
    assert sshkeys.public_half(private.encode(), "opens it") == " ".join(public.split()[:2])
    assert belong_together(*halves(site))


def test_what_is_unconditional_comes_first(tmp_path: Path) -> None:
    params = '<Group name="basic"><Params type="rsa"/></Group><Params type="ed25519"/>'
    assert halves(make(tmp_path, f"<PrivateKey>{params}</PrivateKey>"))[1].startswith("ssh-ed25519 ")


def test_the_file_may_be_a_template(tmp_path: Path) -> None:
    pytest.importorskip("genshi", reason="Genshi (extra genshi) is not installed")
    site = make(
        tmp_path,
        '<PrivateKey xmlns:py="http://genshi.edgewall.org/" category="site">'
        "<Params type=\"${'ed' + '25519'}\"/></PrivateKey>",
    )
    assert halves(site, "web1.example.com")[1].startswith("ssh-ed25519 ")
    assert stored(site, "id") == ["id.G50_farm", "privkey.xml"]


@pytest.mark.parametrize(
    ("privkey", "reason"),
    [
        ('<PrivateKey><Params type="nosuch"/></PrivateKey>', "ssh keys of type 'nosuch' are not made"),
        ('<PrivateKey><Params bits="many"/></PrivateKey>', "bits='many' is not a number"),
        ('<PrivateKey category="site" priority="high"/>', "priority='high' of the root element is not a number"),
        ("<PrivateKey>", "privkey.xml cannot be used: "),
        ('<PrivateKey categroy="site"/>', "did you mean category"),
    ],
)
def test_mistakes_in_the_file_fail_the_entries_and_are_named(tmp_path: Path, privkey: str, reason: str) -> None:
    site = make(tmp_path, privkey)
    for entry in site.config("web1.example.com").iter("Path"):
        assert reason in entry.get("failure", "")
        assert "privkey.xml" in entry.get("failure", "")


def test_a_file_that_becomes_broken_makes_no_keys(tmp_path: Path) -> None:
    site = make(tmp_path)
    site.write(f"{FOLDER}/id/privkey.xml", "<PrivateKey")
    assert "privkey.xml cannot be used" in site.entry("Path", "/root/.ssh/id").get("failure", "")
    assert stored(site, "id") == ["privkey.xml"]


def test_a_static_key_keeps_one_from_being_made(tmp_path: Path) -> None:
    site = make(tmp_path, **{f"{FOLDER}/id/id": "STATIC\n"})
    assert site.entry("Path", "/root/.ssh/id").text == "STATIC\n"
    assert stored(site, "id") == ["id", "privkey.xml"]


def test_the_public_half_of_a_key_is_made_where_it_is_missing(tmp_path: Path) -> None:
    site = make(tmp_path)
    private, public = halves(site)
    site.delete(f"{FOLDER}/id.pub/id.pub.H_client.example.com")
    assert halves(site) == (private, public)
    assert (site.repo / FOLDER / "id.pub/id.pub.H_client.example.com").read_text() == public


def test_the_public_half_follows_the_private_key_that_the_client_gets(tmp_path: Path) -> None:
    key = sshkeys.generate("ed25519").private.decode()
    site = make(tmp_path, **{f"{FOLDER}/id/id.G20_web": key})
    assert belong_together(*halves(site, "web1.example.com"))
    assert stored(site, "id.pub") == ["id.pub.G20_web", "pubkey.xml"]


def test_a_deleted_private_key_is_replaced_together_with_its_public_half(tmp_path: Path) -> None:
    site = make(tmp_path)
    first = halves(site)
    site.delete(f"{FOLDER}/id/id.H_client.example.com")
    second = halves(site)
    assert belong_together(*second)
    assert first[0] != second[0] and first[1] != second[1]


def test_a_deleted_key_is_replaced_at_once_although_nobody_has_told_of_it(tmp_path: Path) -> None:
    site = make(tmp_path)
    first = halves(site)
    (site.repo / FOLDER / "id/id.H_client.example.com").unlink()
    second = halves(site)
    assert belong_together(*second)
    assert first[0] != second[0] and first[1] != second[1]
    (site.repo / FOLDER / "id.pub/id.pub.H_client.example.com").unlink()
    assert halves(site) == second
    assert (site.repo / FOLDER / "id.pub/id.pub.H_client.example.com").read_text() == second[1]


def test_a_broken_file_costs_nobody_the_key_that_he_has(tmp_path: Path) -> None:
    site = make(tmp_path)
    first = halves(site)
    site.write(f"{FOLDER}/id/privkey.xml", "<PrivateKey")
    assert halves(site) == first


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("plain", "whose name ends with .pub"),
        ("lonely.pub", "there is no private key"),
        ("static.pub", "needs .*/privkey"),
    ],
)
def test_a_pubkey_xml_without_a_privkey_xml_is_of_no_use(tmp_path: Path, folder: str, reason: str) -> None:
    site = make(
        tmp_path,
        **{
            f"Cfg/{folder}/pubkey.xml": "<PublicKey/>",
            "Cfg/static/static": "STATIC",
            "Bundler/base.xml": f'<Bundle><Path name="/{folder}"/></Bundle>',
        },
    )
    assert re.search(reason, site.entry("Path", f"/{folder}").get("failure", ""))


def test_fifty_clients_at_once_get_one_pair(tmp_path: Path) -> None:
    site = make(tmp_path, '<PrivateKey category="site"><Params type="rsa" bits="1024"/></PrivateKey>')
    found: list[tuple[str, str]] = []

    def ask(host: str) -> None:
        found.append(halves(site, host))

    threads = [threading.Thread(target=ask, args=(f"web{1 + number % 2}.example.com",)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 50
    assert len(set(found)) == 1
    assert belong_together(*found[0])
    assert stored(site, "id") == ["id.G50_farm", "privkey.xml"]


def test_servers_in_several_processes_make_one_pair(tmp_path: Path) -> None:
    site = make(tmp_path, '<PrivateKey category="site"><Params type="rsa" bits="1024"/></PrivateKey>')
    context = get_context("fork")
    answers = context.SimpleQueue()
    processes = [context.Process(target=lambda: answers.put(halves(site, "web1.example.com"))) for _ in range(5)]
    for process in processes:
        process.start()
    found = {answers.get() for _ in processes}
    for process in processes:
        process.join(20)
    assert len(found) == 1
    assert belong_together(*found.pop())


def test_a_key_that_another_process_has_made_is_used_before_its_file_is_noticed(tmp_path: Path) -> None:
    site = make(tmp_path)
    pair = sshkeys.generate("ed25519")
    (site.repo / FOLDER / "id/id.H_client.example.com").write_bytes(pair.private)
    private, public = halves(site)
    assert private.encode() == pair.private
    assert belong_together(private, public)


def test_children_of_one_server_share_what_each_makes(tmp_path: Path, certificate: Certificate) -> None:
    files = {
        "Metadata/clients.xml": CLIENTS,
        "Metadata/groups.xml": GROUPS,
        "Bundler/base.xml": BUNDLE,
        f"{FOLDER}/id/privkey.xml": '<PrivateKey category="site"><Params type="rsa" bits="1024"/></PrivateKey>',
        f"{FOLDER}/id.pub/pubkey.xml": "<PublicKey/>",
    }
    settings = {"server.backend": "multiprocessing", "server.children": "3"}
    found = set()
    with ServerProcess(tmp_path, certificate, files, "Metadata,Bundler,Cfg", settings=settings) as server:

        def ask(number: int) -> None:
            config = etree.fromstring(server.call("GetConfig", source=f"127.0.0.{3 + number % 2}"))
            found.add(tuple(entry.text for entry in config.iter("Path")))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 1
    assert sorted(os.listdir(tmp_path / "repo" / FOLDER / "id")) == ["id.G50_farm", "privkey.xml"]


@pytest.mark.builds_once
def test_a_client_for_which_a_key_is_made_while_files_change_sees_all_of_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"Cfg/first/first": "old", "Cfg/last/last": "old"}
    paths = "".join(f'<Path name="{name}"/>' for name in ("/first", "/root/.ssh/id", "/last"))
    site = make(tmp_path, **{"Bundler/base.xml": f"<Bundle>{paths}</Bundle>", **files})
    generate = sshkeys.generate

    def meanwhile(*arguments: object) -> sshkeys.KeyPair:
        thread = threading.Thread(target=site.change, args=(dict.fromkeys(files, "new"),))
        thread.start()
        thread.join(20)
        return generate(*arguments)

    monkeypatch.setattr(sshkeys, "generate", meanwhile)
    texts = {entry.get("name"): entry.text for entry in site.config().iter("Path")}
    assert (texts["/first"], texts["/last"]) == ("new", "new")
    assert stored(site, "id") == ["id.H_client.example.com", "privkey.xml"]
