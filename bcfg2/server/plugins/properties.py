"""Properties: data files of the site, for its templates.

.. code-block:: text

    Properties             metadata.Properties: relative path -> what a template gets
      XMLPropertyFile        *.xml               XMLProperty, or with automatch the matching document
      JSONPropertyFile       *.json              JSONProperty
      YAMLPropertyFile       *.yaml, *.yml       YAMLProperty

A file's content is never changed in place.  A template gets a copy of its own, made when it first looks at it, and may
change that; ``write()`` puts it into the file and so into force for everybody.
"""

import json
import os
import pickle
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from lxml import etree

from bcfg2 import xml
from bcfg2.options import BooleanOption, Option
from bcfg2.server.keyring import Keyring
from bcfg2.server.plugin import (
    ConditionalDocument,
    Connector,
    DirectoryBacked,
    FileBacked,
    Plugin,
    PluginExecutionError,
    Selection,
    StructFile,
)
from bcfg2.server.plugin.encrypted import encrypted_copy, marked
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.storage import atomic_write
from bcfg2.server.versioned import Versioned, request_memo

try:
    import yaml  # type: ignore[import-untyped]
except ImportError:
    yaml = None

#: What tells one state of a file from another; None where there is none.
Stamp = tuple[int, int, int] | None


class Content(NamedTuple):
    """What is in force of a file: its value, not to be changed, its text, and the state of the file that it is from."""

    value: Any
    text: str
    stamp: Stamp


