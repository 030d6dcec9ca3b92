"""Tells which templates take long, and where they are just then.

Nothing can stop a thread, so a template that never ends keeps its own until the server ends.  What can be done is to
say so: a thread of its own looks now and then at what is being rendered.
"""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

logger = logging.getLogger("bcfg2.Cfg")

#: Seconds between two looks, and after which the thread that looks ends if nothing is being rendered.
_TICK, _IDLE = 1.0, 60.0


@dataclass
class _Rendering:
    """What is being rendered, for whom, in which thread, since when; and whether that has been told."""

    template: str
    client: str
    thread: int
    begun: float
    told: bool = False


class SlowTemplates:
    """Warns of templates that take more than a number of seconds."""

    def __init__(self) -> None:
        self._running: dict[int, _Rendering] = {}
        self._lock = threading.Lock()
        self._limit = 0.0
        self._watching = False
        self._pause = threading.Event()  # never set

    @contextmanager
    def rendering(self, template: str, client: str, limit: float | None) -> Iterator[None]:
        """While this lasts, the file TEMPLATE is rendered for CLIENT; after LIMIT seconds (None: never) it is told."""
        if limit is None:
            yield
            return
        rendering = _Rendering(template, client, threading.get_ident(), time.monotonic())
        key = id(rendering)
        self._limit = limit
        self._running[key] = rendering
        if not self._watching:
            self._watch()
        try:
            yield
        finally:
            del self._running[key]
            if rendering.told:
                taken = time.monotonic() - rendering.begun
                logger.warning("%s took %.1f s for %s", template, taken, client)

    def _watch(self) -> None:
        with self._lock:
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._look_on, name="slow templates", daemon=True).start()

    def _look_on(self) -> None:
        idle_since = time.monotonic()
        while True:
            self._pause.wait(min(_TICK, self._limit))
            now = time.monotonic()
            for rendering in list(self._running.values()):
                idle_since = now
                if not rendering.told and now - rendering.begun > self._limit:
                    rendering.told = True
                    logger.warning(
                        "%s has been rendered for %s for %.0f s by now%s",
                        rendering.template,
                        rendering.client,
                        now - rendering.begun,
                        _place(rendering),
                    )
            with self._lock:
                if now - idle_since > _IDLE and not self._running:
                    self._watching = False
                    return


def _place(rendering: _Rendering) -> str:
    """Where in the template the thread is; empty where the library does not tell, as only Jinja2 does."""
    frame: FrameType | None = sys._current_frames().get(rendering.thread)
    while frame is not None:
        compiled = frame.f_globals.get("__jinja_template__")
        if compiled is not None and frame.f_code.co_filename == rendering.template:
            return f", it is in line {compiled.get_corresponding_lineno(frame.f_lineno)}"
        frame = frame.f_back
    return ""
