"""The database of the suite, through the object-relational mapper of Django.

.. code-block:: text

    settings.py      the options in ``[database]``, and what Django is told
    connection.py    opens it once per process, closes connections
    availability.py  whether it answers
    sharing.py       queries that threads share
    schema.py        makes the tables of the plugins' models
    apps.py          the Django application ``Server``, which these models belong to

Django (the extra ``bcfg2[db]``) is loaded only where a plugin or a command uses the database.  There is no settings
module of the user's; everything comes from the options.
"""

from bcfg2.server.database.availability import Availability
from bcfg2.server.database.connection import (
    DatabaseUnusable,
    close_connections,
    close_db_connection,
    connect,
    engine,
    errors,
    prepare,
)
from bcfg2.server.database.schema import make_tables
from bcfg2.server.database.settings import OPTIONS
from bcfg2.server.database.sharing import SharedQuery

__all__ = [
    "OPTIONS",
    "Availability",
    "DatabaseUnusable",
    "SharedQuery",
    "close_connections",
    "close_db_connection",
    "connect",
    "engine",
    "errors",
    "make_tables",
    "prepare",
]
