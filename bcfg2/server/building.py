"""How a client's configuration is built: structures, binding, validation.

.. code-block:: text

    configuration_text(client), BuildConfiguration(client)
      build_metadata            who is it, what is it a member of
      start_client_run          hooks
      GetStructures             bundles, from Structure plugins
      validate_structures       may change them
      BindStructures            each entry by the one Generator that has it
      validate_goals            may change the whole document
      end_client_run            hooks
      sort_xml                  so that equal content reads the same

A fault costs what it hit: an entry, a structure, or (where the document would be wrong) the request.

BuildConfiguration gives a document, for those who want to look at it or change it; what clients get is its text, which
is put together from the texts of structures where no GoalValidator has a say.
"""

import logging
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeVar
from xmlrpc.client import Fault

from lxml import etree

from bcfg2.server.bindings import BOUND, Bindings, Recipe, Variant
from bcfg2.server.plugin import (
    ClientRunHooks,
    Dependencies,
    Generator,
    GoalValidator,
    PluginExecutionError,
    Structure,
    StructureValidator,
    ValidationError,
)
from bcfg2.server.plugin.interfaces import union
from bcfg2.server.statistics import stats, track_statistics
from bcfg2.server.versioned import Versioned, reading, request_memo
from bcfg2.xml import Element, attributes, is_element, legal, parse_string, sort_xml, tostring, written_out

C = TypeVar("C")
EntryBinder = Callable[[Element, Any], None]

_NOBODY: dict[str, Any] = {}

#: How often a configuration is begun at most because files change while it is built.
_ATTEMPTS = 3


_END = "</Configuration>"


