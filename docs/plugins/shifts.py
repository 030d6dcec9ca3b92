import os

import Bcfg2.Options
import Bcfg2.Server.Plugin


class Shifts(Bcfg2.Server.Plugin.Plugin, Bcfg2.Server.Plugin.Connector):
    options = [
        Bcfg2.Options.Option(cf=("shifts", "night"), default=[], type=Bcfg2.Options.Types.comma_list, help="Who works"),
    ]

    def __init__(self, core):
        Bcfg2.Server.Plugin.Plugin.__init__(self, core)
        Bcfg2.Server.Plugin.Connector.__init__(self)
        self.config = Bcfg2.Server.Plugin.StructFile(
            os.path.join(self.data, "shifts.xml"), should_monitor=True, create="Shifts"
        )

    def get_additional_groups(self, metadata):
        groups = [el.get("group") for el in self.config.Match(metadata)]
        if metadata.hostname in Bcfg2.Options.setup.shifts_night:
            groups.append("night")
        return groups
