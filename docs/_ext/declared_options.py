"""The directive ``declared-options``: a table of the options of bcfg2-server, from what the code declares.

    .. declared-options:: server

lists the keys of the section ``[server]`` with their defaults, flags and meaning, so a page has exactly the options
that exist.
"""

import importlib
import pkgutil
from dataclasses import replace

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

import bcfg2.server.plugins
from bcfg2.bcfg2_server import OPTIONS
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


def _parts(option: Option) -> list[Option]:
    """OPTION; of one that stands for many sections its parts, as they are in the section called ``default``."""
    if not isinstance(option, SectionsOption):
        return [option]
    return [replace(part, section=option.section.replace("*", "default"), dest="") for part in option.options]


def in_section(section: str) -> list[Option]:
    """Those of SECTION; of none, those that have flags only."""
    return [option for option in declared() if (option.section or "") == section]


class DeclaredOptions(Directive):
    """See above; without an argument: the options that no configuration file has."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        section = self.arguments[0] if self.arguments else ""
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 22 18 60", ""]
        lines += ["   * - key" if section else "   * - flag", "     - default", "     - meaning"]
        for option in in_section(section):
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


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("declared-options", DeclaredOptions)
    return {"parallel_read_safe": True}
