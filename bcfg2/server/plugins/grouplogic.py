"""GroupLogic: groups that a template works out from what is known of the client so far.

.. code-block:: text

    GroupLogic/groups.xml
      with_marks         notes in the template's source which elements are conditions
      XMLTemplate        renders it for a client
      memberships        walks through the result: which groups does it name for the client?

A template may ask about other clients, whose metadata is then built in the same thread, and so on.  :class:`Nesting`
keeps that finite.
"""

import io
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lxml import etree

from bcfg2 import xml
from bcfg2.server.plugin import Connector, Plugin, PluginExecutionError, StructFile
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugin.xmltemplate import XMLTemplate
from bcfg2.server.plugins.metadata import MetadataGroup
from bcfg2.server.versioned import Versioned, reading, request_memo

try:
    from genshi.core import END, START, TEXT, QName, Stream
    from genshi.input import XMLParser
except ImportError:  # StructFile refuses templates then
    XMLParser = None

#: For how many clients at once a thread may render: each asks about the next one.
DEEPEST = 8

_CONDITIONS = ("Group", "Client")
#: The attribute of a condition of a template: it stays one when all that it holds vanishes in rendering.
_MARK = "{urn:bcfg2:grouplogic}condition"
_CONTENT = f"{{{xml.PY_NAMESPACE}}}content"


def with_marks(events: Iterable[Any]) -> Iterator[Any]:
    """The EVENTS of a template's source, with a mark on each Group and Client that is written as a condition.

    That is one in which there are elements, or something that can become elements: an expression or ``py:content``.
    """
    written = list(events)
    open_elements: list[int] = []
    marked: set[int] = set()
    for number, (kind, data, _position) in enumerate(written):
        if kind is START:
            marked.update(open_elements[-1:])
            open_elements.append(number)
            if any(name == _CONTENT for name, _ in data[1]):
                marked.add(number)
        elif kind is END:
            open_elements.pop()
        elif kind is TEXT and "$" in data:
            marked.update(open_elements[-1:])
    for number, (kind, data, position) in enumerate(written):
        if number in marked and data[0].localname in _CONDITIONS:
            tag, attributes = data
            data = (tag, attributes | [(QName(_MARK), "true")])
        yield kind, data, position


def is_condition(element: xml.Element) -> bool:
    """Whether ELEMENT, a Group or Client of a rendered document, only tests."""
    return element.get(_MARK) is not None or any(map(xml.is_element, element))


def holds(condition: xml.Element, metadata: Any) -> bool:
    """Whether CONDITION is true of the client as METADATA has it."""
    name = condition.get("name", "")
    true = name in metadata.groups if condition.tag == "Group" else name.lower() == metadata.hostname
    return bool(true) is not xml.is_true(condition.get("negate"))


def memberships(parent: xml.Element, metadata: Any) -> Iterator[xml.Element]:
    """The Group elements below PARENT that make the client a member, in document order."""
    for element in parent:
        if element.tag == "GroupLogic":
            yield from memberships(element, metadata)
        elif element.tag not in _CONDITIONS:
            continue
        elif is_condition(element):
            if holds(element, metadata):
                yield from memberships(element, metadata)
        elif element.tag == "Group":
            yield element


