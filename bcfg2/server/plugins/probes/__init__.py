"""Probes: scripts that clients run, and what they print: groups for the client, data for templates.

.. code-block:: text

    scripts.py   Probes/*             which scripts a client is given
    data.py      its answers          groups, and data as templates see them
    storage.py   the answers of all clients, wherever they are kept
      places.py    which place counts
      xmlfile.py   Probes/probed.xml
      sqlite.py    etc/probes.sqlite
      database.py  the database
"""

import importlib
import re
import time
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, ClassVar

from bcfg2.options import BooleanOption, ChoiceOption, Option, Options, RegexListOption
from bcfg2.server.plugin import ClientRunHooks, Connector, DatabaseBacked, DirectoryBacked, PluginInitError, Probing
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugin.specific import BestMatch
from bcfg2.server.plugins.probes import places
from bcfg2.server.plugins.probes.data import ProbesOfClient, parse_output
from bcfg2.server.plugins.probes.scripts import ProbeScript
from bcfg2.server.plugins.probes.storage import Record, StorageError
from bcfg2.server.statistics import track_statistics
from bcfg2.server.versioned import Versioned
from bcfg2.xml import Element


class Probes(DatabaseBacked, Probing, Connector, ClientRunHooks, DirectoryBacked):
    """The scripts directly in the folder; a client gets one of each name, the most specific."""

    options: ClassVar[list[Option]] = [
        RegexListOption(
            "probes",
            "allowed_groups",
            default=".*",
            help="Patterns, one of which the whole name of a probed group matches",
        ),
        ChoiceOption(
            "probes",
            "storage",
            choices=("auto", *places.KINDS),
            default="auto",
            help="Where probe data are kept: xml (Probes/probed.xml), sqlite (etc/probes.sqlite), database; "
            "auto: what is there, else xml",
        ),
        BooleanOption("probes", "use_database", default=False, help="The same as storage = database"),
    ]

    __child__ = ProbeScript
    ignore = re.compile(rf"^({re.escape(places.XML_FILE)}(\.broken-\d+)?|\.#.*|.*~|\..*\.(tmp|swp|swx))$")

    #: probe name -> the scripts of that name
    probes: Versioned[dict[str, BestMatch[ProbeScript]]] = Versioned({})

    def __init__(self, core: CoreInterface) -> None:
        DatabaseBacked.__init__(self, core)
        self.announces_groups = not self._use_db  # which other servers may write
        places.warn(core.options, self.logger)
        self._use = places.Use(self.data)
        try:
            self._use.begin()
            self.storage = places.opened(places.kind(core.options), core, self.logger)
        except StorageError as err:
            self._use.end()
            raise PluginInitError(str(err)) from err
        DirectoryBacked.__init__(self, self.data)

    def shutdown(self) -> None:
        super().shutdown()
        self.storage.close()
        self._use.end()

    @classmethod
    def uses_database(cls, options: Options) -> bool:
        return places.kind(options) == "database"

    @classmethod
    def import_models(cls) -> None:
        importlib.import_module("bcfg2.server.plugins.probes.models")

    # the scripts

    def add_directory_monitor(self, relative: str) -> None:
        if not relative:  # sub-folders hold no probes
            super().add_directory_monitor(relative)

    def on_change(self) -> None:
        scripts: dict[str, list[ProbeScript]] = {}
        for script in self.entries.values():
            scripts.setdefault(script.base, []).append(script)
        self.probes = {name: BestMatch(found) for name, found in sorted(scripts.items())}

    @track_statistics()
    def GetProbes(self, metadata: Any) -> list[Element]:
        best = (scripts.best(metadata) for scripts in self.probes.values())
        return [deepcopy(script.element) for script in best if script is not None]

    # the answers

    @track_statistics()
    def ReceiveData(self, metadata: Any, datalist: list[Element]) -> None:
        groups: list[str] = []
        data: dict[str, str] = {}
        for element in datalist:
            name = element.get("name")
            if name is None:
                self.logger.warning("%s sent the answer of a probe without its name, ignored", metadata.hostname)
                continue
            if not element.text:
                self.logger.info("The probe %s printed nothing on %s", name, metadata.hostname)
            named, data[name] = parse_output(element.text or "")
            groups += named
        distinct = dict.fromkeys(groups)
        allowed = self._allowed(distinct)
        if refused := distinct.keys() - set(allowed):
            self.logger.warning(
                "%s may not be in %s: [probes] allowed_groups", metadata.hostname, ", ".join(sorted(refused))
            )
        record = Record(int(time.time()), tuple(allowed), data)
        self.storage.put(metadata.hostname, record)
        self.core.tell_children(self.name, "take", metadata.hostname, record)
        self.core.metadata_cache.expire(metadata.hostname)

    def take(self, host: str, record: Record) -> None:
        """What HOST has answered, and another process has kept, is RECORD."""
        self.storage.take(host, record)

    def catch_up(self) -> None:
        self.storage.catch_up()
        self.core.metadata_cache.expire()

    def _allowed(self, groups: Iterable[str]) -> list[str]:
        patterns: Iterable[re.Pattern[str]] = self.settings.probes_allowed_groups
        return [group for group in groups if any(pattern.match(group) for pattern in patterns)]

    def get_additional_groups(self, metadata: Any) -> list[str]:
        return self._allowed(self.storage.get(metadata.hostname).groups)

    def get_additional_data(self, metadata: Any) -> ProbesOfClient:
        return ProbesOfClient(self.storage.get(metadata.hostname).data)

    def start_client_run(self, metadata: Any) -> None:
        """See whether the client has answered another server, should its metadata be cached: the next run knows."""
        self.storage.get(metadata.hostname)
