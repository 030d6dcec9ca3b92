"""The plugin, and what templates see of it."""

import os
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, ClassVar

from bcfg2.options import FloatOption, IntOption, Option, TimeoutOption, types
from bcfg2.server.plugin import ClientRunHooks, Connector, FileBacked, Plugin, PluginExecutionError, PluginInitError
from bcfg2.server.plugin.modules import imported, names_in
from bcfg2.server.plugin.services import CoreInterface, using
from bcfg2.server.plugins.ldap import connection
from bcfg2.server.plugins.ldap.query import LdapQuery
from bcfg2.server.plugins.ldap.results import Results
from bcfg2.server.versioned import Versioned, request_memo


class QueryModule(FileBacked):
    """The site's module.  One that cannot be imported leaves the queries as they were."""

    #: name of the query -> its class
    queries: Versioned[dict[str, type[LdapQuery]]] = Versioned({})
    #: Belongs to `queries`: a request that still sees older queries has the results of those.
    results: Versioned[Results] = Versioned()

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.results = Results()

    def HandleEvent(self, event: Any = None) -> None:
        if event is not None and event.code2str() == "deleted":
            self._take({})
        super().HandleEvent(event)

    def read(self) -> None:
        members = vars(imported(self.name, "__Ldap_config"))
        if "__queries__" not in members:
            raise PluginExecutionError("it has no list __queries__ of the names of its queries")
        queries: dict[str, type[LdapQuery]] = {}
        for name in names_in(members, "__queries__"):
            query = members.get(name)
            if not isinstance(query, type) or not issubclass(query, LdapQuery):
                raise PluginExecutionError(f"{name} in __queries__ is no class that inherits LdapQuery")
            if queries.setdefault(query.name or query.__name__, query) is not query:
                raise PluginExecutionError(f"two queries have the name {query.name or query.__name__}")
        self._take(queries)

    def _take(self, queries: dict[str, type[LdapQuery]]) -> None:
        self.queries = queries
        self.results = Results()
        self.core.metadata_cache.expire()


class QueryResults(Mapping[str, Any]):
    """``metadata.Ldap`` of one client: a query runs when its result is asked for first."""

    def __init__(self, plugin: "Ldap", metadata: Any) -> None:
        self._plugin = plugin
        self._metadata = metadata

    def __getitem__(self, name: str) -> Any:
        if name not in self._plugin.config.queries or not self._plugin.is_applicable(name, self._metadata):
            raise KeyError(name)
        return self._plugin.result(name, self._metadata)

    def __contains__(self, name: object) -> bool:
        return name in self._plugin.config.queries and self._plugin.is_applicable(str(name), self._metadata)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._plugin.config.queries if self._plugin.is_applicable(name, self._metadata))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<results of the LDAP queries {', '.join(self)}>"


class Ldap(Plugin, Connector, ClientRunHooks):
    """Runs the queries of ``Ldap/config.py`` for templates."""

    experimental = True
    options: ClassVar[list[Option]] = [
        IntOption("ldap", "retries", default=3, help="How often a server that is down is tried again"),
        FloatOption("ldap", "retry_delay", default=5.0, help="Seconds before each of these attempts"),
        TimeoutOption(
            "ldap", "timeout", default=10.0, help="Seconds that connecting, binding and a search may take, each"
        ),
        Option(
            "ldap",
            "cache",
            parse=types.boolean,
            help="Keep results until Ldap.expire_cache is called (yes), or not at all (no); "
            "none: until the client's next run",
        ),
    ]
    __rmi__: ClassVar[list[str]] = [*Plugin.__rmi__, "expire_cache"]
    __child_rmi__: ClassVar[list[Any]] = [*Plugin.__child_rmi__, "expire_cache"]

    def __init__(self, core: CoreInterface) -> None:
        if not connection.available:
            raise PluginInitError("Ldap needs python-ldap: install bcfg2[ldap]")
        super().__init__(core)
        self.config = QueryModule(os.path.join(self.data, "config.py"))
        core.fam.AddMonitor(self.config.name, self.config)

    def get_additional_data(self, metadata: Any) -> QueryResults:
        return QueryResults(self, metadata)

    def start_client_run(self, metadata: Any) -> None:
        """Have the queries run again for the client."""
        if self.settings.ldap_cache is None:
            self.expire_cache(host=metadata.hostname)
            request_memo().pop((self, "results", metadata.hostname), None)

    def expire_cache(self, query: str | None = None, host: str | None = None) -> None:
        """Forget the results of QUERY (without it: of all queries) for the client HOST (without it: for all)."""
        self.config.results.drop(query, host)

    def is_applicable(self, name: str, metadata: Any) -> bool:
        """Whether the query NAME is for this client; where that cannot be told, it is (and has no result)."""
        answers = request_memo().setdefault((self, "applicable", metadata.hostname), {})
        if name not in answers:
            try:
                answers[name] = bool(self.config.queries[name]().is_applicable(metadata))
            except Exception:  # noqa: BLE001 - the site's module may raise anything; it is logged
                self._failed(name, metadata)
                answers[name] = True
                self._results(metadata)[name] = None
        applicable: bool = answers[name]
        return applicable

    def result(self, name: str, metadata: Any) -> Any:
        """The result of the query NAME: one for a request, and for others as ``[ldap] cache`` says."""
        results = self._results(metadata)
        if name not in results:
            results[name] = self._kept_result(name, metadata)
        return _copied(results[name])

    def _results(self, metadata: Any) -> dict[str, Any]:
        """The results that this request has for the client."""
        results: dict[str, Any] = request_memo().setdefault((self, "results", metadata.hostname), {})
        return results

    def _kept_result(self, name: str, metadata: Any) -> Any:
        """The result of the query NAME, kept or new; None if there is none."""
        kept = {} if self.settings.ldap_cache is False else self.config.results.of(metadata.hostname)
        if name not in kept:
            try:
                with using(self.core):
                    result = self.config.queries[name]().get_result(metadata)
            except Exception:  # noqa: BLE001 - the site's module may raise anything; it is logged
                self._failed(name, metadata)
                return None
            if result is None:  # the server may have been down
                return None
            kept[name] = result
        return kept[name]

    def _failed(self, name: str, metadata: Any) -> None:
        """Log the exception that the site's query has raised."""
        self.logger.exception("The query %s of %s failed for %s", name, self.config.name, metadata.hostname)


def _copied(result: Any) -> Any:
    """A copy of RESULT, so that what a template does to it stays there; itself if it is of a kind without copies."""
    try:
        return deepcopy(result)
    except Exception:  # noqa: BLE001 - results are whatever the site's module makes
        return result
