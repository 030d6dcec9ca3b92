"""Git: the revision of configurations, and Update, with real repositories."""

import logging
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugins import git as git_plugin
from tests.support import METADATA, ServerProcess, Site, await_condition, write_files

IDENTITY = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]


def git(folder: Path, *arguments: object) -> str:
    """What git prints, run in FOLDER without anything that this machine's users have configured."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "LC_ALL": "C"}
    done = subprocess.run(
        ["git", *IDENTITY, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bundles(mark: str) -> dict[str, str]:
    """Some bundles, all of which name MARK."""
    return {
        f"Bundler/{name}.xml": f'<Bundle><BoundPackage name="{name}" mark="{mark}"/></Bundle>'
        for name in ("base", *(f"more{number}" for number in range(20)))
    }


GROUPS = (
    '<Groups><Group name="basic" profile="true" public="true">'
    + "".join(f'<Bundle name="{Path(name).stem}"/>' for name in bundles(""))
    + "</Group></Groups>"
)


class Repositories:
    """An origin, somebody's clone of it, in which commits are made, and the server's clone, which is its repository."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.origin, self.work, self.repo = tmp_path / "origin.git", tmp_path / "work", tmp_path / "repo"
        self.first = git(self.work, "rev-parse", "HEAD") if self.work.exists() else self.make()
        self.sites: list[Site] = []

    def make(self) -> str:
        """Make all three; the hash of the first commit."""
        git(self.tmp_path, "init", "-q", "--bare", self.origin)
        git(self.tmp_path, "clone", "-q", self.origin, self.work)
        write_files(self.work, {**METADATA, "Metadata/groups.xml": GROUPS})
        first = self.commit("one")
        git(self.work, "tag", "-a", "v1", "-m", "one")
        git(self.work, "push", "-q", "origin", "main", "v1")
        git(self.tmp_path, "clone", "-q", self.origin, self.repo)
        for clone in (self.work, self.repo):
            git(clone, "remote", "set-url", "origin", "../origin.git")  # so that copies belong together
        return first

    def commit(self, mark: str, files: dict[str, str] | None = None, folder: Path | None = None) -> str:
        """A commit in which all bundles name MARK; its hash."""
        folder = folder or self.work
        write_files(folder, bundles(mark) if files is None else files)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", mark)
        return git(folder, "rev-parse", "HEAD")

    def push(self, mark: str, branch: str = "main") -> str:
        """A commit on BRANCH that is in the origin afterwards."""
        made = self.commit(mark)
        git(self.work, "push", "-q", "origin", f"HEAD:{branch}")
        return made

    def site(self, plugins: str = "Metadata,Bundler,Git", conf: str = "") -> Site:
        self.sites.append(Site(self.tmp_path, {"Metadata/groups.xml": GROUPS}, plugins, conf))
        return self.sites[-1]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Repositories(tmp_path_factory.mktemp("git")).tmp_path


@pytest.fixture
def repositories(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repositories]:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True, symlinks=True)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.com")
    made = Repositories(tmp_path)
    yield made
    for site in made.sites:
        site.stop()


def state(site: Site) -> tuple[str, set[str]]:
    """The revision of the client's configuration, and the marks in it."""
    config = site.config()
    assert len(config) == len(bundles(""))
    return config.get("revision", ""), {entry.get("mark", "") for entry in config.iter("Package")}


def test_the_configuration_has_the_commit_as_its_revision(repositories: Repositories) -> None:
    site = repositories.site()
    assert state(site) == (repositories.first, {"one"})
    assert site.core.rmi["Git.get_revision"]() == repositories.first


def test_without_a_working_copy_the_plugin_is_not_loaded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = Site(tmp_path, plugins="Metadata,Bundler,Git")
    assert "Git" not in site.core.plugins
    assert f"Plugin Git is not loaded: {site.repo}/.git does not exist" in caplog.text
    assert site.config().get("revision") == "-1"


@pytest.mark.parametrize("pack", [True, False])
def test_a_commit_that_touches_no_monitored_file_is_noticed(repositories: Repositories, pack: bool) -> None:
    site = repositories.site()
    if pack:
        git(repositories.repo, "pack-refs", "--all")
        site.apply()
    made = repositories.commit("note", {"README": "x"}, repositories.repo)
    site.apply()
    assert state(site) == (made, {"one"})


def test_without_logs_of_git_a_commit_is_noticed_as_well(repositories: Repositories) -> None:
    git(repositories.repo, "config", "core.logAllRefUpdates", "false")
    git(repositories.repo, "checkout", "-q", "-b", "topic/a")
    (repositories.repo / ".git/logs/HEAD").unlink()
    site = repositories.site()
    made = repositories.commit("note", {"README": "x"}, repositories.repo)
    site.apply()
    assert state(site)[0] == made


