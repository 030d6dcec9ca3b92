"""How the main process keeps its children at work; they are threads here, so that they can fail as a test wants."""

import errno
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from types import SimpleNamespace
from typing import Any

import pytest

from bcfg2.server import children as children_module
from bcfg2.server.child_core import OK, Outcome, ReadyToLoad
from bcfg2.server.children import Children
from bcfg2.server.nursery import NurseryGone
from bcfg2.server.rpc_queue import ChildEnd
from bcfg2.server.turns import NoWorker
from tests.support import await_condition


class FakeNursery:
    """Children that are threads; what is in `failures` is raised first in place of making one."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.made: list[tuple[str, Any]] = []
        self.killed: list[str] = []

    def fork(self, name: str) -> Any:
        if self.failures:
            raise self.failures.pop(0)
        here, there = Pipe()
        self.made.append((name, there))
        threading.Thread(target=self._live, args=(name, there, len(self.made)), daemon=True).start()
        return here

    def _live(self, name: str, connection: Any, number: int) -> None:
        end = ChildEnd(connection)
        end.answer(None, ReadyToLoad())
        try:
            while (request := end.get()).method not in ("stop", "die"):
                if request.number is not None:
                    end.answer(request.number, Outcome(OK, f"{number} {request.method}"))
        except (EOFError, OSError):
            pass
        connection.close()

    def kill(self, name: str) -> None:
        self.killed.append(name)

    def stop(self) -> None:
        pass


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(children_module, "_TICK", 0.02)
    monkeypatch.setattr(children_module, "_RETRY", 0.05)
    made: list[Children] = []

    def make(nursery: FakeNursery, number: int = 1, welcome: Any = None) -> Children:
        options = SimpleNamespace(
            server_children=number,
            server_child_patience=30.0,
            server_child_timeout=30.0,
            server_child_threads=1,
            server_max_queue=10,
        )
        ignore: Any = lambda *_: None  # noqa: E731
        made.append(
            Children(nursery, options, welcome or (lambda child: made[-1].adopt(child)), ignore, ignore)  # type: ignore[arg-type]
        )
        return made[-1]

    yield make
    for children in made:
        children.stop()
        children.stop()  # which may be said more than once


def test_a_child_that_ended_before_it_was_adopted_gets_no_work(make: Any) -> None:
    born: list[Any] = []
    nursery = FakeNursery()
    children = make(nursery, welcome=born.append)
    children.start()
    await_condition(lambda: born)
    born[0].publish("die")
    await_condition(lambda: born[0].is_gone)
    children.adopt(born[0])
    assert not children.wait(0)
    await_condition(lambda: len(born) == 2)
    children.adopt(born[1])
    assert children.wait(10)
    assert children.render("client", 0) == "2 GetConfig"


def test_what_is_short_for_a_while_costs_a_child_only_for_a_while(make: Any) -> None:
    children = make(FakeNursery(OSError(errno.EMFILE, "Too many open files"), RuntimeError("can't start new thread")))
    children.start()
    assert children.wait(10)
    assert children.render("client", 0) == "1 GetConfig"


def test_without_a_nursery_nobody_waits_for_a_child(make: Any) -> None:
    children = make(FakeNursery(NurseryGone("broken pipe")))
    children.start()
    assert children.wait(10)
    with pytest.raises(NoWorker):
        children.render("client", 0)


def test_those_that_wait_for_the_end_of_a_batch_that_failed_are_replaced(make: Any) -> None:
    nursery = FakeNursery()
    children = make(nursery, number=2)
    children.start()
    assert children.wait(10)
    loading = children.load(["/some/path"])
    loading.seen(10)
    loading.give_up()
    assert sorted(nursery.killed) == ["Child-0", "Child-1"]
    await_condition(lambda: len(nursery.made) == 4)
    await_condition(lambda: children.render("client", 0) in ("3 GetConfig", "4 GetConfig"))
