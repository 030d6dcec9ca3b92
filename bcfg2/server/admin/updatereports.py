"""``bcfg2-admin updatereports``: all tables of the database."""

from bcfg2.server.admin.syncdb import Syncdb


class Updatereports(Syncdb):
    """Make the tables that are missing in the database, after an upgrade."""
