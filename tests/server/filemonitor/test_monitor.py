"""File monitors: what owners of paths are told, over real files."""

import errno
import os
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from bcfg2.options import Options
from bcfg2.server.filemonitor import FileMonitor, find_monitor
from bcfg2.server.filemonitor.monitor import IGNORED
from bcfg2.server.filemonitor.monitor import _state as monitor_state
from bcfg2.server.versioned import Versioned, reading
from tests.support import await_condition


class Owner:
    """Notes the events that it is told of."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def HandleEvent(self, event: Any) -> None:
        self.events.append((event.filename, event.code2str()))

    def take(self) -> list[tuple[str, str]]:
        events, self.events = self.events, []
        return events


def make_options(tmp_path: Path, **values: Any) -> Options:
    defaults = {
        "server_repository": str(tmp_path),
        "server_ignore_files": IGNORED,
        "server_settle_time": 0.05,
        "server_settle_limit": 1.0,
    }
    return Options({**defaults, **values})


@pytest.fixture
def monitor(tmp_path: Path) -> FileMonitor:
    return find_monitor("pseudo")(make_options(tmp_path))


def compare(monitor: FileMonitor) -> None:
    monitor.rescan()
    monitor.handle_event_set()


def test_a_folder_reports_itself_then_what_is_in_it_in_order(tmp_path, monitor):
    for name in ("b.xml", "a.xml", "sub/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    owner = Owner()
    monitor.AddMonitor(tmp_path, owner)
    monitor.handle_event_set()
    top = str(tmp_path)
    assert owner.events == [
        (top, "exists"),
        ("a.xml", "exists"),
        ("b.xml", "exists"),
        ("sub", "exists"),
        (top, "endExist"),
    ]


def test_changes_are_told_with_the_action_that_they_are(tmp_path, monitor):
    (tmp_path / "changed").write_text("1")
    (tmp_path / "deleted").write_text("1")
    owner = Owner()
    monitor.AddMonitor(tmp_path, owner)
    monitor.handle_event_set()
    owner.take()
    (tmp_path / "changed").write_text("22")
    (tmp_path / "deleted").unlink()
    (tmp_path / "created").write_text("1")
    compare(monitor)
    assert owner.take() == [("deleted", "deleted"), ("changed", "changed"), ("created", "created")]
    compare(monitor)
    assert owner.take() == []


def test_a_file_replaced_by_renaming_another_over_it_has_changed(tmp_path, monitor):
    path = tmp_path / "file"
    path.write_text("old")
    owner = Owner()
    monitor.AddMonitor(path, owner)
    monitor.handle_event_set()
    owner.take()
    other = tmp_path / "other"
    other.write_text("new")
    other.rename(path)
    compare(monitor)
    assert owner.take() == [(str(path), "changed")]


def test_a_monitored_file_that_is_not_there_yet_is_created_later(tmp_path, monitor):
    path = tmp_path / "later" / "file"
    owner = Owner()
    monitor.AddMonitor(path, owner)
    monitor.handle_event_set()
    assert owner.take() == [(str(path), "endExist")]
    path.parent.mkdir()
    path.write_text("x")
    compare(monitor)
    assert owner.take() == [(str(path), "created")]
    path.unlink()
    compare(monitor)
    assert owner.take() == [(str(path), "deleted")]


def test_every_owner_of_a_path_is_told_under_its_own_number(tmp_path, monitor):
    first, second = Owner(), Owner()
    numbers = {monitor.AddMonitor(tmp_path, first), monitor.AddMonitor(tmp_path, second)}
    assert len(numbers) == 2
    assert monitor.AddMonitor(tmp_path, first) in numbers
    monitor.handle_event_set()
    first.take(), second.take()
    (tmp_path / "x").touch()
    compare(monitor)
    assert first.take() == second.take() == [("x", "created")]


def test_paths_with_dots_are_the_path_that_they_mean(tmp_path, monitor):
    owner = Owner()
    monitor.AddMonitor(f"{tmp_path}/a/../file", owner)
    (tmp_path / "file").touch()
    monitor.handle_event_set()
    assert (str(tmp_path / "file"), "exists") in owner.events


@pytest.mark.parametrize("name", ["x~", ".#x", "x.swp", ".x.swx", "4913", ".svn", ".gitignore", "x#"])
def test_droppings_of_editors_are_never_told_of(tmp_path, monitor, name):
    (tmp_path / name).touch()
    owner = Owner()
    monitor.AddMonitor(tmp_path, owner)
    monitor.handle_event_set()
    assert name not in dict(owner.events)


def test_ignore_files_is_also_tried_on_the_whole_path(tmp_path):
    monitor = find_monitor("pseudo")(make_options(tmp_path, server_ignore_files=["*/private/*"]))
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "x").touch()
    owner = Owner()
    monitor.AddMonitor(tmp_path / "private", owner)
    monitor.handle_event_set()
    assert "x" not in dict(owner.events)


def test_a_folder_made_anew_is_deleted_and_created(tmp_path, monitor):
    (tmp_path / "sub").mkdir()
    owner = Owner()
    monitor.AddMonitor(tmp_path, owner)
    monitor.handle_event_set()
    owner.take()
    (tmp_path / "sub").rename(tmp_path / "away")
    (tmp_path / "sub").mkdir()
    compare(monitor)
    assert owner.take() == [("sub", "deleted"), ("away", "created"), ("sub", "created")]


def test_a_link_that_leads_back_up_is_not_followed(tmp_path, monitor, caplog):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    owner = Owner()
    monitor.AddMonitor(tmp_path / "a", owner)
    monitor.handle_event_set()
    assert "loop" not in dict(owner.events)
    assert "leads back" in caplog.text


def test_an_owner_that_raises_does_not_keep_others_from_being_told(tmp_path, monitor, caplog):
    class Broken(Owner):
        def HandleEvent(self, event):
            raise RuntimeError("no")

    broken, owner = Broken(), Owner()
    monitor.AddMonitor(tmp_path, broken)
    monitor.AddMonitor(tmp_path, owner)
    monitor.handle_event_set()
    assert owner.events
    assert "Error in handling of event" in caplog.text


def test_what_a_batch_changes_becomes_visible_at_once(tmp_path, monitor):
    class State:
        value: Versioned[str] = Versioned("")

    state = State()
    seen: list[str] = []

    def look() -> None:
        with reading():
            seen.append(state.value)

    class Sets(Owner):
        def HandleEvent(self, event):
            state.value = event.filename
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()

    (tmp_path / "x").touch()
    monitor.AddMonitor(tmp_path, Sets())
    monitor.handle_event_set()
    assert seen and set(seen) == {""}
    assert state.value == str(tmp_path)


def test_registrations_made_while_events_are_handled_belong_to_the_batch(tmp_path, monitor):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x").touch()
    inner = Owner()

    class Follows(Owner):
        def HandleEvent(self, event):
            if event.filename == "sub" and event.code2str() == "exists":
                monitor.AddMonitor(tmp_path / "sub", inner)

    monitor.AddMonitor(tmp_path, Follows())
    monitor.handle_event_set()
    assert ("x", "exists") in inner.events


def test_list_event_handlers_names_path_and_owner(tmp_path, monitor):
    class Named(Owner):
        def __str__(self) -> str:
            return "an owner"

    monitor.AddMonitor(tmp_path, Named())
    assert monitor.list_event_handlers() == {str(tmp_path): "an owner"}


def test_an_unknown_monitor_is_a_lookup_error():
    with pytest.raises(LookupError, match="use default, inotify or pseudo"):
        find_monitor("dnotify")


# what cannot be looked at


def refuse(monkeypatch, number: int, folder: Path) -> None:
    """Have the system answer with the error NUMBER when FOLDER is listed."""
    listing = os.scandir

    def scandir(path):
        if os.fspath(path) == str(folder):
            raise OSError(number, os.strerror(number), path)
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO, errno.ESTALE])
def test_a_folder_that_cannot_be_listed_keeps_what_was_in_it(tmp_path, monitor, monkeypatch, caplog, number):
    (tmp_path / "x").touch()
    owner = Owner()
    monitor.AddMonitor(tmp_path, owner)
    monitor.handle_event_set()
    owner.take()
    with monkeypatch.context() as patch:
        refuse(patch, number, tmp_path)
        for _ in range(3):
            compare(monitor)
        assert owner.take() == []
    assert caplog.text.count(f"Cannot look at {tmp_path}") == 1
    (tmp_path / "x").unlink()
    compare(monitor)
    assert owner.take() == [("x", "deleted")]


def test_a_file_that_cannot_be_looked_at_stays_as_it_was(tmp_path, monitor, monkeypatch):
    for name in ("x", "y"):
        (tmp_path / name).touch()
    owner = Owner()
    monitor.AddMonitor(tmp_path, owner)
    monitor.handle_event_set()
    owner.take()

    class Entry:
        def __init__(self, entry):
            self.entry, self.name, self.path = entry, entry.name, entry.path

        def is_symlink(self):
            return self.entry.is_symlink()

        def stat(self):
            if self.name in ("x", "new"):
                raise PermissionError(errno.EACCES, "Permission denied", self.path)
            return self.entry.stat()

    listing = os.scandir
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", lambda path: nullcontext([Entry(entry) for entry in listing(path)]))
        (tmp_path / "new").touch()
        (tmp_path / "y").write_text("2")
        compare(monitor)
    assert owner.take() == [("y", "changed")]
    compare(monitor)
    assert owner.take() == [("new", "created")]


def test_what_could_not_be_looked_at_is_looked_at_again_later(tmp_path, monitor, monkeypatch):
    monitor.retry_time = 0.05
    owner = Owner()
    monitor.AddMonitor(tmp_path, owner)
    with monkeypatch.context() as patch:
        refuse(patch, errno.EMFILE, tmp_path)
        monitor.handle_event_set()
    (tmp_path / "x").touch()
    owner.take()
    stopper = threading.Timer(10, monitor.shutdown)
    stopper.start()
    assert monitor.wait()
    stopper.cancel()
    monitor.handle_event_set()
    assert ("x", "created") in owner.take()
    assert not monitor.pending()


def test_a_file_written_twice_within_a_tick_of_a_coarse_clock_is_seen(tmp_path, monitor):
    """A file system may count whole seconds, so a second writing may not show in the file's times."""
    second = int(time.time()) * 1_000_000_000
    path = tmp_path / "x"

    def write(text: str) -> None:
        path.write_text(text)
        os.utime(path, ns=(second, second))

    owner = Owner()
    monitor.AddMonitor(tmp_path, owner)
    write("1")
    monitor.handle_event_set()
    owner.take()
    status = os.stat(path)
    assert monitor_state(status) != monitor_state(status)
    write("2")
    compare(monitor)
    assert owner.take() == [("x", "changed")]
    os.utime(path, (1_000_000_000, 1_000_000_000))
    compare(monitor)
    owner.take()
    compare(monitor)
    assert owner.take() == []  # nothing can be written any more without another time


