"""``bcfg2-admin initreports``: all tables of the database."""

from bcfg2.server.admin.syncdb import Syncdb


class Initreports(Syncdb):
    """Make the tables that are missing in the database."""
