"""The base class of a site's queries."""

from collections.abc import Sequence
from typing import Any

from bcfg2.server.plugins.ldap.connection import LdapConnection


class LdapQuery:
    """One query.

    The site's classes give values to the attributes and override :meth:`is_applicable`, :meth:`prepare_query` and
    :meth:`process_result`.  The plugin makes an object for each client and each evaluation, so what these methods
    assign to `self` is nobody else's.
    """

    #: The key in ``metadata.Ldap``; None: the name of the class.
    name: str | None = None
    #: Below which entry to search, how far (``sub``, ``one`` or ``base``), and for what.
    base: str = ""
    scope: str = "sub"
    filter: str = "(objectClass=*)"
    #: The attributes to be fetched; None: all.
    attrs: Sequence[str] | None = None
    connection: LdapConnection | None = None
    #: What the search has found, as python-ldap gives it; None if the server was down.
    result: Any = None

    def __init__(self) -> None:
        if self.name is None:
            self.name = type(self).__name__

    def is_applicable(self, metadata: Any) -> bool:
        """Whether there is such a query for the client."""
        return True

    def prepare_query(self, metadata: Any, **kwargs: Any) -> None:
        """Put what depends on the client into `base`, `filter` ..."""

    def process_result(self, metadata: Any, **kwargs: Any) -> Any:
        """What templates get, made from `result`."""
        return self.result

    def get_result(self, metadata: Any, **kwargs: Any) -> Any:
        """Prepare the query, run it, and return what comes of its result.  KWARGS are passed on."""
        self.prepare_query(metadata, **kwargs)
        if self.connection is None:
            raise ValueError(f"the query {self.name} has no connection")
        self.result = self.connection.run_query(self)
        return self.process_result(metadata, **kwargs)