# owners that are gone


def test_registrations_are_taken_back_if_what_made_them_fails(tmp_path, monitor):
    kept, failed = Owner(), Owner()
    monitor.AddMonitor(tmp_path / "both", kept)
    with pytest.raises(ZeroDivisionError), monitor.registering():
        monitor.AddMonitor(tmp_path / "both", failed)
        monitor.AddMonitor(tmp_path / "own", failed)
        raise ZeroDivisionError
    for name in ("both", "own"):
        (tmp_path / name).touch()
    monitor.handle_event_set()
    assert failed.events == []
    assert (str(tmp_path / "both"), "exists") in kept.events
    assert list(monitor.list_event_handlers()) == [str(tmp_path / "both")]


def test_who_is_forgotten_is_told_nothing_more(tmp_path, monitor):
    with monitor.registering() as numbers:
        owner = Owner()
        monitor.AddMonitor(tmp_path, owner)
    monitor.handle_event_set()
    owner.take()
    monitor.forget(numbers)
    (tmp_path / "x").touch()
    compare(monitor)
    assert owner.events == []
    assert monitor.list_event_handlers() == {}


def test_an_owner_that_ends_its_thread_costs_only_its_event(tmp_path, monitor, caplog):
    class Leaving(Owner):
        def HandleEvent(self, event: Any) -> None:
            sys.exit(3)

    owner = Owner()
    monitor.AddMonitor(tmp_path, Leaving())
    monitor.AddMonitor(tmp_path, owner)
    monitor.handle_event_set()
    assert (str(tmp_path), "exists") in owner.events
    assert "Error in handling of event" in caplog.text


