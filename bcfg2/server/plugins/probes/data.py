"""What probes print: its groups, and the rest as a text that templates can also read as XML, JSON or YAML."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bcfg2 import xml

try:
    import yaml  # type: ignore[import-untyped]
except ImportError:
    yaml = None

_GROUP = re.compile(r"group:\s*(\S+)")


def parse_output(text: str) -> tuple[list[str], str]:
    """The groups that a probe's output TEXT names, in its order, and the text without the lines that name them.

    A line that begins with ``group:`` names the first word behind that::

        >>> parse_output("group: debian-12 or so\\n6.1.0\\n group:indented\\n")
        (['debian-12'], '6.1.0\\n group:indented\\n')
    """
    groups, rest = [], []
    for line in text.split("\n"):
        if match := _GROUP.match(line):
            groups.append(match[1])
        else:
            rest.append(line)
    return groups, "\n".join(rest)


class ProbeData(str):
    """The output of one probe without its group lines: a string that is parsed when, and as, a template asks for it.

    Each of `xdata`, `json` and `yaml` is None if the text is nothing of that kind.
    """

    @property
    def data(self) -> str:
        """The plain string."""
        return str(self)

    @functools.cached_property
    def xdata(self) -> Any:
        """The root element of the text as XML."""
        try:
            return xml.parse_string(str(self), "probe data")
        except xml.XMLError:
            return None

    @functools.cached_property
    def json(self) -> Any:
        """The value of the text as JSON."""
        try:
            return json.loads(self)
        except (ValueError, RecursionError):
            return None

    @functools.cached_property
    def yaml(self) -> Any:
        """The value of the text as one YAML document.  :exc:`ImportError` without the library PyYAML."""
        if yaml is None:
            raise ImportError("reading probe data as YAML needs PyYAML, install bcfg2[yaml]")
        try:
            return yaml.safe_load(self)
        except Exception:  # noqa: BLE001 - texts that are no YAML make the library raise almost anything
            return None


class ProbesOfClient(Mapping[str, ProbeData]):
    """``metadata.Probes``: probe name -> data.

    The data are made for each client metadata, so that what a template does to a parsed value stays there.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._data: dict[str, ProbeData] = {}

    def __getitem__(self, name: str) -> ProbeData:
        if name not in self._data:
            self._data[name] = ProbeData(self._texts[name])
        return self._data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, name: object) -> bool:
        return name in self._texts

    def __repr__(self) -> str:
        return repr(dict(self._texts))
