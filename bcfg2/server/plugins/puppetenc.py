"""PuppetENC: groups and data from external node classifiers, programs written for Puppet.

.. code-block:: text

    PuppetENC/**            the programs, run in the order of their paths
      Script                one of them
      run                   runs it for a client, within limits of time and output
      Classification        what one or more of them say of a client: groups, data
    Results                 what is known of each client until some client's run ends
"""

import errno
import os
import re
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bcfg2 import command
from bcfg2.options import Option, SizeOption, TimeoutOption
from bcfg2.server.plugin import (
    ClientRunHooks,
    Connector,
    DirectoryBacked,
    FileBacked,
    Plugin,
    PluginExecutionError,
    PluginInitError,
)
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.versioned import Versioned, request_memo

try:
    import yaml  # type: ignore[import-untyped]
except ImportError:
    yaml = None

#: Characters of a program's error output that a failure tells.
_MAX_TOLD = 2000
#: With what files begin that the system could run, were they executable.
_PROGRAMS = (b"#!", b"\x7fELF")


@dataclass(slots=True)
class Classification:
    """What programs say of one client; the later one overrides the data of the earlier, key by key."""

    groups: list[str] = field(default_factory=list)
    data: dict[Any, Any] = field(default_factory=dict)

    def add(self, document: Any) -> None:
        """Add what the DOCUMENT of one program says; :exc:`ValueError` if it is not made as it has to be."""
        if not isinstance(document, dict):
            raise ValueError("the output is no YAML mapping")
        key = "classes" if "classes" in document else "groups"
        classes = document.get(key) or {}
        if isinstance(classes, list):
            classes = dict.fromkeys(_name(item, key) for item in classes)
        for name, parameters in _mapping(classes, f"{key}, which may also be a list of names,").items():
            self.groups.append(_name(name, key))
            self.data.update(_mapping(parameters, f"{key}: {name}"))
        self.data.update(_mapping(document.get("parameters"), "parameters"))


def _name(value: object, where: str) -> str:
    """VALUE as the name of a group."""
    if not isinstance(value, str | int | float) or isinstance(value, bool) or value == "":
        raise ValueError(f"{value!r} in {where} cannot be the name of a group, write it as text")
    return str(value)


def _mapping(value: object, where: str) -> dict[Any, Any]:
    """VALUE, which may be missing or empty but is a mapping otherwise."""
    if value and not isinstance(value, dict):
        raise ValueError(f"{where} is no mapping")
    return value if isinstance(value, dict) else {}


