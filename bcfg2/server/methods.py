"""The methods that clients and administrators call: what a core exposes, and how their answers are made."""

import inspect
import logging
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from lxml import etree

from bcfg2.log import Debuggable, set_debug_logging
from bcfg2.server.database import close_db_connection
from bcfg2.server.plugin import (
    Decision,
    MetadataConsistencyError,
    MetadataRuntimeError,
    Probing,
    Statistics,
)
from bcfg2.server.plugin.interfaces import Address
from bcfg2.server.statistics import stats, track_statistics
from bcfg2.xml import Element, XMLError, parse_string, tostring

F = TypeVar("F", bound=Callable[..., Any])

DECISION_MODES = ("whitelist", "blacklist")


def exposed(func: F) -> F:
    """Decorate a method of a core: it may be called by XML-RPC, with the caller's address as first argument."""
    func.exposed = True  # type: ignore[attr-defined]
    return func


class ExposedMethods(Debuggable):
    """The part of a core that answers calls; `address` is always the caller's (IP address, port)."""

    logger: logging.Logger
    fam: Any
    plugins: dict[str, Any]
    metadata: Any
    metadata_cache: Any
    rmi: dict[str, Callable[..., Any]]

    # what the core provides

    def plugins_by_type(self, base_cls: type) -> list[Any]:
        raise NotImplementedError

    def build_metadata(self, client_name: str) -> Any:
        raise NotImplementedError

    def check_acls(self, address: Address, rmi: str) -> bool:
        raise NotImplementedError

    def client_run_hook(self, hook: str, metadata: Any) -> None:
        raise NotImplementedError

    def critical_error(self, message: str) -> NoReturn:
        raise NotImplementedError

    def configuration_text(self, client: str) -> str:
        raise NotImplementedError

    def resolve_client(self, address: Address, cleanup_cache: bool = False, metadata: bool = True) -> tuple[str, Any]:
        raise NotImplementedError

    @property
    def metadata_cache_mode(self) -> str:
        raise NotImplementedError

    # a client's run

    @exposed
    @track_statistics()
    @close_db_connection
    def DeclareVersion(self, address: Address, version: str) -> bool:
        """Store the version of the client; an unknown client is registered."""
        client = self.resolve_client(address, metadata=False)[0]
        try:
            self.metadata.set_version(client, version)
        except (MetadataConsistencyError, MetadataRuntimeError) as err:
            self.critical_error(f"cannot set version of {client}: {err}")
        return True

    @exposed
    @close_db_connection
    def AssertProfile(self, address: Address, profile: str) -> bool:
        """Make a public group the profile of the client; an unknown client is registered with it."""
        client = self.resolve_client(address, metadata=False)[0]
        try:
            self.metadata.set_profile(client, profile, address)
        except (MetadataConsistencyError, MetadataRuntimeError) as err:
            self.critical_error(f"cannot set profile of {client}: {err}")
        return True

    @exposed
    @close_db_connection
    def GetProbes(self, address: Address) -> str:
        """The probes that the client is to run, as an XML document."""
        return tostring(self.probes_of(self.resolve_client(address, cleanup_cache=True)[1]))

    def probes_of(self, metadata: Any) -> Element:
        """The element ``probes`` with those of all Probing plugins; a fault if one of them fails."""
        answer = etree.Element("probes")
        for plugin in self.plugins_by_type(Probing):
            try:
                answer.extend(plugin.GetProbes(metadata))
            except Exception as err:  # noqa: BLE001 - plugins are other people's code
                self.critical_error(f"cannot get the probes of {plugin.name} for {metadata.hostname}: {err}")
        return answer

    @exposed
    @close_db_connection
    def RecvProbeData(self, address: Address, probedata: str) -> bool:
        """Take the output of probes, an XML document."""
        client, metadata = self.resolve_client(address)
        if self.metadata_cache_mode == "cautious":
            self.metadata_cache.expire(client)
        try:
            document = parse_string(probedata, f"probe data of {client}")
        except XMLError as err:
            self.critical_error(str(err))
        by_source: dict[str, list[Element]] = {}
        for element in document:
            by_source.setdefault(element.get("source", ""), []).append(element)
        for source, elements in by_source.items():
            plugin = self.plugins.get(source)
            if plugin is None:
                self.logger.warning("%s sent probe data for %r, which is no loaded plugin", client, source)
                continue
            try:
                plugin.ReceiveData(metadata, elements)
            except Exception as err:  # noqa: BLE001 - plugins are other people's code
                self.critical_error(f"{source} cannot take probe data of {client}: {err}")
        return True

    @exposed
    @close_db_connection
    def GetDecisionList(self, address: Address, mode: str) -> list[list[str]]:
        """The (tag, name) pairs of the client's list MODE, ``whitelist`` or ``blacklist``."""
        return [list(pair) for pair in self.GetDecisions(self.resolve_client(address)[1], mode)]

    def GetDecisions(self, metadata: Any, mode: str) -> list[tuple[str, str]]:
        """The (tag, name) pairs of all Decision plugins; a plugin that fails adds nothing."""
        decisions: list[tuple[str, str]] = []
        if mode not in DECISION_MODES:
            self.logger.error("%s asked for the unknown decision list %r", metadata.hostname, mode)
            return decisions
        for plugin in self.plugins_by_type(Decision):
            try:
                decisions.extend(plugin.GetDecisions(metadata, mode))
            except Exception:
                self.logger.exception("GetDecisions of plugin %s failed for %s", plugin.name, metadata.hostname)
        return decisions

    @exposed
    @close_db_connection
    def GetConfig(self, address: Address) -> str:
        """The configuration of the client, as an XML document."""
        return self.configuration_text(self.resolve_client(address, metadata=False)[0])

    @exposed
    @close_db_connection
    def RecvStats(self, address: Address, document: str) -> bool:
        """Take the statistics of the client's run, an XML document."""
        client = self.resolve_client(address, metadata=False)[0]
        self.process_statistics(client, parse_string(document, f"statistics of {client}"))
        return True

    def process_statistics(self, client_name: str, statistics: Element) -> None:
        """Hand the document STATISTICS to all Statistics plugins; :exc:`ValueError` if it holds none."""
        found = statistics.find(".//Statistics")
        if found is None:
            raise ValueError(f"the statistics of {client_name} hold no Statistics element")
        metadata = self.build_metadata(client_name)
        if found.get("version", "") >= "2.0":
            for plugin in self.plugins_by_type(Statistics):
                try:
                    plugin.process_statistics(metadata, statistics)
                except Exception:
                    self.logger.exception("Plugin %s cannot take the statistics of %s", plugin.name, client_name)
        self.logger.info("Client %s reported state %s", client_name, found.get("state", "unknown"))
        self.client_run_hook("end_statistics", metadata)

    # about the server

    @exposed
    def listMethods(self, address: Address) -> list[str]:
        """The names of all methods that the caller may call."""
        own = sorted(name for name, _ in inspect.getmembers(type(self), lambda item: getattr(item, "exposed", False)))
        return [name for name in [*own, *self.rmi] if self.check_acls(address, name)]

    @exposed
    def methodHelp(self, address: Address, method_name: str) -> str:
        """What the named method does; empty for anything that is not exposed."""
        method = getattr(type(self), str(method_name), None)
        return (inspect.getdoc(method) or "") if getattr(method, "exposed", False) else ""

    @exposed
    def get_statistics(self, address: Address) -> dict[str, list[Any]]:
        """Name -> [minimum, maximum, mean, count] of the seconds that parts of the server took."""
        return {name: list(value) for name, value in stats.display().items()}

    @exposed
    def expire_metadata_cache(self, address: Address, hostnames: str | list[str] | None = None) -> None:
        """Forget the cached metadata of the named clients, or of all."""
        if hostnames is None:
            self.metadata_cache.expire()
            return
        for name in [hostnames] if isinstance(hostnames, str) else hostnames:
            self.metadata_cache.expire(name)

    # debug switches

    @exposed
    def toggle_debug(self, address: Address) -> bool:  # type: ignore[override]
        """Switch debugging of everything to what the core's is not; the new state."""
        return self.set_debug(address, not self.debug_flag)

    @exposed
    def set_debug(self, address: Address, debug: Any) -> bool:  # type: ignore[override]
        """Switch debugging of the core, the file monitor and all plugins; the new state."""
        for plugin in self.plugins.values():
            plugin.set_debug(debug)
        self.fam.set_debug(debug)
        return self.set_core_debug(address, debug)

    @exposed
    def toggle_core_debug(self, address: Address) -> bool:
        """Switch debugging of the core; the new state."""
        return self.set_core_debug(address, not self.debug_flag)

    @exposed
    def set_core_debug(self, address: Address, debug: Any) -> bool:
        """Switch debugging of the core, and with it the levels of all logs; the new state."""
        state = super().set_debug(debug)
        set_debug_logging(state)
        self.logger.info("Core debugging is now %s", "on" if state else "off")
        return state

    @exposed
    def toggle_fam_debug(self, address: Address) -> str:
        """Deprecated: switch debugging of the file monitor; a note and the new state."""
        return self.set_fam_debug(address, not self.fam.debug_flag)

    @exposed
    def set_fam_debug(self, address: Address, debug: Any) -> str:
        """Deprecated: switch debugging of the file monitor; a note and the new state."""
        monitor = type(self.fam).__name__
        note = f"Deprecated: call {monitor}.set_debug or {monitor}.toggle_debug instead"
        self.logger.warning(note)
        return f"{note}\n{self.fam.set_debug(debug)}"
