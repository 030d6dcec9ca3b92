"""The directives ``declared-options`` and ``agent-options``: tables of options, from what the code declares.

    .. declared-options:: server

lists the keys of the section ``[server]`` of bcfg2-server with their defaults, flags and meaning, so a page has exactly
the options that exist; ``agent-options`` does so for the agent.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

import bcfg2.server.plugins
from bcfg2.bcfg2_server import OPTIONS
from bcfg2.client.options import OPTIONS as AGENT_OPTIONS
from bcfg2.client.tools import KNOWN as TOOLS
from bcfg2.options import ComponentOption, Option, SectionsOption
from bcfg2.options.registry import Registry
from bcfg2.server.filemonitor import FileMonitor
from bcfg2.server.multiprocessing_core import MultiprocessingCore


def plugins() -> list[type]:
    """The classes of all plugins that come with the server."""
    found = []
    for module in pkgutil.iter_modules(bcfg2.server.plugins.__path__, "bcfg2.server.plugins."):
        name = module.name.rpartition(".")[2]
        names = vars(importlib.import_module(module.name))
        found.append(next(value for key, value in names.items() if key.lower() == name and isinstance(value, type)))
    return found


def declared() -> list[Option]:
    """All options of bcfg2-server and its components, in the order of their declaration."""
    registry = Registry()
    registry.add(OPTIONS)
    for component in (MultiprocessingCore, FileMonitor, *plugins()):
        registry.add(component.options)
    handlers = registry.options["cfg_handlers"]
    assert isinstance(handlers, ComponentOption)
    for name in handlers.default:
        registry.add(handlers.find(name).options)
    return [part for option in registry.options.values() for part in _parts(option)]


def agent_declared() -> list[Option]:
    """All options of the agent and its tools, in the order of their declaration."""
    registry = Registry()
    registry.add(AGENT_OPTIONS)
    drivers = registry.options["client_drivers"]
    assert isinstance(drivers, ComponentOption)
    for name in TOOLS:
        registry.add(drivers.find(name).options)
    return list(registry.options.values())


def _parts(option: Option) -> list[Option]:
    """OPTION; of one that stands for many sections its parts, as they are in the section called ``default``."""
    if not isinstance(option, SectionsOption):
        return [option]
    return [replace(part, section=option.section.replace("*", "default"), dest="") for part in option.options]


class DeclaredOptions(Directive):
    """See above; without an argument: the options that no configuration file has."""

    optional_arguments = 1
    source: ClassVar[Callable[[], list[Option]]] = staticmethod(declared)

    def run(self) -> list[nodes.Node]:
        section = self.arguments[0] if self.arguments else ""
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 22 18 60", ""]
        lines += ["   * - key" if section else "   * - flag", "     - default", "     - meaning"]
        for option in [option for option in self.source() if (option.section or "") == section]:
            flags = ", ".join(f"``{flag}``" for flag in option.flags)
            facts = [flags if section else "", f"environment: ``{option.env}``" if option.env else ""]
            more = "; ".join(fact for fact in facts if fact)
            lines += [
                f"   * - {f'`{option.key}`' if section else flags}",
                f"     - ``{option.shown_default}``",
                f"     - {option.help.replace('`', '')}{f' ({more})' if more else ''}",
            ]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, "declared-options"), self.content_offset, container)
        return container.children


class AgentOptions(DeclaredOptions):
    """The same for the agent."""

    source = staticmethod(agent_declared)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("declared-options", DeclaredOptions)
    app.add_directive("agent-options", AgentOptions)
    return {"parallel_read_safe": True}
