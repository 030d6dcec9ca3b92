"""What a tool of the agent is: the base class, and what the run hands to it.

.. code-block:: text

    expected_state(entry) --+
                            +--> difference(entry) --> report: attributes of the entry
    actual_state(entry)   --+         |
                                      +--> describe, question: dry run, interactive mode
                                      +--> fix(entry, difference)

A tool says what an entry asks for and what the machine has, both as plain dictionaries with the same keys.  The keys
whose values are not equal are the difference, which is the whole verification; :meth:`Tool.fix` acts on these alone.
A tool that installs many entries with one command overrides :meth:`Tool.install`, one with bundles to look after
:meth:`Tool.bundle_updated`.  How the output of a command reads is a pure function beside the class.
"""

import logging
import os
import shlex
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

from bcfg2.client.configuration import Configuration, entries_of, title
from bcfg2.command import Finished, Killed, run
from bcfg2.options import Declaration, Options
from bcfg2.xml import Element

#: What a command that cannot be started counts as having ended with, as a shell has it.
NOT_FOUND = 127
#: What a command that was killed because of its time or its output ended with.
KILLED = -9

#: Attributes that stay as the first verification left them when a later one finds nothing wrong: reports show them.
_KEPT = ("current_exists", "current_bdiff", "current_bfile", "current_to", "current_version")


class MissingPrerequisite(Exception):
    """The tool cannot work here: a program or a library is missing.  It is left out, which is no fault."""


class InstallError(Exception):
    """An entry cannot be verified or installed; the text says why, without naming the entry."""


class Differs(NamedTuple):
    """One key of an entry's state that is not as it should be."""

    wanted: Any
    found: Any


Difference: TypeAlias = Mapping[str, Differs]
State: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Context:
    """What the run hands to each tool.

    `permits`: whether the decision list of the server lets an entry be installed.  `ask`: puts a question, which ends
    with ``(y/N) ``, to the person at the terminal; without interactive mode nobody is asked and all is answered yes.
    """

    options: Options
    configuration: Configuration
    permits: Callable[[Element], bool] = lambda entry: True
    ask: Callable[[str], bool] = lambda question: True


