"""VCS: folders that are working copies of a repository of Git or Subversion at a certain revision.

Neither owners nor modes of the tree are managed, and changes made in it are not noticed.  What is fetched is complete
before it takes the place of what was there.
"""

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Protocol

from bcfg2.client.tools.base import Difference, InstallError, State, Tool
from bcfg2.command import Finished
from bcfg2.xml import Element

_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
#: No programs of the system's or the user's configuration, and no questions to anybody.
_GIT = ("git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
_NO_QUESTIONS = {"GIT_TERMINAL_PROMPT": "0"}


class _Run(Protocol):
    def __call__(self, command: Sequence[str], *, environment: Mapping[str, str]) -> Finished: ...


class VCS(Tool):
    """Working copies; `vcstype` says of what."""

    handles = (("Path", "vcs"),)
    required = {("Path", "vcs"): ("name", "vcstype", "sourceurl", "revision")}

    def expected_state(self, entry: Element) -> State:
        return self._kind(entry).wanted(_attribute(entry, "sourceurl"), _attribute(entry, "revision"))

    def actual_state(self, entry: Element) -> State | None:
        return self._kind(entry).found(_attribute(entry, "name"))

    def report(self, entry: Element, actual: State | None, difference: Difference) -> None:
        """Nothing is added to the entry: reports know no attribute for what was found."""

    def question(self, entry: Element) -> str:
        return "\n".join([*self.describe(entry), f"Install vcs {entry.get('name')}: (y/N) "])

    def fix(self, entry: Element, difference: Difference) -> None:
        name = Path(_attribute(entry, "name"))
        kind, url = self._kind(entry), _attribute(entry, "sourceurl")
        wanted = kind.wanted(url, _attribute(entry, "revision"))
        name.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _remove_leftovers(name)
        fresh = Path(tempfile.mkdtemp(prefix=_prefix(name), dir=name.parent))
        try:
            with _usual_modes():
                kind.fetch(url, wanted["revision"], str(fresh))
            fresh.chmod(0o755)
            _replace(name, fresh)
        finally:
            if fresh.exists():
                shutil.rmtree(fresh, ignore_errors=True)

    def _kind(self, entry: Element) -> "Git | Subversion":
        kind = _KINDS.get(entry.get("vcstype") or "")
        if kind is None:
            raise InstallError(f"there is no vcstype {entry.get('vcstype')}, only {' and '.join(_KINDS)}")
        if shutil.which(kind.program) is None:
            raise InstallError(f"there is no program {kind.program}, which vcstype {entry.get('vcstype')} needs")
        return kind(self.run)


class Git:
    """Git: a revision is a commit, or the name of a branch or tag."""

    program: ClassVar[str] = "git"

    def __init__(self, run: _Run) -> None:
        self._run = run

    def wanted(self, url: str, revision: str) -> State:
        """The commit that REVISION means; that of a branch or tag is what it has at URL now."""
        if _COMMIT.fullmatch(revision):
            return {"revision": revision}
        commit = commit_of(revision, self._git("ls-remote", "--", url, revision, f"{revision}^{{}}", folder="/"))
        if commit is None:
            raise InstallError(f"{url} has no branch or tag {revision}, and a commit needs all its digits")
        return {"revision": commit}

    def found(self, name: str) -> State | None:
        """The commit that is checked out in the folder NAME."""
        folder = os.path.join(name, ".git")
        if not os.path.isdir(folder):
            return None
        done = self._run(
            [*_GIT, f"--git-dir={folder}", "rev-parse", "--quiet", "--verify", "HEAD"], environment=_NO_QUESTIONS
        )
        return {"revision": done.stdout.decode().strip()} if done.status == 0 else None

    def fetch(self, url: str, revision: str, folder: str) -> None:
        """Make FOLDER, which is empty, a repository with REVISION of URL checked out."""
        self._git("init", "--quiet", folder=folder)
        self._git("remote", "add", "--", "origin", url, folder=folder)
        self._git("fetch", "--quiet", "--tags", "origin", folder=folder)
        self._git("checkout", "--quiet", "--detach", revision, folder=folder)

    def _git(self, command: str, *words: str, folder: str) -> str:
        return _output(self._run, (*_GIT, "-C", folder, command, *words), f"git {command}")


class Subversion:
    """Subversion: a revision is a number, or ``latest``."""

    program: ClassVar[str] = "svn"

    def __init__(self, run: _Run) -> None:
        self._run = run

    def wanted(self, url: str, revision: str) -> State:
        """The number that REVISION means, and the URL."""
        number = self._item("revision", url) if revision == "latest" else revision
        return {"revision": number, "url": url.rstrip("/")}

    def found(self, name: str) -> State | None:
        """Revision and URL of the working copy NAME."""
        if not os.path.isdir(os.path.join(name, ".svn")):
            return None
        return {"revision": self._item("revision", name), "url": self._item("url", name).rstrip("/")}

    def fetch(self, url: str, revision: str, folder: str) -> None:
        """Make FOLDER, which is empty, a working copy of URL at REVISION."""
        self._svn("checkout", "--quiet", "-r", revision, "--", url, folder)

    def _item(self, item: str, target: str) -> str:
        return self._svn("info", "--show-item", item, "--", target).strip()

    def _svn(self, command: str, *words: str) -> str:
        return _output(self._run, ("svn", command, "--non-interactive", *words), f"svn {command}")


_KINDS: Mapping[str, type[Git] | type[Subversion]] = {"git": Git, "svn": Subversion}


def commit_of(name: str, listing: str) -> str | None:
    """The commit of the branch or tag NAME in LISTING, which ``git ls-remote`` wrote; None if there is none.

    >>> commit_of("v1", "1111\\trefs/heads/old/v1\\n2222\\trefs/tags/v1\\n3333\\trefs/tags/v1^{}\\n")
    '3333'
    """
    refs = {ref: commit for commit, _, ref in (line.partition("\t") for line in listing.splitlines())}
    for full in (name, f"refs/{name}", f"refs/tags/{name}", f"refs/heads/{name}"):
        for ref in (f"{full}^{{}}", full):  # what a tag object points to comes first
            if ref in refs:
                return refs[ref]
    return None


def _output(run: _Run, argv: Sequence[str], shown: str) -> str:
    done = run(argv, environment=_NO_QUESTIONS)
    if done.status:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise InstallError(f"{shown}: {last or done.how}")
    return done.stdout.decode("utf-8", "replace")


@contextmanager
def _usual_modes() -> Iterator[None]:
    """Have programs make files that everybody can read, whatever this process's umask is."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def _prefix(name: Path) -> str:
    return f".{name.name}.bcfg2-"


def _remove_leftovers(name: Path) -> None:
    """Remove what killed runs have left beside NAME."""
    for entry in os.scandir(name.parent):
        info = entry.stat(follow_symlinks=False)
        if entry.name.startswith(_prefix(name)) and info.st_uid == os.geteuid():
            _remove(Path(entry.path))


def _replace(name: Path, fresh: Path) -> None:
    """Put the folder FRESH in the place of whatever is at NAME."""
    old = Path(f"{fresh}-old")
    if os.path.lexists(name):
        os.rename(name, old)
    try:
        os.rename(fresh, name)
    except OSError:
        if os.path.lexists(old):
            os.rename(old, name)
        raise
    if os.path.lexists(old):
        _remove(old)


def _remove(path: Path) -> None:
    if stat.S_ISDIR(path.lstat().st_mode):
        shutil.rmtree(path)
    else:
        path.unlink()


def _attribute(entry: Element, name: str) -> str:
    return entry.get(name) or ""