def test_after_very_many_reports_everything_is_compared(tmp_path, monitor):
    """The kernel may have dropped some, whatever folders the others were about."""
    monitor.max_notices = 10
    owner = Owner()
    monitor.AddMonitor(tmp_path, owner)
    monitor.handle_event_set()
    owner.take()
    (tmp_path / "x").touch()
    for _ in range(10):
        monitor.heard()
    assert not monitor.pending()
    monitor.heard()
    assert monitor.wait()
    monitor.handle_event_set()
    assert owner.take() == [("x", "created")]


# the kernel's reports


@pytest.fixture
def inotify(tmp_path):
    pytest.importorskip("watchdog")
    repository = tmp_path / "repo"
    repository.mkdir()
    monitor = find_monitor("inotify")(make_options(repository))
    yield monitor, repository
    monitor.shutdown()


def until(monitor: FileMonitor, condition, limit: float = 10.0) -> None:
    """Handle batches until CONDITION holds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it was not noticed"
        stopper = threading.Timer(max(0.0, deadline - time.monotonic()), monitor.shutdown)
        stopper.start()
        monitor.wait()
        stopper.cancel()
        monitor.handle_event_set()


def started(monitor: FileMonitor, path: Path) -> Owner:
    owner = Owner()
    monitor.AddMonitor(path, owner)
    monitor.start()
    monitor.handle_event_set()
    owner.take()
    return owner


def test_inotify_notices_files_written_renamed_and_deleted(inotify):
    monitor, repo = inotify
    owner = started(monitor, repo)
    (repo / "x").write_text("1")
    until(monitor, lambda: ("x", "created") in owner.events)
    (repo / "x").write_text("22")
    until(monitor, lambda: ("x", "changed") in owner.events)
    (repo / "x").rename(repo / "y")
    until(monitor, lambda: {("x", "deleted"), ("y", "created")} <= set(owner.events))
    (repo / "y").unlink()
    until(monitor, lambda: ("y", "deleted") in owner.events)


def test_inotify_notices_a_monitored_folder_that_is_deleted_and_made_again(inotify):
    monitor, repo = inotify
    (repo / "sub").mkdir()
    owner = started(monitor, repo / "sub")
    (repo / "sub").rmdir()
    until(monitor, lambda: (str(repo / "sub"), "deleted") in owner.events)
    (repo / "sub").mkdir()
    (repo / "sub" / "x").touch()
    until(monitor, lambda: ("x", "created") in owner.events)


def test_inotify_takes_reports_while_more_folders_are_being_watched(inotify, tmp_path, monkeypatch):
    """The observer calls with a lock that watching a folder needs: waiting for each other they would stand still."""
    from watchdog.events import FileCreatedEvent

    monitor, repo = inotify
    outside = tmp_path / "outside"
    outside.mkdir()
    owner = started(monitor, repo)
    schedule = monitor._observer.schedule

    def scheduling(*arguments, **more):
        report = threading.Thread(target=monitor.on_any_event, args=(FileCreatedEvent(str(repo / "x")),), daemon=True)
        report.start()
        report.join(5)
        assert not report.is_alive()
        return schedule(*arguments, **more)

    monkeypatch.setattr(monitor._observer, "schedule", scheduling)
    (outside / "target").touch()
    (repo / "link").symlink_to(outside / "target")
    until(monitor, lambda: ("link", "created") in owner.events)
    assert str(outside) in monitor.list_watches()


def test_inotify_notices_another_repository_put_in_the_place_of_the_first(inotify, tmp_path):
    monitor, repo = inotify
    for folder, text in ((repo / "Bundler", "1"), (tmp_path / "new" / "Bundler", "new")):
        folder.mkdir(parents=True)
        (folder / "x").write_text(text)
    owner = started(monitor, repo / "Bundler")
    for text in ("22", "333"):
        repo.rename(tmp_path / f"aside{text}")
        (tmp_path / "new").rename(repo)
        until(monitor, lambda: ("x", "changed") in owner.events or ("x", "created") in owner.events)
        owner.take()
        (repo / "Bundler" / "x").write_text(text)
        until(monitor, lambda: ("x", "changed") in owner.events)
        owner.take()
        (tmp_path / "new" / "Bundler").mkdir(parents=True)
        (tmp_path / "new" / "Bundler" / "x").write_text("another")


def test_inotify_notices_changes_behind_a_link_that_leads_out_of_the_repository(inotify, tmp_path):
    monitor, repo = inotify
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "target").write_text("1")
    (repo / "link").symlink_to(outside / "target")
    owner = started(monitor, repo)
    (outside / "target").write_text("22")
    until(monitor, lambda: ("link", "changed") in owner.events)


def test_inotify_follows_a_link_to_where_it_leads_now(inotify, tmp_path):
    monitor, repo = inotify
    for name in ("one", "two"):
        (tmp_path / name).write_text("1")
    link = repo / "link"
    link.symlink_to(tmp_path / "one")
    owner = started(monitor, link)
    (repo / "new").symlink_to(tmp_path / "two")
    (repo / "new").replace(link)
    until(monitor, lambda: owner.take())
    (tmp_path / "two").write_text("22")
    until(monitor, lambda: (str(link), "changed") in owner.events)


def test_inotify_notices_that_the_repository_is_a_link_to_another_release(tmp_path):
    pytest.importorskip("watchdog")
    for number in (1, 2):
        (tmp_path / f"release{number}").mkdir()
        (tmp_path / f"release{number}" / "x").write_text(str(number))
    repo = tmp_path / "repo"
    repo.symlink_to("release1")
    monitor = find_monitor("inotify")(make_options(repo))
    try:
        owner = started(monitor, repo / "x")
        (tmp_path / "new").symlink_to("release2")
        os.rename(tmp_path / "new", repo)
        until(monitor, lambda: (str(repo / "x"), "changed") in owner.events)
        owner.take()
        (tmp_path / "release2" / "x").write_text("three")
        until(monitor, lambda: (str(repo / "x"), "changed") in owner.events)
    finally:
        monitor.shutdown()


def test_inotify_makes_one_batch_of_changes_that_follow_each_other(inotify):
    monitor, repo = inotify
    owner = started(monitor, repo)
    for number in range(20):
        (repo / f"{number:02}").write_text("x")
    assert monitor.wait()
    monitor.handle_event_set()
    until(monitor, lambda: len(owner.events) == 20)
    assert owner.events == [(f"{number:02}", "created") for number in range(20)]


def test_a_log_written_without_end_beside_a_monitored_file_puts_off_no_change(inotify, tmp_path):
    monitor, repo = inotify
    monitor.settle_time, monitor.settle_limit = 0.1, 3600.0
    conf = tmp_path / "bcfg2.conf"
    conf.write_text("1")
    (repo / "sub").mkdir()
    link = repo / "link"
    link.symlink_to(tmp_path / "elsewhere")
    owner = started(monitor, conf)
    for path in (link, repo / "missing", repo / "sub"):
        monitor.AddMonitor(path, owner)
    monitor.handle_event_set()
    enough = threading.Event()

    def write() -> None:
        with (tmp_path / "log").open("a") as log:
            while not enough.wait(0.01):
                print("line", file=log, flush=True)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for path, action in (
            (conf, "changed"),
            (tmp_path / "elsewhere", "created"),
            (repo / "missing", "created"),
            (repo / "sub/x", "created"),
        ):
            path.write_text("22")
            told = {tmp_path / "elsewhere": str(link), repo / "sub/x": "x"}.get(path, str(path))
            until(monitor, lambda told=told, action=action: (told, action) in owner.events)
    finally:
        enough.set()
        writer.join()


def test_wait_returns_false_after_shutdown(inotify):
    monitor, repo = inotify
    started(monitor, repo)
    threading.Timer(0.05, monitor.shutdown).start()
    assert monitor.wait() is False


def test_what_is_still_being_written_is_left_for_the_next_batch(inotify):
    monitor, repo = inotify
    monitor.settle_time = 3600.0
    monitor.settle_limit = 7200.0
    owner = started(monitor, repo)
    (repo / "x").write_text("1")
    await_condition(monitor.pending)
    late = Owner()
    monitor.AddMonitor(repo / "y", late)
    monitor.handle_event_set()
    assert late.take() == [(str(repo / "y"), "endExist")]
    assert owner.take() == []
    assert monitor.pending()
    monitor.settle_time = 0.0
    monitor.handle_event_set()
    assert owner.take() == [("x", "created")]
