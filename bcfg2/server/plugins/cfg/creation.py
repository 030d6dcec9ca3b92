"""What the XML files have in common that say how contents are made: where they go, and that they are made once.

.. code-block:: text

    CfgXMLCreator             privkey.xml, sslkey.xml ...: a creator as most are
      destination(client)     the client or the group that the contents are for     id_rsa.G50_web
      obtain(...)             under the lock of that file:
        stored()              another thread or process may just have made it
        make()                of the subclass
        store()               in force before this returns
"""

import os
from collections.abc import Sequence
from typing import Any, ClassVar

from lxml import etree

from bcfg2 import xml
from bcfg2.server.filelock import file_lock
from bcfg2.server.plugin import PluginExecutionError, Specificity, StrictStructFile
from bcfg2.server.plugin.making import CRYPT, NewFile, store, stored
from bcfg2.server.plugins.cfg.handlers import CfgCreator, CfgGenerator
from bcfg2.xml import Element


class CfgXMLCreator(CfgCreator):
    """An XML file that says how contents are made.  A subclass overrides :meth:`make`."""

    persistent = True
    #: What reads the file, with the schema that it follows.
    file_class: ClassVar[type[StrictStructFile]]
    #: The section of bcfg2.conf with the settings `category` and `passphrase`; where it has none, ``[cfg]`` counts.
    section: ClassVar[str]

    def __init__(self, name: str, specific: Specificity) -> None:
        super().__init__(name, specific)
        self.xml = self.file_class(name)

    def handle_event(self, event: Any = None) -> None:
        self.xml.HandleEvent(event)

    def create_data(self, entry: Element, metadata: Any) -> bytes:
        return self.obtain(self.destination(metadata), metadata)

    def make(self, specific: Specificity, metadata: Any) -> Sequence[NewFile]:
        """The contents for the client, under :meth:`path_for` SPECIFIC, and further files that belong to them."""
        raise NotImplementedError

    def setting(self, key: str) -> str | None:
        """The setting KEY of our section, else of ``[cfg]``."""
        options = self.cfg.core.options
        found: str | None = getattr(options, f"{self.section}_{key}") or getattr(options, f"cfg_{key}")
        return found

    # where contents go

    def destination(self, metadata: Any) -> Specificity:
        """For whom contents are that are made for this client: for its group of a category, or for itself."""
        self.xml.check_usable()
        root = self.xml.xdata
        category = root.get("category") or self.setting("category")
        perhost = root.get("perhost")
        if category and not xml.is_true(perhost):
            group = metadata.group_in_category(category)
            if group:
                return Specificity(group=group, prio=self._priority(root.get("priority", "50")))
            self.cfg.logger.info(
                "%s: %s has no group of the category %s, what it gets is its own",
                self.name,
                metadata.hostname,
                category,
            )
        if not metadata.hostname:
            raise PluginExecutionError(f"{self.name} makes what is for single clients, none is named")
        return Specificity(hostname=metadata.hostname)

    def _priority(self, text: str) -> int:
        if text.isascii() and text.isdigit():
            return int(text)
        raise PluginExecutionError(f"{self.name}: priority={text!r} of the root element is not a number")

    # making them once

    def obtain(self, specific: Specificity, metadata: Any) -> bytes:
        """The contents for SPECIFIC: those that somebody has stored by now, else new ones."""
        path = self.get_filename(specific)
        try:
            with file_lock(path):
                data = stored(self.cfg.core, path)
                if data is None or self.is_outdated(data, metadata):
                    made = self.make(specific, metadata)
                    store(self.cfg.core, made, self.setting("passphrase"))
                    data = next(file.data for file in made if file.path == path)
        except OSError as err:
            raise PluginExecutionError(f"{self.name} cannot make {path}: {err}") from err
        return data

    def is_due(self, file: CfgGenerator, metadata: Any) -> bool:
        try:
            path = self.get_filename(self.destination(metadata))
        except PluginExecutionError:
            return False
        if file.name.removesuffix(CRYPT) != path:
            return False
        if not os.path.exists(file.name):
            return True  # it has just been deleted, which is the way to have a new one made
        if file.problem is not None:
            return False
        data = file.get_data(etree.Element("Path"), metadata)
        return self.is_outdated(data.encode(self.encoding) if isinstance(data, str) else data, metadata)

    def is_outdated(self, data: bytes, metadata: Any) -> bool:
        """Whether new contents are to take the place of DATA, which was made for the client."""
        return False
