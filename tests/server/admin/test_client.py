"""The list of clients, changed by ``bcfg2-admin client``."""

import os
import re
import subprocess
import sys
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path

import pytest

from bcfg2 import bcfg2_admin
from tests.conftest import Certificate
from tests.support import ServerProcess, await_condition, write_files

FILES = {
    "Metadata/clients.xml": """<Clients xmlns:xi="http://www.w3.org/2001/XInclude">
  <!-- head office -->
  <Client name="www1.example.com" profile="web"><Alias name="www.example.com"/></Client>
  <xi:include href="branch.xml"/>
</Clients>
""",
    "Metadata/branch.xml": """<Clients>
  <!-- branch -->
  <Client name="Till1.example.com" profile="till"/>
</Clients>
""",
    "Metadata/groups.xml": '<Groups><Group name="web" profile="true"/><Group name="till" profile="true"/></Groups>\n',
}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository; beside it is a bcfg2.conf whose plugins do not even exist."""
    repo = tmp_path / "repo"
    write_files(repo, FILES)
    (tmp_path / "bcfg2.conf").write_text(f"[server]\nrepository = {repo}\nplugins = Bundler,NoSuchPlugin\n")
    return repo


@pytest.fixture
def client(repo: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``bcfg2-admin client WORDS``: (exit status, standard output, standard error)."""

    def run(*words: str) -> tuple[int, str, str]:
        status = bcfg2_admin.main(["-C", str(repo.parent / "bcfg2.conf"), "client", *words])
        return status, *capsys.readouterr()

    return run


def text(repo: Path, name: str = "clients.xml") -> str:
    return (repo / "Metadata" / name).read_text()


def unchanged(repo: Path) -> bool:
    return all((repo / name).read_text() == content for name, content in FILES.items())


def test_list_has_the_clients_of_included_files_and_needs_no_other_plugin(client: Run, repo: Path) -> None:
    assert client("list") == (0, "www1.example.com\ntill1.example.com\n", "")
    assert unchanged(repo)


def test_list_ignores_a_host_and_says_so(client: Run) -> None:
    status, output, errors = client("list", "till1.example.com")
    assert (status, len(output.splitlines())) == (0, 2)
    assert "till1.example.com is ignored" in errors


def test_add_appends_the_client_as_it_is_written(client: Run, repo: Path) -> None:
    assert client("add", "New1.example.com", "profile=web", "password=a=b", "secure=true") == (0, "", "")
    assert text(repo) == FILES["Metadata/clients.xml"].replace(
        "</Clients>", '  <Client name="New1.example.com" profile="web" password="a=b" secure="true"/>\n</Clients>'
    )
    assert client("list")[1].splitlines() == ["www1.example.com", "new1.example.com", "till1.example.com"]


@pytest.mark.parametrize("name", ["www1.example.com", "WWW.example.com", "till1.example.com"])
def test_add_of_a_known_name_or_alias_changes_nothing_and_says_so(client: Run, repo: Path, name: str) -> None:
    status, output, errors = client("add", name, "profile=till")
    assert (status, output) == (0, "")
    assert f"{name} is a client already" in errors
    assert "attributes are not used" in errors
    assert unchanged(repo)


@pytest.mark.parametrize("action", ["update", "up"])
def test_update_changes_the_file_that_holds_the_client(client: Run, repo: Path, action: str) -> None:
    assert client(action, "till1.example.com", "profile=web", "auth=cert") == (0, "", "")
    assert text(repo) == FILES["Metadata/clients.xml"]
    assert text(repo, "branch.xml") == FILES["Metadata/branch.xml"].replace(
        'profile="till"', 'profile="web" auth="cert"'
    )


def test_update_by_an_alias(client: Run, repo: Path) -> None:
    assert client("update", "www.example.com", "floating=true")[0] == 0
    assert '<Client name="www1.example.com" profile="web" floating="true">' in text(repo)


def test_update_without_attributes_says_that_nothing_is_changed(client: Run, repo: Path) -> None:
    status, _, errors = client("update", "www.example.com")
    assert (status, errors) == (0, "No attributes are given, nothing is changed\n")
    assert unchanged(repo)


