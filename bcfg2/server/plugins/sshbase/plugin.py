"""SSHbase: the plugin, which claims the entries below ``/etc/ssh``."""

import functools
import os
from typing import Any, ClassVar

from bcfg2.options import BooleanOption, FloatOption, Option
from bcfg2.server.plugin import (
    Connector,
    Dependencies,
    Generator,
    InfoXML,
    Plugin,
    PluginExecutionError,
    Specificity,
)
from bcfg2.server.plugin.contents import Contents
from bcfg2.server.plugin.interfaces import union
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugins.sshbase.hostkeys import HostKeys
from bcfg2.server.plugins.sshbase.keyfiles import KNOWN_HOSTS, PRIVATE_KEYS, PUBLIC_KEYS, KeyFile, KeySet, text_of
from bcfg2.server.plugins.sshbase.knownhosts import KnownHosts
from bcfg2.server.versioned import Versioned, private_copy, writing
from bcfg2.xml import Element

_FOLDER = "/etc/ssh"
_STATIC = ".static"
_INFO = "info.xml"

#: Base names, the longest first: a name may be the beginning of another one.
_BASENAMES = sorted((*PRIVATE_KEYS, *PUBLIC_KEYS, KNOWN_HOSTS), key=len, reverse=True)
#: Keys of the first version of the protocol, which are not text.
_BINARY = ("ssh_host_key", "ssh_host_key.pub")


class SSHbase(Plugin, Generator, Connector):
    """The generator of host keys and of the list of known hosts."""

    options: ClassVar[list[Option]] = [
        Option("sshbase", "passphrase", help="Name of the passphrase that encrypts private host keys that are made"),
        BooleanOption("sshbase", "dns", default=True, help="Whether the list of known hosts has what the DNS says"),
        FloatOption("sshbase", "dns_wait", default=2.0, help="Seconds that a list waits for answers of the DNS"),
        FloatOption("sshbase", "dns_age", default=3600.0, help="Seconds for which answers of the DNS are kept"),
        FloatOption("sshbase", "known_hosts_age", default=300.0, help="Seconds for which the list is kept at most"),
    ]

    #: Bare name -> file that stands at the head of all lists.
    static: Versioned[dict[str, KeyFile]] = Versioned({})
    #: The info.xml, while there is one.
    info: Versioned[InfoXML | None] = Versioned(None)

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        self.fam = core.fam
        self.sets = {basename: KeySet(basename, self.data) for basename in _BASENAMES}
        self._host_keys = HostKeys(core, self.sets)
        self._known_hosts = KnownHosts(core, self.sets)
        self._info = InfoXML(os.path.join(self.data, _INFO))
        self._warned: set[str] = set()
        keys = {f"{_FOLDER}/{name}": functools.partial(self._bind_key, name) for name in (*PRIVATE_KEYS, *PUBLIC_KEYS)}
        self.Entries = {"Path": {**keys, f"{_FOLDER}/{KNOWN_HOSTS}": self._bind_known_hosts}}
        core.fam.AddMonitor(self.data, self)

    # following the files

    def HandleEvent(self, event: Any) -> None:
        """Take a change of a file."""
        name, action = event.filename, event.code2str()
        if os.path.isabs(name) or action == "endExist":
            return
        basename = _basename(name)
        with writing():
            if name == _INFO:
                self._take_info(event)
            elif name.endswith(_STATIC):
                self._take_static(name, event)
            elif basename is not None:
                self.sets[basename].handle_event(event)
            elif action != "deleted" and name not in self._warned:
                self._warned.add(name)
                self.logger.error("%s is ignored: it is no file of SSHbase", os.path.join(self.data, name))

    def _take_info(self, event: Any) -> None:
        if event.code2str() == "deleted":
            self.info = None
            return
        self._info.HandleEvent(event)
        self.info = self._info

    def _take_static(self, name: str, event: Any) -> None:
        files = private_copy(self, "static")
        if event.code2str() == "deleted":
            files.pop(name, None)
            return
        file = KeyFile(os.path.join(self.data, name), Specificity())
        try:
            file.handle_event(event)
        except OSError as err:
            self.logger.error("Cannot use %s, keeping what was read before: %s", file.name, err)
            return
        files[name] = file

    # binding

    def depends_on(self, entry: Element) -> Dependencies | None:
        name = entry.get("name", "")
        if entry.tag != "Path" or name not in self.Entries["Path"]:
            return Dependencies()
        basename = os.path.basename(name)
        if basename == KNOWN_HOSTS:
            return None
        parts = [self.sets[basename].depends_on(), Dependencies() if self.info is None else self.info.depends_on()]
        return None if None in parts else union(part for part in parts if part is not None)

    def _bind_key(self, basename: str, entry: Element, metadata: Any) -> None:
        self._set_attributes(basename, entry, metadata)
        keys = self.sets[basename]
        file = keys.present(metadata)
        if file is None:
            Contents(
                self._host_keys.make(basename, metadata), self.core.options.components_encoding, keys.path
            ).put_into(entry)
        else:
            _put(file, entry)

    def _bind_known_hosts(self, entry: Element, metadata: Any) -> None:
        self._set_attributes(KNOWN_HOSTS, entry, metadata)
        complete = self.sets[KNOWN_HOSTS].choice.best(metadata)
        if complete is not None:
            _put(complete, entry)
            return
        static = [file for _, file in sorted(self.static.items())]
        text = self._known_hosts.text(static, metadata)
        Contents(text, self.core.options.components_encoding, self.data).put_into(entry)

    def _set_attributes(self, basename: str, entry: Element, metadata: Any) -> None:
        mode = "0600" if basename in PRIVATE_KEYS else "0644"
        entry.attrib.update({"owner": "root", "group": "root", "type": "file", "mode": mode})
        if basename in _BINARY:
            entry.set("encoding", "base64")
        if self.info is not None:
            self.info.BindEntry(entry, metadata)

    # the connector

    def get_additional_data(self, metadata: Any) -> dict[str, str]:
        """Public keys of the client: base name of the file -> text."""
        found = ((name, self.sets[name].choice.best(metadata)) for name in PUBLIC_KEYS)
        return {name: text_of(file) for name, file in found if file is not None and file.problem is None}


def _put(file: KeyFile, entry: Element) -> None:
    if file.problem is not None:
        raise PluginExecutionError(file.problem)
    Contents(file.raw, file.encoding, file.name).put_into(entry)


def _basename(name: str) -> str | None:
    """The base name of the file NAME; None if it belongs to no set."""
    return next((item for item in _BASENAMES if name == item or name.startswith(f"{item}.")), None)
