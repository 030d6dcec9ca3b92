"""NagiosGen: configuration for Nagios, from what the server knows of its clients.

.. code-block:: text

    a client's request for /etc/nagiosgen.status                     the monitor's for /etc/nagios/conf.d/bcfg2.cfg
      address, hostgroups and options from Sources                     the texts of the hostgroups from Sources
      -> text of the entry, and HostFiles: <host>-host.cfg    --->     and all of HostFiles
                                                                       -> text of the entry, and nagiosgen.cfg

What the server writes goes to the same folder as what the administrator writes, who may keep further host files there.
"""

import logging
import os
import re
import socket
import threading
from collections.abc import Iterable
from typing import Any

from bcfg2.server.plugin import DirectoryBacked, FileBacked, Generator, Plugin, PluginExecutionError, StructFile
from bcfg2.server.plugin.interfaces import Dependencies
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugin.specific import read_file
from bcfg2.server.storage import atomic_write, is_read_only, remove_leftovers
from bcfg2.xml import Element

logger = logging.getLogger("bcfg2.NagiosGen")

_CONFIG = "config.xml"
_GROUP, _BUNDLE, _HOST = "-group.cfg", "-bundle.cfg", "-host.cfg"

#: Host names that are one word for Nagios, and one component of a path.
_PLAIN = re.compile(r"[^\s/;{}\x00-\x20\x7f]+")


class ConfigFile(StructFile):
    """``config.xml``."""

    schema = "nagiosgen"


class Sources(DirectoryBacked):
    """What the administrator writes: ``config.xml``, and texts for hostgroups.

    A hostgroup is a group that has a file ``<group>-group.cfg``, or a bundle that has a file ``<bundle>-bundle.cfg``.
    """

    patterns = re.compile(rf"^config\.xml$|({re.escape(_GROUP)}|{re.escape(_BUNDLE)})$")
    ignore = re.compile(rf"^nagiosgen\.cfg$|{re.escape(_HOST)}$")

    @staticmethod
    def __child__(path: str) -> FileBacked:
        """The object for the file PATH."""
        return ConfigFile(path) if os.path.basename(path) == _CONFIG else FileBacked(path)

    def options(self, metadata: Any) -> list[tuple[str, str]]:
        """(name, value) of each option of ``config.xml`` that applies to the client, in document order."""
        config: ConfigFile | None = self.entries.get(_CONFIG)
        if config is None:
            return []
        found = []
        for node in config.Match(metadata):
            if node.tag == "Option" and node.get("name"):
                found.append((node.get("name", ""), node.text or ""))
            elif node.tag == "Option":
                self.logger.error("%s: an Option without a name is ignored, give it one", config.name)
        return found

    def hostgroups(self, metadata: Any) -> list[str]:
        """The names of the hostgroups that the client is in, sorted."""
        files = self.entries
        groups = {name for name in metadata.groups if f"{name}{_GROUP}" in files}
        return sorted(groups | {name for name in metadata.bundles if f"{name}{_BUNDLE}" in files})

    def texts(self, hostgroups: Iterable[str]) -> list[str]:
        """The texts for HOSTGROUPS, in the order of the files' names."""
        files = self.entries
        wanted = sorted(f"{name}{suffix}" for name in hostgroups for suffix in (_GROUP, _BUNDLE))
        return [files[name].data for name in wanted if name in files]


class HostFiles:
    """The files ``<host>-host.cfg`` in FOLDER, most of which the server has written, for a request of their host.

    They are read from disk when they are needed: who writes a host's file must not wait for a file event before the
    monitor gets it.  What has been read is kept as long as the file stays the same.
    """

    def __init__(self, folder: str, encoding: str) -> None:
        self._folder = folder
        self._encoding = encoding
        self._lock = threading.Lock()
        self._read: dict[str, tuple[Any, str | None]] = {}  # file name -> its state on disk, its text

    def write(self, name: str, text: str) -> None:
        """Make TEXT the content of the file NAME of the folder, if it is not already.

        A failure is logged: it must not keep the client that asks from getting what it asked for.
        """
        path = os.path.join(self._folder, name)
        data = text.encode(self._encoding, "replace")
        with self._lock:
            try:
                try:
                    if read_file(path) == data:
                        return
                except FileNotFoundError:
                    pass
                atomic_write(path, data)
            except OSError as err:
                logger.error("Cannot write %s: %s", path, err)

    def texts(self, known: Iterable[str]) -> list[str]:
        """The texts of all host files, in the order of their names.

        A file that the server has made is left out where its host is none of the clients KNOWN any more.
        """
        clients = set(known)
        with self._lock:
            self._refresh()
            found = [(name.removesuffix(_HOST), text) for name, (_, text) in sorted(self._read.items())]
        return [
            text for host, text in found if text is not None and (host in clients or not text.startswith(heading(host)))
        ]

    def _refresh(self) -> None:
        """Read what has changed on disk."""
        present: dict[str, tuple[Any, str | None]] = {}
        with os.scandir(self._folder) as listing:
            for file in listing:
                if not file.name.endswith(_HOST) or file.name.startswith(".#"):
                    continue
                try:
                    status = file.stat()
                    state = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
                    kept = self._read.get(file.name)
                    present[file.name] = kept if kept and kept[0] == state else (state, self._text(file.path))
                except OSError as err:
                    logger.error("%s is left out: %s", file.path, err)
        self._read = present

    def _text(self, path: str) -> str | None:
        """The text of the file PATH; None if it is none.  Raises :exc:`OSError`."""
        try:
            return read_file(path).decode(self._encoding)
        except UnicodeDecodeError as err:
            logger.error("%s is left out: %s", path, err)
            return None


