"""One run of the agent, from the lock to the statistics, stage by stage."""

import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from bcfg2.client import configuration as configurations
from bcfg2.client import probes
from bcfg2.client.configuration import Configuration, title
from bcfg2.client.console import Console
from bcfg2.client.conversation import Conversation
from bcfg2.client.decisions import Decisions
from bcfg2.client.errors import FatalError
from bcfg2.client.installing import Installation, chosen_structures
from bcfg2.client.interactive import ask
from bcfg2.client.lock import locked
from bcfg2.client.report import Stamps, statistics
from bcfg2.client.states import States, is_important
from bcfg2.client.tools import set_up
from bcfg2.client.tools.base import Context
from bcfg2.options import OptionError, Options
from bcfg2.xml import Element

logger = logging.getLogger("bcfg2.client")

#: How a run ends.
COMPLETED, FAILED, NOT_REPORTED = 0, 1, 2


def run(options: Options) -> int:
    """Make one run as OPTIONS ask for; the exit status.

    :exc:`OptionError` if the configuration is to come from a file that cannot be read.
    """
    document = _read(options.file) if options.file else None
    try:
        _check(options)
        with _lock(options):
            return _Run(options, document).make()
    except FatalError as err:
        logger.error("%s", err)
    except KeyboardInterrupt:
        logger.error("Interrupted")
    except Exception:
        logger.exception("The run ends because of an error of the agent's own, please report it")
    return FAILED


def _read(path: str) -> bytes:
    """The file PATH, ``-`` being standard input."""
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as err:
        raise OptionError(f"-f {path}: cannot be read: {err.strerror}") from None


def _check(options: Options) -> None:
    if options.bundle_quick and not (options.only_bundles or options.except_bundles):
        raise FatalError("-Q needs -b or -B, which say which bundles to look at")


def _lock(options: Options) -> AbstractContextManager[None]:
    return nullcontext() if options.no_lock else locked(options.components_lockfile)


class _Run:
    """The run itself.  DOCUMENT: the configuration, if no server is to be asked for it."""

    def __init__(self, options: Options, document: bytes | None) -> None:
        self._options = options
        self._document = document
        self._stamps = Stamps()
        self._console = Console(options)
        self._server = Conversation(options) if document is None else None
        self._stamps.stamp("initialization")

    def make(self) -> int:
        """Go through all stages; the exit status."""
        if not self._options.no_lock:
            probes.remove_leftovers()
        permits = self._introduce()
        configuration = self._configuration()
        states, installation = self._take_inventory(configuration, permits)
        self._change(states, installation)
        if self._options.kevlar and states.modified and not self._options.dry_run:
            states.take_inventory()
        self._stamps.stamp("finished")
        _log_counts(states, "final", self._options)
        self._console.summary(configuration, states, self._stamps)
        if self._server is None or self._options.bundle_quick:
            return COMPLETED
        document = statistics(configuration, states, self._stamps, self._options)
        return COMPLETED if self._server.receive_statistics(document) else NOT_REPORTED

    # The stages

    def _introduce(self) -> Callable[[Element], bool]:
        """Tell the server who is there; what it decides may be installed."""
        if self._server is None:
            return lambda entry: True
        options = self._options
        if options.client_profile:
            self._server.assert_profile(options.client_profile)
        self._server.declare_version()
        self._run_probes(self._server)
        if options.client_decision == "none":
            return lambda entry: True
        return Decisions(options.client_decision, self._server.decision_list(options.client_decision)).permits

    def _run_probes(self, server: Conversation) -> None:
        found = probes.parse(server.probes())
        self._stamps.stamp("probe_download")
        if found:
            server.receive_probe_data(probes.run_all(found, self._options))
        self._stamps.stamp("probe_upload")

    def _configuration(self) -> Configuration:
        """The configuration, of which ``-Q`` leaves only the chosen bundles."""
        if self._server is None:
            assert self._document is not None  # or there would be a server
            configuration = configurations.parse(self._document, self._options.file)
        else:
            document = self._server.configuration()
            self._stamps.stamp("config_download")
            configuration = configurations.parse(document, "the configuration that the server sent")
            self._stamps.stamp("config_parse")
            if self._options.cache:
                configurations.keep(document, self._options.cache)
                self._stamps.stamp("caching")
        if self._options.bundle_quick:
            configuration.keep_only(chosen_structures(configuration, self._options))
        return configuration

    def _take_inventory(
        self, configuration: Configuration, permits: Callable[[Element], bool]
    ) -> tuple[States, Installation]:
        context = Context(self._options, configuration, permits, self._ask)
        tools = set_up(self._options.client_drivers, context)
        for tool in tools:
            try:
                tool.prepare()
            except Exception:
                logger.exception("%s cannot prepare itself", tool.name)
        states = States(configuration, tools, self._console.progress)
        states.take_inventory()
        self._stamps.stamp("inventory")
        _log_counts(states, "initial", self._options)
        return states, Installation(context, states)

    def _change(self, states: States, installation: Installation) -> None:
        """Install, act and remove, as far as the options go."""
        dry, only_important = self._options.dry_run, self._options.only_important
        if dry:
            self._show_plan(states, installation)
        else:
            installation.install_important()
        if only_important:
            self._look_again(states, installation)
            return
        if not dry:
            installation.act_before()
            if self._options.interactive:
                installation.ask()
            installation.install()
        self._stamps.stamp("install")
        if self._look_again(states, installation) and not self._options.interactive:
            installation.install()
        if not dry:
            installation.update_bundles()
            if installation.remove():  # removed packages are modified, too
                self._stamps.stamp("reinventory")
        self._stamps.stamp("remove")

    def _look_again(self, states: States, installation: Installation) -> bool:
        """Look at the bundles again in which something was changed; whether anything was."""
        if not states.modified:
            return False
        installation.look_again()
        self._stamps.stamp("reinventory")
        return True

    def _show_plan(self, states: States, installation: Installation) -> None:
        """Tell what a run that is not dry would do."""
        entries, removals = installation.to_do, installation.removals
        if self._options.only_important:
            entries, removals = [entry for entry in entries if is_important(states.tools, entry)], []
        for entry in entries:
            logger.info("Would install %s", title(entry))
        for entry in removals:
            logger.info("Would remove %s", title(entry))
        self._console.plan(states, entries, removals)

    def _ask(self, question: str) -> bool:
        """Whether the person at the terminal, if there is one, says yes to QUESTION."""
        return ask(question, self._console.question) if self._options.interactive else True


def _log_counts(states: States, phase: str, options: Options) -> None:
    good, bad, extra = states.good, states.bad, states.extra
    logger.info(
        "Phase %s: %d correct, %d incorrect, %d managed, %d unmanaged entries",
        phase,
        len(good),
        len(bad),
        len(good) + len(bad),
        len(extra),
    )
    if phase == "initial":
        return
    for entry in sorted(bad, key=title):
        logger.info("Incorrect: %s", title(entry))
    if options.show_extra:
        for entry in sorted(extra, key=title):
            logger.info("Unmanaged: %s", title(entry))
