"""The list of the public keys of all hosts, which is the same for all clients but for its last lines."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from bcfg2.server.plugin import MetadataConsistencyError, MetadataRuntimeError, Specificity
from bcfg2.server.plugins.sshbase.keyfiles import PUBLIC_KEYS, KeyFile, KeySet, text_of
from bcfg2.server.plugins.sshbase.resolver import Resolver

logger = logging.getLogger("bcfg2.SSHbase")

_LOCAL = "localhost,localhost.localdomain,127.0.0.1"


class _Made(NamedTuple):
    """A list, from what it was made, and when (of the monotonic clock)."""

    key: Any
    when: float
    text: str


class KnownHosts:
    """Puts the list together from the public keys in SETS, and keeps it until something has changed.

    It is made anew when files, clients or answers of the DNS have changed, and when it is older than ``[sshbase]
    known_hosts_age`` seconds: the groups that probes give may have changed.
    """

    def __init__(self, core: Any, sets: Mapping[str, KeySet]) -> None:
        self._core = core
        self._sets = [sets[name] for name in PUBLIC_KEYS]
        options = core.options
        self._resolver = Resolver(options.sshbase_dns_age, options.sshbase_known_hosts_age)
        self._lock = threading.Lock()
        self._made: _Made | None = None
        self._told: set[str] = set()

    def text(self, static: Iterable[KeyFile], metadata: Any) -> str:
        """The list for the client, with the contents of the files STATIC at its head."""
        return self._common(static, metadata) + "".join(self._local_lines(metadata))

    def _local_lines(self, metadata: Any) -> Iterator[str]:
        for keys in self._sets:
            file = keys.choice.best(metadata)
            if file is not None and file.problem is None:
                text = text_of(file)
                yield f"{_LOCAL} {text}" if text.endswith("\n") else f"{_LOCAL} {text}\n"

    def _common(self, static: Iterable[KeyFile], metadata: Any) -> str:
        """The part that all clients share."""
        clients = tuple(metadata.query.all_clients())
        with self._lock:
            made = self._made
            key = (self._core.fam.content_version, self._core.options, clients, self._resolver.version)
            now = time.monotonic()
            if made is None or made.key != key or now - made.when > self._core.options.sshbase_known_hosts_age:
                lines = [text for file in static if (text := text_of(file).rstrip())]
                lines += self._lines(clients, metadata)
                text = "".join(f"{line}\n" for line in lines)
                key = (*key[:3], self._resolver.version)
                made = self._made = _Made(key, now, text)
            return made.text

    def _lines(self, clients: tuple[str, ...], metadata: Any) -> Iterator[str]:
        """One line for each key of a host, a group or all."""
        members = _Members(clients, metadata.query)
        wanted = [
            (file, hosts)
            for keys in self._sets
            for file in sorted(keys.entries.values(), key=_order)
            if file.problem is None and (hosts := self._hosts(file, members))
        ]
        names = self._names({host for _, hosts in wanted for host in hosts})
        for file, hosts in wanted:
            yield f"{','.join(names[host] for host in hosts if host in names)} {text_of(file).rstrip()}"

    def _hosts(self, file: KeyFile, members: "_Members") -> list[str]:
        """The clients that have the key in FILE."""
        hosts = members.of(file.specific)
        if not hosts and file.name not in self._told:
            self._told.add(file.name)
            logger.info("%s is not in the list of known hosts: there is no such client", file.name)
        return hosts

    def _names(self, hosts: Iterable[str]) -> dict[str, str]:
        """Host -> all its names and addresses, joined by commas."""
        own: dict[str, tuple[set[str], frozenset[str]]] = {}
        for host in hosts:
            try:
                metadata = self._core.metadata.initial_metadata(host, register=False)
            except (MetadataConsistencyError, MetadataRuntimeError):
                own[host] = {host}, frozenset()  # it has just been removed
            else:
                own[host] = {host, *metadata.aliases}, metadata.addresses
        found: Mapping[str, frozenset[str]] = {}
        if self._core.options.sshbase_dns:
            every = {name for names, _ in own.values() for name in names}
            found = self._resolver.known(every, self._core.options.sshbase_dns_wait)
        return {
            host: ",".join(
                sorted(
                    {*names, *(name.split(".", 1)[0] for name in names), *addresses}.union(
                        *(found.get(name, frozenset()) for name in names)
                    )
                )
            )
            for host, (names, addresses) in own.items()
        }


class _Members:
    """Which CLIENTS a file is for; groups are asked for through QUERY, once and only if there are keys of groups."""

    def __init__(self, clients: tuple[str, ...], query: Any) -> None:
        self._clients = clients
        self._known = frozenset(clients)
        self._query = query

    def of(self, specific: Specificity) -> list[str]:
        """The names of the clients, in the order of the list of clients."""
        if specific.hostname is not None:
            return [specific.hostname] if specific.hostname in self._known else []
        if specific.group is not None:
            found: list[str] = self._query.names_by_groups([specific.group])
            return found
        return list(self._clients)


def _order(file: KeyFile) -> tuple[str, str]:
    """Hosts and groups by their names, mixed; what is for all comes first."""
    return file.specific.hostname or file.specific.group or "", file.name
