"""The connections of this process to the database.

Each thread has a connection of its own, opened by the first query and closed at the end of a call.  A forked process
inherits none.
"""

import functools
import importlib.util
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from bcfg2.options import Options
from bcfg2.server.database.settings import description
from bcfg2.server.storage import make_file

P = ParamSpec("P")
R = TypeVar("R")


class DatabaseUnusable(Exception):
    """The database cannot be used; the text is one line that says why."""


class _State:
    """What this process has made of Django, and the database that it uses."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.is_prepared = False
        self.described: dict[str, Any] | None = None


_state = _State()


def prepare() -> None:
    """Have Django take models, before or after it is known which database there is.

    Raises :exc:`DatabaseUnusable` where Django is not installed.
    """
    with _state.lock:
        if _state.is_prepared:
            return
        try:
            import django
            from django.conf import settings
        except ImportError:
            raise DatabaseUnusable("the database needs Django, which is not installed: install bcfg2[db]") from None
        if not settings.configured:
            settings.configure(
                INSTALLED_APPS=["bcfg2.server.database.apps.ServerConfig"],
                DEFAULT_AUTO_FIELD="django.db.models.AutoField",
                LOGGING_CONFIG=None,
                SECRET_KEY=secrets.token_hex(),
                TIME_ZONE=None,
                USE_TZ=False,
            )
        django.setup(set_prefix=False)
        os.register_at_fork(before=close_connections)
        _state.is_prepared = True


def connect(options: Options) -> None:
    """Make the database that OPTIONS describe that of this process, and try to connect.

    Raises :exc:`DatabaseUnusable`.
    """
    prepare()
    from django.db import connection, connections

    described = description(options)
    _load_driver(described)
    with _state.lock:
        if described != _state.described:
            close_connections()
            connections.settings = connections.configure_settings({"default": dict(described)})
            with suppress(AttributeError):
                del connections["default"]
            _state.described = described
    with errors("cannot use the database"):
        if engine() == "sqlite3":
            make_file(Path(described["NAME"]))
        connection.ensure_connection()


def engine() -> str:
    """The last word of the path of the engine in use: ``sqlite3``, ``postgresql``, ``mysql`` ..."""
    assert _state.described is not None
    return str(_state.described["ENGINE"]).rpartition(".")[2]


@contextmanager
def errors(doing: str) -> Iterator[None]:
    """Turn whatever goes wrong with the database inside into :exc:`DatabaseUnusable`, whose text begins with DOING.

    The connection is given up, so the next query tries a new one.
    """
    from django.core.exceptions import ImproperlyConfigured
    from django.db import Error

    try:
        yield
    except (Error, ImproperlyConfigured, ImportError, OSError) as err:
        close_connections()
        raise DatabaseUnusable(f"{doing}: {_one_line(err)}") from err


def close_connections() -> None:
    """Close the connections of this thread."""
    if _state.described is not None:
        sys.modules["django.db"].connections.close_all()


def close_db_connection(func: Callable[P, R]) -> Callable[P, R]:
    """Decorate a method that may use the database: this thread's connections are closed at its end."""

    @functools.wraps(func)
    def closing(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return func(*args, **kwargs)
        finally:
            close_connections()

    return closing


def _load_driver(described: dict[str, Any]) -> None:
    """Where the driver that Django wants for MySQL is missing, let PyMySQL take its place."""
    if described["ENGINE"] != "django.db.backends.mysql":
        return
    if importlib.util.find_spec("MySQLdb") is None:
        with suppress(ImportError):
            importlib.import_module("pymysql").install_as_MySQLdb()
    if described["HOST"].startswith("/") and sys.modules.get("MySQLdb") is sys.modules.get("pymysql"):
        # It would not encrypt a local socket, either, but would read all certificates of the system every time.
        described["OPTIONS"].setdefault("ssl_disabled", True)


#: Python modules that are missing -> the extra that has them.
_EXTRAS = {"psycopg": "bcfg2[postgresql]", "MySQLdb": "bcfg2[mysql]"}


def _one_line(err: BaseException) -> str:
    """ERR in one line."""
    text = " ".join(str(err).split()) or type(err).__name__
    for module, extra in _EXTRAS.items():
        if text.startswith("Error loading") and module in text:
            return f"there is no driver for it: install {extra}"
    return text
