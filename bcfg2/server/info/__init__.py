"""The sub-commands of bcfg2-info: every module of this package is one.

.. code-block:: text

    Command              what all have in common, with those of bcfg2-admin
      InfoCommand        looks into a repository with a core of its own, which changes nothing
        Build            module build: the sub-command "build"
        Shell            module shell: any of the others, line by line, over one core
        ...

How a sub-command is added: see :mod:`bcfg2.server.subcommands`.
"""

import contextlib
import cProfile
import fnmatch
import json
import logging
import os
import pstats
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

from lxml import etree

from bcfg2.log import escaped
from bcfg2.options import BooleanOption, OptionParser, Options
from bcfg2.server import subcommands
from bcfg2.server.local_core import InspectingCore
from bcfg2.server.plugin import MetadataConsistencyError, MetadataRuntimeError, PluginExecutionError
from bcfg2.server.subcommands import Command, CommandError, local_core_errors
from bcfg2.server.versioned import request_memo
from bcfg2.xml import Element, tidy

__all__ = ["CommandError", "InfoCommand"]

logger = logging.getLogger("bcfg2.info")

#: How many calls are shown of a start that is profiled.
_COSTLIEST = 200

_PATTERN = frozenset("*?[]")


class InfoCommand(Command):
    """A sub-command that shows something of a repository.  Made with the parser that has read the command line.

    A subclass overrides :meth:`show`.
    """

    #: Of the plugins, those with one of these roles are needed; none means all.
    roles: ClassVar[tuple[type, ...]] = ()

    def __init__(self, parser: OptionParser) -> None:
        self.parser = parser

    def run(self, options: Options) -> int:
        with local_core_errors(options), loaded(options, self.roles) as core, core.request():
            return self.show(core, options)

    def show(self, core: InspectingCore, options: Options) -> int:
        """Show it, within a request, and return the exit status; or raise :exc:`CommandError`."""
        raise NotImplementedError


@contextlib.contextmanager
def loaded(options: Options, roles: tuple[type, ...] = ()) -> Iterator[InspectingCore]:
    """A core that has read everything; where OPTIONS want it, standard error tells what took most of the time."""
    with contextlib.ExitStack() as stack:
        core = InspectingCore.loaded(options, roles)
        if not options.profile_start:
            yield stack.enter_context(core)
            return
        profile = cProfile.Profile()
        entered: InspectingCore = profile.runcall(stack.enter_context, core)
        pstats.Stats(profile, stream=sys.stderr).sort_stats("cumulative").print_stats(_COSTLIEST)
        yield entered


def commands() -> dict[str, type[InfoCommand]]:
    """Name -> class of all sub-commands, by name."""
    return subcommands.commands(sys.modules[__name__], InfoCommand)


# who and what is meant


def is_pattern(word: str) -> bool:
    """Whether WORD stands for several names."""
    return not _PATTERN.isdisjoint(word)


def chosen(words: Sequence[str] | None, known: Iterable[str]) -> list[str]:
    """The names that WORDS mean, of those KNOWN where they are patterns; without words all that are known."""
    if not words or "*" in words:
        return sorted(known)
    if not any(map(is_pattern, words)):
        return list(words)
    return sorted(name for name in known if any(fnmatch.fnmatchcase(name, word) for word in words))


def client_names(core: InspectingCore, words: Sequence[str] | None) -> list[str]:
    """The names of clients that WORDS mean."""
    return chosen(words, core.metadata.list_clients())


def assume(core: InspectingCore, host: str) -> None:
    """Have HOST count as a client; MetadataConsistencyError if it is none and could not become one."""
    if core.metadata.assume_client(host):
        logger.warning("%s is no client: shown as if it had just turned up", host)


def metadata_of(core: InspectingCore, host: str) -> Any:
    """The metadata of HOST; :exc:`CommandError` if there is none to be had."""
    try:
        assume(core, host)
        return core.build_metadata(host)
    except (MetadataConsistencyError, MetadataRuntimeError) as err:
        raise CommandError(f"{host}: {err}") from None
    except Exception as err:
        logger.debug("No metadata of %s", host, exc_info=True)
        raise CommandError(f"{host}: {_reason(err)}") from err  # connectors are other people's code


