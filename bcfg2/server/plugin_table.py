"""The plugins of a core: made, kept by name, found by role."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from bcfg2.server.acl import DefaultACL
from bcfg2.server.plugin import ClientACLs, Metadata, PluginInitError
from bcfg2.server.plugin.services import CoreInterface, introduce, using
from bcfg2.server.storage import remove_leftovers


class CoreInitError(Exception):
    """The server core cannot be started; the text says why."""


class PluginTable:
    """The part of a core that has the plugins; the options, the repository and the file monitor come from the core."""

    logger: logging.Logger
    options: Any
    datastore: str
    fam: Any

    def __init__(self) -> None:
        super().__init__()
        #: Plugin name -> plugin.
        self.plugins: dict[str, Any] = {}
        #: Names of plugins that conflict with loaded ones.
        self.plugin_blacklist: dict[str, list[str]] = {}
        #: The plugin that knows the clients.
        self.metadata: Any = None
        #: Remote name -> method, of the file monitor and of all plugins.
        self.rmi: dict[str, Callable[..., Any]] = {}
        self._by_type: dict[type, list[Any]] = {}
        self._registrations: dict[str, list[int]] = {}  # plugin name -> of which paths it is told

    def load_plugins(self) -> None:
        """Make all plugins that the options name; :exc:`CoreInitError` if none of them has the role Metadata."""
        core = cast(CoreInterface, self)  # of which this is a part
        introduce(core)
        with using(core):
            for plugin in self.options.server_plugins:
                self.init_plugin(plugin)
            self._resolve_conflicts()
            for kind in ("experimental", "deprecated"):
                if named := sorted(name for name, plugin in self.plugins.items() if getattr(plugin, kind, False)):
                    self.logger.info("These plugins are %s: %s", kind, ", ".join(named))
            if not self.plugins_by_type(ClientACLs):
                self.init_plugin(DefaultACL)
        found = self.plugins_by_type(Metadata)
        if not found:
            raise CoreInitError("no Metadata plugin is loaded: name one in the option plugins of [server]")
        if len(found) > 1:
            self.logger.error("Several Metadata plugins, using %s", found[0].name)
        self.metadata = found[0]
        self.rmi = self._get_rmi()
        self._remove_leftovers()

    def init_plugin(self, plugin: type) -> None:
        """Make an instance of the class PLUGIN; one that fails is left out, with an error line."""
        name = getattr(plugin, "name", plugin.__name__)
        try:
            with self.fam.registering() as registrations:
                self.plugins[name] = plugin(self)
            self._registrations[name] = registrations
        except (PluginInitError, OSError) as err:
            self.logger.error("Plugin %s is not loaded: %s", name, err)
        except Exception:
            self.logger.exception("Plugin %s is not loaded", name)
        self._by_type.clear()

    def _remove_leftovers(self) -> None:
        """Remove what an earlier server, killed while it wrote, has left in the plugins' folders."""
        for name in self.plugins:
            try:
                for path in remove_leftovers(Path(self.datastore) / name):
                    self.logger.info("Removed %s, which was never finished", path)
            except FileNotFoundError:
                continue  # not every plugin has a folder
            except OSError as err:
                self.logger.warning("Cannot look for unfinished files: %s", err)

    def _resolve_conflicts(self) -> None:
        """Of two plugins that conflict, keep the one that says so."""
        for name, plugin in list(self.plugins.items()):
            for other in plugin.conflicts:
                if name in self.plugins and other in self.plugins and other != name:
                    self.logger.error("Plugin %s is not loaded: it conflicts with %s", other, name)
                    self.plugin_blacklist.setdefault(name, []).append(other)
                    self.plugins.pop(other).shutdown()
                    self.fam.forget(self._registrations[other])
        self._by_type.clear()

    def plugins_by_type(self, base_cls: type) -> list[Any]:
        """The loaded plugins that have the role BASE_CLS, by `sort_order`, then by name.  Not to be changed."""
        found = self._by_type.get(base_cls)
        if found is None:
            plugins = [plugin for plugin in self.plugins.values() if isinstance(plugin, base_cls)]
            found = self._by_type[base_cls] = sorted(plugins, key=lambda plugin: (plugin.sort_order, plugin.name))
        return found

    def _get_rmi(self) -> dict[str, Callable[..., Any]]:
        """Remote name -> method, of the file monitor and of all plugins."""
        found = {}
        for owner_name, owner in [(type(self.fam).__name__, self.fam), *self.plugins.items()]:
            for name in owner.__rmi__:
                method = getattr(owner, name, None)
                if callable(method):
                    found[f"{owner_name}.{name}"] = method
                else:
                    self.logger.error("Plugin %s offers the remote method %s, which it does not have", owner_name, name)
        return found
