"""``bcfg2-admin expirecache``: what a server remembers of clients' metadata is forgotten."""

from bcfg2.options import Argument, Options
from bcfg2.server.admin import RemoteCommand


class Expirecache(RemoteCommand):
    """Have a running server forget the cached metadata of clients, by default of all."""

    options = (*RemoteCommand.options, Argument(dest="host", nargs="*", help="Name of a client"))

    def run(self, options: Options) -> int:
        hosts = [name.lower() for name in options.host or ()]
        self.call(options, "expire_metadata_cache", *([hosts] if hosts else []))
        return 0
