"""Reading options: the order in which command line, environment and files are looked at.

What there is to read depends on what is read: a flag names the file, the file names the plugins, a plugin has options
of its own.  So words and files are looked at with the options known so far, the components that they name are loaded,
and this goes round until nothing new appears:

.. code-block:: text

    options of the command  -> words that are known -> main file -> further files
           ^                                                            |
           +----- options of components <- names of components <--------+
                                   nothing new: all words -> values
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from bcfg2.options import commandline
from bcfg2.options.checks import exposed_secrets, undeclared
from bcfg2.options.common import CONFIG, REPOSITORY
from bcfg2.options.components import ComponentError, load
from bcfg2.options.configfile import ConfigFiles
from bcfg2.options.namespace import OptionError, Options, UsageError
from bcfg2.options.option import ComponentOption, ConfigFileOption, Declaration, Option, SectionsOption, WildcardOption
from bcfg2.options.registry import Registry
from bcfg2.options.sources import Sources
from bcfg2.options.types import Surroundings


class OptionParser:
    """Reads the options of a command and of all components that it loads.

    COMPONENTS: classes that the command loads in any case.  COMMANDS: subcommands by name; each is a class with a list
    `options`, whose flags stand behind the name, and whose docstring begins with what it does.  The name is
    ``options.subcommand``; ``help [COMMAND]`` is understood as well.
    """

    def __init__(
        self,
        prog: str,
        description: str,
        options: Sequence[Declaration],
        components: Sequence[type] = (),
        commands: Mapping[str, type] | None = None,
    ) -> None:
        self.prog = prog
        self.description = description
        self.options = options
        self.components = components
        self.commands = commands or {}
        self._argv: list[str] = []
        self._around = Surroundings("/", "/")
        self._main_argv: list[str] = []
        self._file_was_there = False

    def parse(self, argv: Sequence[str] | None = None) -> Options:
        """The options according to ARGV, by default this process's command line.

        Raises :exc:`OptionError` (:exc:`UsageError` if ARGV makes no sense), and :exc:`SystemExit` after printing what
        ``--help`` and ``--version`` ask for.
        """
        self._argv = list(sys.argv[1:] if argv is None else argv)
        self._around = Surroundings(_working_folder(), os.path.expanduser("~"))
        self._file_was_there = False
        reading = self._read(self._argv)
        self._file_was_there = reading.config_was_read
        self._main_argv = self._argv[: len(self._argv) - reading.command_length]
        return reading.options

    def parse_or_exit(self, argv: Sequence[str] | None = None) -> Options:
        """Like :meth:`parse`, but an error is printed on standard error and ends the process with status 2."""
        try:
            return self.parse(argv)
        except OptionError as err:
            self.exit(err)

    def exit(self, error: OptionError) -> NoReturn:
        """Print ERROR on standard error and end the process with status 2."""
        usage = error.usage if isinstance(error, UsageError) else ""
        sys.stderr.write(f"{usage}{self.prog}: error: {error}\n")
        raise SystemExit(2)

    def reread(self) -> Options:
        """The options according to the same command line, with files and environment as they are now.

        Paths are relative to what they were relative to at first, although a daemon has changed its working folder.
        Raises :exc:`OptionError`, also if the main configuration file is not there any more.
        """
        return self._read(self._argv).options

    def parse_command(self, words: Sequence[str]) -> Options:
        """The options according to the first command line up to its subcommand, and WORDS in the place of that."""
        return self._read([*self._main_argv, *words]).options

    def _read(self, argv: Sequence[str]) -> "_Reading":
        reading = _Reading(self, argv, self._around, file_needed=self._file_was_there)
        reading.settle()
        reading.finish()
        return reading


class _Reading:
    """One reading of all sources.

    `options`: the result, once :meth:`settle` and :meth:`finish` were called.  `config_was_read`: whether there is a
    main file.  `command_length`: how many of the last words are the subcommand and what belongs to it.
    """

    options: Options
    config_was_read = False
    command_length = 0

    def __init__(self, parser: OptionParser, argv: Sequence[str], around: Surroundings, *, file_needed: bool) -> None:
        self._parser = parser
        self._argv = argv
        self._file_needed = file_needed
        self._environment = dict(os.environ)
        self._main = Registry()
        self._main.add([CONFIG, *parser.options])
        for component in parser.components:
            self._main.add(_options_of(component), component.__name__)
        self._command_name: str | None = None
        self._command = Registry(self._main)
        self._problem: OptionError | None = None
        self.sources = Sources({}, self._environment, ConfigFiles(), around)

    def settle(self) -> None:
        """Look at words and files, and load the components that they name, until nothing new appears."""
        while True:
            command = self._look()
            if not (self._choose(command) or self._load_components()):
                return

    def finish(self) -> None:
        """Take the command line at its word, and work out all values."""
        problem = self._problem or next(self._missing_components("error"), None)
        try:
            words = self._all_words()
        except UsageError:
            if problem:  # it may be the reason why a word is unknown
                raise problem from None
            raise
        if problem:
            raise problem
        self.sources = replace(self.sources, words=words)
        files, options = self.sources.files, list(self._options())
        values = {option.dest: self._value(option) for option in options}
        if self._parser.commands:
            values["subcommand"] = self._command_name
        self.options = Options(
            values,
            secrets=(option.dest for option in options if option.secret),
            warnings=(
                *self._missing_file(),
                *files.warnings,
                *exposed_secrets(files, options),
                *map(str, self._missing_components("warn")),
            ),
            undeclared=undeclared(files, options),
            declared=options,
        )

    def _options(self) -> Iterator[Option]:
        yield from {**self._main.options, **self._command.options}.values()

    def _look(self) -> str | None:
        """Look at the words that are known so far and at the files; the subcommand among the words."""
        words = commandline.what_is_known(self._main, self._argv, commands=bool(self._parser.commands))
        command: str | None = words.pop(commandline.COMMAND, None)
        arguments = words.pop(commandline.ARGUMENTS, [])
        if command == self._command_name:
            words.update(commandline.what_is_known(self._command, arguments, commands=False))
        self.sources = replace(self.sources, words=words, files=ConfigFiles())
        self._problem = None
        try:
            self._read_files()
        except OptionError as err:
            self._problem = err
        return command

    def _read_files(self) -> None:
        """Read the main file, then those that it or the command line names."""
        path = self.sources.value(CONFIG)
        self.config_was_read = self.sources.files.read(path)
        if self._file_needed and not self.config_was_read:
            raise OptionError(f"could not read {path}, which is gone; the options stay as they are")
        self._look_for_repository()
        further = [option for option in self._options() if isinstance(option, ConfigFileOption)]
        for path in [self.sources.value(option) for option in further]:
            if path:
                self.sources.files.read(path)
        self._look_for_repository()

    def _missing_file(self) -> Iterator[str]:
        if not self.config_was_read:
            yield f"could not read {self.sources.value(CONFIG)}, there is no such file; defaults are used"

    def _look_for_repository(self) -> None:
        """Make known what ``<repository>`` means, where the command has a repository."""
        option = self._main.find(REPOSITORY.dest) or self._command.find(REPOSITORY.dest)
        if option:
            bare = replace(self.sources, around=replace(self.sources.around, repository=None))
            self.sources.around = replace(bare.around, repository=bare.value(option))

    def _choose(self, command: str | None) -> bool:
        """Make the options of the subcommand COMMAND known; whether it is another one than so far."""
        if command is None or command == self._command_name or command not in self._parser.commands:
            return False
        self._command_name = command
        self._command = Registry(self._main)
        self._command.add(_options_of(self._parser.commands[command]))
        return True

    def _load_components(self) -> bool:
        """Load components that are named and not loaded yet; whether that made further options known."""
        grown = False
        for registry in (self._main, self._command):
            for option in [option for option in registry.options.values() if isinstance(option, ComponentOption)]:
                for name in self.sources.value(option):
                    if (option.dest, name) not in registry.components:
                        grown |= _load(registry, option, name)
        return grown

    def _component(self, option: ComponentOption, name: str) -> type | str | None:
        """The class with NAME, why there is none, or nothing if it was not loaded."""
        key = (option.dest, name)
        return self._command.components.get(key) or self._main.components.get(key)

    def _missing_components(self, on_missing: str) -> Iterator[OptionError]:
        """An error for each component that is named and cannot be loaded, for options that say ON_MISSING."""
        for option in self._options():
            if not isinstance(option, ComponentOption) or option.on_missing != on_missing:
                continue
            names = self.sources.value(option)
            origin = self.sources.origin(option)
            if not names and not option.multiple and self.sources.find(option):
                yield OptionError(f"{origin}: a name is missing")
            for name in names:
                reason = self._component(option, name)
                if isinstance(reason, str):
                    left_out = "" if on_missing == "error" else ", which is left out"
                    yield OptionError(f"{origin} = {name}{left_out}: {reason}")

    def _all_words(self) -> dict[str, Any]:
        """What the whole command line says; ends the process if it asks for help."""
        parser = self._parser
        words = commandline.complete(self._main, self._argv, parser.prog, parser.description, parser.commands)
        command = words.pop(commandline.COMMAND, None)
        arguments = words.pop(commandline.ARGUMENTS, [])
        if command == commandline.HELP_COMMAND:
            self._help(arguments)
        if command is not None:
            self.command_length = 1 + len(arguments)
            summary = commandline.summary(parser.commands[command])
            words.update(commandline.complete(self._command, arguments, f"{parser.prog} {command}", summary, {}))
        return words

    def _help(self, words: Sequence[str]) -> NoReturn:
        """Print the help text of the subcommand that WORDS name, by default that of the command, and exit."""
        parser = self._parser
        if not words:
            commandline.print_help(self._main, parser.prog, parser.description, parser.commands)
        elif words[0] in parser.commands:
            self._choose(words[0])
            while self._load_components():
                pass
            command = parser.commands[words[0]]
            commandline.print_help(self._command, f"{parser.prog} {words[0]}", commandline.summary(command), {})
        else:
            sys.stderr.write(f"{parser.prog}: there is no command {words[0]}; {parser.prog} help lists them\n")
            raise SystemExit(1)
        raise SystemExit(0)

    def _value(self, option: Option) -> Any:
        if isinstance(option, WildcardOption):
            others = (other for other in self._options() if not isinstance(other, WildcardOption))
            return self.sources.wildcard(
                option, {other.key.lower() for other in others if other.section == option.section}
            )
        if isinstance(option, SectionsOption):
            return self.sources.sections(option)
        if isinstance(option, ComponentOption):
            found = (self._component(option, name) for name in self.sources.value(option))
            classes = tuple(component for component in found if isinstance(component, type))
            return classes if option.multiple else next(iter(classes), None)
        return self.sources.value(option)


def _load(registry: Registry, option: ComponentOption, name: str) -> bool:
    """Load the component NAME and add its options to REGISTRY; whether that made any known."""
    key = (option.dest, name)
    try:
        component = load(option, name)
        grown = registry.add(_options_of(component), component.__name__)
    except (ComponentError, ValueError) as err:  # ValueError: its options cannot stand beside the others
        registry.components[key] = str(err)
        return False
    registry.components[key] = component
    return grown


def _options_of(component: type) -> Sequence[Declaration]:
    return getattr(component, "options", ())


def _working_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise OptionError("the working folder does not exist any more; start the command in another one") from None
