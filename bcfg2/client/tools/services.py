"""What the tools for services have in common: a service starts at boot or not, and it runs or not.

A tool says how either state is found (:meth:`ServiceTool.boots`, :meth:`ServiceTool.runs`), how the first is set
(:meth:`ServiceTool.set_boot`), and which command does something with a service (:meth:`ServiceTool.command`).  All
else is here: what is managed at all, the service modes of ``-s``, restarts after a change, extra services.
"""

from collections.abc import Sequence
from copy import copy
from typing import ClassVar

from bcfg2.client.configuration import title
from bcfg2.client.tools.base import Context, Difference, InstallError, State, Tool
from bcfg2.xml import Element

_STATES = ("on", "off", "ignore")


class ServiceTool(Tool):
    """A tool for entries ``Service`` of one type.

    A subclass overrides :meth:`boots`, :meth:`runs`, :meth:`set_boot`, :meth:`command` and :meth:`find_extra`.
    """

    reported: ClassVar = {"running": "current_status"}
    #: The verbs that start and stop a service.
    start_verb: ClassVar = "start"
    stop_verb: ClassVar = "stop"
    #: Both states are set whenever one of them is wrong.
    sets_all: ClassVar = False
    #: There is a boot state apart from the running state.
    has_boot: ClassVar = True
    #: Extra services can be switched off.
    removes: ClassVar = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.mode: str = self.settings.service_mode
        self._restarted: set[str] = set()

    # What a subclass says

    def boots(self, entry: Element) -> bool:
        """Whether the service starts at boot."""
        raise NotImplementedError

    def runs(self, entry: Element) -> bool:
        """Whether the service runs now."""
        raise NotImplementedError

    def set_boot(self, entry: Element, on: bool) -> None:
        """Have the service started at boot, or not; :exc:`InstallError` if that fails."""
        raise NotImplementedError

    def command(self, verb: str, entry: Element) -> list[str]:
        """The command that does VERB (start, stop, restart, reload ...) with the service."""
        raise NotImplementedError

    def do(self, verb: str, entry: Element) -> None:
        """Do VERB with the service; :exc:`InstallError` if that fails."""
        self.run_or_fail(self.command(verb, entry))

    # Looking

    def expected_state(self, entry: Element) -> State:
        """``boot`` and ``running``, each on or off, as far as they are managed."""
        status = _state(entry, "status", "ignore")
        wanted = {"running": status}
        if self.has_boot:
            wanted["boot"] = _state(entry, "bootstatus", status)
        return {key: state for key, state in wanted.items() if state != "ignore"}

    def actual_state(self, entry: Element) -> State:
        """What of the expected state there is."""
        wanted = self.expected_state(entry)
        found = {}
        if "boot" in wanted:
            found["boot"] = _on_or_off(self.boots(entry))
        if "running" in wanted:
            found["running"] = _on_or_off(self.runs(entry))
        return found

    def report(self, entry: Element, actual: State | None, difference: Difference) -> None:
        """Tell the wanted status as well, where anything is managed."""
        super().report(entry, actual, difference)
        if actual:
            entry.set("target_status", entry.get("status", ""))

    # Changing

    def can_install(self, entry: Element) -> bool:
        """Whether the agent is to change this service at all."""
        if entry.get("install", "true").lower() == "false":
            self.logger.info("%s is not installed: it says install=false", title(entry))
            return False
        return True

    def fix(self, entry: Element, difference: Difference) -> None:
        """Set the boot state, then the running state as the service mode has it."""
        wanted = self.expected_state(entry)
        if "boot" in wanted and ("boot" in difference or self.sets_all):
            self.set_boot(entry, wanted["boot"] == "on")
        if "running" not in wanted or self.mode == "disabled":
            return
        if self.mode == "build":
            if self._found_running(entry, difference):
                self.do(self.stop_verb, entry)
        elif "running" in difference or self.sets_all:
            self.do(self.start_verb if wanted["running"] == "on" else self.stop_verb, entry)

    def _found_running(self, entry: Element, difference: Difference) -> bool:
        if "running" in difference:
            return bool(difference["running"].found == "on")
        return entry.get("status") == "on"

    def bundle_updated(self, bundle: Element) -> dict[Element, bool]:
        """Restart what is to run, stop what is not."""
        if self.mode != "disabled":
            for entry in self.own_entries(bundle):
                if self._follows_bundle(entry):
                    self._follow(entry)
        return {}

    def _follows_bundle(self, entry: Element) -> bool:
        restart = entry.get("restart", "true").lower()
        return (
            entry.get("status") in ("on", "off")
            and restart != "false"
            and (restart != "interactive" or bool(self.settings.interactive))
            and self.context.permits(entry)
        )

    def _follow(self, entry: Element) -> None:
        name = entry.get("name", "")
        if entry.get("status") == "off" or self.mode == "build":
            verb, question = self.stop_verb, f"Stop service {name}? (y/N) "
        elif name not in self._restarted:
            verb, question = entry.get("target") or "restart", f"Restart service {name}? (y/N) "
            self._restarted.add(name)
        else:
            return
        if not self.context.ask(question):
            return
        try:
            self.do(verb, entry)
        except (InstallError, OSError) as err:
            self.logger.error("%s: %s failed: %s", title(entry), verb, err)

    def remove(self, entries: Sequence[Element]) -> None:
        """Switch ENTRIES off, at boot and now; they stay extra in this run."""
        if not self.removes:
            return
        for extra in entries:
            entry = copy(extra)
            entry.set("status", "off")
            try:
                self.fix(entry, self.difference(self.expected_state(entry), self.actual_state(entry)))
            except (InstallError, OSError) as err:
                self.logger.error("%s cannot be switched off: %s", title(extra), err)


def _state(entry: Element, attribute: str, default: str) -> str:
    """The on, off or ignore that ATTRIBUTE of ENTRY says."""
    value = entry.get(attribute) or default
    if value not in _STATES:
        raise InstallError(f'{attribute}="{value}" is not one of {", ".join(_STATES)}')
    return value


def _on_or_off(state: bool) -> str:
    return "on" if state else "off"
