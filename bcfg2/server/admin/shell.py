"""``bcfg2-admin shell``: Python with the models of plugins."""

import code

from bcfg2.options import Options
from bcfg2.server.admin.syncdb import DatabaseCommand, connected


class Shell(DatabaseCommand):
    """Start Python with the database models of all plugins as names."""

    def run(self, options: Options) -> int:
        with connected(options):
            from django.apps import apps

            names = {model.__name__: model for model in apps.get_models()}
            code.interact(banner=f"Models: {', '.join(sorted(names))}", local=names, exitmsg="")
        return 0
