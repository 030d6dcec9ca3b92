"""A core without a network, for tools that work on the repository of their own machine.

It reads what is there now and follows no changes; nothing that other processes do is disturbed by it.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Self

from bcfg2.options import ComponentOption, Options
from bcfg2.options.common import PLUGINS
from bcfg2.server.core import Core
from bcfg2.server.filemonitor import find_monitor
from bcfg2.server.plugin.services import using
from bcfg2.server.storage import read_only

#: The monitor that reads all files once, whatever ``[server] filemonitor`` says.
_MONITOR = ComponentOption(dest="server_filemonitor", default="pseudo", find=find_monitor)


class LocalCore(Core):
    """A core of those plugins among ``options.server_plugins`` that have one of ROLES, by default of all.

    The command that uses it declares `server_plugins`, as ``PLUGINS`` or with a choice of its own.
    """

    name = "LocalCore"

    options: Any = [
        *(option for option in Core.options if option.dest not in (PLUGINS.dest, _MONITOR.dest)),
        _MONITOR,
    ]

    def __init__(self, options: Options, roles: tuple[type, ...] = ()) -> None:
        super().__init__(options)
        self._roles = roles or (object,)

    def init_plugin(self, plugin: type) -> None:
        if issubclass(plugin, self._roles):
            super().init_plugin(plugin)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, options: Options, roles: tuple[type, ...] = ()) -> Iterator[Self]:
        """A core that has read everything; what is done inside of this is one request.

        Raises :exc:`~bcfg2.server.core.CoreInitError`.
        """
        with cls.loaded(options, roles) as core, core.request():
            yield core

    @classmethod
    @contextlib.contextmanager
    def loaded(cls, options: Options, roles: tuple[type, ...] = ()) -> Iterator[Self]:
        """The same for a tool that makes requests itself."""
        core = cls(options, roles)
        try:
            core.load_plugins()
            core.block_for_fam_events(handle_events=True)
            yield core
        finally:
            core.shutdown()


class InspectingCore(LocalCore):
    """A core that shows what a server would do: it makes no client known, writes nothing and sets nothing going."""

    name = "InspectingCore"

    @classmethod
    @contextlib.contextmanager
    def loaded(cls, options: Options, roles: tuple[type, ...] = ()) -> Iterator[Self]:
        with read_only(), super().loaded(options, roles) as core:
            yield core

    def client_run_hook(self, hook: str, metadata: Any) -> None:
        """No client is running: programs of Trigger are not started."""

    def update(self) -> None:
        """See what has changed on disk, probe data as well; not to be called within a request."""
        self.fam.rescan()
        self.block_for_fam_events(handle_events=True)
        with using(self):
            for plugin in self.plugins.values():
                plugin.catch_up()
