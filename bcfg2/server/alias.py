"""The old import names: ``Bcfg2.Server.Plugin`` is the module ``bcfg2.server.plugin``.

Plugins, TemplateHelper modules and templates of existing sites import the names of the old suite.  After
:func:`install`, whoever imports ``Bcfg2.X.Y`` gets the module ``bcfg2.x.y`` itself, not a copy, so classes are the same
under both names.  What is not here is not looked for elsewhere: an old Bcfg2 that is installed on the machine is never
mixed with this one.

``Bcfg2.Options`` is the one module whose old interface is not that of the present one: see `old_options`.
"""

import importlib
import re
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from types import ModuleType

_OLD = "Bcfg2"

#: Where a word of an old name ends: ``BuiltinCore`` is ``builtin_core``, ``SSLServer`` is ``ssl_server``.
_END_OF_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

#: Modules whose names differ in more than case, or in what they offer.
_RENAMED = {"Bcfg2.Logger": "bcfg2.log", "Bcfg2.Options": "bcfg2.server.old_options"}


def install() -> None:
    """Make the old names importable, from now on and in the whole process."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _present_name(name: str) -> str | None:
    """The name of the module that was once called NAME; None if there is none.

    What contains it has been imported already, as Python does before it looks for a module.
    """
    if name in _RENAMED:
        return _RENAMED[name]
    parent, _, last = name.rpartition(".")
    before = f"{sys.modules[parent].__name__}." if parent else ""
    candidates = (before + last.lower(), before + _END_OF_WORD.sub("_", last).lower(), before + last)
    return next((candidate for candidate in candidates if find_spec(candidate) is not None), None)


class _Finder(MetaPathFinder):
    """Finds old names; stands before the finders that could find an old package."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != _OLD:
            return None
        present = _present_name(fullname)
        if present is None:
            raise ModuleNotFoundError(f"this version has no module {fullname}", name=fullname)
        return spec_from_loader(fullname, _Loader(present))


class _Loader(Loader):
    """Loads the module PRESENT under another name."""

    def __init__(self, present: str) -> None:
        self.present = present

    def create_module(self, spec: ModuleSpec) -> None:
        """Have Python make an empty module, for the moment."""

    def exec_module(self, module: ModuleType) -> None:
        # What stands here after the execution is what the importer gets.
        sys.modules[module.__name__] = importlib.import_module(self.present)