class Script(FileBacked):
    """One program."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._remarked: set[str] = set()

    def read(self) -> None:
        """The system reads the program, each time that it is run."""
        self._remarked = set()

    def classify(self, hostname: str, seconds: float | None, max_output: int, into: Classification) -> None:
        """Run the program for the client HOSTNAME and add what it says to INTO.

        Raises :exc:`PluginExecutionError`.
        """
        try:
            if self._is_stray():
                return
            document = yaml.safe_load(run([self.name, hostname], seconds, max_output))
            if document is None:
                self._remark("says nothing at all of some clients, such as %s", hostname)
                return
            into.add(document)
            if document.get("environment"):
                self.debug_log(f"{self.name}: the environment {document['environment']} of {hostname} is ignored")
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as err:
            if os.path.lexists(self.name):  # else it has been removed since the request began
                raise PluginExecutionError(f"{self.name}, run for {hostname}: {' '.join(str(err).split())}") from err

    def _is_stray(self) -> bool:
        """Whether the file is no program at all.  One that may not be executed, but looks like a program, is none."""
        if os.access(self.name, os.X_OK):
            return False
        with open(self.name, "rb") as stream:
            if stream.read(4).startswith(_PROGRAMS):
                raise PermissionError(errno.EACCES, "not executable: change its mode, or remove the file")
        self._remark("is neither executable nor a program, ignored")
        return True

    def _remark(self, remark: str, *arguments: object) -> None:
        """Log REMARK once until the file changes."""
        if remark not in self._remarked:
            self._remarked.add(remark)
            self.logger.warning(f"%s {remark}", self.name, *arguments)


def run(argv: list[str], seconds: float | None, max_output: int) -> bytes:
    """What the program ARGV, which gets no input, writes to its standard output.

    Raises :exc:`OSError` if it cannot be started, and :exc:`ValueError` if it fails, takes more than SECONDS (None: no
    limit) or writes more than MAX_OUTPUT bytes.  In the last two cases it is killed with its whole process group.
    """
    try:
        finished = command.run(argv, None, seconds, max_output, whole=True)
    except command.OutOfTime:
        raise ValueError(f"no result within {seconds:g} seconds, killed ([puppetenc] timeout)") from None
    except command.TooMuchOutput as err:
        raise ValueError(f"{err}, killed ([puppetenc] max_output)") from None
    if finished.status:
        told = finished.stderr.strip().decode("utf-8", "replace")[:_MAX_TOLD]
        raise ValueError(f"{finished.how}: {told}" if told else finished.how)
    return finished.stdout


class Results:
    """What is known of clients, by host name, from the programs as they are."""

    def __init__(self) -> None:
        self.by_host: dict[str, Classification] = {}

    def drop(self) -> None:
        """Forget everything, also what is being worked out just now."""
        self.by_host = {}


class PuppetENC(Plugin, Connector, ClientRunHooks, DirectoryBacked):
    """Runs the programs in its folder with the client's name: they print its groups, and data for templates."""

    options: ClassVar[list[Option]] = [
        TimeoutOption("puppetenc", "timeout", default=30.0, help="Seconds that one program may take for one client"),
        SizeOption("puppetenc", "max_output", default=1 << 20, help="Bytes that one program may print for one client"),
    ]

    __child__ = Script
    ignore = re.compile(r"^(\.#.*|.*~|\..*\.(tmp|swp|swx))$")

    #: Belongs to `entries`: a request that still sees older programs has the results of those.
    results: Versioned[Results] = Versioned()

    def __init__(self, core: CoreInterface) -> None:
        if yaml is None:
            raise PluginInitError("PuppetENC needs PyYAML: install bcfg2[yaml]")
        Plugin.__init__(self, core)
        self.results = Results()
        self._warned_of_cache = False
        DirectoryBacked.__init__(self, self.data)

    def on_change(self) -> None:
        self.results = Results()
        self.core.metadata_cache.expire()

    # what the programs say

    def get_additional_groups(self, metadata: Any) -> list[str]:
        return self._classification(metadata.hostname).groups

    def get_additional_data(self, metadata: Any) -> dict[Any, Any]:
        return deepcopy(self._classification(metadata.hostname).data)  # what a template does to it stays there

    def _classification(self, hostname: str) -> Classification:
        """What the programs say of a client: one execution for a request, and for others until a client's run ends."""
        memo = request_memo()
        key = (self, hostname)
        if key not in memo:
            by_host = self.results.by_host  # what is dropped meanwhile stays dropped
            if hostname not in by_host:
                by_host[hostname] = self._classify(hostname)
            memo[key] = by_host[hostname]
        result: Classification = memo[key]
        return result

    def _classify(self, hostname: str) -> Classification:
        """Run all programs for a client."""
        found = Classification()
        settings = self.settings
        for _, script in sorted(self.entries.items()):
            script.classify(hostname, settings.puppetenc_timeout, settings.puppetenc_max_output, found)
        return found

    # the end of a run

    def end_client_run(self, metadata: Any) -> None:
        """Have the programs run again for the next run, of any client."""
        self.results.drop()
        if self.core.metadata_cache_mode == "aggressive":
            if not self._warned_of_cache:
                self._warned_of_cache = True
                self.logger.warning(
                    "[caching] client_metadata = aggressive is of no use with PuppetENC, which cannot tell when its "
                    "programs would say something else: a client's metadata is dropped at the end of each run. "
                    "Use cautious or initial"
                )
            self.core.metadata_cache.expire(metadata.hostname)

    end_statistics = end_client_run
