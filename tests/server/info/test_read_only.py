"""Looking into a repository changes nothing there, whatever plugins do."""

import os
import subprocess
import sys

import pytest

from tests.server.info.conftest import Place, Run
from tests.support import write_files

ALL = "Metadata,Bundler,Cfg,Rules,Probes,Properties,SSHbase,FileProbes,GroupPatterns,NagiosGen,Decisions,Ohai,Trigger"


def test_folders_and_files_that_plugins_lack_are_not_made(info: Run, place: Place) -> None:
    place.configure(ALL)
    status, output, errors = info("build", "db1.example.com")
    assert (status, errors) == (0, "")
    assert "db" in output


def test_keys_that_are_missing_are_not_made(info: Run, place: Place) -> None:
    place.configure("Metadata,Bundler,SSHbase")
    key = "/etc/ssh/ssh_host_ed25519_key"
    write_files(place.repo, {"Bundler/base.xml": f'<Bundle><Path name="{key}"/></Bundle>', "SSHbase/.keep": ""})
    status, output, errors = info("buildfile", key, "db1.example.com")
    assert (status, output) == (1, "")
    assert "the repository is only looked at" in errors


def test_templates_do_not_write_property_files(info: Run, place: Place) -> None:
    pytest.importorskip("genshi")
    place.configure("Metadata,Bundler,Cfg,Properties")
    template = "{% python\nmetadata.Properties['x.xml'].xdata.set('a', '1')\nmetadata.Properties['x.xml'].write()\n%}"
    write_files(place.repo, {"Properties/x.xml": "<Properties/>", "Cfg/etc/t/t.genshi": template})
    status, _, errors = info("buildfile", "/etc/t", "db1.example.com")
    assert status == 1
    assert "x.xml" in errors


def test_what_is_left_unfinished_is_not_removed(info: Run, place: Place) -> None:
    write_files(place.repo, {"Rules/.#services.xml.abc.bcfg2-new": ""})
    os.utime(place.repo / "Rules/.#services.xml.abc.bcfg2-new", (1, 1))
    assert info("groups")[0] == 0  # info() compares the repository


def test_programs_of_trigger_are_not_started(info: Run, place: Place) -> None:
    place.configure("Metadata,Bundler,Trigger")
    write_files(place.repo, {"Trigger/touch": f"#!/bin/sh\ntouch {place.folder}/touched\n"})
    (place.repo / "Trigger/touch").chmod(0o755)
    assert info("build", "db1.example.com")[0] == 0
    assert not (place.folder / "touched").exists()


def test_a_folder_that_is_no_repository_is_one_line(info: Run, place: Place) -> None:
    (place.folder / "empty").mkdir()
    status, output, errors = info("-Q", str(place.folder / "empty"), "clients")
    assert (status, output, errors.count("\n")) == (1, "", 1)
    assert not os.listdir(place.folder / "empty")


def test_the_database_is_read_and_nobody_is_registered_in_it(info: Run, place: Place) -> None:
    pytest.importorskip("django")
    database = place.folder / "bcfg2.sqlite"
    more = f"[metadata]\nuse_database = true\n[database]\nengine = sqlite3\nname = {database}\n"
    place.configure(more=more)
    conf = ["-C", str(place.folder / "bcfg2.conf")]
    for words in (["syncdb"], ["client", "add", "db1.example.com"]):
        subprocess.run([sys.executable, "-m", "bcfg2.bcfg2_admin", *conf, *words], check=True)

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "bcfg2.bcfg2_info", *conf, *words]  # Django has one database in a process
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert "nginx" in run("build", "new.example.com")
    assert run("query", "-g", "linux") == "db1.example.com\n"
