"""``:test``: a program that checks the contents of the path that its folder serves."""

import os
import shlex
from typing import Any

from bcfg2 import command
from bcfg2.server.plugins.cfg.handlers import CfgVerificationError, CfgVerifier
from bcfg2.xml import Element

#: Seconds that a check may take.
LIMIT = 30.0

#: Characters of a check's output that a failure tells.
_MAX_TOLD = 2000


class CfgExternalCommandVerifier(CfgVerifier):
    """A program that gets the contents on its standard input and accepts them by ending with status 0."""

    __basenames__ = [":test"]

    def verify_entry(self, entry: Element, metadata: Any, data: bytes) -> None:
        try:
            finished = command.run(self._command(), data, LIMIT)
        except (OSError, ValueError) as err:
            raise CfgVerificationError(f"{self.name} cannot be started: {err}") from None
        except command.OutOfTime as err:
            raise CfgVerificationError(f"{self.name}: {err}, killed") from None
        if finished.status:
            output = (finished.stderr.strip() or finished.stdout.strip()).decode("utf-8", "replace")[:_MAX_TOLD]
            raise CfgVerificationError(f"{output} ({finished.how})" if output else finished.how)

    def _command(self) -> list[str]:
        """The program as it is, if it may be executed, else its interpreter with it."""
        if os.access(self.name, os.X_OK):
            return [self.name]
        first = self.raw.split(b"\n", 1)[0]
        if not first.startswith(b"#!"):
            raise CfgVerificationError(
                f"{self.name} is neither executable nor does it begin with #! and an interpreter"
            )
        try:
            interpreter = shlex.split(os.fsdecode(first[2:]))
        except ValueError as err:
            raise CfgVerificationError(f"{self.name}: the line {os.fsdecode(first)!r} cannot be read: {err}") from None
        if not interpreter:
            raise CfgVerificationError(f"{self.name}: no interpreter behind #!")
        return [*interpreter, self.name]
