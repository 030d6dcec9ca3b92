"""FileProbes: files of clients that become files of the plugin Cfg.

.. code-block:: text

    config.xml -> GetProbes       a script for each file that is wanted of the client
                  ReceiveData     a file that Cfg does not have for the client, or (update) has otherwise,
                                  is written to Cfg/<path>/<basename>.H_<hostname> and in force at once
"""

import base64
import binascii
import os
import shlex
import threading
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from lxml import etree

from bcfg2 import xml
from bcfg2.server.plugin import (
    Plugin,
    PluginExecutionError,
    PluginInitError,
    Probing,
    StructFile,
    default_file_attributes,
)
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.storage import atomic_write
from bcfg2.server.versioned import request_memo
from bcfg2.xml import Element

#: What clients run.  Whatever is not there, or cannot be read, is said on the standard error, and nothing is printed.
SCRIPT = """\
path={path}
LC_ALL=C
export LC_ALL
fail() {{
    echo "$path: $1" >&2
    exit 0
}}
has() {{
    command -v "$1" >/dev/null 2>&1
}}
described() {{
    stat -L -c "$1" "$path" 2>/dev/null || stat -L -f "$2" "$path" 2>/dev/null
}}
encoded() {{
    if has base64; then
        base64 <"$path"
    elif has openssl; then
        openssl base64 <"$path"
    elif has perl; then
        perl -MMIME::Base64 -0777 -ne 'print encode_base64($_)' <"$path"
    else
        return 1
    fi
}}
escaped() {{
    printf '%s\\n' "$1" | sed -e 's/&/\\&amp;/g' -e 's/</\\&lt;/g' -e 's/"/\\&quot;/g'
}}
[ -f "$path" ] || fail "no such file"
[ -r "$path" ] || fail "cannot be read"
owner=$(described %U %Su) && group=$(described %G %Sg) && mode=$(described %a %OLp) || fail "cannot be looked at"
content=$(encoded 2>/dev/null) || fail "cannot be encoded, this needs base64, openssl or perl"
printf '<ProbedFileData name=%s owner="%s" group="%s" mode="0%s">%s</ProbedFileData>\\n' {name} \\
    "$(escaped "$owner")" "$(escaped "$group")" "$mode" "$content"
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that is wanted of a client; `update`: also where Cfg has another for it."""

    path: str
    update: bool


@dataclass(frozen=True, slots=True)
class Probed:
    """A file as a client has it; `attributes`: owner, group and mode, as far as the client has told them."""

    content: bytes
    attributes: dict[str, str]


class ConfigFile(StructFile):
    """``config.xml``."""

    schema = "fileprobes"


