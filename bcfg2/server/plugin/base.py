"""The base class of all plugins."""

import logging
from pathlib import Path
from typing import Any, ClassVar

from bcfg2.log import Debuggable
from bcfg2.options import Option, Options
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.storage import is_read_only

__all__ = ["Debuggable", "Plugin"]


class Plugin(Debuggable):
    """Base class of all plugins; its roles are the other classes that a plugin inherits (see `interfaces`).

    A subclass may override the class attributes below, :meth:`init_repo` and :meth:`shutdown`.  The server makes one
    instance, passing itself.  Whatever the constructor raises keeps the plugin from being loaded, not the server from
    starting.
    """

    __author__ = "the Bcfg2 developers"

    #: Key in the core's plugin table, name of the data folder, prefix of remote methods.  Default: the class's name.
    name: str = "Plugin"
    #: Named in an info line when the server starts.
    experimental: ClassVar[bool] = False
    deprecated: ClassVar[bool] = False
    #: Names of plugins that may not be loaded together with this one.
    conflicts: ClassVar[list[str]] = []
    #: Plugins of one role are called in ascending order of this, then of their names.
    sort_order: int = 500
    #: Whether the data folder is made where it is missing.
    create: ClassVar[bool] = True
    #: Settings of the plugin, besides those of its base classes; they join the server's options as soon as the class is
    #: imported.
    options: ClassVar[list[Option]] = []
    #: Methods callable by XML-RPC as ``PluginName.method``.
    __rmi__: ClassVar[list[str]] = ["toggle_debug", "set_debug"]
    #: With the multiprocessing core: methods repeated in every child.
    __child_rmi__: ClassVar[list[Any]] = ["toggle_debug", "set_debug"]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = cls.__name__
        inherited = [option for base in cls.__bases__ for option in getattr(base, "options", ())]
        own = {option.dest for option in cls.options if isinstance(option, Option)}
        cls.options = [*cls.options, *(item for item in inherited if getattr(item, "dest", item) not in own)]

    def __init__(self, core: CoreInterface) -> None:
        # No super().__init__(): the other classes that a plugin inherits have constructors with other arguments.
        self.core = core
        self.logger = logging.getLogger(f"bcfg2.{self.name}")
        self.debug_flag = bool(core.options.logging_debug)
        #: The data folder, ``<repository>/<name>``.
        self.data = str(Path(core.options.server_repository) / self.name)
        #: tag -> entry name -> callable(entry, metadata): the entries that the plugin binds by name (role Generator).
        self.Entries: dict[str, Any] = {}
        self.running = True
        if self.create and not Path(self.data).exists() and not is_read_only():
            self.logger.warning("%s does not exist, creating it", self.data)
            Path(self.data).mkdir(parents=True)

    @property
    def settings(self) -> Options:
        """The options in force; they may change while the server runs, so do not keep them."""
        return self.core.options

    @classmethod
    def init_repo(cls, repo: str) -> None:
        """Make the plugin's data folder in a new repository at REPO."""
        (Path(repo) / cls.name).mkdir(parents=True, exist_ok=True)

    def shutdown(self) -> None:
        """Called once when the server stops."""
        self.debug_log(f"Shutting down {self.name} plugin")
        self.running = False

    def before_fork(self) -> None:
        """Called when everything has been read, if processes are going to be made that share it.

        For a plugin that would work out the same things in each of them: work them out now, in a second at most.
        """

    def catch_up(self) -> None:
        """Called in a process that others like it have gone ahead of, before it serves.

        For a plugin that keeps data on disk which are in no file that it monitors: take what is there now.
        """

    def set_debug(self, debug: Any) -> bool:
        """Switch debugging of the plugin and of what its `Entries` hold on or off; return the new state."""
        state = super().set_debug(debug)
        for entry in self.Entries.values():
            if isinstance(entry, Debuggable):
                entry.set_debug(state)
        return state

    def __str__(self) -> str:
        return f"{self.name} Plugin"
