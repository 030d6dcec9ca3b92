"""The sub-commands of bcfg2-admin that work on the database, and ``client`` where clients are in it."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from bcfg2 import bcfg2_admin
from tests.support import write_files

pytest.importorskip("django", reason="Django is missing: install bcfg2[db]")

TABLES = {
    "Server_metadatabootstrapmodel",
    "Server_metadataclientmodel",
    "Server_probesdatamodel",
    "Server_probesgroupsmodel",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a configuration file and a repository; the database does not exist yet."""
    write_files(
        tmp_path,
        {
            "repo/Metadata/groups.xml": "<Groups><Group name='g' profile='true' default='true'/></Groups>",
            "bcfg2.conf": f"[server]\nrepository = {tmp_path}/repo\nplugins = Metadata, Probes\n"
            f"[database]\nname = {tmp_path}/db/bcfg2.sqlite\n[metadata]\nuse_database = yes\n",
        },
    )
    return tmp_path


@pytest.fixture
def admin(site: Path, capsys):
    """Run ``bcfg2-admin WORDS``: (exit status, standard output, standard error)."""

    def run(*words: str) -> tuple[int, str, str]:
        status = bcfg2_admin.main(["-C", str(site / "bcfg2.conf"), *words])
        return status, *capsys.readouterr()

    return run


def tables(site: Path) -> set[str]:
    with sqlite3.connect(site / "db/bcfg2.sqlite") as connection:
        return {
            row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'Server%'")
        } & TABLES


@pytest.mark.parametrize("command", ["syncdb", "initreports", "updatereports"])
def test_the_tables_of_all_plugins_are_made_silently_and_once(site, admin, command):
    for _ in range(2):
        assert admin(command) == (0, "", "")
        assert tables(site) == TABLES
    assert not (site / "repo/Probes").exists()


@pytest.mark.parametrize("command", ["syncdb", "dbshell", "shell", "validatedb", "updatereports"])
def test_a_database_that_cannot_be_used_is_exit_status_1(site, admin, command):
    (site / "db").write_text("a file where the folder should be")
    status, output, error = admin(command)
    assert (status, output) == (1, "")
    assert len(error.splitlines()) == 1 and "cannot use the database" in error


def test_the_models_are_valid(admin):
    assert admin("validatedb") == (0, "", "")


def test_a_wrong_model_is_named(admin, monkeypatch):
    from django.core import checks

    monkeypatch.setattr(checks, "run_checks", lambda **_: [checks.Error("is wrong"), checks.Warning("is odd")])
    status, output, _ = admin("validatedb")
    assert status == 1
    assert "is wrong" in output and "is odd" in output


def test_the_shell_knows_the_models(admin, monkeypatch):
    told = {}
    monkeypatch.setattr("code.interact", lambda **arguments: told.update(arguments))
    assert admin("syncdb")[0] == 0
    assert admin("shell")[0] == 0
    assert told["local"]["MetadataClientModel"].objects.count() == 0
    assert "ProbesDataModel" in told["banner"]


def test_dbshell_runs_the_program_of_the_database(site, admin, tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    write_files(programs, {"sqlite3": f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nexit $STATUS\n'})
    (programs / "sqlite3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/bin:/usr/bin")
    for status in (0, 3):
        monkeypatch.setenv("STATUS", str(status))
        assert admin("dbshell")[0] == status
    assert (tmp_path / "arguments").read_text() == f"{site}/db/bcfg2.sqlite\n"
    shutil.rmtree(programs)
    monkeypatch.setenv("PATH", "/nonexistent")
    status, _, error = admin("dbshell")
    assert status == 1
    assert "the program sqlite3 is not installed" in error


def test_clients_are_listed_added_and_deleted(site, admin):
    assert admin("client", "list")[:2] == (0, "")
    assert admin("client", "add", "B.example.com")[0] == 0
    assert admin("client", "add", "a.example.com")[0] == 0
    assert admin("client", "list")[:2] == (0, "a.example.com\nb.example.com\n")
    status, _, error = admin("client", "add", "a.example.com")
    assert status == 0 and "is a client already" in error
    assert admin("client", "del", "b.example.com")[0] == 0
    status, _, error = admin("client", "del", "b.example.com")
    assert status == 1 and "there is no client b.example.com" in error
    assert admin("client", "list")[:2] == (0, "a.example.com\n")
    assert not (site / "repo/Metadata/clients.xml").exists()


def test_attributes_and_update_are_refused(admin):
    assert admin("client", "add", "a")[0] == 0
    for words in (("add", "b", "profile=g"), ("update", "a", "profile=g"), ("update", "a")):
        status, output, error = admin("client", *words)
        assert (status, output) == (1, "")
        assert "give them in clients.xml" in error
    assert admin("client", "list")[1] == "a\n"