def stamp_of(path: str) -> Stamp:
    """The state of the file at PATH."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class PropertyFile(FileBacked):
    """A file of the folder; a subclass says how its content is read, copied and written."""

    content: Versioned[Content] = Versioned(Content(None, "", None))

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._turn = threading.RLock()

    def reload(self) -> bool:
        with self._turn:
            return super().reload()

    def private(self, content: Content) -> Any:
        """A copy of the value of CONTENT that may be changed."""
        raise NotImplementedError

    def dump(self, value: Any) -> bytes:
        """VALUE as it stands in a file; PluginExecutionError if it may not, anything else if it cannot."""
        raise NotImplementedError

    def for_template(self, metadata: Any) -> Any:
        """What a template that is rendered for the client gets."""
        raise NotImplementedError

    def save(self, value: Any, base: Stamp) -> Stamp:
        """Write VALUE, made from the file as it was at BASE; return the new state.

        It is in force when this returns.  PluginExecutionError, and nothing written, if that is switched off, the value
        is not fit, the file is no longer what it was at BASE, or the disk refuses.
        """
        if not self.core.options.properties_writes_enabled:
            raise PluginExecutionError(f"{self.name} is not written: [properties] writes_enabled is off")
        try:
            data = self.dump(value)
        except PluginExecutionError:
            raise
        except Exception as err:  # a template may have put anything there
            raise PluginExecutionError(f"{self.name} is not written: {type(err).__name__}: {err}") from err
        with self._turn:
            if stamp_of(self.name) != base:
                raise PluginExecutionError(
                    f"{self.name} is not written: it was changed meanwhile, the next run can do it"
                )
            try:
                atomic_write(self.name, data)
            except OSError as err:
                raise PluginExecutionError(f"{self.name} cannot be written: {err}") from err
            written = stamp_of(self.name)
            if not self.reload():
                raise PluginExecutionError(f"{self.name} was written but cannot be used, see the server's log")
            self.core.share(self.name)
        return written


class XMLPropertyFile(PropertyFile, StructFile):
    """An XML file with all features of conditional ones."""

    keep_comments = True

    def read(self) -> None:
        self._read_from = stamp_of(self.name)
        super().read()

    def Index(self) -> None:
        super().Index()
        if self.template is None:
            self.document = ConditionalDocument[Any](_without_comments(self.xdata), self._include_tests)
        encoding = self.xdata.getroottree().docinfo.encoding or "utf-8"
        text = Path(self.name).read_bytes().decode(encoding, "replace")
        self.content = Content(self.xdata, text, self._read_from)

    @property
    def automatch(self) -> bool:
        """Whether templates get the matching document: as the root element says, else the option."""
        chosen = self.content.value.get("automatch")
        return bool(self.core.options.properties_automatch) if chosen is None else xml.is_true(chosen)

    def for_template(self, metadata: Any) -> Any:
        return self.XMLMatch(metadata) if self.automatch else XMLProperty(self)

    def private(self, content: Content) -> Any:
        return deepcopy(content.value.getroottree()).getroot()

    def dump(self, value: Any) -> bytes:
        problem = self.violation(value)
        if problem is not None:
            raise PluginExecutionError(f"{self.name} is not written: {problem}")
        xml.tidy(value)
        whole = value if value.getparent() is not None else value.getroottree()  # with what surrounds the root
        if next(marked(value), None) is not None:
            whole = encrypted_copy(whole, Keyring.of(self.core.options), self.cipher_texts)
        return etree.tostring(whole, encoding="utf-8", xml_declaration=False, pretty_print=True, with_tail=False)

    def violation(self, value: Any) -> str | None:
        """How VALUE breaks the schema beside the file, or None; PluginExecutionError for a schema that is unusable."""
        path = Path(self.name).with_suffix(".xsd")
        if not path.exists():
            return None
        try:
            schema = etree.XMLSchema(etree.parse(path, xml.parser()))
        except (OSError, etree.LxmlError) as err:
            raise PluginExecutionError(f"{self.name}: cannot use its schema {path}: {err}") from err
        try:
            schema.assertValid(value)
        except etree.DocumentInvalid as err:
            return f"it would violate {path}: {err}"
        return None


def _without_comments(root: xml.Element) -> xml.Element:
    """ROOT, or a copy of it if there are comments or processing instructions in it, which are left out."""
    if next(root.iter(etree.Comment, etree.PI), None) is None:
        return root
    copy = deepcopy(root)
    etree.strip_tags(copy, etree.Comment, etree.PI)
    return copy


class ValueFile(PropertyFile):
    """A file that holds one value of plain types.  One that was never readable has the value None.

    The value is kept pickled: the quickest way to as many copies as there are templates.
    """

    def load(self, text: str) -> Any:
        """The value that TEXT stands for; any exception if it stands for none."""
        raise NotImplementedError

    def read(self) -> None:
        stamp = stamp_of(self.name)
        data = Path(self.name).read_bytes()
        encoding = self.core.options.components_encoding
        try:
            text = data.decode(encoding)
            value = pickle.dumps(self.load(text))
        except Exception as err:  # the libraries raise much, depending on the text
            problem = err if isinstance(err, PluginExecutionError) else f"{type(err).__name__}: {err}"
            if self.loaded:
                raise PluginExecutionError(str(problem)) from err
            self.logger.error("Cannot use %s, its value is None until it can be read: %s", self.name, problem)
            text, value = data.decode(encoding, "replace"), pickle.dumps(None)
        self.data = text
        self.content = Content(value, text, stamp)

    def private(self, content: Content) -> Any:
        return pickle.loads(content.value)


class JSONPropertyFile(ValueFile):
    """A JSON file."""

    def load(self, text: str) -> Any:
        return json.loads(text)

    def dump(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    def for_template(self, metadata: Any) -> Any:
        return JSONProperty(self)


class YAMLPropertyFile(ValueFile):
    """A YAML file of one document."""

    def load(self, text: str) -> Any:
        if yaml is None:
            raise PluginExecutionError("YAML needs PyYAML, install bcfg2[yaml]")
        return yaml.safe_load(text)

    def dump(self, value: Any) -> bytes:
        if yaml is None:
            raise PluginExecutionError(f"{self.name} is not written: YAML needs PyYAML, install bcfg2[yaml]")
        text: str = yaml.safe_dump(value)
        return text.encode()

    def for_template(self, metadata: Any) -> Any:
        return YAMLProperty(self)


class Property:
    """What a template gets of one file: a copy of its value, made at the first use."""

    def __init__(self, file: PropertyFile) -> None:
        self._file = file
        self._value: Any = None
        self._base: Stamp = None
        self._taken = False

    @property
    def name(self) -> str:
        """The full path of the file."""
        return self._file.name

    @property
    def data(self) -> str:
        """The text of the file."""
        return self._file.content.text

    def write(self) -> bool:
        """Put the value into the file and in force; True.  PluginExecutionError if it cannot be: see `save`."""
        value = self._take()
        memo = request_memo()
        self._base = self._file.save(value, self._base)
        # The request goes on with what is in force now, but also with the copies that it has changed itself.
        request_memo().update((key, kept) for key, kept in memo.items() if isinstance(kept, Property))
        return True

    def _take(self) -> Any:
        if not self._taken:
            content = self._file.content
            self._replace(self._file.private(content), content.stamp)
        return self._value

    def _replace(self, value: Any, base: Stamp) -> None:
        self._value, self._base, self._taken = value, base, True

    def _assign(self, value: Any) -> None:
        self._replace(value, self._base if self._taken else self._file.content.stamp)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class XMLProperty(Property):
    """An XML file for a template."""

    _file: XMLPropertyFile

    @property
    def xdata(self) -> Any:
        """The root element."""
        return self._take()

    @xdata.setter
    def xdata(self, value: Any) -> None:
        self._assign(value)

    @property
    def entries(self) -> list[xml.Element]:
        """The children of the root element."""
        return list(self.xdata)

    def Match(self, metadata: Any) -> list[xml.Element]:
        """Copies of the children of the root that apply to the client, in document order."""
        return self._select(metadata).matching()

    def XMLMatch(self, metadata: Any) -> xml.Element:
        """A copy of the document without what does not apply; conditional content stands at the end of its parent."""
        return self._select(metadata).filtered() if self._taken else self._file.XMLMatch(metadata)

    def _select(self, metadata: Any) -> Selection:
        if self._taken and self._file.template is None:  # it may have been changed
            document = ConditionalDocument[Any](_without_comments(self._value), self._file._include_tests)
            return document.selection(document.outcome(metadata))
        return self._file.select(metadata)

    def validate_data(self) -> bool:
        """Whether the document satisfies the schema beside the file, if there is one."""
        problem = self._file.violation(self._take())
        if problem is not None:
            self._file.logger.error("%s: %s", self.name, problem)
        return problem is None


class JSONProperty(Property):
    """A JSON file for a template."""

    @property
    def json(self) -> Any:
        """The value."""
        return self._take()

    @json.setter
    def json(self, value: Any) -> None:
        self._assign(value)


class YAMLProperty(Property):
    """A YAML file for a template."""

    @property
    def yaml(self) -> Any:
        """The value."""
        return self._take()

    @yaml.setter
    def yaml(self, value: Any) -> None:
        self._assign(value)


class PropertiesOfClient(Mapping[str, Any]):
    """``metadata.Properties``: what templates get, by relative path; the same throughout one request."""

    def __init__(self, files: "Properties", metadata: Any) -> None:
        self._files = files
        self._metadata = metadata

    def __getitem__(self, path: str) -> Any:
        memo = request_memo()
        key = ("Properties", self._metadata, path)
        if key not in memo:
            memo[key] = self._files.entries[path].for_template(self._metadata)
        return memo[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files.entries)

    def __len__(self) -> int:
        return len(self._files.entries)

    def __contains__(self, path: object) -> bool:
        return path in self._files.entries

    def __repr__(self) -> str:
        return repr(sorted(self._files.entries))


_KINDS: dict[str, Callable[[str], PropertyFile]] = {
    ".xml": XMLPropertyFile,
    ".json": JSONPropertyFile,
    ".yaml": YAMLPropertyFile,
    ".yml": YAMLPropertyFile,
}


def _property_file(path: str) -> PropertyFile:
    return _KINDS[os.path.splitext(path)[1]](path)


class Properties(Plugin, Connector, DirectoryBacked):
    """All files below the folder whose suffix is known."""

    options: ClassVar[list[Option]] = [
        BooleanOption(
            "properties", "automatch", default=False, help="Give templates the matching part of XML property files"
        ),
        BooleanOption("properties", "writes_enabled", default=True, help="Let templates write property files"),
    ]

    __child__ = _property_file
    patterns = re.compile(r".\.(xml|json|ya?ml)$")
    ignore = re.compile(r"\.xsd$")

    def __init__(self, core: CoreInterface) -> None:
        Plugin.__init__(self, core)
        DirectoryBacked.__init__(self, self.data)

    def on_change(self) -> None:
        if self.core.metadata_cache_mode in ("cautious", "aggressive"):
            self.core.metadata_cache.expire()

    def get_additional_data(self, metadata: Any) -> Mapping[str, Any]:
        return PropertiesOfClient(self, metadata)