class FileProbes(Plugin, Probing):
    """Asks clients for files, and keeps what they send as files of their own in Cfg."""

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        if not any(plugin.__name__ == "Cfg" for plugin in self.settings.server_plugins):
            raise PluginInitError("FileProbes needs the plugin Cfg: add it to the option plugins of [server]")
        self.config = ConfigFile(os.path.join(self.data, "config.xml"), should_monitor=True, create=self.name)
        self._writing = threading.Lock()
        self._told: set[str] = set()

    # what is wanted

    def wanted(self, metadata: Any) -> dict[str, Wanted]:
        """Path -> the file of that path, of all files that ``config.xml`` wants of the client."""
        memo = request_memo()
        key = (self, "wanted", metadata)
        if key not in memo:
            memo[key] = self._wanted(metadata)
        found: dict[str, Wanted] = memo[key]
        return found

    def _wanted(self, metadata: Any) -> dict[str, Wanted]:
        found = {}
        for node in self.config.Match(metadata):
            if node.tag != "FileProbe":
                continue
            path = node.get("name", "")
            if os.path.isabs(path) and os.path.normpath(f"/{path.lstrip('/')}") == path != "/":
                found[path] = Wanted(path, node.get("update", "").lower() == "true")
            elif path not in self._told:
                self._told.add(path)
                self.logger.error(
                    "%s: a FileProbe is ignored: its name is %r, not the full path of a file", self.config.name, path
                )
        return found

    def GetProbes(self, metadata: Any) -> list[Element]:
        return [
            _probe(wanted.path)
            for wanted in self.wanted(metadata).values()
            if wanted.update or not self._cfg().has_generator(wanted.path, metadata)
        ]

    def _cfg(self) -> Any:
        cfg = self.core.plugins.get("Cfg")
        if cfg is None:
            raise PluginExecutionError("the plugin Cfg could not be loaded, see the server's log")
        return cfg

    # what has come

    def ReceiveData(self, metadata: Any, datalist: list[Element]) -> None:
        """Take the files; PluginExecutionError, before anything is written, if one is not wanted of this client."""
        wanted = self.wanted(metadata)
        probed: list[tuple[Wanted, Probed]] = []
        for element in datalist:
            path = element.get("name", "")
            answer = self._answer(path, element.text or "", metadata)
            if answer is None:
                continue
            if path not in wanted:
                raise PluginExecutionError(f"{metadata.hostname} sent {path}, which is not wanted of it: refused")
            probed.append((wanted[path], answer))
        for file, answer in probed:
            self._take(file, answer, metadata)

    def _answer(self, path: str, text: str, metadata: Any) -> Probed | None:
        """What the answer TEXT to the probe for PATH says; None, with an error line, if it is no file."""
        if not text.strip():
            self.logger.error("%s sent nothing for %s", metadata.hostname, path)
            return None
        try:
            document = xml.parse_string(text.strip(), path)
        except xml.XMLError:
            self.logger.error("%s has no %s to send: %.200s", metadata.hostname, path, text.strip())
            return None
        if document.get("name", path) != path:
            raise PluginExecutionError(f"{metadata.hostname} sent {document.get('name')} as {path}: refused")
        try:
            content = base64.b64decode("".join((document.text or "").split()), validate=True)
        except binascii.Error as err:
            self.logger.error("%s sent %s in an encoding that is not base64: %s", metadata.hostname, path, err)
            return None
        attributes = {name: value for name in ("owner", "group", "mode") if (value := document.get(name))}
        return Probed(content, attributes)

    def _take(self, file: Wanted, probed: Probed, metadata: Any) -> None:
        """Compare what the client has with what Cfg has for it, and keep it where that is wanted."""
        cfg = self._cfg()
        host = metadata.hostname
        with self._writing:
            is_new = not cfg.has_generator(file.path, metadata)
            if not is_new:
                try:
                    if self._in_cfg(cfg, file.path, metadata) == probed.content:
                        return
                except Exception as err:  # noqa: BLE001 - a template may raise anything; it costs this file only
                    self.logger.error("Cannot compare %s of %s with that of Cfg: %s", file.path, host, err)
                    return
                if not file.update:
                    self.logger.info("%s has another %s than Cfg, which is left alone", host, file.path)
                    return
            try:
                self._write(cfg, file.path, probed, host, is_new)
            except OSError as err:
                raise PluginExecutionError(f"cannot keep {file.path} of {host}: {err}") from err
        self.logger.info("%s %s of %s in Cfg", "Created" if is_new else "Updated", file.path, host)

    def _in_cfg(self, cfg: Any, path: str, metadata: Any) -> bytes:
        """What Cfg has for the client."""
        entry = etree.Element("Path", name=path)
        cfg.Entries["Path"][path](entry, metadata)
        text = entry.text or ""
        if entry.get("encoding") == "base64":
            return base64.b64decode(text)
        return text.encode(self.settings.components_encoding)

    def _write(self, cfg: Any, path: str, probed: Probed, host: str, is_new: bool) -> None:
        """Write the client's own version, and info.xml for a path that is new, and have them in force."""
        if os.sep in host:
            raise PluginExecutionError(f"{host} cannot be part of the name of a file")
        folder = f"{cfg.data}{path}"
        os.makedirs(folder, exist_ok=True)
        written = [os.path.join(folder, f"{os.path.basename(path)}.H_{host}")]
        info = os.path.join(folder, "info.xml")
        if is_new and not os.path.lexists(info):
            defaults = default_file_attributes(self.settings)
            attributes = {name: probed.attributes.get(name, defaults[name]) for name in ("owner", "group", "mode")}
            document = etree.Element("FileInfo")
            etree.SubElement(document, "Info", attributes)
            etree.indent(document)
            atomic_write(info, etree.tostring(document) + b"\n")
            written.append(info)
        atomic_write(written[0], probed.content)
        self.core.fam.announce(written, self.core.lock)
        self.core.share(*written)


def _probe(path: str) -> Element:
    """The probe for the file PATH."""
    probe = etree.Element("probe", name=path, source="FileProbes", interpreter="/bin/sh")
    probe.text = SCRIPT.format(path=shlex.quote(path), name=shlex.quote(quoteattr(path)))
    return probe