class Tool:
    """One kind of entry: how it is verified, installed, found where nobody asked for it, and removed.

    The run calls, in this order: the constructor; :meth:`prepare`; for each inventory :meth:`refresh`, :meth:`verify`
    for every complete entry, and :meth:`find_extra`; :meth:`before_install`; :meth:`install`; :meth:`bundle_updated`,
    :meth:`bundle_not_updated`; :meth:`remove`.  In a dry run nothing from :meth:`before_install` on is called.

    A simple tool overrides :meth:`expected_state`, :meth:`actual_state`, :meth:`fix`, and perhaps :meth:`find_extra`.

    `modified`: entries that were installed, and what else the statistics list as modified.  `extra`: what
    :meth:`find_extra` found.  `differences`: what the last verification found wrong, by entry.
    """

    #: The (tag, type) pairs that the tool is for; type None is that of an entry without one.
    handles: ClassVar[Sequence[tuple[str, str | None]]] = ()
    #: Attributes that must be present and not empty, besides `failure` being absent; by (tag, type).  A pair that is
    #: not here needs a name.
    required: ClassVar[Mapping[tuple[str, str | None], Sequence[str]]] = {}
    #: Programs (full paths, or names to be found in PATH) without which the tool is left out.
    needs: ClassVar[Sequence[str]] = ()
    #: Names of tools that are dropped when this one is there.
    conflicts: ClassVar[Sequence[str]] = ()
    #: Beginnings of the names of files that are installed before everything else.
    important: ClassVar[Sequence[str]] = ()
    #: Key of the state -> attribute of the entry that tells what was found, whether it was right or wrong.
    reported: ClassVar[Mapping[str, str]] = {}
    #: Key of the state -> attribute that tells what was found, if it was wrong.
    reported_if_wrong: ClassVar[Mapping[str, str]] = {}
    options: ClassVar[Sequence[Declaration]] = ()

    def __init__(self, context: Context) -> None:
        """Set up; :exc:`MissingPrerequisite` if the tool cannot work here."""
        self.name = type(self).__name__
        self.logger = logging.getLogger(f"bcfg2.{self.name}")
        self.context = context
        self.settings = context.options
        self.configuration = context.configuration
        self.modified: list[Element] = []
        self.extra: list[Element] = []
        self.differences: dict[Element, Difference] = {}
        for program in self.needs:
            _require(program)

    # Which entries

    def handles_entry(self, entry: Element) -> bool:
        """Whether ENTRY is one for this tool."""
        return (entry.tag, entry.get("type")) in self.handles

    def missing_attributes(self, entry: Element) -> list[str]:
        """The required attributes that ENTRY, which this tool handles, does not have."""
        required = self.required.get((entry.tag, entry.get("type")), ("name",))
        return [name for name in required if not entry.get(name)]

    @property
    def entries(self) -> list[Element]:
        """All entries of the configuration that this tool handles, in document order."""
        return [entry for entry in self.configuration.entries if self.handles_entry(entry)]

    # Looking

    def prepare(self) -> None:
        """Make entries complete in place, or repair what the tool itself works with; called once, before all else."""

    def refresh(self) -> None:
        """Read again what holds for all entries (a list of packages ...); called before each inventory."""

    def expected_state(self, entry: Element) -> State:
        """What ENTRY asks for."""
        raise NotImplementedError

    def actual_state(self, entry: Element) -> State | None:
        """What the machine has, with the keys of :meth:`expected_state`; None if there is nothing."""
        raise NotImplementedError

    def differs(self, key: str, wanted: Any, found: Any) -> bool:
        """Whether FOUND is something else than WANTED."""
        return bool(wanted != found)

    def difference(self, expected: State, actual: State | None) -> Difference:
        """Where ACTUAL is not as EXPECTED; a thing that is not there differs in all keys, and in ``exists``."""
        if actual is None:
            return {"exists": Differs(True, False)} | {key: Differs(wanted, None) for key, wanted in expected.items()}
        return {
            key: Differs(wanted, actual.get(key))
            for key, wanted in expected.items()
            if self.differs(key, wanted, actual.get(key))
        }

    def verify(self, entry: Element) -> bool:
        """Whether ENTRY is as it should be; what was found is noted in `differences` and on the entry.

        Raises :exc:`InstallError` or :exc:`OSError` if that cannot be told.
        """
        actual = self.actual_state(entry)
        found = self.difference(self.expected_state(entry), actual)
        self.differences[entry] = found
        self.report(entry, actual, found)
        return not found

    def report(self, entry: Element, actual: State | None, difference: Difference) -> None:
        """Set the attributes of ENTRY that tell what was found, in place of those of an earlier verification."""
        for attribute in (*self.reported.values(), *self.reported_if_wrong.values()):
            if attribute not in _KEPT and attribute in entry.attrib:
                del entry.attrib[attribute]
        if actual is None:
            if difference:
                entry.set("current_exists", "false")
            return
        told = [(key, attribute) for key, attribute in self.reported_if_wrong.items() if key in difference]
        for key, attribute in (*self.reported.items(), *told):
            if actual.get(key) is not None:
                entry.set(attribute, str(actual[key]))

    def question(self, entry: Element) -> str:
        """What interactive mode asks before ENTRY is installed."""
        return f"Install {entry.tag}: {entry.get('name')}? (y/N): "

    def describe(self, entry: Element) -> list[str]:
        """What is wrong with ENTRY, a line each, for a dry run and for questions."""
        return [
            f"{key} is {'not there' if found is None else found}, should be {wanted}"
            for key, (wanted, found) in self.differences.get(entry, {}).items()
        ]

    def find_extra(self) -> list[Element]:
        """What is on this machine without an entry, as new elements."""
        return []

    # Changing

    def can_install(self, entry: Element) -> bool:
        """Whether ENTRY, which is bad and complete, can be installed at all."""
        return True

    def install(self, entries: Sequence[Element]) -> dict[Element, bool]:
        """Install ENTRIES, in this order; for each whether it is good now.  Good ones go to `modified`."""
        results: dict[Element, bool] = {}
        for entry in entries:
            results[entry] = self.install_one(entry)
        return results

    def install_one(self, entry: Element) -> bool:
        """Install ENTRY; whether that went well.  A failure is logged and ends nothing."""
        self.logger.info("Installing %s", title(entry))
        try:
            if entry not in self.differences:  # it could not be verified; perhaps it can be now
                self.verify(entry)
            self.fix(entry, self.differences[entry])
        except (InstallError, OSError) as err:
            self.logger.error("%s cannot be installed: %s", title(entry), err)
            return False
        except Exception:
            self.logger.exception("%s cannot be installed", title(entry))
            return False
        self.modified.append(entry)
        return True

    def fix(self, entry: Element, difference: Difference) -> None:
        """Make ENTRY what it should be, in the keys of DIFFERENCE.  Raises :exc:`InstallError` or :exc:`OSError`."""
        raise NotImplementedError

    def before_install(self, structure: Element, *, changing: bool) -> dict[Element, bool]:
        """Do what comes before the entries of STRUCTURE are installed, with the states that this changes.

        CHANGING: something in it is going to be installed, or was already.  A bad state keeps a bundle's entries from
        being installed.
        """
        return {}

    def bundle_updated(self, bundle: Element) -> dict[Element, bool]:
        """Do what follows the change of something in BUNDLE; the entries whose state that changed, with the state."""
        return {}

    def bundle_not_updated(self, bundle: Element) -> dict[Element, bool]:
        """Do what is to be done for BUNDLE although nothing in it has changed; like :meth:`bundle_updated`."""
        return {}

    def remove(self, entries: Sequence[Element]) -> None:
        """Remove ENTRIES, which are some of `extra`, and bring `extra` (and `modified`) up to date."""

    # For the use of tools

    def own_entries(self, structure: Element) -> list[Element]:
        """The entries of STRUCTURE that this tool handles and that are complete."""
        return [
            entry
            for entry in entries_of(structure)
            if self.handles_entry(entry) and not entry.get("failure") and not self.missing_attributes(entry)
        ]

    def extra_elements(self, tag: str, found: Iterable[tuple[str, Mapping[str, str]]]) -> list[Element]:
        """Elements TAG for those of FOUND, pairs of a name and further attributes, that no entry names."""
        named = {entry.get("name") for entry in self.entries if entry.tag == tag}
        make = self.configuration.root.makeelement
        return [make(tag, {"name": name, **more}) for name, more in found if name not in named]

    def run(
        self,
        command: str | Sequence[str],
        *,
        stdin: bytes | None = None,
        shell: bool = False,
        environment: Mapping[str, str] | None = None,
        language: str | None = "C",
    ) -> Finished:
        """Run COMMAND, a list of words or a text that is split as a shell would, within the limits of the options.

        With SHELL the text is for ``/bin/sh -c``.  ENVIRONMENT is added to this process's; messages are in LANGUAGE
        (None: whatever this process speaks).  What was written is logged.  A command that cannot be started ends with
        :data:`NOT_FOUND`, one that takes too long or writes too much with :data:`KILLED`; both say why on standard
        error.
        """
        try:
            argv = ["/bin/sh", "-c", str(command)] if shell else _words(command)
            done = run(
                argv,
                stdin,
                self.settings.client_command_timeout,
                self.settings.client_command_output,
                whole=True,
                environment={**os.environ, **({"LC_ALL": language} if language else {}), **(environment or {})},
            )
        except Killed as err:
            done = Finished(KILLED, err.stdout, err.stderr + f"\n{err}".encode())
        except (OSError, ValueError) as err:
            done = Finished(NOT_FOUND, b"", f"cannot be run: {err}".encode())
        self._log_output(command, done)
        return done

    def run_or_fail(self, command: str | Sequence[str], **further: Any) -> Finished:
        """Like :meth:`run`, but :exc:`InstallError` unless the command succeeds."""
        done = self.run(command, **further)
        if done.status:
            last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise InstallError(f"{_shown(command)}: {done.how}{f': {last}' if last else ''}")
        return done

    def _log_output(self, command: str | Sequence[str], done: Finished) -> None:
        self.logger.debug("%s: %s", _shown(command), done.how)
        for line in done.stdout.decode("utf-8", "replace").splitlines():
            self.logger.debug("> %s", line)
        for line in done.stderr.decode("utf-8", "replace").splitlines():
            self.logger.info("%s: %s", _shown(command), line)


def names_of(entries: Collection[Element]) -> list[str]:
    """The names of ENTRIES."""
    return [entry.get("name") or "" for entry in entries]


def _words(command: str | Sequence[str]) -> list[str]:
    words = shlex.split(command) if isinstance(command, str) else list(command)
    if not words:
        raise ValueError("the command is empty")
    return words


def _shown(command: str | Sequence[str]) -> str:
    return command if isinstance(command, str) else shlex.join(command)


def _require(program: str) -> None:
    """Raise :exc:`MissingPrerequisite` unless PROGRAM is there to be run."""

    if shutil.which(program) is None:
        raise MissingPrerequisite(f"there is no program {program}")
