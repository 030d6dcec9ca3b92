"""The promise of every reload: an answer is that of a new server on the repository before the change, or after it.

Files of every kind are edited, broken, repaired, deleted, renamed, linked and moved about while clients read.  The seed
is part of what a failure says; ``BCFG2_TEST_SEED`` chooses another, and ``python -m tests.server.reload`` runs on for
as long as one likes.
"""

import os
import random
import time
import xmlrpc.client
from pathlib import Path

import pytest
from lxml import etree

from tests.conftest import Certificate
from tests.server.reload.contents import HOSTS
from tests.server.reload.edits import Disk
from tests.server.reload.freshserver import NO_ANSWER, PLUGINS, FreshServer, cut, in_order
from tests.server.reload.trial import Trial, run
from tests.support import ServerProcess, await_condition

pytest.importorskip("genshi", reason="the repository has Genshi templates in it: install bcfg2[genshi]")
pytest.importorskip("jinja2", reason="the repository has Jinja2 templates in it: install bcfg2[jinja2]")

SEED = int(os.environ.get("BCFG2_TEST_SEED", "5"))

#: How long to go on, in seconds; the first repository and the two servers are made on top of that.
SECONDS = float(os.environ.get("BCFG2_RELOAD_SECONDS", "1.5"))


def test_every_answer_is_that_of_a_new_server_before_or_after_the_change(tmp_path: Path) -> None:
    end = time.monotonic() + SECONDS
    answers = run(tmp_path, SEED, lambda steps: steps < 2 or time.monotonic() < end)
    assert answers > 0


#: A file that no configuration depends on; what it says tells which state the server has read.
MARK = "Probes/zz-state"


def test_a_server_that_hears_of_changes_keeps_the_promise_over_the_network(
    tmp_path: Path, certificate: Certificate
) -> None:
    pytest.importorskip("watchdog", reason="only the monitor inotify follows changes: install bcfg2[inotify]")
    server = ServerProcess(
        tmp_path, certificate, {}, PLUGINS, settings={"server.filemonitor": "inotify", "server.settle_time": "0.5"}
    )
    disk = Disk(server.repo, random.Random(SEED))
    disk.fill()
    fresh = FreshServer("", "configuration")
    state = 0

    def ask(host: str) -> str:
        try:
            answer = server.call("GetConfig", source=f"127.0.3.{host[1]}")
        except xmlrpc.client.Fault:
            return NO_ANSWER
        if not isinstance(answer, str):  # a status: a client that is not known is not let in
            return NO_ANSWER
        return cut(in_order(etree.fromstring(answer)), server.repo)

    def has_read() -> bool:
        return f"state {state}<" in server.call("GetProbes", source=f"127.0.3.{HOSTS[-1][1]}")

    def change() -> None:
        nonlocal state
        state += 1
        Disk.change(disk)
        (server.repo / MARK).write_text(f"state {state}")

    disk.change = change
    end = time.monotonic() + SECONDS
    try:
        with server, Trial(disk, fresh, ask, lambda: await_condition(has_read), server_looks=True) as trial:
            while state < 2 or time.monotonic() < end:
                trial.step()
    except AssertionError as err:
        raise AssertionError(f"seed {SEED}, state {state}: {err}") from None
    finally:
        fresh.close()
    assert "Traceback" not in server.log.read_text()
