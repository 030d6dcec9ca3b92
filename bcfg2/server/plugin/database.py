"""Plugins that keep data in the database.

A plugin's models are Django's, of the application ``Server``::

    from django.db import models
    from bcfg2.server.plugin import DatabaseBacked, PluginDatabaseModel

    class Seen(models.Model, PluginDatabaseModel):
        hostname = models.CharField(max_length=255, primary_key=True)

    class Sightings(DatabaseBacked):
        options = [BooleanOption("sightings", "use_database", default=False)]

The server makes their tables when it starts.
"""

import contextlib
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar, cast

from bcfg2.options import Options
from bcfg2.server import database
from bcfg2.server.plugin.base import Plugin
from bcfg2.server.plugin.exceptions import PluginInitError
from bcfg2.server.plugin.services import CoreInterface

F = TypeVar("F", bound=Callable[..., Any])


class DatabaseBacked(Plugin):
    """A plugin that keeps data in the database where its option ``use_database`` is on.

    The constructor then raises :exc:`PluginInitError` if there is no database, and makes the tables.
    """

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        if not self._use_db:
            return
        if not core.database_available:
            raise PluginInitError(f"[{self.name.lower()}] use_database is on, but the database cannot be used")
        self.import_models()
        try:
            database.make_tables()
        except database.DatabaseUnusable as err:
            raise PluginInitError(str(err)) from err
        finally:
            database.close_connections()

    @classmethod
    def import_models(cls) -> None:
        """Import the modules that have the plugin's models, where they are not imported with the plugin itself."""

    @classmethod
    def uses_database(cls, options: Options) -> bool:
        """Whether OPTIONS say that the plugin keeps its data in the database."""
        name = cls.name.lower()
        return bool(getattr(options, f"{name}_use_database", False) or getattr(options, f"{name}_db", False))

    @property
    def _use_db(self) -> bool:
        """Whether data are kept in the database."""
        return self.uses_database(self.core.options)

    @staticmethod
    def get_db_lock(func: F) -> F:
        """Decorate a method that writes to the database: with SQLite one thread at a time is in such a method."""

        @functools.wraps(func)
        def locked(self: DatabaseBacked, *args: Any, **kwargs: Any) -> Any:
            with write_lock(self.core) if self._use_db else nullcontext():
                return func(self, *args, **kwargs)

        return cast(F, locked)


def write_lock(core: CoreInterface) -> AbstractContextManager[Any]:
    """What to hold while writing to the database: with SQLite, a lock that all writers of the server share."""
    return core.db_write_lock if database.engine() == "sqlite3" else nullcontext()


class _PluginDatabaseModel:
    """Mix-in for the Django models of plugins: they belong to the application ``Server``."""

    class Meta:
        app_label = "Server"


def __getattr__(name: str) -> Any:
    """`PluginDatabaseModel`: whoever asks for it is going to define a model, for which Django has to be ready."""
    if name != "PluginDatabaseModel":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    with contextlib.suppress(database.DatabaseUnusable):  # without Django there is no models.Model, either
        database.prepare()
    return _PluginDatabaseModel
