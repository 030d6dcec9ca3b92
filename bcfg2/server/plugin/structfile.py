"""XML files whose content depends on the client: conditions, templates, includes."""

import logging
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar

from bcfg2 import xml
from bcfg2.server.keyring import Keyring
from bcfg2.server.plugin.conditions import STANDARD_TESTS, ByName, ConditionalDocument, Predicate, Selection, depends_on
from bcfg2.server.plugin.encrypted import CipherTexts, Decryption
from bcfg2.server.plugin.exceptions import PluginExecutionError
from bcfg2.server.plugin.files import XMLFileBacked
from bcfg2.server.plugin.interfaces import Dependencies, TemplateDataProvider
from bcfg2.server.plugin.xmltemplate import XMLTemplate
from bcfg2.server.schema import Fault, Problem
from bcfg2.server.versioned import Versioned, request_memo, writing

logger = logging.getLogger(__name__)


class StructFile(XMLFileBacked):
    """An XML file with ``Group`` and ``Client`` conditions that may be a Genshi template.

    :meth:`Match` and :meth:`XMLMatch` give what applies to a client, as copies that the caller may change.  A file is a
    template if its root element binds the prefix ``py`` to Genshi's namespace.  It is rendered for the client first and
    filtered then.  Encrypted elements are decrypted when the file is read; if that fails in one of them, the file is
    refused, unless decryption is lax.
    """

    __identifier__ = None
    #: Whether elements with the attribute ``encrypted`` are decrypted.
    encryption: ClassVar[bool] = True
    #: tag of a conditional element -> predicate(element, metadata, *further arguments of Match)
    _include_tests: ClassVar[dict[str, Predicate]] = STANDARD_TESTS

    #: The compiled template, or None.
    template: Versioned[XMLTemplate | None] = Versioned(None)
    #: The document with its tests; of a template: as written, before it is rendered.
    document: Versioned[Any] = Versioned(None)
    #: What has been decrypted in it.
    cipher_texts: Versioned[CipherTexts] = Versioned({})

    def is_template(self) -> bool:
        """Whether the file that was just read into `xdata` is a template."""
        return xml.is_template(self.xdata)

    def Index(self) -> None:
        super().Index()
        decryption = self._decryption() if self.encryption else None
        if decryption is not None:
            decryption.tree(self.xdata)
        template = None
        if self.is_template():
            source: str | bytes
            if self.has_includes:  # resolved, so that no request looks for them; with Python code in instructions
                source = xml.tostring(xml.load(self.name, comments=True).root)
            else:  # as written, so that errors name the right lines
                with open(self.name, "rb") as stream:
                    source = stream.read()
            encoding = self.core.options.components_encoding
            decrypt = decryption.text if decryption is not None else None
            template = XMLTemplate(self.name, source, encoding, decrypt, as_written=not self.has_includes)
        self.template = template
        self.document = ConditionalDocument[Any](self.xdata, self._include_tests)
        found = decryption.cipher_texts if decryption is not None else {}
        if found != self.cipher_texts:
            self.cipher_texts = found

    def _decryption(self) -> Decryption:
        """How encrypted elements of the file that was just read into `xdata` are decrypted."""
        keyring = Keyring.of(self.core.options)
        lax = self.xdata.get("lax_decryption")
        return Decryption(self, keyring, keyring.lax if lax is None else xml.is_true(lax), self.core.passphrase_users)

    def select(self, metadata: Any, *further: Any) -> Selection:
        """The document as this client sees it; rendered at most once per request."""
        template = self.template
        if template is None:
            document = self.document
            if document is None:
                raise PluginExecutionError(f"{self.name} has not been read")
            selection: Selection = document.selection(document.outcome(metadata, *further))
            return selection
        rendered = self.rendered(metadata)
        return rendered.selection(rendered.outcome(metadata, *further))

    def rendered(self, metadata: Any) -> ConditionalDocument[Any]:
        """The template rendered for a client: once per request, since it may read anything."""
        memo = request_memo()
        key = (self, metadata)
        if key not in memo:
            template = self.template
            assert template is not None
            root = template.render(**self.template_variables(metadata))
            memo[key] = ConditionalDocument[Any](root, self._include_tests)
        result: ConditionalDocument[Any] = memo[key]
        return result

    def template_variables(self, metadata: Any) -> dict[str, Any]:
        """`metadata`, `repo` and what TemplateDataProvider plugins add; a name given twice keeps its first value."""
        variables = {"metadata": metadata, "repo": self.core.options.server_repository}
        for plugin in self.core.plugins_by_type(TemplateDataProvider):
            add_variables(variables, plugin.get_xml_template_data(self, metadata), plugin.name, self.name)
        return variables

    def Match(self, metadata: Any, *further: Any) -> list[xml.Element]:
        """Copies of the children of the root that apply to the client, in document order."""
        return self.select(metadata, *further).matching()

    def XMLMatch(self, metadata: Any, *further: Any) -> xml.Element:
        """A copy of the document without what does not apply; conditional content stands at the end of its parent."""
        document = self.document
        if self.template is not None or document is None:
            return self.select(metadata, *further).filtered()
        shared = document.once("filtered", document.outcome(metadata, *further), Selection.filtered)
        copy: xml.Element = deepcopy(shared)
        return copy


