"""Version plugins that run the program of their version control system."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from bcfg2 import command
from bcfg2.options import Option, TimeoutOption
from bcfg2.server.plugin.exceptions import PluginExecutionError, PluginInitError
from bcfg2.server.plugin.interfaces import Version
from bcfg2.server.plugin.services import CoreInterface

#: Bytes of the output of a program that are looked at.
_MAX_OUTPUT = 1 << 20
#: Characters of its error output that a failure tells.
_MAX_TOLD = 500


class VersionCommand(Version):
    """A Version plugin that has a program to ask.

    A subclass overrides :meth:`get_revision`, and :meth:`head_files` if it can; the latter are watched.
    """

    options: ClassVar[list[Option]] = [
        *Version.options,
        TimeoutOption(
            "server", "vcs_timeout", default=60.0, help="Seconds that one command of a version control system may take"
        ),
    ]
    #: Set for the program, besides the server's own environment.
    environment: ClassVar[Mapping[str, str]] = {}
    #: Not to be passed on to the program.
    unset: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        self._watched: set[str] = set()
        try:
            self.watch(self.head_files())
        except PluginExecutionError as err:
            raise PluginInitError(str(err)) from err

    def watch(self, paths: Iterable[str]) -> None:
        """Have the revision asked for when one of PATHS changes."""
        for path in paths:
            if path not in self._watched:
                self._watched.add(path)
                self.core.fam.AddMonitor(path, self)

    def HandleEvent(self, event: object) -> None:
        """A file that tells of another revision has changed: all that is needed is the batch of this event."""

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """What ARGV prints, run at the top of the working copy; :exc:`PluginExecutionError` if it fails."""
        status, stdout, stderr = self.try_to_run(*argv, stdin=stdin)
        if status:
            told = " ".join((stderr.strip() or stdout.strip()).split())[:_MAX_TOLD]
            raise PluginExecutionError(f"{' '.join(argv)} failed in {self.vcs_root}: {told or status}")
        return stdout

    def try_to_run(self, *argv: str, stdin: str | None = None) -> tuple[str, str, str]:
        """How ARGV failed (empty: it did not), and what it printed to its two outputs.

        :exc:`PluginExecutionError` if it cannot be run or does not end in time.
        """
        kept = {name: value for name, value in os.environ.items() if name not in self.unset}
        try:
            finished = command.run(
                argv,
                None if stdin is None else stdin.encode(),
                self.settings.server_vcs_timeout,
                _MAX_OUTPUT,
                folder=self.vcs_root,
                environment={**kept, "LC_ALL": "C", **self.environment},
            )
        except (command.OutOfTime, OSError) as err:
            reason = f"{err} ([server] vcs_timeout)" if isinstance(err, command.OutOfTime) else err.strerror or str(err)
            raise PluginExecutionError(f"cannot run {' '.join(argv)} in {self.vcs_root}: {reason}") from err
        texts = [output.decode("utf-8", "replace") for output in (finished.stdout, finished.stderr)]
        return finished.how if finished.status else "", texts[0], texts[1]

    def below_root(self, *names: str) -> Sequence[str]:
        """The full paths of NAMES in the working copy."""
        return tuple(os.path.join(self.vcs_root, name) for name in names)


def first_line(text: str) -> str:
    """The first line of TEXT that is not blank, stripped; :exc:`PluginExecutionError` if there is none."""
    for line in text.splitlines():
        if line.strip():
            return line.strip()
    raise PluginExecutionError("the program prints nothing")
