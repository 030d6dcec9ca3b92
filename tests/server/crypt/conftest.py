"""Files, and the command bcfg2-crypt run on them within this process."""

import io
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bcfg2.options import OptionParser
from bcfg2.options.common import BASE_OPTIONS
from bcfg2.server.crypt import editing, tool
from bcfg2.server.keyring import Keyring

PHRASES = {"ops": "o-phrase", "dba": "%d;phrase#"}
RING = Keyring(PHRASES)


class Outcome(NamedTuple):
    """How the command ended: its exit status, what it printed, what it asked, and what it logged."""

    status: int
    out: bytes
    asked: str
    log: list[str]


class Bench:
    """A folder with a configuration file."""

    def __init__(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.folder = folder
        self.caplog = caplog
        self.configure("".join(f"{name} = {phrase}\n" for name, phrase in PHRASES.items()))

    def configure(self, encryption: str) -> None:
        path = self.folder / "bcfg2.conf"
        path.write_text(f"[server]\nrepository = {self.folder}\n[encryption]\n{encryption}")
        path.chmod(0o600)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def crypt(self, *words: object, stdin: bytes = b"") -> Outcome:
        """Run the command with WORDS on its command line."""
        self.caplog.clear()
        self.caplog.set_level(logging.INFO)
        parser = OptionParser("bcfg2-crypt", "", [*BASE_OPTIONS, *tool.OPTIONS])
        options = parser.parse(["-C", str(self.folder / "bcfg2.conf"), *map(str, words)])
        out, asked = io.BytesIO(), io.StringIO()
        try:
            status = tool.Tool(options, io.TextIOWrapper(io.BytesIO(stdin)), out, asked).run()
        except tool.CryptError as err:
            logging.getLogger("bcfg2.crypt").error("%s", err)
            status = 1
        log = [f"{record.levelname} {record.getMessage()}" for record in self.caplog.records]
        for phrase in PHRASES.values():
            assert phrase not in "\n".join([*log, asked.getvalue()])
        return Outcome(status, out.getvalue(), asked.getvalue(), [line for line in log if not line.startswith("INFO")])


@pytest.fixture
def bench(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Bench:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    return Bench(tmp_path, caplog)


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where private copies are made."""
    folder = tmp_path / "private"
    folder.mkdir()
    monkeypatch.setattr(editing, "_IN_MEMORY", (str(folder),))
    return folder


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private: Path) -> Iterator[Callable[[str], None]]:
    """Says what the editor does: Python code, in which `path` is the file."""

    def use(code: str) -> None:
        script = tmp_path / "editor.py"
        script.write_text(f"import os, pathlib, sys\npath = pathlib.Path(sys.argv[1])\n{code}\n")
        monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")

    yield use
    assert list(private.iterdir()) == []