class NagiosGen(Plugin, Generator):
    """The generator of two paths: what a client says about itself, and what the monitor is told of all clients."""

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        for path in remove_leftovers(self.data):
            self.logger.info("Removed %s, which a server that was killed has left", path)
        config = os.path.join(self.data, _CONFIG)
        if not os.path.exists(config) and not is_read_only():
            self.logger.warning("%s does not exist, creating it", config)
            atomic_write(config, b"<NagiosGen/>\n", mode=0o644)
        self.sources = Sources(self.data)
        self.hosts = HostFiles(self.data, core.options.components_encoding)
        self.Entries = {
            "Path": {
                "/etc/nagiosgen.status": self.bind_host,
                "/etc/nagios/conf.d/bcfg2.cfg": self.bind_server,
            }
        }

    def depends_on(self, entry: Element) -> Dependencies | None:
        listed = entry.get("name") in self.Entries.get(entry.tag, ())
        return None if listed else Dependencies()

    def bind_host(self, entry: Element, metadata: Any) -> None:
        """Describe the client, and keep the description for the monitor.

        PluginExecutionError if its name does not resolve, or would break Nagios' configuration.
        """
        text = self._host(metadata)
        _bind(entry, text, owner="root", group="root", mode="0400")
        self.hosts.write(f"{metadata.hostname}{_HOST}", text)

    def _host(self, metadata: Any) -> str:
        host = metadata.hostname
        if not _PLAIN.fullmatch(host):
            raise PluginExecutionError(f"the host name {host!r} cannot be used in the configuration of Nagios")
        lines = [_line("alias", host), _line("address", resolve(host))]
        if hostgroups := self.sources.hostgroups(metadata):
            lines.append(_line("hostgroups", ",".join(hostgroups)))
        options = self.sources.options(metadata)
        lines += [_line(name, text) for name, text in options]
        if all(name != "use" for name, _ in options):
            lines.append(_line("use", "default"))
        return f"{heading(host)}{''.join(lines)}}}\n"

    def bind_server(self, entry: Element, metadata: Any) -> None:
        """Tell of all hosts, and of the groups that they are in."""
        hosts = self.hosts.texts(metadata.query.all_clients())
        groups = self.sources.texts({"default", *(name for text in hosts for name in hostgroups_of(text))})
        text = "\n".join(groups) + "\n\n" + "\n".join(hosts)
        _bind(entry, text, owner="nagios", group="nagios", mode="0440")
        self.hosts.write("nagiosgen.cfg", text)


def resolve(host: str) -> str:
    """The first IPv4 address that HOST resolves to; if it has none, the first IPv6 address.

    PluginExecutionError if it has no address.
    """
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as err:
        raise PluginExecutionError(f"the host name {host} does not resolve: {err}") from None
    first = next((answer for answer in answers if answer[0] == socket.AF_INET), answers[0])
    return str(first[4][0])


def heading(host: str) -> str:
    """How the description of HOST begins."""
    return f"define host {{\n{_line('host_name', host)}"


def hostgroups_of(text: str) -> list[str]:
    """The hostgroups that the description TEXT of a host names."""
    words = [line.split() for line in text.split("\n") if "hostgroup" in line]
    return [name for line in words if len(line) > 1 for name in line[1].split(",")]


def _line(key: str, value: str) -> str:
    return f"\t{key:<32} {value}\n"


def _bind(entry: Element, text: str, *, owner: str, group: str, mode: str) -> None:
    """Make ENTRY a file of that TEXT."""
    attributes = {"type": "file", "owner": owner, "group": group, "mode": mode, "encoding": "ascii"}
    for name, value in attributes.items():
        entry.set(name, value)
    entry.text = text
