"""Ohai: what the program ``ohai`` tells of each client, for templates.

The answer of a client is kept, as it is, in ``Ohai/<hostname>.json``.  It is long, so it is decoded only when a
template looks at it: metadata of many clients costs little.
"""

import functools
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lxml import etree

from bcfg2.server.plugin import Connector, Plugin, PluginExecutionError, Probing
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.storage import atomic_write
from bcfg2.server.versioned import Versioned
from bcfg2.xml import Element

#: What clients run.
SCRIPT = """\
PATH=$PATH:/sbin:/usr/sbin
export PATH
if command -v ohai >/dev/null 2>&1; then
    ohai
else
    echo '{}'
fi
"""

NOTHING = "{}"


def decoded(text: str) -> dict[str, Any]:
    """The JSON object that TEXT is; :exc:`ValueError` if it is none."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


class OhaiData(Mapping[str, Any]):
    """``metadata.Ohai``: the decoded answer.

    It is decoded for each client metadata, so that what a template does to a value stays there.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @functools.cached_property
    def _value(self) -> dict[str, Any]:
        return decoded(self._text)

    def __getitem__(self, key: str) -> Any:
        return self._value[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return repr(self._value)


class Answer:
    """The answer TEXT of one client, a JSON object, and the file at PATH that it survives in."""

    #: Without a default, so that a request that is the first to ask sees what was in the file.
    text: Versioned[str] = Versioned()

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._turn = threading.Lock()
        self._latest = self.text = text

    def put(self, text: str) -> bool:
        """Replace the answer; it is in force, and in the file, when this returns.  Whether it is another one.

        Raises :exc:`OSError`; then the answer is what it was.
        """
        data = text.encode()
        with self._turn:
            if _content(self.path) != data:
                atomic_write(self.path, data)
            is_new = text != self._latest
            if is_new:
                self._latest = self.text = text
            return is_new


def _content(path: Path) -> bytes | None:
    """What is in the file PATH; None if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


class Ohai(Plugin, Probing, Connector):
    """Has every client run ``ohai``."""

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        self._answers: dict[str, Answer] = {}
        self._lock = threading.Lock()

    def GetProbes(self, metadata: Any) -> list[Element]:
        probe = etree.Element("probe", name=self.name, source=self.name, interpreter="/bin/sh")
        probe.text = SCRIPT
        return [probe]

    def ReceiveData(self, metadata: Any, datalist: list[Element]) -> None:
        for element in datalist:
            if not element.text:
                continue
            try:
                decoded(element.text)
            except ValueError as err:
                raise PluginExecutionError(f"the answer is not what ohai prints: {err}") from err
            is_new = self._answer(metadata.hostname).put(element.text)
            if is_new:
                self.core.tell_children(self.name, "forget", metadata.hostname)
            if is_new and self.core.metadata_cache_mode in ("cautious", "aggressive"):
                self.core.metadata_cache.expire(metadata.hostname)

    def get_additional_data(self, metadata: Any) -> OhaiData:
        return OhaiData(self._answer(metadata.hostname).text)

    def forget(self, hostname: str) -> None:
        """Read the answer of a client, which another process has replaced, anew when it is needed."""
        with self._lock:
            self._answers.pop(hostname, None)

    def catch_up(self) -> None:
        with self._lock:
            self._answers.clear()

    def _answer(self, hostname: str) -> Answer:
        """The answer of a client, read from its file when it is first asked for."""
        answer = self._answers.get(hostname)
        if answer is None:
            with self._lock:
                answer = self._answers.get(hostname)
                if answer is None:
                    answer = self._answers[hostname] = self._loaded(hostname)
        return answer

    def _loaded(self, hostname: str) -> Answer:
        if os.sep in hostname:
            raise PluginExecutionError(f"{hostname} cannot be the name of a file")
        path = Path(self.data, f"{hostname}.json")
        text = NOTHING
        try:
            text = path.read_text("utf-8")
            decoded(text)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as err:
            self.logger.error("Cannot use %s, starting without it: %s", path, err)
            text = NOTHING
        return Answer(path, text)
