"""An authority's database: the certificates that it has issued, one a line, and the next serial number.

.. code-block:: text

    V  351231120000Z                 1001  unknown  /CN=www.example.com     valid until then
    R  351231120000Z  260101120000Z  1002  unknown  /CN=old.example.com     revoked
    E  200101120000Z                 1000  unknown  /CN=www.example.com     expired

The fields are separated by tabs.  The format is OpenSSL's, whose commands go on working with it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bcfg2.server.plugin.exceptions import PluginExecutionError
from bcfg2.server.storage import atomic_write

_FIELDS = 6
_STATUS, _EXPIRY, _SUBJECT = 0, 1, 5


@dataclass(frozen=True)
class Database:
    """The file PATH, and beside it one with the same name and ``.attr``."""

    path: str

    def unique_subjects(self) -> bool | None:
        """What ``.attr`` says about whether there may be one valid certificate only for each subject."""
        for line in self._lines(f"{self.path}.attr"):
            name, _, value = line.partition("=")
            if name.strip() == "unique_subject":
                return is_yes(value)
        return None

    def add(self, serial: int, expires: datetime, subject: str, *, unique: bool) -> None:
        """Note a certificate; PluginExecutionError if with UNIQUE there is another valid one for SUBJECT."""
        rows = [_expired(row) for row in self._rows()]
        if unique and any(row[_STATUS] == "V" and row[_SUBJECT] == subject for row in rows):
            raise PluginExecutionError(
                f"{self.path} has a valid certificate for {subject} already: revoke it, or set unique_subject = no"
            )
        rows.append(["V", _utc_time(expires), "", serial_text(serial), "unknown", subject])
        write(self.path, "".join("\t".join(row) + "\n" for row in rows))
        write(f"{self.path}.attr", f"unique_subject = {'yes' if unique else 'no'}\n")

    def _rows(self) -> list[list[str]]:
        rows = [line.split("\t") for line in self._lines(self.path) if line]
        for number, row in enumerate(rows, 1):
            if len(row) != _FIELDS:
                raise PluginExecutionError(f"{self.path}:{number}: there are {len(row)} fields in place of {_FIELDS}")
        return rows

    @staticmethod
    def _lines(path: str) -> list[str]:
        try:
            return Path(path).read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []


def next_serial(path: str) -> int:
    """The serial number in the file PATH.  Raises PluginExecutionError and OSError."""
    text = Path(path).read_text("ascii", "replace").strip()
    try:
        return int(text, 16)
    except ValueError:
        raise PluginExecutionError(f"{path}: {text!r} is not a hexadecimal number") from None


def serial_text(serial: int) -> str:
    """SERIAL as OpenSSL writes it: hexadecimal, an even number of digits."""
    text = f"{serial:X}"
    return text if len(text) % 2 == 0 else f"0{text}"


def write(path: str, text: str) -> None:
    """Put TEXT in the place of the file PATH."""
    atomic_write(path, text.encode())


def is_yes(text: str) -> bool:
    """Whether TEXT means yes to OpenSSL."""
    return text.strip().lower() in ("yes", "y", "true", "t", "1")


def _utc_time(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%y%m%d%H%M%SZ" if when.year < 2050 else "%Y%m%d%H%M%SZ")


def _expired(row: list[str]) -> list[str]:
    """ROW, marked as expired if it is."""
    now = datetime.now(UTC)
    text = row[_EXPIRY]
    if row[_STATUS] != "V" or len(text) not in (13, 15):
        return row
    # two digits stand for the years 1950 to 2049
    full = text if len(text) == 15 else ("19" if text[:2] >= "50" else "20") + text
    return ["E", *row[1:]] if full < now.strftime("%Y%m%d%H%M%SZ") else row
