"""What the core hands to plugins and to the objects that they are made of.

The helper classes have the constructors that other people's plugins rely on (``FileBacked(path)``), in which there is
no room for a core.  So the core says whose objects are being made: :func:`using` is in force while plugins are loaded
and while file events are handled, and an object that needs the core asks for :func:`current_core` when it is made.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from bcfg2.options import Options


class CoreInterface(Protocol):
    """The part of a core that plugins may use."""

    options: Options
    logger: logging.Logger
    plugins: dict[str, Any]
    metadata: Any
    metadata_cache: Any
    fam: Any
    lock: threading.Lock
    terminate: threading.Event
    db_write_lock: threading.RLock
    revision: str

    @property
    def metadata_cache_mode(self) -> str: ...

    @property
    def database_available(self) -> bool: ...

    def plugins_by_type(self, base_cls: type) -> list[Any]: ...

    def build_metadata(self, client_name: str, register: bool = True) -> Any: ...


_current: ContextVar[CoreInterface] = ContextVar("bcfg2_core")


def current_core() -> CoreInterface:
    """The core for which an object is being made; :exc:`LookupError` outside of :func:`using`."""
    return _current.get()


@contextmanager
def using(core: CoreInterface) -> Iterator[None]:
    """Make CORE the current one for this thread."""
    token = _current.set(core)
    try:
        yield
    finally:
        _current.reset(token)
