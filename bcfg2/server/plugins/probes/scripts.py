"""Probe scripts: the files in the folder ``Probes``."""

import os
from typing import Any

from lxml import etree

from bcfg2.server.plugin import FileBacked, PluginExecutionError, SpecificityError
from bcfg2.server.plugin.specific import EVERYBODY, Specificity, split_specific
from bcfg2.server.versioned import Versioned

#: What the name of a probe looks like.
PROBE_NAME = r"[\w-]+"
DEFAULT_INTERPRETER = "/bin/sh"


class ProbeScript(FileBacked):
    """One script: the probe `base`, for everybody, a group or a host."""

    #: What is sent; must not be changed.
    element: Versioned[Any] = Versioned(None)

    base = ""
    specific: Specificity = EVERYBODY

    def Index(self) -> None:
        try:
            self.base, self.specific = split_specific(PROBE_NAME, os.path.basename(self.name))
        except SpecificityError as err:
            raise PluginExecutionError(str(err)) from None
        element = etree.Element("probe", name=self.base, source="Probes", interpreter=interpreter(self.data))
        element.text = self.data  # ValueError for characters that XML cannot carry
        self.element = element


def interpreter(script: str) -> str:
    """The command line behind ``#!`` in the first line of SCRIPT."""
    line = script.split("\n", 1)[0].removesuffix("\r")
    return (line[2:].lstrip() if line.startswith("#!") else "") or DEFAULT_INTERPRETER
