"""``bcfg2-admin dbshell``: the client program of the database."""

import subprocess

from bcfg2.options import Options
from bcfg2.server import database
from bcfg2.server.admin import CommandError
from bcfg2.server.admin.syncdb import DatabaseCommand, connected


class Dbshell(DatabaseCommand):
    """Run the client program of the database (sqlite3, psql, mysql) on the database of the server."""

    def run(self, options: Options) -> int:
        with connected(options):
            from django.db import connection

            database.close_connections()
            program = connection.client.executable_name
            try:
                connection.client.runshell([])
            except FileNotFoundError:
                raise CommandError(f"the program {program} is not installed") from None
            except subprocess.CalledProcessError as err:
                return int(err.returncode) if err.returncode > 0 else 1
        return 0
