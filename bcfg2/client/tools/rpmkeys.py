"""Keys that signatures of packages are checked with: RPM lists them as packages ``gpg-pubkey``.

The version of such a package is the end of the key's id, its release the time at which the key was made, both in
hexadecimal digits.  A key is imported only if it has the id and the time that an entry asks for.
"""

import re
import tempfile
from typing import NamedTuple
from urllib.error import URLError
from urllib.parse import urlsplit

from bcfg2.client.tools.base import InstallError, Tool
from bcfg2.client.tools.output import text_of

GPG = "gpg"
RPM = "/bin/rpm"
#: Bytes that a file with keys may have, and seconds to wait for it.
MAX_SIZE = 1 << 20
TIMEOUT = 60.0

_KEY = re.compile(r"pub:[^:]*:[^:]*:[^:]*:([0-9A-F]{16}):(\d+):.*")


class Key(NamedTuple):
    """A key as RPM names it."""

    version: str
    release: str


def import_key(tool: Tool, source: str, wanted: Key) -> None:
    """Import the key at SOURCE, a URL or a path, with the commands of TOOL; :exc:`InstallError` if it is not WANTED."""
    with tempfile.NamedTemporaryFile(prefix="bcfg2-key-") as file:
        file.write(_content(source))
        file.flush()
        listed = tool.run_or_fail([GPG, "--batch", "--with-colons", "--show-keys", file.name])
        found = parse_keys(text_of(listed))
        if wanted not in found:
            names = ", ".join("-".join(key) for key in found) or "none"
            raise InstallError(f"{source} does not have the key {'-'.join(wanted)} (but {names})")
        tool.run_or_fail([RPM, "--import", file.name])


def parse_keys(output: str) -> list[Key]:
    """The keys in the OUTPUT of ``gpg --show-keys --with-colons``.

    >>> parse_keys("pub:-:4096:1:D36CB86CB86B3716:1613414400:::-:::scSC::::::23::0:\\n")
    [Key(version='b86b3716', release='602ac000')]
    """
    matches = (_KEY.fullmatch(line) for line in output.splitlines())
    return [Key(match[1][-8:].lower(), f"{int(match[2]):08x}") for match in matches if match]


def _content(source: str) -> bytes:
    url = source if urlsplit(source).scheme else f"file://{source}"
    from urllib.request import urlopen  # only where a key is imported: it is slow to load

    try:
        with urlopen(url, timeout=TIMEOUT) as answer:
            content: bytes = answer.read(MAX_SIZE)
            return content
    except (URLError, OSError, ValueError) as err:
        raise InstallError(f"{source} cannot be read: {err}") from err
