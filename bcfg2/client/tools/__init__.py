"""The tools of the agent: which there are, and how those are set up that can work on this machine."""

import logging
from collections.abc import Iterable

from bcfg2.client.tools.base import Context, MissingPrerequisite, Tool

#: Every tool, in the order in which all is done.  The module of a tool has its name in lower case.
KNOWN = (
    "APK",
    "APT",
    "Action",
    "BundleDeps",
    "Chkconfig",
    "DebInit",
    "FreeBSDInit",
    "HomeBrew",
    "IPS",
    "MacPorts",
    "POSIX",
    "POSIXUsers",
    "Pacman",
    "Pkgng",
    "Portage",
    "RPM",
    "RcUpdate",
    "SELinux",
    "SMF",
    "SYSV",
    "Systemd",
    "VCS",
    "YUM",
    "launchd",
)

logger = logging.getLogger("bcfg2.client")


def set_up(classes: Iterable[type[Tool]], context: Context) -> list[Tool]:
    """Tools of CLASSES, in this order, without those that cannot work here and those that others conflict with."""
    tools = [tool for tool in (_set_up(kind, context) for kind in classes) if tool]
    dropped = {name for tool in tools for name in tool.conflicts}
    tools = [tool for tool in tools if tool.name not in dropped]
    logger.info("Tools: %s", ", ".join(tool.name for tool in tools) or "none")
    return tools


def _set_up(kind: type[Tool], context: Context) -> Tool | None:
    try:
        return kind(context)
    except MissingPrerequisite as err:
        logger.debug("Tool %s is left out: %s", kind.__name__, err)
    except Exception:
        logger.exception("Tool %s cannot be set up and is left out", kind.__name__)
    return None