@pytest.mark.parametrize("action", ["del", "delete", "rm", "remove"])
def test_delete_removes_the_client_from_the_file_that_holds_it(client: Run, repo: Path, action: str) -> None:
    assert client(action, "till1.example.com") == (0, "", "")
    assert text(repo) == FILES["Metadata/clients.xml"]
    assert text(repo, "branch.xml") == "<Clients>\n  <!-- branch -->\n</Clients>\n"
    assert client(action, "till1.example.com")[0] == 1


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["update", "nobody", "secure=true"], 1, "there is no client nobody"),
        (["rm", "nobody"], 1, "there is no client nobody"),
        (["rm", "www.example.com"], 1, "there is no client www.example.com"),
        (["add", "x", "colour=blue"], 1, "no attribute 'colour': use one of profile, uuid, password"),
        (["up", "www1.example.com", "name=x"], 1, "no attribute 'name'"),
        (["add", "x", "badarg"], 1, "'badarg' is not of the form ATTR=VALUE"),
        (["add", "x", "profile=\x01"], 1, "characters that XML cannot carry"),
        (["add", "../x"], 1, "cannot be the name of a client"),
        (["rm", "www1.example.com", "till1.example.com"], 1, "'till1.example.com' is not of the form"),
        (["rm", "www1.example.com", "profile=web"], 2, "deleted as a whole"),
        (["add"], 2, "client add needs the name of a host"),
        (["up"], 2, "client up needs the name of a host"),
        (["rm"], 2, "client rm needs the name of a host"),
        (["frobnicate", "x"], 2, "unknown action frobnicate: use one of list, add"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    client: Run, repo: Path, words: list[str], status: int, line: str
) -> None:
    got, output, errors = client(*words)
    assert (got, output, errors.count("\n")) == (status, "", 1)
    assert line in errors
    assert unchanged(repo)


def test_files_keep_their_mode_and_a_relative_link_is_followed(client: Run, repo: Path) -> None:
    link, target = repo / "Metadata/clients.xml", repo / "Metadata/real.xml"
    link.rename(target)
    link.symlink_to("real.xml")
    target.chmod(0o640)
    assert client("add", "new.example.com", "profile=web")[0] == 0
    assert os.readlink(link) == "real.xml"
    assert target.stat().st_mode & 0o7777 == 0o640
    assert "new.example.com" in target.read_text()


def test_a_stale_lock_of_the_old_server_keeps_nobody_waiting(client: Run, repo: Path) -> None:
    (repo / "Metadata/clients.xml.new").write_text("<Clients/>")
    assert client("rm", "www1.example.com")[0] == 0


def test_a_broken_clients_xml_is_named_and_left_alone(client: Run, repo: Path) -> None:
    (repo / "Metadata/clients.xml").write_text("<Clients>\n<Client\n</Clients>")
    status, output, errors = client("add", "new.example.com")
    assert (status, output) == (1, "")
    assert re.search(r"Metadata/clients\.xml: line 3\b", errors)
    assert text(repo) == "<Clients>\n<Client\n</Clients>"


def test_a_folder_that_is_no_repository_is_not_made_one(client: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert client("list", "-Q", str(other)) == (
        1,
        "",
        f"{other} is no repository: it has no folder Metadata (option -Q)\n",
    )
    assert list(other.iterdir()) == []
    assert client("list", "-Q", str(tmp_path / "none"))[0] == 1


def test_many_at_once_lose_nothing(repo: Path) -> None:
    words = [sys.executable, "-m", "bcfg2.bcfg2_admin", "-C", str(repo.parent / "bcfg2.conf"), "client", "add"]
    running = [subprocess.Popen([*words, f"host{number}", "profile=web"]) for number in range(6)]
    assert [process.wait(60) for process in running] == [0] * 6
    assert all(f'<Client name="host{number}" profile="web"/>' in text(repo) for number in range(6))


def test_a_running_server_notices(tmp_path: Path, certificate: Certificate, capsys: pytest.CaptureFixture[str]) -> None:
    with ServerProcess(tmp_path, certificate) as server:
        assert server.call("GetDecisionList", "whitelist", source="127.0.0.9") == 401  # nobody's address
        words = ["-C", str(server.conf), "client"]
        assert bcfg2_admin.main([*words, "add", "new.example.com", "profile=basic", "address=127.0.0.9"]) == 0
        await_condition(lambda: server.call("DeclareVersion", "1.4.0", source="127.0.0.9") is True)
        assert bcfg2_admin.main([*words, "update", "new.example.com", "password=own", "secure=true"]) == 0
        await_condition(lambda: server.call("DeclareVersion", "1.4.0", source="127.0.0.9") == 401)
        assert server.call("DeclareVersion", "1.4.0", source="127.0.0.9", password="own") is True
        assert bcfg2_admin.main([*words, "rm", "new.example.com"]) == 0

        def is_refused() -> bool:
            try:
                return bool(server.call("DeclareVersion", "1.4.0", source="127.0.0.9", password="own") == 401)
            except xmlrpc.client.Fault:  # the client went while this very call was being served
                return False

        await_condition(is_refused)
