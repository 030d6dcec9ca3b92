"""``bcfg2-info buildallfile``: one file, as many clients get it."""

from pathlib import Path

from bcfg2.options import Options
from bcfg2.server.info import InfoCommand, bound, client_names, for_each, output
from bcfg2.server.info.buildall import FOLDER, path_in
from bcfg2.server.info.buildfile import ALTSRC, PATH
from bcfg2.server.info.clients import HOSTS
from bcfg2.server.local_core import InspectingCore
from bcfg2.xml import tostring


class Buildallfile(InfoCommand):
    """Bind an entry Path for clients, each into the file HOST of a folder."""

    options = (*InfoCommand.options, ALTSRC, FOLDER, PATH, HOSTS)

    def show(self, core: InspectingCore, options: Options) -> int:
        folder = Path(options.folder)
        folder.mkdir(parents=True, exist_ok=True)

        def build(host: str) -> None:
            path = path_in(folder, host)
            output(f"{tostring(bound(core, options.path, host, options.altsrc))}\n".encode(), path)

        return for_each(client_names(core, options.host), build)
