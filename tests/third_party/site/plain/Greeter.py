"""A plugin that a site has put beside those of the server, and names without a module."""

import Bcfg2.Server.Plugin


class Greeter(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.Connector):
    """greets"""

    def get_additional_data(self, metadata):
        return "hello %s" % metadata.hostname