class LogicFile(StructFile):
    """The plugin's file: plain XML, or a template if its root element binds the prefix ``py``."""

    schema = "grouplogic"
    create = etree.Element("GroupLogic", nsmap={"py": xml.PY_NAMESPACE})
    keep_comments = True  # and with them the Python code of a template that includes others

    #: What was said once about the content as it is.
    remarked: Versioned[set[str]] = Versioned()

    def Index(self) -> None:
        super().Index()
        if self.template is not None:
            source = xml.tostring(self.xdata).encode() if self.has_includes else Path(self.name).read_bytes()
            events = XMLParser(io.BytesIO(source), filename=self.name)
            encoding = self.core.options.components_encoding
            stream = Stream(with_marks(events))
            self.template = XMLTemplate(self.name, stream, encoding, as_written=not self.has_includes)
        self.remarked = set()
        self.core.metadata_cache.expire()

    def memberships(self, metadata: Any) -> list[xml.Element]:
        """The Group elements that make the client a member; PluginExecutionError if that cannot be told."""
        if not self.loaded:
            raise PluginExecutionError(f"{self.name} could not be read yet, see the server's log")
        template = self.template
        root = self.xdata if template is None else template.render(**self.template_variables(metadata))
        return [element for element in memberships(root, metadata) if self._makes_sense(element)]

    def _makes_sense(self, element: xml.Element) -> bool:
        """Whether ELEMENT can be a membership; if not, that is said once until the file changes."""
        name = element.get("name")
        if name and not xml.is_true(element.get("negate")):
            return True
        problem = f"the Group {name} cannot be taken away here (negate)" if name else "a Group without a name"
        if problem not in self.remarked:
            self.remarked.add(problem)
            self.logger.error("%s: %s is ignored", self.name, problem)
        return False


class Nesting(threading.local):
    """For which clients this thread is rendering, each because the template of the one before asks about it.

    Who asks about a client that is being rendered, or asks when :data:`DEEPEST` clients are, sees it without groups
    from here: its metadata is incomplete.  That answer holds for the question only.  The metadata of clients that have
    been rendered is shared for the rest of the request, as always.
    """

    def __init__(self) -> None:
        self._hosts: list[str] = []
        self._incomplete: dict[int, Any] = {}  # id of metadata -> metadata
        self._aside: dict[Any, Any] = {}  # what the request's memo must not keep, for the next at the deepest level

    def refuses(self, metadata: Any) -> bool:
        """Whether there is no rendering for this client now, which leaves its METADATA incomplete."""
        refused = metadata.hostname in self._hosts or len(self._hosts) == DEEPEST
        if refused:
            self._incomplete[id(metadata)] = metadata
        return refused

    @contextmanager
    def inside(self, hostname: str) -> Iterator[None]:
        """Note that this thread is rendering for HOSTNAME."""
        self._hosts.append(hostname)
        if len(self._hosts) == DEEPEST:
            memo = request_memo()
            for key in self._aside.keys() - memo.keys():
                memo[key] = self._aside[key]
        try:
            yield
        finally:
            self._forget_incomplete(request_memo())
            self._hosts.pop()
            if not self._hosts:
                self._incomplete, self._aside = {}, {}

    def _forget_incomplete(self, memo: dict[Any, Any]) -> None:
        """Take incomplete metadata, and the lists that may hold some, out of MEMO."""
        for key, value in list(memo.items()):
            if isinstance(value, list) or id(value) in self._incomplete:
                self._aside[key] = memo.pop(key)


class GroupLogic(Plugin, Connector):
    """Adds the groups that ``GroupLogic/groups.xml`` names for a client, after all other connectors."""

    sort_order = 1000

    def __init__(self, core: CoreInterface) -> None:
        super().__init__(core)
        self.file = LogicFile(f"{self.data}/groups.xml", should_monitor=True)
        self._nesting = Nesting()
        self._categorised: set[str] = set()

    def get_additional_groups(self, metadata: Any) -> list[str | MetadataGroup]:
        if self._nesting.refuses(metadata):
            return []
        with reading(), self._nesting.inside(metadata.hostname):  # what is asked is remembered as long as one reads
            elements = self.file.memberships(metadata)
        return list(dict.fromkeys(self._group(element) for element in elements))

    def _group(self, element: xml.Element) -> str | MetadataGroup:
        """The group that ELEMENT names: defined, if it has a category or had one before the file was changed."""
        name = element.get("name", "")
        category = element.get("category") or None
        if category is not None:
            self._categorised.add(name)
        elif name not in self._categorised:
            return name
        return MetadataGroup(name, category=category)