def test_git_is_asked_only_when_something_of_its_own_has_changed(
    repositories: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = repositories.site()
    asked: list[object] = []
    monkeypatch.setattr(git_plugin.Git, "get_revision", lambda self: asked.append(self) or "x")
    site.write("Bundler/other.xml", "<Bundle/>")
    assert not asked
    repositories.commit("two", folder=repositories.repo)
    site.apply()
    assert asked and state(site) == ("x", {"two"})


def test_update_fetches_and_moves_the_branch(repositories: Repositories, caplog: pytest.LogCaptureFixture) -> None:
    site = repositories.site()
    second = repositories.push("two")
    with caplog.at_level(logging.INFO):
        assert site.core.rmi["Git.Update"]() is True
    assert f"is at revision {second}" in caplog.text
    assert state(site) == (second, {"two"})
    assert site.core.rmi["Git.Update"]() is True
    assert state(site) == (second, {"two"})


def test_update_to_a_tag_a_hash_and_a_branch_of_the_remote(repositories: Repositories) -> None:
    second = repositories.push("two")
    git(repositories.work, "checkout", "-q", "-b", "feature/x")
    third = repositories.push("three", "feature/x")
    site = repositories.site()
    update = site.core.rmi["Git.Update"]
    for ref, expected in [
        ("v1", (repositories.first, {"one"})),
        (None, (repositories.first, {"one"})),
        (second[:10], (second, {"two"})),
        ("feature/x", (third, {"three"})),
        ("origin/main", (second, {"two"})),
        ("v1", (repositories.first, {"one"})),
        ("main", (second, {"two"})),
    ]:
        assert update(*([] if ref is None else [ref])) is True
        assert state(site) == expected
        assert site.core.rmi["Git.get_revision"]() == expected[0]
    git(repositories.work, "checkout", "-q", "feature/x")
    fourth = repositories.push("four", "feature/x")
    assert update("feature/x") is True  # which follows the remote's
    assert state(site) == (fourth, {"four"})


def test_update_to_what_is_no_commit_is_an_error_and_changes_nothing(repositories: Repositories) -> None:
    repositories.push("two")
    site = repositories.site()
    (repositories.repo / "Bundler/base.xml").write_text(bundles("mine")["Bundler/base.xml"])
    site.apply()
    refs = [
        "no-such-branch",
        "--detach",
        "-",
        "",
        "--upload-pack=touch x",
        "Bundler/base.xml",
        "a\nb",
        "a\0b",
        7,
        ["main"],
    ]
    for ref in refs:
        with pytest.raises(PluginExecutionError):
            site.core.rmi["Git.Update"](ref)
        assert state(site) == (repositories.first, {"one", "mine"})
        assert git(repositories.repo, "status", "--short") == "M Bundler/base.xml"


def test_a_checkout_throws_local_changes_away_and_a_pull_does_not(repositories: Repositories) -> None:
    second = repositories.push("two")
    site = repositories.site()
    (repositories.repo / "Bundler/base.xml").write_text(bundles("mine")["Bundler/base.xml"])
    with pytest.raises(PluginExecutionError, match="pull --rebase .*unstaged changes"):
        site.core.rmi["Git.Update"]()
    assert state(site) == (repositories.first, {"one", "mine"})
    assert site.core.rmi["Git.Update"]("main") is True
    assert state(site) == (second, {"two"})


def test_local_commits_are_put_on_top(repositories: Repositories) -> None:
    site = repositories.site()
    repositories.commit("note", {"local": "x"}, repositories.repo)
    second = repositories.push("two")
    assert site.core.rmi["Git.Update"]() is True
    assert git(repositories.repo, "rev-parse", "HEAD^") == second
    assert state(site) == (git(repositories.repo, "rev-parse", "HEAD"), {"two"})


def test_a_pull_that_conflicts_is_taken_back(repositories: Repositories) -> None:
    site = repositories.site()
    mine = repositories.commit("mine", folder=repositories.repo)
    repositories.push("two")
    with pytest.raises(PluginExecutionError, match="git .* pull --rebase .* failed in"):
        site.core.rmi["Git.Update"]()
    assert state(site) == (mine, {"mine"})
    assert git(repositories.repo, "status", "--short") == ""


def test_somebodys_unfinished_rebase_is_left_alone(repositories: Repositories) -> None:
    site = repositories.site()
    (repositories.repo / ".git/rebase-merge").mkdir()
    with pytest.raises(PluginExecutionError, match="a rebase is unfinished"):
        site.core.rmi["Git.Update"]()
    assert (repositories.repo / ".git/rebase-merge").is_dir()


def test_a_remote_that_is_gone_is_warned_of(repositories: Repositories, caplog: pytest.LogCaptureFixture) -> None:
    site = repositories.site()
    git(repositories.repo, "remote", "add", "gone", repositories.tmp_path / "nowhere")
    second = repositories.push("two")
    assert site.core.rmi["Git.Update"]() is True
    assert "fetch --all" in caplog.text
    assert state(site) == (second, {"two"})
    repositories.origin.rename(repositories.tmp_path / "moved.git")
    assert site.core.rmi["Git.Update"]("v1") is True  # nothing to pull
    with pytest.raises(PluginExecutionError, match="pull"):
        site.core.rmi["Git.Update"]("main")
    assert state(site) == (second, {"two"})


def test_the_environment_of_the_server_leads_to_no_other_repository(
    repositories: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(repositories.work / ".git"))
    repositories.commit("elsewhere")
    monkeypatch.setenv("GIT_WORK_TREE", "/")
    assert state(repositories.site()) == (repositories.first, {"one"})


def test_the_repository_may_be_part_of_a_working_copy(repositories: Repositories, tmp_path: Path) -> None:
    conf = f"[server]\nvcs_root = {repositories.repo}\n"
    inner = repositories.repo / "inner"
    inner.mkdir()
    site = Site(inner, plugins="Metadata,Bundler,Git", conf=conf)
    try:
        assert site.config().get("revision") == repositories.first
    finally:
        site.stop()


def test_clients_see_one_commit_or_the_other_and_its_revision(repositories: Repositories) -> None:
    marks = {repositories.first: "one", repositories.push("two"): "two"}
    site = repositories.site()
    seen: list[tuple[str, set[str]]] = []
    done = threading.Event()
    errors: list[Exception] = []

    def ask() -> None:
        try:
            while not done.is_set():
                seen.append(state(site))
        except Exception as err:  # noqa: BLE001 - told to the test
            errors.append(err)

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    for _ in range(4):
        for ref in ("v1", "main"):
            site.core.rmi["Git.Update"](ref)
            seen.append(state(site))
    done.set()
    for client in clients:
        client.join(30)
    assert not errors
    assert {revision for revision, _ in seen} == set(marks)
    assert [found for found in seen if found[1] != {marks[found[0]]}] == []


def test_a_tree_that_somebody_else_moves_is_read_when_that_has_ended(repositories: Repositories) -> None:
    site = repositories.site()
    lock = repositories.repo / ".git/index.lock"
    lock.touch()
    write_files(repositories.repo, bundles("half"))
    applying = threading.Thread(target=site.apply)
    applying.start()
    for _ in range(5):
        assert state(site) == (repositories.first, {"one"})
        time.sleep(0.05)
    lock.unlink()
    second = repositories.commit("two", folder=repositories.repo)
    applying.join(30)
    site.apply()
    assert state(site) == (second, {"two"})


def test_a_lock_that_a_killed_git_has_left_holds_nothing_up(repositories: Repositories) -> None:
    site = repositories.site()
    lock = repositories.repo / ".git/index.lock"
    lock.touch()
    os.utime(lock, (1_000_000_000, 1_000_000_000))
    begun = time.monotonic()
    site.change(bundles("edited"))
    assert state(site) == (repositories.first, {"edited"})
    assert time.monotonic() - begun < 20


def test_files_that_change_while_they_are_read_are_read_again(
    repositories: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = repositories.site()
    monitor, handle, moved = site.core.fam, site.core.fam.handle_event_set, []

    def move_meanwhile(*arguments: Any, **more: Any) -> int:
        handled = handle(*arguments, **more)
        if not moved:
            moved.append(repositories.commit("two", folder=repositories.repo))
        return handled

    monkeypatch.setattr(monitor, "handle_event_set", move_meanwhile)
    site.change(bundles("half"))
    assert state(site) == (moved[0], {"two"})


@pytest.mark.parametrize("backend", ["builtin", "multiprocessing"])
def test_a_server_process_follows_commits_and_updates(
    repositories: Repositories, tmp_path: Path, certificate: Any, backend: str
) -> None:
    pytest.importorskip("watchdog", reason="watchdog is not installed")
    folder = tmp_path / "process"
    folder.mkdir()
    settings = {"server.repository": str(repositories.repo), "server.backend": backend, "server.children": "2"}
    server = ServerProcess(folder, certificate, plugins="Metadata,Bundler,Git", settings=settings)
    with server:
        assert repositories.first in server.call("GetConfig")
        assert server.call("Git.Update") == 401
        second = repositories.push("two")
        assert server.call("Git.Update", source="127.0.0.1") is True
        for _ in range(4):  # in the next, and in each child
            config = server.call("GetConfig")
            assert second in config and 'mark="two"' in config and 'mark="one"' not in config
        third = repositories.commit("note", {"README": "x"}, repositories.repo)
        await_condition(lambda: third in server.call("GetConfig"))
        assert server.call("Git.get_revision", source="127.0.0.1") == third
