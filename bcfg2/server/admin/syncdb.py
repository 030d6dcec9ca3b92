"""``bcfg2-admin syncdb``: the tables of plugins in the database."""

from collections.abc import Iterator
from contextlib import contextmanager

from bcfg2.options import PLUGINS, REPOSITORY, Options
from bcfg2.server import database
from bcfg2.server.admin import Command, CommandError


@contextmanager
def connected(options: Options) -> Iterator[None]:
    """The database, with the models of all plugins; its errors become :exc:`CommandError`."""
    from bcfg2.server import alias
    from bcfg2.server.plugin import DatabaseBacked

    alias.install()
    try:
        database.connect(options)
        for plugin in options.server_plugins:
            if issubclass(plugin, DatabaseBacked):
                plugin.import_models()
        yield
    except database.DatabaseUnusable as err:
        raise CommandError(str(err)) from None
    finally:
        database.close_connections()


class DatabaseCommand(Command):
    """A sub-command that works on the database."""

    options = (*Command.options, REPOSITORY, PLUGINS, *database.OPTIONS)


class Syncdb(DatabaseCommand):
    """Make the tables that the plugins lack in the database; the server does the same when it starts."""

    def run(self, options: Options) -> int:
        with connected(options):
            database.make_tables()
        return 0
