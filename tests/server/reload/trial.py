"""A running server whose repository changes all the time, and clients that read all the time.

Each answer must be that of a new server on the state before or after some change that was made meanwhile, and no client
may ever be sent back in time.
"""

import logging
import random
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from difflib import unified_diff
from pathlib import Path

from tests.server.reload import model
from tests.server.reload.contents import HOSTS
from tests.server.reload.edits import Disk
from tests.server.reload.freshserver import PLUGINS, Answers, FreshServer, cut, everything
from tests.support import Site, await_condition

Ask = Callable[[str], str]


class History:
    """The states of the repository so far, by number: what each client is to be answered.

    `applied`: the newest state that the server is known to have.  `changing` is held while there is a state on disk
    that is not in the list yet; None where the server cannot have read that.
    """

    def __init__(self, *, server_looks: bool) -> None:
        self.states: list[Answers] = []
        self.changes: list[str] = []
        self.applied = 0
        self.changing = threading.Lock() if server_looks else None


class Reader(threading.Thread):
    """Clients that ask without pause; `problem` says what was wrong with an answer."""

    def __init__(self, history: History, ask: Ask, seed: int) -> None:
        super().__init__(daemon=True)
        self._history = history
        self._ask = ask
        self._rng = random.Random(seed)
        self._seen = dict.fromkeys(HOSTS, 0)  # the earliest state that the last answer was of
        self.stopping = threading.Event()
        self.problem: str | None = None
        self.answers = 0
        #: The state that was applied when the last answer was asked for.
        self.asked_at = -1

    def run(self) -> None:
        try:
            while not self.stopping.is_set() and self.problem is None:
                self._read(self._rng.choice(HOSTS))
        except BaseException as err:
            self.problem = f"a reader ended with {err!r}"
            raise

    def _read(self, host: str) -> None:
        history = self._history
        applied = history.applied
        answer = self._ask(host)
        found = self._state_of(host, answer, applied)
        if found is None and history.changing is not None:
            with history.changing:
                found = self._state_of(host, answer, applied)
        if found is None:
            self.problem = self._wrong(host, answer, len(history.states) - 1)
        else:
            self._seen[host] = found
            self.answers += 1
            self.asked_at = applied

    def _state_of(self, host: str, answer: str, applied: int) -> int | None:
        """The earliest state that ANSWER may be of, if APPLIED was known to be applied when it was asked for."""
        states = self._history.states
        possible = range(max(applied, self._seen[host]), len(states))
        return next((number for number in possible if states[number][host] == answer), None)

    def _wrong(self, host: str, answer: str, last: int) -> str:
        """What to say of an ANSWER that is that of no state, or of one that is gone."""
        of = [number for number, state in enumerate(self._history.states[: last + 1]) if state[host] == answer]
        changes = "\n  ".join(self._history.changes[-2:])
        expected = self._history.states[last][host]
        diff = "\n".join(
            unified_diff(_lines(expected), _lines(answer), f"a new server, state {last}", "answer", lineterm="", n=1)
        )
        return f"{host} got an answer of state {of or 'nobody knows'} in state {last} after\n  {changes}\n{diff}"


def _lines(answer: str) -> list[str]:
    return answer.replace("><", ">\n<").splitlines()


class Faults(logging.Handler):
    """Collects what the server logs with a traceback: nothing in a repository is to cause that."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(logging.Formatter().format(record))


class Trial:
    """The repository on DISK, what it was and is to be, and the readers, who ASK a server.

    APPLY makes the server take what was changed, or waits until it has; SERVER_LOOKS: it may do so by itself earlier.
    """

    def __init__(
        self, disk: Disk, fresh: FreshServer, ask: Ask, apply: Callable[[], None], *, server_looks: bool = False
    ) -> None:
        self._disk = disk
        self._fresh = fresh
        self._apply = apply
        self.history = History(server_looks=server_looks)
        self._files = dict(disk.files)
        self._readings = model.after({}, {}, self._files)
        self.history.states.append(fresh.answers(self._readings))
        self.readers = [Reader(self.history, ask, seed) for seed in range(2)]

    def step(self) -> None:
        """Make a batch of changes, and wait until every reader has read what came of it."""
        with self.history.changing or nullcontext():
            self._disk.change()
            before = {path: content for path, content in self._files.items() if path not in self._disk.anew}
            self._files = dict(self._disk.files)
            self._readings = model.after(self._readings, before, self._files)
            self.history.changes.append("; ".join(self._disk.done))
            self.history.states.append(self._fresh.answers(self._readings))
        self._apply()
        applied = self.history.applied = len(self.history.states) - 1
        for reader in self.readers:
            await_condition(lambda reader=reader: reader.problem or reader.asked_at >= applied, 60)
        problems = [reader.problem for reader in self.readers if reader.problem]
        assert not problems, problems[0]

    def __enter__(self) -> "Trial":
        for reader in self.readers:
            reader.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for reader in self.readers:
            reader.stopping.set()
        for reader in self.readers:
            reader.join(60)


def run(folder: Path, seed: int, more: Callable[[int], bool]) -> int:
    """Change the repository below FOLDER, as SEED says, while MORE(steps so far); the number of answers checked."""
    rng = random.Random(seed)
    conf = (
        f"[rules]\nregex = {rng.choice(['yes', 'no'])}\n"
        f"[caching]\nclient_metadata = {rng.choice(['off', 'initial', 'cautious', 'aggressive'])}\n"
        f"[properties]\nautomatch = {rng.choice(['yes', 'no'])}\n"
    )
    disk = Disk(folder / "repo", rng)
    disk.fill()
    fresh = FreshServer(conf, "everything")
    site = Site(folder, {}, PLUGINS, conf, metadata={})
    faults = Faults()
    logging.getLogger().addHandler(faults)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    steps = 0
    try:
        with Trial(disk, fresh, lambda host: cut(everything(site.core, host), site.repo), site.apply) as trial:
            while more(steps):
                steps += 1
                trial.step()
                assert not faults.found, f"{disk.done}: {faults.found[0]}"
        return sum(reader.answers for reader in trial.readers)
    except AssertionError as err:
        raise AssertionError(f"seed {seed}, step {steps}, {conf!r}: {err}") from None
    finally:
        sys.setswitchinterval(interval)
        logging.getLogger().removeHandler(faults)
        site.stop()
        fresh.close()
