"""ServiceCompat: how to treat services, in the one word that clients before 1.3.0 know."""

from typing import Any, ClassVar

from bcfg2 import xml
from bcfg2.server.plugin import GoalValidator, Plugin
from bcfg2.version import VersionInfo

#: Below every 1.3.0, prereleases included: the first version that reads `restart` and `install`.
_READS_RESTART = VersionInfo(1, 3, 0, "", 0)

#: (restart, install) -> mode.  What is not here has no equal; `manual`, which touches nothing, is the safe word for it.
_MODES = {
    ("true", "true"): "default",
    ("interactive", "true"): "interactive_only",
    ("false", "false"): "manual",
}


class ServiceCompat(Plugin, GoalValidator):
    """Says `restart` and `install` of services as `mode`, for clients that are old or have not said what they are."""

    create: ClassVar[bool] = False

    def concerns(self, metadata: Any) -> bool:
        version = metadata.version_info
        return version is None or bool(version < _READS_RESTART)

    def validate_goals(self, metadata: Any, config: xml.Element) -> None:
        if not self.concerns(metadata):
            return
        inexact = []
        for entry in config.iter("Service"):
            mode = _MODES.get((entry.get("restart", "true").lower(), entry.get("install", "true").lower()))
            entry.set("mode", mode or "manual")
            if mode is None:
                inexact.append(entry.get("name", ""))
        if inexact:
            self.logger.info(
                "%s is too old, or has not said its version, for restart and install of these services, "
                "they get the mode manual: %s",
                metadata.hostname,
                ", ".join(inexact),
            )
