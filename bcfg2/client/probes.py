"""Probes: scripts of the server that tell it about this machine.

A script is kept in a folder that only this process's user can enter, and handed to its interpreter as the kernel would
do it.  So it need not be executable, and the folder may lie on a file system where nothing is.
"""

import fcntl
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from lxml import etree

from bcfg2.client.errors import FatalError
from bcfg2.command import Killed, run
from bcfg2.options import Options
from bcfg2.xml import XMLError, legal, parse_string, tostring

logger = logging.getLogger("bcfg2.probes")

_FOLDER = "bcfg2-probes-"
#: Seconds for which a folder may not be held yet by whoever has made it.
_JUST_MADE = 60.0


class Probe(NamedTuple):
    """One script: who asks for it, and what runs it (a path, perhaps with an argument)."""

    name: str
    source: str
    interpreter: str
    script: str


class ProbeFailure(Exception):
    """A probe has failed; `output` is what it had written until then."""

    def __init__(self, text: str, output: bytes = b"") -> None:
        super().__init__(text)
        self.output = output


def parse(text: str) -> list[Probe]:
    """The probes in the server's answer TEXT; :exc:`FatalError` if it is not XML."""
    try:
        root = parse_string(text, "the probes that the server sent", large=True)
    except XMLError as err:
        raise FatalError(f"Cannot run probes: {err}") from None
    return [
        Probe(
            probe.get("name") or "",
            probe.get("source") or "",
            probe.get("interpreter") or "/bin/sh",
            probe.text or "",
        )
        for probe in root.iter("probe")
    ]


def run_all(probes: Sequence[Probe], options: Options) -> str:
    """Run PROBES one after the other; the document with what they wrote.

    :exc:`FatalError` for the first that fails, if the options say so.
    """
    data = etree.Element("ProbeData")
    try:
        private = tempfile.TemporaryDirectory(prefix=_FOLDER, ignore_cleanup_errors=True)
    except OSError as err:
        raise FatalError(f"There is no place for the scripts of probes: {err}") from None
    with private as folder, _held(folder):
        for probe in probes:
            logger.info("Running probe %s", probe.name)
            result = etree.SubElement(data, "probe-data", {"name": probe.name, "source": probe.source})
            result.text = legal(_output(probe, folder, options).decode("utf-8", "replace"))
    return tostring(data)


def remove_leftovers() -> None:
    """Remove what killed runs of the agent have left; what belongs to one that runs, with another lock, stays."""
    folder = Path(tempfile.gettempdir())
    newest = time.time() - _JUST_MADE
    for path in folder.glob(f"{_FOLDER}*"):
        with suppress(OSError):
            info = path.lstat()
            if stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and info.st_mtime < newest:
                with _held(path):
                    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _held(folder: str | Path) -> Iterator[None]:
    """Hold FOLDER, as long as this process lives; :exc:`OSError` if another one does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _output(probe: Probe, folder: str, options: Options) -> bytes:
    try:
        return _run(probe, folder, options)
    except ProbeFailure as err:
        if options.client_exit_on_probe_failure:
            raise FatalError(f"Probe {probe.name} failed: {err}") from None
        logger.error("Probe %s failed: %s", probe.name, err)
        return err.output


def _run(probe: Probe, folder: str, options: Options) -> bytes:
    """What PROBE wrote; :exc:`ProbeFailure` if it did not do well."""
    path = os.path.join(folder, "probe")
    try:
        with open(path, "wb", opener=_open_private) as file:
            file.write(f"#!{probe.interpreter}\n{probe.script}".encode(options.components_encoding))
        done = run(
            [*probe.interpreter.split(maxsplit=1), path],
            None,
            options.client_probe_timeout,
            options.client_probe_output,
            whole=True,
        )
    except Killed as err:
        _warn(probe, err.stderr)
        raise ProbeFailure(str(err), err.stdout) from None
    except OSError as err:
        raise ProbeFailure(f"{err.filename or probe.interpreter}: {err.strerror}") from None
    except (LookupError, ValueError) as err:  # the encoding is unknown, or has no place for a character
        raise ProbeFailure(str(err)) from None
    _warn(probe, done.stderr)
    if done.status:
        raise ProbeFailure(done.how, done.stdout)
    return done.stdout


def _warn(probe: Probe, stderr: bytes) -> None:
    for line in stderr.decode("utf-8", "replace").splitlines():
        logger.warning("Probe %s: %s", probe.name, line)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o700)