class _NoStructures(Exception):
    """The structures of a client cannot be had; `document` is what it gets."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.document = etree.Element("error", {"type": "structure error"})
        self.document.text = text


class ConfigurationBuilder:
    """The part of a core that builds configurations; `plugins_by_type` and `build_metadata` come from the core."""

    logger: logging.Logger
    options: Any
    fam: Any
    _bindings: tuple[int, Any, Bindings] | None = None  # with the version of the files and the options they are for

    #: The revision of the repository as the Version plugin tells it; ``-1`` without one.
    revision: Versioned[str] = Versioned("-1")

    def plugins_by_type(self, base_cls: type) -> list[Any]:
        raise NotImplementedError

    def build_metadata(self, client_name: str) -> Any:
        raise NotImplementedError

    def BuildConfiguration(self, client: str) -> Element:
        """The complete configuration document of CLIENT, a host name.

        An ``<error>`` document if the structures cannot be had; a fault if the client's metadata cannot be built or a
        validator refuses the configuration.
        """
        try:
            return self._built(client, self._document)
        except _NoStructures as err:
            return err.document

    def configuration_text(self, client: str) -> str:
        """What :meth:`BuildConfiguration` gives for CLIENT, as text."""
        try:
            return self._built(client, self._verified_text if self.options.caching_verify else self._text)
        except _NoStructures as err:
            return tostring(err.document)

    def _built(self, client: str, make: Callable[[Any], C]) -> C:
        """What MAKE makes of the client's metadata, between the hooks."""
        begun = time.monotonic()
        with reading():
            metadata = self.build_metadata(client)  # which may register the client, and then see a newer state
            self.client_run_hook("start_client_run", metadata)
            for _ in range(_ATTEMPTS):
                seen = self.fam.foreign_version
                config = make(metadata)
                if self.fam.foreign_version == seen:
                    break
                # a plugin has made a file, and since then sees changes by others as well: begin anew with all of them
                metadata = self.build_metadata(client)
            self.client_run_hook("end_client_run", metadata)
        self.logger.info("Built the configuration of %s in %.3f s", client, time.monotonic() - begun)
        return config

    def _document(self, metadata: Any, bindings: Bindings | None = None) -> Element:
        """The structures of the client, bound and validated, in one document."""
        structures = self._validated_structures(metadata)
        config = self._root()
        self.BindStructures(structures, metadata, config, bindings)
        self.validate_goals(metadata, config)
        sort_xml(config)
        return config

    def _text(self, metadata: Any) -> str:
        """The same as text."""
        if any(plugin.concerns(metadata) for plugin in self.plugins_by_type(GoalValidator)):
            return written_out(self._document(metadata))
        texts = self._structure_texts(self._validated_structures(metadata), metadata)
        if not any(name is None for name, _ in texts):
            texts.sort(key=lambda item: item[0] or "")
        empty = tostring(self._root())
        if not texts:
            return empty
        return "".join([f"{empty.removesuffix('/>')}>", *(piece for _, pieces in texts for piece in pieces), _END])

    def _verified_text(self, metadata: Any) -> str:
        """The same, compared with what is built without anything that was kept: RuntimeError if it differs."""
        text = self._text(metadata)
        anew = self._document(metadata, Bindings(0))
        if _canonical(parse_string(text, "configuration")) != _canonical(anew):
            self.logger.error(
                "%s: what was kept gives another configuration than building it anew:\n%s\n%s",
                metadata.hostname, text, tostring(anew),
            )  # fmt: skip
            raise RuntimeError("[caching] verify: the configuration differs from one that is built anew, see the log")
        return text

    def _root(self) -> Element:
        return etree.Element("Configuration", {"version": "2.0", "revision": self.revision})

    def _validated_structures(self, metadata: Any) -> list[Element]:
        try:
            structures = self.GetStructures(metadata)
        except Exception as err:
            self.logger.exception("Cannot get the structures of %s", metadata.hostname)
            raise _NoStructures(_sentence(err)) from err
        self.validate_structures(metadata, structures)
        self._check_altsrc(structures, metadata)
        return structures

    @track_statistics("BindStructures")
    def _structure_texts(self, structures: list[Element], metadata: Any) -> list[tuple[str | None, list[str]]]:
        """The name and the text, in pieces, of each of STRUCTURES, bound; one that fails as a whole is left out."""
        bindings = self._present_bindings()
        texts = []
        for structure in structures:
            try:
                texts.append((structure.get("name"), self._bound_text(structure, metadata, bindings)))
            except Exception:
                self.logger.exception("Cannot bind structure %s of %s", structure.get("name"), metadata.hostname)
        return texts

    def client_run_hook(self, hook: str, metadata: Any) -> None:
        """Tell all ClientRunHooks plugins of the stage HOOK; what they raise is logged and changes nothing."""
        begun = time.perf_counter()
        for plugin in self.plugins_by_type(ClientRunHooks):
            try:
                getattr(plugin, hook)(metadata)
            except Exception:
                self.logger.exception("%s of plugin %s failed for %s", hook, plugin.name, metadata.hostname)
        stats.add_value(f"{type(self).__name__}:client_run_hook:{hook}", time.perf_counter() - begun)

    @track_statistics()
    def GetStructures(self, metadata: Any) -> list[Element]:
        """All structures (bundles) of the client, unbound."""
        structures: list[Element] = []
        plugins = self.plugins_by_type(Structure)
        for plugin in plugins:
            structures.extend(plugin.BuildStructures(metadata))
        delivered = {item.get("name") for item in structures if item.tag in ("Bundle", "Independent")}
        absent = sorted(set(metadata.bundles) - delivered)
        if missing := [name for name in absent if not any(plugin.has_bundle(name) for plugin in plugins)]:
            self.logger.error("Client %s has bundles that do not exist: %s", metadata.hostname, ", ".join(missing))
        return structures

    @track_statistics()
    def validate_structures(self, metadata: Any, data: list[Element]) -> None:
        """Let the StructureValidator plugins check and change the list DATA of structures, in place."""
        for plugin in self.plugins_by_type(StructureValidator):
            self._validate(plugin, plugin.validate_structures, metadata, data)

    @track_statistics()
    def validate_goals(self, metadata: Any, data: Element) -> None:
        """Let the GoalValidator plugins check and change the bound configuration DATA, in place."""
        for plugin in self.plugins_by_type(GoalValidator):
            self._validate(plugin, plugin.validate_goals, metadata, data)

    def _validate(self, plugin: Any, check: Callable[[Any, Any], None], metadata: Any, data: Any) -> None:
        try:
            check(metadata, data)
        except ValidationError as err:
            self.logger.error("Plugin %s refuses the configuration of %s: %s", plugin.name, metadata.hostname, err)
            raise
        except Exception:
            self.logger.exception("%s of plugin %s failed for %s", check.__name__, plugin.name, metadata.hostname)

    def _check_altsrc(self, structures: list[Element], metadata: Any) -> None:
        """Say so where one entry is asked for with different sources."""
        with_source = {
            (entry.tag, entry.get("name"))
            for structure in structures
            for entry in structure
            if "altsrc" in entry.attrib
        }
        if not with_source:
            return
        sources: dict[Any, set[str]] = {}
        for structure in structures:
            for entry in structure:
                key = (entry.tag, entry.get("name"))
                if key in with_source:
                    sources.setdefault(key, set()).add(entry.get("altsrc", ""))
        for (tag, name), found in sources.items():
            if len(found) > 1:
                self.logger.error("%s: %s %s is asked for with different altsrc", metadata.hostname, tag, name)

    @track_statistics()
    def BindStructures(
        self, structures: list[Element], metadata: Any, config: Element, bindings: Bindings | None = None
    ) -> None:
        """Bind all entries of STRUCTURES and append these to CONFIG; one that fails as a whole is left out.

        BINDINGS: what is bound in advance; by default what there is for the present state of the repository.
        """
        bindings = bindings or self._present_bindings()
        for structure in structures:
            try:
                config.append(self._bound(structure, metadata, bindings))
            except Exception:
                self.logger.exception("Cannot bind structure %s of %s", structure.get("name"), metadata.hostname)

    def _present_bindings(self) -> Bindings:
        """What has been bound in advance for the state of the repository that this request sees."""
        version, options = self.fam.content_version, self.options
        kept = self._bindings
        if kept is not None and kept[0] == version and kept[1] is options:
            return kept[2]
        bindings = Bindings(options.caching_bound_structures)
        if kept is None or kept[0] <= version:
            self._bindings = (version, options, bindings)
        return bindings

    def _bound(self, structure: Element, metadata: Any, bindings: Bindings) -> Element:
        """STRUCTURE with all entries bound: itself, or a copy of what has been bound in advance."""
        variant = self._variant(structure, metadata, bindings)
        if variant is None:
            self.BindStructure(structure, metadata)
            return structure
        bound, unbound = variant.copy()
        for entry in unbound:
            self._bind_or_fail(entry, metadata)
        return bound

    def _variant(self, structure: Element, metadata: Any, bindings: Bindings) -> Variant | None:
        """STRUCTURE as it is bound in advance for clients like this one; None if it is to be bound for this one."""
        key = bindings.key(structure)
        if not bindings.is_worth_it(key):
            BOUND.add("anew")
            return None
        recipe = bindings.recipe(key)
        if recipe is None:
            recipe = Recipe([self._depends_on(entry) for entry in structure])
            bindings.add_recipe(key, recipe)
        signature = recipe.signature(metadata)
        variant = recipe.variants.get(signature)
        BOUND.add("anew" if variant is None else "copied")
        if variant is None:
            variant = self._bind_in_advance(structure, recipe, metadata)
            bindings.add_variant(recipe, signature, variant)
        return variant

    def _bound_text(self, structure: Element, metadata: Any, bindings: Bindings) -> list[str]:
        """The text of STRUCTURE with all entries bound, in pieces."""
        variant = self._variant(structure, metadata, bindings)
        if variant is None:
            self.BindStructure(structure, metadata)
            sort_xml(structure)
            structure.tail = None
            return [written_out(structure)]
        entries = variant.entries()
        pieces = [variant.pieces[0]]
        for entry, piece in zip(entries, variant.pieces[1:], strict=True):
            self._bind_or_fail(entry, metadata)
            sort_xml(entry)
            entry.tail = None
            pieces += written_out(entry), piece
        return pieces

    def _depends_on(self, entry: Element) -> Dependencies | None:
        """What of a client decides how ENTRY is bound; None if anything may."""
        if not is_element(entry) or is_bound(entry):
            return Dependencies()
        generators = self.plugins_by_type(Generator)
        if "altsrc" in entry.attrib or any(type(item).depends_on is Generator.depends_on for item in generators):
            return None
        name = entry.get("name")
        listed = [plugin for plugin in generators if name in plugin.Entries.get(entry.tag, _NOBODY)]
        found = [plugin.depends_on(entry) for plugin in listed or generators]
        if None in found or len(listed) > 1:
            return None
        return union(found)

    def _bind_in_advance(self, structure: Element, recipe: Recipe, metadata: Any) -> Variant:
        """STRUCTURE with those entries bound for which that can be told in advance, and that do not fail."""
        bound = deepcopy(structure)
        unbound = []
        for entry, dependencies in zip(list(bound), recipe.in_advance, strict=True):
            if not is_element(entry):
                bound.remove(entry)
            elif dependencies is None or not self._try_to_bind(entry, metadata):
                unbound.append(entry)
        sort_xml(bound)
        return Variant(bound, sorted(bound.index(entry) for entry in unbound))

    def _try_to_bind(self, entry: Element, metadata: Any) -> bool:
        """Bind ENTRY; if that fails leave it as it is, to be bound, and to fail, for each request."""
        if is_bound(entry):
            entry.tag = entry.tag[5:]
            return True
        before = deepcopy(entry)
        try:
            binder = self._binder(entry, metadata)[0]
            if binder is not None:
                binder(entry, metadata)
                if entry.get("failure") is None:
                    return True
        except Exception as err:  # noqa: BLE001 - a generator may raise anything; it will again, and be logged then
            self.logger.debug("Cannot bind %s %s in advance: %s", before.tag, before.get("name"), err)
        restore(entry, before)
        return False

    @track_statistics()
    def BindStructure(self, structure: Element, metadata: Any) -> None:
        """Bind all entries of STRUCTURE in place; one that cannot be bound gets the attribute ``failure``."""
        for entry in structure:
            if is_element(entry):
                self._bind_or_fail(entry, metadata)

    def _bind_or_fail(self, entry: Element, metadata: Any) -> None:
        """Bind the child ENTRY of a structure; if that fails, mark it and say so."""
        if is_bound(entry):
            entry.tag = entry.tag[5:]
            return
        try:
            self.Bind(entry, metadata)
        except Exception as err:  # noqa: BLE001 - costs this entry only
            self._failed(entry, err, metadata)

    def _failed(self, entry: Element, err: Exception, metadata: Any) -> None:
        expected = isinstance(err, PluginExecutionError)
        entry.set("failure", entry.get("failure") or legal(f"bind error: {err}"))
        self.logger.error(
            "%s: %s %s %s: %s",
            metadata.hostname,
            "Failed to bind" if expected else "Unexpected failure binding",
            entry.tag,
            entry.get("name"),
            err,
            exc_info=not expected,
        )

    def Bind(self, entry: Element, metadata: Any) -> None:
        """Bind ENTRY in place by the one generator that has it; whatever that raises is passed on."""
        begun = time.perf_counter()
        if "altsrc" in entry.attrib:
            self._bind_altsrc(entry, metadata)
        else:
            self._bind(entry, metadata)
        stats.add_value(f"{type(self).__name__}:Bind:{entry.tag}", time.perf_counter() - begun)

    def _bind_altsrc(self, entry: Element, metadata: Any) -> None:
        """Bind ENTRY as the entry that altsrc names; if that fails, as itself."""
        name = entry.get("name", "")
        before = deepcopy(entry)
        source = entry.attrib.pop("altsrc")
        entry.set("realname", name)
        entry.set("name", source)
        try:
            self._bind(entry, metadata)
        except Exception as err:  # noqa: BLE001 - a generator may raise anything; the true name is tried
            reason = str(err)
        else:
            if "realname" in entry.attrib:
                del entry.attrib["realname"]
            if entry.get("failure") is None:
                entry.set("name", name)
                return
            reason = entry.get("failure", "")
        self.logger.error(
            "%s: cannot bind %s %s as %s (%s), trying its own name", metadata.hostname, entry.tag, name, source, reason
        )
        del before.attrib["altsrc"]
        restore(entry, before)
        self._bind(entry, metadata)

    def _bind(self, entry: Element, metadata: Any) -> None:
        binder, willing = self._binder(entry, metadata)
        if binder is not None:
            binder(entry, metadata)
            return
        entry.set("failure", "no matching generator")
        self.logger.error(
            "%s: no matching generator for %s %s%s",
            metadata.hostname,
            entry.tag,
            entry.get("name"),
            f", several could bind it: {_names(willing)}" if willing else "",
        )

    def _binder(self, entry: Element, metadata: Any) -> tuple[EntryBinder | None, list[Any]]:
        """What binds ENTRY; None if not just one generator can, and those that could."""
        tag, name = entry.tag, entry.get("name")
        found = [(plugin, names[name]) for plugin, names in self._listing(tag) if name in names]
        if len(found) == 1:
            return found[0][1], []
        if found:
            raise PluginExecutionError(f"several generators list {tag} {name}: {_names([item[0] for item in found])}")
        willing = [item for item in self.plugins_by_type(Generator) if item.HandlesEntry(entry, metadata)]
        return (willing[0].HandleEntry if len(willing) == 1 else None), willing

    def _listing(self, tag: str) -> list[tuple[Any, dict[str, EntryBinder]]]:
        """The generators that list entries of TAG by name, with these; looked up once per request."""
        memo = request_memo()
        key = ("generators that list", self, tag)
        listing: list[tuple[Any, dict[str, EntryBinder]]] | None = memo.get(key)
        if listing is None:
            listing = memo[key] = [
                (plugin, names)
                for plugin in self.plugins_by_type(Generator)
                if (names := plugin.Entries.get(tag, _NOBODY))
            ]
        return listing


def _canonical(document: Element) -> bytes:
    """What is the same for documents that say the same to a client, which does not look at the order of siblings."""
    children = sorted(_canonical(child) for child in document if is_element(child))
    head = etree.Element(document.tag, dict(sorted(attributes(document).items())))
    head.text = ((document.text or "").strip() if children else document.text) or None
    return b"".join([etree.tostring(head), *children, b"/"])


def is_bound(entry: Element) -> bool:
    """Whether ENTRY goes to the client as it is, but for the prefix of its tag."""
    return entry.tag.startswith("Bound") and entry.tag != "Bound"


def restore(entry: Element, before: Element) -> None:
    """Make ENTRY what BEFORE, a copy of it that is given up, was."""
    entry.attrib.clear()
    for key, value in attributes(before).items():
        entry.set(key, value)
    entry.text = before.text
    entry[:] = list(before)


def _names(plugins: list[Any]) -> str:
    return ", ".join(plugin.name for plugin in plugins)


def _sentence(err: Exception) -> str:
    return err.faultString if isinstance(err, Fault) else legal(str(err) or type(err).__name__)
