"""POSIXCompat: the modes of paths under the name that clients before 1.3.0 know them by."""

from typing import Any, ClassVar

from bcfg2 import xml
from bcfg2.server.plugin import GoalValidator, Plugin
from bcfg2.version import VersionInfo

#: Below every 1.3.0, prereleases included: the first version that reads `mode`.
_READS_MODE = VersionInfo(1, 3, 0, "", 0)


class POSIXCompat(Plugin, GoalValidator):
    """Repeats the `mode` of each path as `perms`, for clients that are old or have not said what they are."""

    create: ClassVar[bool] = False

    def concerns(self, metadata: Any) -> bool:
        version = metadata.version_info
        return version is None or bool(version < _READS_MODE)

    def validate_goals(self, metadata: Any, config: xml.Element) -> None:
        if not self.concerns(metadata):
            return
        for entry in config.iterfind("*/Path[@mode]"):
            entry.set("perms", entry.get("mode", ""))
