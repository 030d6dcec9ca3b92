"""What the files in an entry set are: one class for each kind, from which the handlers are derived.

======================  ==================================================
:class:`CfgGenerator`   yields the contents
:class:`CfgFilter`      changes what a generator has yielded
:class:`CfgInfo`        sets attributes
:class:`CfgVerifier`    refuses contents
:class:`CfgCreator`     makes contents once, where no generator applies
======================  ==================================================

A handler says by class attributes which files it is for.  One class may be of several kinds.
"""

import os
from typing import TYPE_CHECKING, Any, ClassVar

from bcfg2.options import Option
from bcfg2.server.plugin import Dependencies, SpecificData, Specificity
from bcfg2.server.plugin.contents import Contents
from bcfg2.server.plugin.making import NewFile, store
from bcfg2.xml import Element

if TYPE_CHECKING:
    from bcfg2.server.plugins.cfg.plugin import Cfg


class CfgVerificationError(Exception):
    """A verifier refuses the contents; the text says why."""


class CfgHandler(SpecificData):
    """A file of an entry set.  It is made with the full path and the :class:`Specificity` that its name tells."""

    #: How the files are called; empty: like their folder.
    __basenames__: ClassVar[list[str]] = []
    #: Suffixes of which the name must have one, without the dot in front; empty: it has none.
    __extensions__: ClassVar[list[str]] = []
    #: Suffixes of files that are passed over in silence.
    __ignore__: ClassVar[list[str]] = []
    #: Whether the name may say that the file is for a group or a host.
    __specific__: ClassVar[bool] = True
    #: Handlers are tried in ascending order of this, then of the names of their modules.
    __priority__: ClassVar[int] = 0
    #: A warning tells of the first file that is found for such a handler.
    experimental: ClassVar[bool] = False
    deprecated: ClassVar[bool] = False
    #: Settings of the handler; they join the server's options.
    options: ClassVar[list[Option]] = []

    #: The plugin that the file belongs to; set before the file is read.
    cfg: "Cfg"

    def depends_on(self) -> Dependencies | None:
        """What of a client, besides its being one that the file is for, decides what the file does to the entry.

        None (the default): anything may, so the entry is bound for each request.  See :meth:`Generator.depends_on`.
        """
        return None


class CfgGenerator(CfgHandler):
    """A file that yields contents: by default its own."""

    def get_data(self, entry: Element, metadata: Any) -> str | bytes:
        """The contents for the client.  Raises PluginExecutionError where there are none."""
        return self.raw

    @property
    def contents(self) -> Contents:
        """The file as it is; not kept, because what is bound in advance holds the text already."""
        return Contents(self.raw, self.encoding, self.name)


class CfgFilter(CfgHandler):
    """A file that changes the contents which a generator yields, if it is at least as specific as that."""

    def modify_data(self, entry: Element, metadata: Any, data: str | bytes) -> str | bytes:
        """The new contents in place of DATA."""
        raise NotImplementedError


class CfgInfo(CfgHandler):
    """A file that says which attributes the entry has."""

    __specific__ = False

    def bind_info_to_entry(self, entry: Element, metadata: Any) -> None:
        """Set attributes of ENTRY.  Raises PluginExecutionError where there are none for the client."""
        raise NotImplementedError


class CfgVerifier(CfgHandler):
    """A file that checks contents.  Of the files of one class, the most specific one for the client is asked."""

    def verify_entry(self, entry: Element, metadata: Any, data: bytes) -> None:
        """Raise :exc:`CfgVerificationError` if DATA may not be delivered."""
        raise NotImplementedError


class CfgCreator(CfgHandler):
    """A file that says how contents are made for clients to whom no generator applies."""

    __specific__ = False

    def create_data(self, entry: Element, metadata: Any) -> str | bytes:
        """Make the contents for the client, store them in the repository and return them."""
        raise NotImplementedError

    def get_filename(self, specific: Specificity) -> str:
        """The path of the file with contents for SPECIFIC, as it is called where it is not encrypted."""
        folder = os.path.dirname(self.name)
        return os.path.join(folder, specific.file_name(os.path.basename(folder)))

    def write_data(self, data: bytes, specific: Specificity, passphrase: str | None = None) -> None:
        """Store DATA as the contents for SPECIFIC, with the PASSPHRASE of that name encrypted, and have it in force.

        Raises PluginExecutionError and OSError.
        """
        store(self.cfg.core, [NewFile(self.get_filename(specific), data)], passphrase)

    def is_due(self, file: CfgGenerator, metadata: Any) -> bool:
        """Whether new contents are to be made in place of FILE, which is what the client would get."""
        return False
