"""``bcfg2-admin validatedb``: whether the models of plugins make sense."""

import sys

from bcfg2.options import Options
from bcfg2.server.admin.syncdb import DatabaseCommand, connected


class Validatedb(DatabaseCommand):
    """Check the database models of all plugins; prints what is wrong with them."""

    def run(self, options: Options) -> int:
        with connected(options):
            from django.core import checks

            problems = checks.run_checks(databases=["default"])
        for problem in problems:
            sys.stdout.write(f"{problem}\n")
        return 1 if any(problem.is_serious() for problem in problems) else 0