def plugin_of(core: InspectingCore, name: str) -> Any:
    """The plugin NAME; :exc:`CommandError` if it is not loaded."""
    plugin = core.plugins.get(name)
    if plugin is None:
        raise CommandError(f"{name} plugin not enabled: it is not named in the option plugins of [server], or failed")
    return plugin


def for_each(hosts: Iterable[str], show: Callable[[str], object]) -> int:
    """Call SHOW for each of HOSTS, whatever becomes of the others; the exit status."""
    status = 0
    for host in hosts:
        try:
            show(host)
        except CommandError as err:
            logger.error("%s", err)
            status = 1
        request_memo().clear()  # what is kept for one host is of no use for the next, and there may be thousands
    return status


# what is built


def configuration(core: InspectingCore, host: str) -> Element:
    """The configuration of HOST; :exc:`CommandError` if it is an error or cannot be had."""
    metadata = metadata_of(core, host)
    try:
        config = core.BuildConfiguration(metadata.hostname)
    except Exception as err:
        logger.debug("No configuration of %s", host, exc_info=True)
        raise CommandError(f"{host}: the configuration cannot be built: {_reason(err)}") from err
    if config.tag == "error":
        raise CommandError(f"{host}: the configuration cannot be built: {config.text}")
    return config


def bound(core: InspectingCore, path: str, host: str, altsrc: str | None) -> Element:
    """The entry Path named PATH, bound for HOST, if ALTSRC is given as that; :exc:`CommandError` if it fails."""
    metadata = metadata_of(core, host)
    entry = etree.Element("Path", {"name": path, **({"altsrc": altsrc} if altsrc else {})})
    try:
        core.Bind(entry, metadata)
    except Exception as err:
        logger.debug("Cannot bind %s", path, exc_info=True)
        raise CommandError(f"{host}: Path {path} cannot be bound: {_reason(err)}") from err
    if (failure := entry.get("failure")) is not None:
        raise CommandError(f"{host}: Path {path} cannot be bound: {failure}")
    return entry


def _reason(err: Exception) -> str:
    text = getattr(err, "faultString", "") or str(err)
    return text if isinstance(err, PluginExecutionError) else f"{type(err).__name__}: {text}"


# output


#: Results for other programs; for sub-commands that print a table, or names.
JSON = BooleanOption(flags=("--json",), dest="as_json", help="Print the result as JSON")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], options: Options) -> None:
    """Print ROWS of texts, booleans, None and sequences of texts below HEADER and a ruling.

    If OPTIONS want JSON, each row is an object, its keys the words of the header in lower case.
    """
    if options.as_json:
        keys = [word.lower().replace(" ", "_") for word in header]
        print_json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    lines = [tuple(header), *(tuple(map(_cell, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [f" {' | '.join(map(str.ljust, line, widths))}".rstrip() for line in lines]
    texts.insert(1, "=" * (sum(widths) + 3 * len(widths) - 1))
    sys.stdout.write("".join(f"{text}\n" for text in texts))


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return escaped(",".join(value) if isinstance(value, list | tuple) else str(value))


def print_json(value: Any) -> None:
    """Print VALUE as a JSON document."""
    sys.stdout.write(f"{json.dumps(value, indent=2)}\n")


def indented(element: Element) -> str:
    """ELEMENT for people to read, without an XML declaration."""
    return etree.tostring(tidy(element), encoding="unicode", pretty_print=True, with_tail=False)


def output(data: bytes, path: str | None) -> None:
    """Write DATA to the file PATH, which nobody else may read if it is new, or to standard output."""
    if path is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        return
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
        stream.write(data)


def document(config: Element) -> bytes:
    """CONFIG as an XML document for people to read."""
    return etree.tostring(tidy(config), encoding="UTF-8", xml_declaration=True, pretty_print=True)


def words_of(text: str) -> list[str]:
    """The words in TEXT, which commas separate."""
    return [word.strip() for word in text.split(",") if word.strip()]
