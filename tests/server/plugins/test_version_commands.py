"""Svn, Hg, Bzr, Cvs, Darcs and Fossil: revisions as the programs tell them, the real ones where they are installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import METADATA, Site, write_files


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"NOT TESTED: {', '.join(missing)} is missing, run .ci/services")


def run(folder: Path, *argv: object, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, argv)),
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "LC_ALL": "C", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without settings, for the programs that the server runs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USER", "tester")
    monkeypatch.setenv("EMAIL", "tester@example.com")
    return tmp_path


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """A program NAME, before all others, that is the shell commands TEXT."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")


def revision(site: Site) -> str:
    """The revision, which the configuration and the remote method have to agree on."""
    plugin = next(name for name in ("Svn", "Hg", "Bzr", "Cvs", "Darcs", "Fossil") if name in site.core.plugins)
    found = site.config().get("revision", "")
    assert site.core.rmi[f"{plugin}.get_revision"]() == found
    return found


class Subversion:
    """A repository with METADATA in it, a working copy in `work`, and the server's in `repo`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.work, self.repo = folder, folder / "work", folder / "repo"
        self.url = f"file://{folder}/origin"
        run(folder, "svnadmin", "create", "origin")
        run(folder, "svn", "checkout", "-q", self.url, "work")
        self.commit({**METADATA, "Bundler/base.xml": "<Bundle/>"})
        run(folder, "svn", "checkout", "-q", self.url, "repo")

    def commit(self, files: dict[str, str]) -> None:
        write_files(self.work, files)
        run(self.work, "svn", "add", "-q", "--force", ".")
        run(self.work, "svn", "commit", "-q", "-m", "x")
        run(self.work, "svn", "update", "-q")


@needs("svn", "svnadmin")
def test_svn(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    origin = Subversion(home)
    site = Site(home, plugins="Metadata,Bundler,Svn")
    update, commit = site.core.rmi["Svn.Update"], site.core.rmi["Svn.Commit"]
    assert revision(site) == "1"
    origin.commit({"Bundler/base.xml": '<Bundle><BoundService name="x"/></Bundle>'})
    assert update() is True
    assert revision(site) == "2"
    assert site.entry("Service", "x") is not None

    write_files(origin.repo, {"Bundler/base.xml": '<Bundle><BoundService name="y"/></Bundle>', "new": "not added"})
    assert commit() is True
    assert revision(site) == "3"
    run(origin.work, "svn", "update", "-q")
    assert 'name="y"' in (origin.work / "Bundler/base.xml").read_text()
    assert not (origin.work / "new").exists()

    (home / "origin").rename(home / "gone")
    assert update() is False
    assert commit() is False
    assert revision(site) == "3"
    assert "svn update --accept postpone --non-interactive failed in" in caplog.text


@needs("svn", "svnadmin")
@pytest.mark.parametrize(("setting", "mine"), [("mine_full", True), ("theirs-full", False), ("postpone", None)])
def test_conflicts_of_svn_are_resolved_as_the_option_says(
    home: Path, setting: str, mine: bool | None, caplog: pytest.LogCaptureFixture
) -> None:
    origin = Subversion(home)
    site = Site(home, plugins="Metadata,Bundler,Svn", conf=f"[svn]\nconflict_resolution = {setting}\n")
    theirs, ours = (f'<Bundle><BoundService name="{name}"/></Bundle>' for name in ("theirs", "mine"))
    origin.commit({"Bundler/base.xml": theirs})
    write_files(origin.repo, {"Bundler/base.xml": ours})
    assert site.core.rmi["Svn.Update"]() is True
    assert revision(site) == "2"
    if mine is None:
        assert f"has left conflicts in {origin.repo}" in caplog.text
    else:
        assert (origin.repo / "Bundler/base.xml").read_text() == (ours if mine else theirs)


def test_what_svn_is_given_to_speak_to_its_server(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    program(
        home,
        monkeypatch,
        "svn",
        f'test "$1" = info && {{ echo Revision: 5; exit; }}; echo "$@" >{home}/arguments; cat >{home}/input; '
        'echo "svn: E170001: Authorization failed" >&2; exit 1',
    )
    (home / "repo/.svn").mkdir(parents=True)
    conf = "[svn]\nuser = alice\npassword = svn-secret\nalways_trust = yes\n"
    site = Site(home, plugins="Metadata,Bundler,Svn", conf=conf)
    assert site.core.rmi["Svn.Update"]() is False
    assert (home / "arguments").read_text().split() == [
        *("update", "--accept", "postpone", "--non-interactive"),
        "--trust-server-cert-failures=unknown-ca,cn-mismatch,expired,not-yet-valid,other",
        *("--username=alice", "--password-from-stdin", "--no-auth-cache"),
    ]
    assert (home / "input").read_text() == "svn-secret\n"
    assert "E170001: Authorization failed; set [svn] user and password" in caplog.text
    assert "svn-secret" not in caplog.text


@needs("hg")
def test_hg(home: Path) -> None:
    write_files(home / "repo", METADATA)
    run(home / "repo", "hg", "init")
    run(home / "repo", "hg", "commit", "-q", "-A", "-m", "one")
    site = Site(home, plugins="Metadata,Bundler,Hg")
    assert revision(site) == "0"
    write_files(home / "repo", {"README": "x"})
    run(home / "repo", "hg", "commit", "-q", "-A", "-m", "two")
    site.apply()
    assert revision(site) == "1"


@needs("fossil")
@pytest.mark.parametrize("marker", ["_FOSSIL_", ".fslckout"])
def test_fossil(home: Path, marker: str) -> None:
    write_files(home / "repo", METADATA)
    run(home, "fossil", "init", "origin.fossil")
    run(home / "repo", "fossil", "open", "--force", "--keep", home / "origin.fossil")
    made = next(path for path in (home / "repo/_FOSSIL_", home / "repo/.fslckout") if path.exists())
    made.rename(home / "repo" / marker)
    site = Site(home, plugins="Metadata,Bundler,Fossil")
    before = revision(site)
    run(home / "repo", "fossil", "add", ".")
    run(home / "repo", "fossil", "commit", "--no-warnings", "-m", "two")
    site.apply()
    after = revision(site)
    assert after != before
    assert len(after) >= 40 and int(after, 16)
    assert after in run(home / "repo", "fossil", "info")


@needs("brz")
def test_bzr(home: Path) -> None:
    write_files(home / "repo", METADATA)
    for command in (
        ["init", "-q"],
        ["whoami", "--branch", "T <t@example.com>"],
        ["add", "-q"],
        ["commit", "-q", "-m", "x"],
    ):
        run(home / "repo", "brz", *command)
    site = Site(home, plugins="Metadata,Bundler,Bzr")
    assert revision(site) == "1+"  # Site has made a folder
    (home / "repo/Bundler").rmdir()
    site.apply()
    site.write("Metadata/unknown", "x")
    assert revision(site) == "1+"


@needs("darcs")
def test_darcs(home: Path) -> None:
    write_files(home / "repo", METADATA)
    run(home / "repo", "darcs", "initialize")
    for name in ("one", "two"):
        write_files(home / "repo", {name: name})
        run(home / "repo", "darcs", "record", "--look-for-adds", "--all", "-A", "t@example.com", "-m", name)
        site = Site(home, plugins="Metadata,Bundler,Darcs")
        assert revision(site) == run(home / "repo", "darcs", "changes").splitlines()[0].strip()
        site.stop()


#: What the programs print, recorded, for machines without them.
RECORDED = [
    ("Svn", ".svn", "svn", "Path: .\nRevision: 7\nLast Changed Rev: 5\n\nPath: ext\nRevision: 9\n", "9"),
    ("Hg", ".hg", "hg", "41\n", "41"),
    ("Cvs", "CVSROOT", "cvs", "\nRCS file: /cvs/bcfg2/Metadata/groups.xml,v\nWorking file: x\n", None),
    ("Darcs", "_darcs", "darcs", "patch 84cf7f64ff7b27e2\nAuthor: t@example.com\n", "patch 84cf7f64ff7b27e2"),
    (
        "Fossil",
        "_FOSSIL_",
        "fossil",
        "project-name: x\ncheckout:     5b6a5c2b71 2013-01-01 00:00:00 UTC\n",
        "5b6a5c2b71",
    ),
]


@pytest.mark.parametrize(("plugin", "marker", "name", "output", "expected"), RECORDED)
def test_the_revision_in_recorded_output(
    home: Path, monkeypatch: pytest.MonkeyPatch, plugin: str, marker: str, name: str, output: str, expected: str | None
) -> None:
    (home / "output").write_text(output)
    program(home, monkeypatch, name, f'test "$LC_ALL" = C && test "$PWD" = {home}/repo && cat {home}/output')
    (home / "repo" / marker).mkdir(parents=True)
    site = Site(home, plugins=f"Metadata,Bundler,{plugin}")
    assert revision(site) == (expected or "RCS file: /cvs/bcfg2/Metadata/groups.xml,v")


@pytest.mark.parametrize(("status", "expected"), [("", "12"), (" M  x", "12+"), ("?   y", "12+")])
def test_bzr_marks_a_tree_with_changes(home: Path, monkeypatch: pytest.MonkeyPatch, status: str, expected: str) -> None:
    program(home, monkeypatch, "brz", f'test "$1" = revno && echo 12 || printf "%s" "{status}"')
    assert revision(Site(home, plugins="Metadata,Bundler,Bzr")) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo no such thing >&2; exit 3", "hg log --rev tip --template {rev} failed in {repo}: no such thing"),
        ("exit 3", ": exit status 3"),
        ("exit 0", "the program prints nothing"),
        ("sleep 60", "no result within 0.2 seconds ([server] vcs_timeout)"),
    ],
)
def test_a_program_that_fails_is_warned_of_and_there_is_no_revision(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, text: str, why: str
) -> None:
    program(home, monkeypatch, "hg", text)
    (home / "repo/.hg").mkdir(parents=True)
    site = Site(home, plugins="Metadata,Bundler,Hg", conf="[server]\nvcs_timeout = 0.2\n")
    assert site.config().get("revision") == "-1"
    assert "Plugin Hg cannot tell the revision: " in caplog.text
    assert why.replace("{repo}", str(site.repo)) in caplog.text


@pytest.mark.parametrize("plugin", ["Svn", "Hg", "Cvs", "Darcs", "Fossil"])
def test_without_its_marker_a_plugin_is_not_loaded(home: Path, plugin: str, caplog: pytest.LogCaptureFixture) -> None:
    site = Site(home, plugins=f"Metadata,Bundler,{plugin}")
    assert plugin not in site.core.plugins
    assert f"Plugin {plugin} is not loaded: " in caplog.text and "does not exist" in caplog.text


def test_a_program_that_is_missing_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "repo/.git").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(home))
    site = Site(home, plugins="Metadata,Bundler,Git")
    assert "Git" not in site.core.plugins
    assert "Plugin Git is not loaded: cannot run git " in caplog.text and "No such file or directory" in caplog.text
