"""Git: the commit that is checked out as the revision, and updating the working tree.

Update moves the tree while file events are held back, and then has all that has changed read at once.  So clients see
the old commit or the new one, and the revision in a configuration is that of the files that it was made from.  When
somebody else moves the tree, the lock of git's index tells for how long.
"""

import os
import threading
import time
from collections.abc import Sequence
from typing import ClassVar

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugin.versioncontrol import VersionCommand
from bcfg2.server.working_copy import PATIENCE


class Git(VersionCommand):
    """A repository under git."""

    __vcs_metadata_path__ = ".git"
    __rmi__: ClassVar[list[str]] = [*VersionCommand.__rmi__, "Update"]

    environment = {"GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "true", "GIT_OPTIONAL_LOCKS": "0"}
    unset = frozenset(  # what would lead git to another repository than this one
        {
            "GIT_ALTERNATE_OBJECT_DIRECTORIES",
            "GIT_COMMON_DIR",
            "GIT_CONFIG",
            "GIT_CONFIG_COUNT",
            "GIT_CONFIG_PARAMETERS",
            "GIT_DIR",
            "GIT_INDEX_FILE",
            "GIT_NAMESPACE",
            "GIT_OBJECT_DIRECTORY",
            "GIT_PREFIX",
            "GIT_WORK_TREE",
        }
    )

    def __init__(self, core: CoreInterface) -> None:
        self._updating = threading.Lock()
        self._paths: dict[str, str] = {}
        super().__init__(core)

    def get_revision(self) -> str:
        """The full hash of the commit that is checked out."""
        return self._git("rev-parse", "--verify", "HEAD^{commit}").strip()

    def head_files(self) -> Sequence[str]:
        # The log of HEAD grows with each move; where it is switched off, the branch's own file or the packed ones.
        names = ["HEAD", "logs/HEAD", "packed-refs"]
        try:
            with open(self._path("HEAD"), encoding="utf-8") as stream:
                if (head := stream.read(4096).strip()).startswith("ref: refs/"):
                    names.append(head.removeprefix("ref: "))
        except (OSError, UnicodeDecodeError):
            pass  # get_revision() has more to say about that
        paths = [self._path(name) for name in names]
        self.watch(paths)  # the last one depends on the branch
        return paths

    def is_moving(self) -> bool:
        try:
            age = time.time() - os.stat(self._path("index.lock")).st_mtime
        except OSError:
            return False
        return age < PATIENCE  # an older one has been left by a git that was killed

    def Update(self, ref: str | None = None) -> bool:
        """Fetch, check out REF (a branch, a tag or a hash) if there is one, and pull where there is something to pull.

        Local changes of files are lost if there is a REF.
        """
        if ref is not None and not _is_harmless(ref):
            raise PluginExecutionError(f"{ref!r} is no name of a branch or a tag and no hash")
        with self._updating:
            self._fetch()
            with self.core.changing_repository():
                self._refuse_unfinished()
                if ref is not None:
                    self._check_out(ref)
                self._pull()
        self.logger.info("%s is at revision %s", self.vcs_root, self.get_revision())
        return True

    def _fetch(self) -> None:
        """Get what is new from all remotes."""
        for arguments in (("gc", "--auto", "--quiet"), ("fetch", "--all", "--quiet", "--no-recurse-submodules")):
            try:
                self._git(*arguments)
            except PluginExecutionError as err:
                self.logger.warning("%s", err)

    def _refuse_unfinished(self) -> None:
        """:exc:`PluginExecutionError` if somebody's rebase is unfinished, which must not be ended with ours."""
        if any(os.path.exists(self._path(name)) for name in ("rebase-merge", "rebase-apply")):
            raise PluginExecutionError(f"a rebase is unfinished in {self.vcs_root}: git rebase --continue or --abort")

    def _check_out(self, ref: str) -> None:
        """Put the commit REF in the place of what is checked out; a branch of a remote gets a branch to follow it."""
        try:
            self._git("checkout", "--force", "--quiet", "--no-recurse-submodules", ref, "--")
        except PluginExecutionError as err:
            raise PluginExecutionError(f"cannot check out {ref}: {err}") from err

    def _pull(self) -> None:
        """Put local commits on top of the upstream's, if what is checked out is a branch that has one."""
        failed, _, _ = self.try_to_run(*_command("rev-parse", "--quiet", "--verify", "@{upstream}^{commit}"))
        if failed:
            return
        try:
            self._git("pull", "--rebase", "--quiet", "--no-recurse-submodules")
        except PluginExecutionError:
            if any(os.path.exists(self._path(name)) for name in ("rebase-merge", "rebase-apply")):
                self._git("rebase", "--abort")
            raise

    def _git(self, *arguments: str) -> str:
        return self.run(*_command(*arguments))

    def _path(self, name: str) -> str:
        """The full path of what git calls NAME in its own folder, which may be elsewhere than in ``.git``."""
        if name not in self._paths:
            path = self._git("rev-parse", "--git-path", name).rstrip("\n")
            self._paths[name] = os.path.join(self.vcs_root, path)
        return self._paths[name]


def _command(*arguments: str) -> list[str]:
    """The command line of git: never a transport that runs programs which a remote or a submodule names."""
    return ["git", "-c", "protocol.ext.allow=never", *arguments]


def _is_harmless(ref: object) -> bool:
    """Whether REF can be a name of a commit, and no option of git."""
    return isinstance(ref, str) and bool(ref) and ref.isprintable() and not ref.startswith("-")
