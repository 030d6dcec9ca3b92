"""Where children come from; each test has a process of its own do it, which has no threads."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what ends with its parent needs Linux")

BEGIN = """
import os, resource, signal, sys, threading, time
from multiprocessing.connection import wait
from bcfg2.server.nursery import Nursery, NurseryGone

def life(name, connection):
    connection.send((name, os.getpid(), threading.active_count()))
    while True:
        request = connection.recv()
        if request == "stop":
            return
        if request == "fail":
            raise RuntimeError("broken child")
        if request == "hang":
            time.sleep(1000)

def is_alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False

def await_(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)

def ends(connection):
    assert wait([connection], 20)
    try:
        connection.recv()
    except (EOFError, OSError):
        return True
    return False
"""


def run(tmp_path: Path, code: str, limit: float = 60) -> str:
    """What a process that runs CODE, after the beginning above, says on standard error; it has to end well."""
    script = tmp_path / "script.py"
    script.write_text(BEGIN + textwrap.dedent(code))
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=limit, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def test_children_are_made_live_and_end_in_an_orderly_way(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        nursery = Nursery(life, 10)
        connections = [nursery.fork(f"Child-{n}") for n in range(3)]
        found = [connection.recv() for connection in connections]
        assert [name for name, _, _ in found] == ["Child-0", "Child-1", "Child-2"]
        assert {threads for _, _, threads in found} == {1}
        for connection in connections:
            connection.send("stop")
        nursery.stop()
        assert not any(is_alive(pid) for _, pid, _ in found) and not is_alive(nursery.pid)
        """,
    )
    assert said == ""


def test_a_child_that_fails_or_is_killed_is_buried_and_named(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        nursery = Nursery(life, 10)
        one, two = nursery.fork("one"), nursery.fork("two")
        pids = [one.recv()[1], two.recv()[1]]
        one.send("fail")
        nursery.kill("two")
        assert ends(one) and ends(two)
        await_(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
        again = nursery.fork("one")
        assert again.recv()[0] == "one"
        again.send("stop")
        nursery.stop()
        """,
    )
    assert "The child two" in said and "was killed by signal 9" in said
    assert "broken child" in said and "ended with status 1" in said


def test_a_child_that_does_not_end_is_killed_in_the_end(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        nursery = Nursery(life, 0.3)
        child = nursery.fork("child")
        pid = child.recv()[1]
        child.send("hang")
        begun = time.monotonic()
        nursery.stop()
        assert not is_alive(pid) and time.monotonic() - begun < 10
        """,
    )


def test_a_nursery_that_is_gone_says_so(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        nursery = Nursery(life, 1)
        child = nursery.fork("child")
        pid = child.recv()[1]
        os.kill(nursery.pid, signal.SIGKILL)
        await_(lambda: not is_alive(nursery.pid) and not is_alive(pid))
        for use in (nursery.fork, nursery.kill):
            try:
                use("child")
            except NurseryGone:
                continue
            raise AssertionError(use)
        nursery.stop()
        """,
    )


def test_without_descriptors_there_is_no_child_for_now_but_later(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        nursery = Nursery(life, 10)
        taken = []
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        try:
            nursery.fork("child")
        except OSError as err:
            assert not isinstance(err, NurseryGone)
        else:
            raise AssertionError("a child without descriptors")
        for descriptor in taken:
            os.close(descriptor)
        child = nursery.fork("child")
        assert child.recv()[0] == "child"
        child.send("stop")
        nursery.stop()
        """,
    )


def test_a_fork_that_fails_ends_the_connection_and_costs_nothing_else(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        real, failures = os.fork, [1]
        def fork():
            if os.getpid() != main and failures:
                failures.pop()
                raise OSError(12, "Cannot allocate memory")
            return real()
        main = os.getpid()
        os.fork = fork
        nursery = Nursery(life, 10)
        assert ends(nursery.fork("one"))
        child = nursery.fork("two")
        assert child.recv()[0] == "two"
        child.send("stop")
        nursery.stop()
        """,
    )
    assert "Cannot make the child one: [Errno 12] Cannot allocate memory" in said


def test_everybody_ends_with_the_main_process(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        reading, writing = os.pipe()
        main = os.fork()
        if not main:
            nursery = Nursery(life, 10)
            pids = [nursery.fork(f"{n}").recv()[1] for n in range(2)] + [nursery.pid]
            os.write(writing, " ".join(map(str, pids)).encode())
            time.sleep(1000)
        pids = [int(word) for word in os.read(reading, 1000).split()]
        os.kill(main, signal.SIGKILL)
        os.waitpid(main, 0)
        await_(lambda: not any(map(is_alive, pids)))
        """,
    )
