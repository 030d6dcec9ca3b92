"""clients.xml made unwritable, in the ways in which that happens: known clients go on, and all do when it is over."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from bcfg2.server.plugin import MetadataRuntimeError
from tests.support import METADATA, Site

GROUPS = '<Groups><Group name="basic" profile="true" public="true" default="true"/></Groups>'
KNOWN, NEW = "client.example.com", "new.example.com"
NOBODY = 65534


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"CANNOT BE TESTED HERE: {' '.join(map(str, command))}: {done.stderr.strip()}")


class ReadOnlyFolder:
    """The folder may be read only, by a server that is not root."""

    says = "Permission denied.*let the user of the server write files in"

    def __init__(self, folder):
        self.folder = folder

    def begin(self):
        self.folder.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(NOBODY)

    def end(self):
        if os.getuid() == 0:
            os.seteuid(0)
        self.folder.chmod(0o755)


class Immutable:
    """``chattr +i``."""

    says = "Operation not permitted.*let the user of the server write files in"

    def __init__(self, folder):
        self.file = folder / "clients.xml"
        if os.geteuid() or not shutil.which("chattr"):
            pytest.skip("CANNOT BE TESTED HERE: only root can say chattr +i")

    def begin(self):
        run("chattr", "+i", self.file)

    def end(self):
        subprocess.run(["chattr", "-i", str(self.file)], capture_output=True)


class FullDisk:
    """A file system that is full."""

    says = "No space left on device.*make room in"

    def __init__(self, folder):
        self.filler = folder / "filler"
        if os.geteuid():
            pytest.skip("CANNOT BE TESTED HERE: only root can mount a small file system")
        run("mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=100", "bcfg2-test", folder)
        self.folder = folder

    def begin(self):
        with self.filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while stream.write(b"x" * 1024):
                pass

    def end(self):
        self.filler.unlink()

    def close(self):
        subprocess.run(["umount", str(self.folder)], capture_output=True)


@pytest.fixture
def public():
    """A folder that everybody can read; those of pytest are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("kind", [ReadOnlyFolder, Immutable, FullDisk])
def test_only_what_must_be_written_fails_and_only_as_long_as_it_cannot_be(public: Path, kind):
    folder = public / "repo" / "Metadata"
    folder.mkdir(parents=True)
    trouble = kind(folder)
    site = None
    try:
        site = Site(public, {"Metadata/groups.xml": GROUPS})
        metadata = site.core.metadata
        before = (folder / "clients.xml").read_bytes()
        trouble.begin()
        try:
            with pytest.raises(MetadataRuntimeError, match=f"clients.xml: .*{trouble.says} {folder}$"):
                metadata.set_version(KNOWN, "1")
            with pytest.raises(MetadataRuntimeError, match=trouble.says):
                site.metadata(NEW)
            assert site.metadata(KNOWN).profile == "basic"
            assert site.metadata(KNOWN).version is None
            metadata.set_profile(KNOWN, "basic", ("127.0.0.2", 1))  # nothing has to be written for that
            assert (folder / "clients.xml").read_bytes() == before
        finally:
            trouble.end()
        assert metadata.list_clients() == [KNOWN]
        metadata.set_version(KNOWN, "1")
        assert site.metadata(KNOWN).version == "1"
        assert site.metadata(NEW).profile == "basic"
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    finally:
        if site is not None:
            site.stop()
        getattr(trouble, "close", lambda: None)()
    assert METADATA["Metadata/clients.xml"].encode() == before
