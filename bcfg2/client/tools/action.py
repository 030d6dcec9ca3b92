"""Action: commands that are run before or after the entries of a bundle are installed."""

from collections.abc import Iterator

from bcfg2.client.configuration import title
from bcfg2.client.tools.base import Context, State, Tool
from bcfg2.xml import Element


class Action(Tool):
    """Runs commands; an action is good until it fails, and bad from then on."""

    handles = (("Action", None),)
    required = {("Action", None): ("name", "timing", "when", "command", "status")}

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        #: What has failed in this run, in words, by action.
        self._failures: dict[Element, str] = {}

    def expected_state(self, entry: Element) -> State:
        return {"failure": None}

    def actual_state(self, entry: Element) -> State:
        return {"failure": self._failures.get(entry)}

    def describe(self, entry: Element) -> list[str]:
        return [self._failures[entry]] if entry in self._failures else []

    def before_install(self, structure: Element, *, changing: bool) -> dict[Element, bool]:
        due = (entry for entry in self._timed(structure, "pre") if changing or entry.get("when") == "always")
        results = {entry: self._act(entry) for entry in due}
        self.modified += [entry for entry, good in results.items() if good]
        return results

    def bundle_updated(self, bundle: Element) -> dict[Element, bool]:
        return {entry: self._act(entry) for entry in self._timed(bundle, "post")}

    def bundle_not_updated(self, bundle: Element) -> dict[Element, bool]:
        due = (entry for entry in self._timed(bundle, "post") if entry.get("when") != "modified")
        return {entry: self._act(entry) for entry in due}

    def _timed(self, structure: Element, timing: str) -> Iterator[Element]:
        """The actions of STRUCTURE for the moment TIMING that no decision list holds back."""
        for entry in self.own_entries(structure):
            if entry.get("timing") not in (timing, "both"):
                continue
            if self.context.permits(entry):
                yield entry
            else:
                self.logger.info("%s is held back by the server's decision list", title(entry))

    def _act(self, entry: Element) -> bool:
        """Run the command of ENTRY; whether it counts as good."""
        failure = self._failure(entry)
        if failure is None:
            self._failures.pop(entry, None)
            return True
        self._failures[entry] = failure
        return False

    def _failure(self, entry: Element) -> str | None:
        """Run the command of ENTRY; why it counts as bad, if it does."""
        command, shell = entry.get("command") or "", entry.get("shell") == "true"
        if self.settings.service_mode == "build" and entry.get("build") == "false":
            self.logger.info("%s is not run in build mode", title(entry))
            return "not run in build mode"
        if not self.context.ask(f"Run Action {'(in shell) ' if shell else ''}{entry.get('name')}, {command}: (y/N): "):
            return "not run, as the answer was no"
        self.logger.info("Running %s", title(entry))
        done = self.run(command, shell=shell, language=None)
        entry.set("rc", str(done.status))
        if done.status == 0 or entry.get("status") == "ignore":
            return None
        self.logger.error("%s failed: %s", title(entry), done.how)
        return f"the command failed: {done.how}"
