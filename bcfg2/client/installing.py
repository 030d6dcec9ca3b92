"""The changes of a run, step by step.

.. code-block:: text

    to do: what is bad, can be installed, is in the chosen bundles, and is permitted
      important -> before -> ask -> install -> look again, install again -> bundles updated -> remove

The order of the tools is the order of everything: each step goes tool by tool, and within a tool entry by entry in
document order.
"""

import logging
from collections.abc import Callable, Iterable
from functools import partial

from bcfg2.client.configuration import Configuration, entries_of, title
from bcfg2.client.errors import FatalError
from bcfg2.client.states import States, is_important
from bcfg2.client.tools.base import Context, InstallError, Tool
from bcfg2.options import Options
from bcfg2.xml import Element

logger = logging.getLogger("bcfg2.client")

#: What ``-r`` with a word other than ``all`` removes.
_REMOVED = {"services": ("Service",), "packages": ("Package",), "users": ("POSIXUser", "POSIXGroup")}


class Installation:
    """What is to be changed, and the steps that change it.

    `to_do`: the entries that are to be installed, in document order.  `removals`: the extra entries that are to be
    removed.  `chosen`: the structures that the options let in.
    """

    def __init__(self, context: Context, states: States) -> None:
        self._options: Options = context.options
        self._configuration: Configuration = context.configuration
        self._permits = context.permits
        self._ask = context.ask
        self._states = states
        self.chosen = chosen_structures(self._configuration, self._options)
        #: Bundles of which something before their installation failed, and the entries that did.
        self._blocked: set[Element] = set()
        self._failed: set[Element] = set()
        #: Entries that the person at the terminal does not want.
        self._refused: set[Element] = set()
        self.to_do = self._bad_in(self.chosen)
        self._log_held_back()
        self.removals = self._choose_removals()

    def _bad_in(self, structures: Iterable[Element]) -> list[Element]:
        """The bad entries of STRUCTURES that may be installed."""
        return [
            entry
            for structure in structures
            if structure not in self._blocked
            for entry in entries_of(structure)
            if not self._states.is_good(entry) and self._may_install(entry)
        ]

    def _may_install(self, entry: Element) -> bool:
        tool = self._states.tool_of(entry)
        return (
            tool is not None
            and entry not in self._failed
            and entry not in self._refused
            and self._permits(entry)
            and _can_install(tool, entry)
        )

    def _log_held_back(self) -> None:
        for structure in self.chosen:
            for entry in entries_of(structure):
                if not self._states.is_good(entry) and not self._permits(entry):
                    logger.info("%s is held back by the server's decision list", title(entry))

    def _choose_removals(self) -> list[Element]:
        kind = self._options.remove
        if kind == "services":
            logger.info("Services cannot be removed, they are only disabled")
        if kind is None:
            return []
        return [entry for entry in self._states.extra if kind == "all" or entry.tag in _REMOVED[kind]]

    # The steps

    def install_important(self) -> None:
        """Install the files that come before everything else."""
        for entry in [entry for entry in self.to_do if is_important(self._states.tools, entry)]:
            tool = self._states.tool_of(entry)
            assert tool is not None  # or it would not be in to_do
            if not self._ask(tool.question(entry)):
                self._refused.add(entry)
                self.to_do.remove(entry)
            elif _install(tool, [entry]).get(entry) and self._states.verify(entry):
                self.to_do.remove(entry)

    def act_before(self) -> None:
        """Have done what comes before the installation; where that fails, a bundle is left alone."""
        to_do, changed = set(self.to_do), set(self._states.changed(self.chosen))
        for structure in self.chosen:
            waiting = not to_do.isdisjoint(entries_of(structure))
            changing = structure.tag == "Bundle" and (waiting or structure in changed)
            for tool in self._states.tools:
                results = _guarded(tool, partial(tool.before_install, structure, changing=changing))
                self._states.update(results)
                self._failed.update(entry for entry, good in results.items() if not good)
            if structure.tag == "Bundle" and not self._failed.isdisjoint(entries_of(structure)):
                self._block(structure)

    def _block(self, bundle: Element) -> None:
        self._blocked.add(bundle)
        entries = set(entries_of(bundle))
        kept = [title(entry) for entry in self.to_do if entry in entries]
        self.to_do = [entry for entry in self.to_do if entry not in entries]
        if kept:
            logger.error("Not installed, because of a failure before in %s: %s", bundle.get("name"), ", ".join(kept))

    def ask(self) -> None:
        """Leave of what is to be done only that to which the person at the terminal says yes."""
        questions: list[tuple[str, str, Element]] = []
        for entry in self.to_do:
            tool = self._states.tool_of(entry)
            assert tool is not None  # or it would not be in to_do
            questions.append((_sort_key(entry), tool.question(entry), entry))
        for entry in self.removals:
            questions.append((_sort_key(entry), f"Remove {entry.tag}: {entry.get('name')}? (y/N): ", entry))
        for _, question, entry in sorted(questions, key=lambda item: item[0]):
            if not self._ask(question):
                self._refused.add(entry)
        self.to_do = [entry for entry in self.to_do if entry not in self._refused]
        self.removals = [entry for entry in self.removals if entry not in self._refused]

    def install(self) -> None:
        """Install what is to be done, tool by tool."""
        for tool in self._states.tools:
            entries = [entry for entry in self.to_do if self._states.tool_of(entry) is tool]
            if entries:
                self._states.update(_install(tool, entries))
        self.to_do = [entry for entry in self.to_do if not self._states.is_good(entry)]

    def look_again(self) -> None:
        """Look again at bundles that were changed: what was installed may have undone something else."""
        changed = self._states.changed(self._configuration.bundles)
        self._states.look_again(changed)
        self.to_do = self._bad_in(bundle for bundle in changed if bundle in self.chosen)

    def update_bundles(self) -> None:
        """Have done what follows a change in a bundle, and in those that depend on it; and what is done without one."""
        bundles = [structure for structure in self.chosen if structure.tag == "Bundle"]
        updated: set[Element] = set()
        while pending := self._states.changed(b for b in bundles if b not in updated and b not in self._blocked):
            for bundle in pending:
                updated.add(bundle)
                for tool in self._states.tools:
                    self._states.update(_guarded(tool, partial(tool.bundle_updated, bundle)))
        independent = [structure for structure in self.chosen if structure.tag != "Bundle"]
        for structure in [*(bundle for bundle in bundles if bundle not in updated), *independent]:
            for tool in self._states.tools:
                self._states.update(_guarded(tool, partial(tool.bundle_not_updated, structure)))

    def remove(self) -> bool:
        """Remove what is to be removed, tool by tool.

        Whether that changed anything: then all was looked at again, for a package that goes may take with it what
        entries ask for.
        """
        before = len(self._states.modified)
        for tool in self._states.tools:
            found = set(tool.extra)
            entries = [entry for entry in self.removals if entry in found]
            if entries:
                _guarded(tool, partial(tool.remove, entries))
        if len(self._states.modified) == before:
            return False
        self._states.look_again(self._configuration.structures)
        return True


