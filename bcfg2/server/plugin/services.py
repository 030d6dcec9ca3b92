"""What the core hands to plugins and to the objects that they are made of.

The helper classes have the constructors that other people's plugins rely on (``FileBacked(path)``), in which there is
no room for a core.  So the core says whose objects are being made: :func:`using` is in force while plugins are loaded
and while file events are handled, and an object that needs the core asks for :func:`current_core` when it is made.
Threads that a plugin has started by itself get the core that loads plugins in this process.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
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
    #: What is read again when passphrases change: `add` an object that has a method `reload`.
    passphrase_users: Any

    @property
    def metadata_cache_mode(self) -> str: ...

    @property
    def is_connecting(self) -> bool: ...

    @property
    def has_connected_within(self) -> bool: ...

    @property
    def database_available(self) -> bool: ...

    def plugins_by_type(self, base_cls: type) -> list[Any]: ...

    def share(self, *paths: str, told: bool = False) -> None: ...

    def tell_children(self, owner: str, method: str, *args: Any) -> None: ...

    def build_metadata(self, client_name: str, register: bool = True) -> Any: ...

    def changing_repository(self) -> AbstractContextManager[None]: ...

    def Bind(self, entry: Any, metadata: Any) -> None: ...


_current: ContextVar[CoreInterface] = ContextVar("bcfg2_core")
_of_process: list[CoreInterface] = []  # the last one counts


def current_core() -> CoreInterface:
    """The core for which an object is being made; :exc:`LookupError` if there is none."""
    core = _current.get(None)
    if core is None and _of_process:
        core = _of_process[-1]
    if core is None:
        raise LookupError("there is no core")
    return core


def introduce(core: CoreInterface) -> None:
    """Make CORE the current one for all threads outside of :func:`using`, until it is withdrawn."""
    _of_process.append(core)


def withdraw(core: CoreInterface) -> None:
    """Take back :func:`introduce`."""
    if core in _of_process:
        _of_process.remove(core)


@contextmanager
def using(core: CoreInterface) -> Iterator[None]:
    """Make CORE the current one for this thread."""
    token = _current.set(core)
    try:
        yield
    finally:
        _current.reset(token)
