"""``bcfg2-info buildall``: the configurations of many clients."""

from pathlib import Path

from bcfg2.options import Argument, Options
from bcfg2.server.info import CommandError, InfoCommand, client_names, configuration, document, for_each, output
from bcfg2.server.info.clients import HOSTS
from bcfg2.server.local_core import InspectingCore

#: Where a sub-command puts a file for each client.
FOLDER = Argument(dest="folder", help="Folder for the files, made where it is missing")


class Buildall(InfoCommand):
    """Build the configurations of clients, each into the file HOST.xml of a folder."""

    options = (*InfoCommand.options, FOLDER, HOSTS)

    def show(self, core: InspectingCore, options: Options) -> int:
        folder = Path(options.folder)
        folder.mkdir(parents=True, exist_ok=True)

        def build(host: str) -> None:
            path = path_in(folder, f"{host}.xml")
            output(document(configuration(core, host)), path)

        return for_each(client_names(core, options.host), build)


def path_in(folder: Path, name: str) -> str:
    """The path of the file NAME in FOLDER; :exc:`CommandError` if that would be somewhere else."""
    if "/" in name or "\0" in name:
        raise CommandError(f"{name!r} is no name for a file")
    return str(folder / name)
