"""TemplateHelper: Python modules of the site, for its templates.

.. code-block:: text

    TemplateHelper       metadata.TemplateHelper: name of the module -> Helper
      HelperModule         a file, imported when it appears and whenever it changes
        Helper               what the module exports, as templates see it

A module is always imported anew, so nothing of an older version is left in it, and what an unchanged one keeps in its
variables is shared by all clients.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from bcfg2.server.plugin import (
    Connector,
    DirectoryBacked,
    FileBacked,
    Plugin,
    PluginExecutionError,
    TemplateDataProvider,
)
from bcfg2.server.plugin.modules import imported, names_in
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.versioned import Versioned

#: What a helper has of its own, or had in earlier versions of the server.
RESERVED = frozenset({"name", "data", "fam", "Index", "HandleEvent", *dir(object)})
#: Variables that templates of Cfg have anyway.
BUILT_IN = frozenset({"name", "metadata", "source_path", "repo", "path"})


class Helper:
    """What a module exports, as attributes.  `name`: the path of the module."""

    def __init__(self, name: str, exports: dict[str, Any]) -> None:
        self.name = name
        self.__dict__.update(exports)

    def __repr__(self) -> str:
        return f"<Helper {self.name}>"


class HelperModule(FileBacked):
    """One module.  One that could never be imported exports nothing."""

    #: What templates get.
    helper: Versioned[Helper] = Versioned()
    #: Variables of every text template, by name.
    defaults: Versioned[dict[str, Any]] = Versioned({})

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.base = Path(name).stem
        self.helper = Helper(name, {})

    def read(self) -> None:
        """Import the module; PluginExecutionError, unless it was never good, if that fails."""
        try:
            self._take(imported(self.name, f"__TemplateHelper_{self.base}"))
        except PluginExecutionError as err:
            if self.loaded:
                raise
            self.logger.error("Cannot use %s, it exports nothing until it can be imported: %s", self.name, err)

    def _take(self, module: ModuleType) -> None:
        """Put in force what MODULE exports."""
        members = vars(module)
        if "__export__" not in members:
            raise PluginExecutionError("it has no list __export__ of what templates may use")
        exports = self._chosen(members, names_in(members, "__export__"))
        if "__default__" in members:
            defaults = self._chosen(members, names_in(members, "__default__"))
        else:  # as ever: a list that is left out, in place of emptied, changes nothing until the next start
            defaults = {name: members.get(name, value) for name, value in self.defaults.items()}
        self.helper = Helper(self.name, exports | defaults)
        self.defaults = {name: value for name, value in defaults.items() if self._is_free(name)}

    def _chosen(self, members: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
        """Those MEMBERS of the module that have one of NAMES and can be exported."""
        chosen = {}
        for name in names:
            if name in RESERVED:
                self.logger.warning("%s: %s cannot be exported, every helper has it: rename it", self.name, name)
            elif name not in members:
                self.logger.warning("%s: there is no %s, which is to be exported", self.name, name)
            else:
                chosen[name] = members[name]
        return chosen

    def _is_free(self, name: str) -> bool:
        """Whether NAME can become a variable."""
        if name in BUILT_IN:
            self.logger.warning("%s: %s in __default__ is a variable of every template already", self.name, name)
        return name not in BUILT_IN


class TemplateHelper(Plugin, Connector, TemplateDataProvider, DirectoryBacked):
    """Imports all modules below its folder."""

    __child__ = HelperModule
    patterns = re.compile(r".\.py$")
    ignore = re.compile(r"^(\.#.*|.*~|\..*\.sw[px]|.*\.py[co])$")

    #: name of the module -> what it exports
    helpers: Versioned[dict[str, Helper]] = Versioned({})
    #: The variables of every text template.
    variables: Versioned[dict[str, Any]] = Versioned({})

    def __init__(self, core: CoreInterface) -> None:
        Plugin.__init__(self, core)
        self._told: set[tuple[str, str, str]] = set()
        DirectoryBacked.__init__(self, self.data)

    def on_change(self) -> None:
        helpers: dict[str, HelperModule] = {}
        providers: dict[str, HelperModule] = {}
        for _, module in sorted(self.entries.items()):
            if self._is_first(helpers, module.base, module):
                for name in module.defaults:
                    self._is_first(providers, name, module)
        self.helpers = {name: module.helper for name, module in helpers.items()}
        self.variables = {name: module.defaults[name] for name, module in providers.items()}
        if self.core.metadata_cache_mode in ("cautious", "aggressive"):
            self.core.metadata_cache.expire()

    def _is_first(self, taken: dict[str, HelperModule], name: str, module: HelperModule) -> bool:
        """Give NAME to MODULE, unless it is TAKEN by another, which is said once; whether that worked."""
        first = taken.setdefault(name, module)
        clash = (name, first.name, module.name)
        if first is not module and clash not in self._told:
            self._told.add(clash)
            self.logger.warning("%s: the name %s is taken by %s already, ignored", module.name, name, first.name)
        return first is module

    def get_additional_data(self, metadata: Any) -> MappingProxyType[str, Helper]:
        return MappingProxyType(self.helpers)

    def get_template_data(self, entry: Any, metadata: Any, template: str) -> dict[str, Any]:
        return self.variables
