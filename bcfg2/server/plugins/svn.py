"""Svn: the revision of a Subversion working copy; updating it, and committing what has changed in it."""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from bcfg2.options import BooleanOption, ChoiceOption, Option
from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugin.versioncontrol import VersionCommand

_REVISION = re.compile(r"^Revision: *(\d+)", re.MULTILINE)

#: Where svn says these, what can be done.
_HINTS = {
    "E230001": "the server's certificate is not trusted: set [svn] always_trust, or accept it as the daemon's user",
    "E215004": "set [svn] user and password",
    "E170001": "set [svn] user and password",
}


class Svn(VersionCommand):
    """A repository under Subversion."""

    __vcs_metadata_path__ = ".svn"
    __rmi__: ClassVar[list[str]] = [*VersionCommand.__rmi__, "Update", "Commit"]
    options: ClassVar[list[Option]] = [
        *VersionCommand.options,
        Option("svn", "user", help="User name for the Subversion server; counts with a password only"),
        Option("svn", "password", secret=True, help="Password of that user"),
        BooleanOption("svn", "always_trust", help="Trust whatever certificate the Subversion server has"),
        ChoiceOption(
            "svn",
            "conflict_resolution",
            default="postpone",
            choices=("base", "postpone", "mine-conflict", "theirs-conflict", "mine-full", "theirs-full"),
            parse=lambda text: text.replace("_", "-"),
            help="What an update does with changes on both sides",
        ),
    ]

    def head_files(self) -> Sequence[str]:
        return self.below_root(".svn/wc.db")

    def get_revision(self) -> str:
        """The number in the last line ``Revision:`` of ``svn info``."""
        found = _REVISION.findall(self.run("svn", "info", "--non-interactive"))
        if not found:
            raise PluginExecutionError(f"svn info names no revision in {self.vcs_root}")
        return str(found[-1])

    def Update(self) -> bool:
        """Update the working copy; whether that worked."""
        with self.core.changing_repository():
            return self._update()

    def Commit(self) -> bool:
        """Update, commit all that has changed, and update again; whether that worked."""
        with self.core.changing_repository():
            return self._update() and self._svn("commit", "--message", "Svn: autocommit") and self._update()

    def _update(self) -> bool:
        return self._svn("update", "--accept", self.settings.svn_conflict_resolution)

    def _svn(self, *arguments: str) -> bool:
        """Run a command that may speak to the server; whether it worked, if not with an error line."""
        options, password = self._access()
        try:
            printed = self.run("svn", *arguments, *options, stdin=password)
        except PluginExecutionError as err:
            hints = [hint for code, hint in _HINTS.items() if code in str(err)]
            self.logger.error("%s", "; ".join([str(err), *hints[:1]]))
            return False
        if "Summary of conflicts" in printed:
            self.logger.warning("svn %s has left conflicts in %s: resolve them there", arguments[0], self.vcs_root)
        return True

    def _access(self) -> tuple[list[str], str | None]:
        """The options with which svn speaks to the server, and what it then reads: never a password for all to see."""
        settings: Any = self.settings
        options = ["--non-interactive"]
        if settings.svn_always_trust:
            options.append("--trust-server-cert-failures=unknown-ca,cn-mismatch,expired,not-yet-valid,other")
        if not (settings.svn_user and settings.svn_password):
            return options, None
        return [*options, f"--username={settings.svn_user}", "--password-from-stdin", "--no-auth-cache"], (
            f"{settings.svn_password}\n"
        )