def add_variables(variables: dict[str, Any], more: Mapping[str, Any], source: str, template: str) -> None:
    """Add MORE, from the plugin SOURCE, to VARIABLES; what is there already stays, with a warning."""
    for name, value in more.items():
        if name in variables:
            logger.warning("%s: template variable %s of plugin %s is taken already, ignored", template, name, source)
        else:
            variables[name] = value


class StrictStructFile(StructFile):
    """An XML file that says how the entries of its folder are made; while it is broken, they fail.

    What a broken file said before could be the very thing that the change takes away.  So they do if a word in it is
    misspelt: a condition or a restriction could be meant.
    """

    #: Why the file cannot be used.
    problem: Versioned[str] = Versioned("it has not been read")

    def refuses(self, problem: Problem) -> bool:
        return bool(problem.meant) or problem.fault is Fault.ELEMENT

    def reload(self) -> bool:
        """Read the file; on an error log it and return False.  Only what cannot be read leaves the old content."""
        try:
            with writing():
                self.read()
                self.Index()
        except OSError as err:
            self.logger.error("Cannot read %s, keeping what was read before: %s", self.name, err)
            return False
        except (ValueError, xml.XMLError, PluginExecutionError) as err:
            self.logger.error("Cannot use %s, the entries of its folder fail: %s", self.name, err)
            with writing():
                self.template = None
                self.document = None
                self.problem = str(err)
            return False
        self.report()
        return True

    def select(self, metadata: Any, *further: Any) -> Selection:
        self.check_usable()
        return super().select(metadata, *further)

    def check_usable(self) -> None:
        """Raise PluginExecutionError while the file is broken."""
        if self.template is None and self.document is None:
            raise PluginExecutionError(f"{self.name} cannot be used: {self.problem}")


class InfoXML(StrictStructFile):
    """An ``info.xml``: attributes for the files of its folder.

    The further conditional element ``Path`` compares its name with the entry's true name (``realname``, else ``name``).
    A mode that is none makes entries fail: the file could be readable by more people than is meant.
    """

    schema = "info"
    encryption = False
    _include_tests = {**STANDARD_TESTS, "Path": ByName(lambda name, _metadata, entry: name == entry_name(entry))}

    def refuses(self, problem: Problem) -> bool:
        return super().refuses(problem) or problem.attribute == "mode"

    def info(self, entry: xml.Element, metadata: Any) -> xml.Element:
        """The ``Info`` element that applies, shared: not to be changed.  PluginExecutionError where none does."""
        if self.template is not None:
            found = _first_info(self.select(metadata, entry), self.name)
        else:
            self.check_usable()
            document = self.document
            found = document.once("info", document.outcome(metadata, entry), lambda s: _first_info(s, self.name))
        if found is None:
            raise PluginExecutionError(f"no Info element of {self.name} applies to {metadata.hostname}")
        mode = found.get("mode")
        if mode is not None and not _MODE.fullmatch(mode):
            raise PluginExecutionError(
                f"{self.name}: the mode {mode!r} of an Info element is none, write one like 0644"
            )
        result: xml.Element = found
        return result

    def depends_on(self) -> Dependencies | None:
        """What of a client decides which attributes an entry gets; None if anything may."""
        document = self.document
        if self.template is not None or document is None:
            return None
        return depends_on(test for test in document.tests if test.tag != "Path")

    def BindEntry(self, entry: xml.Element, metadata: Any) -> None:
        """Set all attributes of the first ``Info`` that applies on ENTRY and append copies of its ACL children."""
        info = self.info(entry, metadata)
        entry.attrib.update(info.attrib)
        entry.extend(deepcopy(child) for child in info if child.tag == "ACL")


#: What the mode of a file may be (as the schema has it, but for what a template puts in).
_MODE = re.compile("[0-7]{1,5}|preserve|inherit")


def entry_name(entry: xml.Element) -> str:
    """The name under which the client asked for ENTRY, whatever altsrc says."""
    return entry.get("realname") or entry.get("name") or ""


def _first_info(selection: Selection, path: str) -> xml.Element | None:
    """The first Info in document order, with the conditions inside it resolved; FileInfo elements are transparent."""
    found = [node for node in selection.descendants() if node.tag == "Info"]
    if len(found) > 1:
        logger.warning("%s: %d Info elements apply at once, the first is used", path, len(found))
    return selection.resolved(found[0]) if found else None
