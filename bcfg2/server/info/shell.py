"""``bcfg2-info shell``: sub-commands, line by line, over one core."""

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence

from bcfg2.options import OptionError, Options
from bcfg2.options.commandline import summary
from bcfg2.server import info
from bcfg2.server.info import CommandError, InfoCommand, client_names, loaded, logger
from bcfg2.server.local_core import InspectingCore
from bcfg2.server.subcommands import local_core_errors

PROMPT = "bcfg2-info> "
_WELCOME = "Welcome to bcfg2-info\nType 'help' for a list of commands\n"


class Shell(InfoCommand):
    """Read sub-commands from standard input and run them over one core."""

    def run(self, options: Options) -> int:
        with local_core_errors(options), loaded(options) as core:
            _Session(core, self).loop()
        return 0


class _Ended(Exception):
    """The user has had enough."""


class _Session:
    """The commands of one shell: those of bcfg2-info, and some about the core itself."""

    def __init__(self, core: InspectingCore, shell: Shell) -> None:
        self._core = core
        self._parser = shell.parser
        self._commands = {name: command for name, command in info.commands().items() if command is not Shell}
        self._own: dict[str, Callable[[Sequence[str]], None]] = {
            "?": self._help,
            "event_debug": self._event_debug,
            "eventdebug": self._event_debug,
            "exit": self._quit,
            "expirecache": self._expire_cache,
            "help": self._help,
            "quit": self._quit,
            "update": self._update,
        }

    def loop(self) -> None:
        """Run what is read until that ends."""
        if sys.stdin.isatty():
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401 - lines can be edited and called back
        sys.stdout.write(_WELCOME)
        try:
            for line in _lines():
                self._run(line)
        except _Ended:
            return
        except KeyboardInterrupt:
            sys.stdout.write("\n")

    def _run(self, line: str) -> None:
        """Run the command LINE; whatever keeps it from its end is a line of the log."""
        try:
            words = shlex.split(line)
            if words:
                self._dispatch(words)
        except (CommandError, OptionError, ValueError) as err:
            logger.error("%s", err)
        except SystemExit:  # help has been printed
            pass
        except OSError as err:
            logger.error("%s", f"{err.filename}: {err.strerror}" if err.filename else err.strerror or err)
        except _Ended:
            raise
        except Exception:  # noqa: BLE001 - plugins are other people's code, and the shell goes on
            logger.exception("%s failed", words[0])

    def _dispatch(self, words: Sequence[str]) -> None:
        if (own := self._own.get(words[0])) is not None:
            own(words[1:])
            return
        command = self._commands.get(words[0])
        if command is None:
            raise CommandError(f"there is no command {words[0]}; help lists them")
        options = self._parser.parse_command(words)
        with local_core_errors(options), self._core.request():
            command(self._parser).show(self._core, options)

    # what only a shell has

    def _help(self, words: Sequence[str]) -> None:
        """List the commands, or explain one."""
        if words and words[0] in self._commands:
            self._parser.parse_command([words[0], "--help"])
        elif words and words[0] in self._own:
            sys.stdout.write(f"{words[0]}: {self._own[words[0]].__doc__}\n")
        elif words:
            raise CommandError(f"there is no command {words[0]}")
        else:
            known = {name: summary(command) for name, command in self._commands.items()}
            known |= {name: (method.__doc__ or "") for name, method in self._own.items()}
            sys.stdout.write("".join(f"{name:<17} {text}\n" for name, text in sorted(known.items())))

    def _update(self, words: Sequence[str]) -> None:
        """See what has changed on disk."""
        self._core.update()

    def _expire_cache(self, words: Sequence[str]) -> None:
        """Forget the cached metadata of the named clients, or of all."""
        if not words:
            self._core.metadata_cache.expire()
            return
        for host in client_names(self._core, words):
            self._core.metadata_cache.expire(host.lower())

    def _event_debug(self, words: Sequence[str]) -> None:
        """Log every file event from now on."""
        self._core.fam.set_debug(True)

    def _quit(self, words: Sequence[str]) -> None:
        """End the shell."""
        raise _Ended


def _lines() -> Iterator[str]:
    """The lines of standard input, each asked for with the prompt."""
    while True:
        try:
            yield input(PROMPT)
        except EOFError:
            sys.stdout.write("\n")
            return