def chosen_structures(configuration: Configuration, options: Options) -> list[Element]:
    """The structures that ``-b`` and ``-B`` let in; names that there are none of are told in the log."""
    structures = configuration.structures
    names = {structure.get("name") for structure in structures}
    for name in (*options.only_bundles, *options.except_bundles):
        if name not in names:
            logger.info("There is no bundle %s", name)
    return [
        structure
        for structure in structures
        if (not options.only_bundles or structure.get("name") in options.only_bundles)
        and structure.get("name") not in options.except_bundles
    ]


def _can_install(tool: Tool, entry: Element) -> bool:
    try:
        return tool.can_install(entry)
    except InstallError as err:
        logger.error("%s cannot be installed: %s", title(entry), err)
    except Exception:
        logger.exception("%s cannot be installed", title(entry))
    return False


def _sort_key(entry: Element) -> str:
    return f"{entry.tag}:{entry.get('name')}"


def _install(tool: Tool, entries: list[Element]) -> dict[Element, bool]:
    return _guarded(tool, partial(tool.install, entries))


def _guarded(tool: Tool, step: Callable[[], dict[Element, bool] | None]) -> dict[Element, bool]:
    """The states that STEP of TOOL tells; a fault of the tool is logged and costs only this step."""
    try:
        return step() or {}
    except FatalError:
        raise
    except Exception:
        logger.exception("%s failed", tool.name)
    return {}
