"""Connections to LDAP servers, as the site's module describes them.

This is python-ldap and no other library, because its constants and its results are part of what the module relies on.
"""

import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from bcfg2.server.plugin.services import current_core
from bcfg2.server.versioned import request_memo

try:
    import ldap
except ImportError:
    ldap = None

#: Whether there is python-ldap.
available = ldap is not None

logger = logging.getLogger("bcfg2.Ldap")

LDAPS_PORT = 636
#: Handles that one connection keeps open while nobody uses them.
_IDLE_HANDLES = 8


class LdapConnection:
    """A server and how to speak to it.

    URI, such as ``ldapi:///``, takes the place of HOST and PORT; port 636 means ``ldaps``.  OPTIONS maps options of
    python-ldap to their values.  Who is asking is said, by a simple bind, if both BINDDN and BINDPW are given.  All of
    this may also be assigned to the attributes of these names before the first query.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 389,
        uri: str | None = None,
        options: Mapping[int, Any] | None = None,
        binddn: str | None = None,
        bindpw: str | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.uri = uri
        self.options = options
        self.binddn = binddn
        self.bindpw = bindpw
        self._idle: deque[Any] = deque(maxlen=_IDLE_HANDLES)  # one that falls out is closed by its destructor

    @property
    def url(self) -> str:
        """Where the server is."""
        if self.uri:
            return self.uri
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ldaps' if int(self.port) == LDAPS_PORT else 'ldap'}://{host}:{self.port}"

    def run_query(self, query: Any) -> list[Any] | None:
        """What python-ldap gives for the LdapQuery QUERY: (distinguished name, attribute -> list of bytes) pairs.

        None if the server is down, and still is after ``[ldap] retries`` more attempts.  Whoever asks once more in the
        same request then has None at once.  Other errors are raised: :exc:`ldap.LDAPError`.
        """
        memo, given_up = request_memo(), (self, "down")
        if given_up in memo:
            return None
        result = self._unless_down(lambda handle: _search(handle, query))
        if result is None:
            memo[given_up] = True
        return result

    def _unless_down(self, search: Callable[[Any], list[Any]]) -> list[Any] | None:
        """What SEARCH returns for a handle; None if the server is and stays down."""
        core = current_core()
        retries: int = max(0, core.options.ldap_retries)
        for attempt in range(retries + 1):
            try:
                return self._search(search)
            except ldap.SERVER_DOWN as err:
                last = attempt == retries
                told = "giving up" if last else f"trying again in {core.options.ldap_retry_delay:g} s"
                logger.log(
                    logging.ERROR if last else logging.WARNING, "%s is down (%s), %s", self.url, _text(err), told
                )
                if last or core.terminate.wait(core.options.ldap_retry_delay):
                    break
        return None

    def _search(self, search: Callable[[Any], list[Any]]) -> list[Any]:
        """What SEARCH returns for a handle that has been used before, or for a new one."""
        while (handle := self._taken()) is not None:
            try:
                result = search(handle)
                break
            except ldap.SERVER_DOWN:  # maybe it was only this handle's connection that the server has ended
                continue
        else:
            handle = self._connected()
            result = search(handle)
        self._idle.append(handle)
        return result

    def _taken(self) -> Any:
        """A handle that nobody uses just now; None if there is none."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connected(self) -> Any:
        """A new handle.  No answer in time counts as a server that is down."""
        handle = ldap.initialize(self.url)
        if (seconds := current_core().options.ldap_timeout) is not None:
            handle.set_option(ldap.OPT_NETWORK_TIMEOUT, seconds)
            handle.set_option(ldap.OPT_TIMEOUT, seconds)
            handle.set_option(ldap.OPT_X_KEEPALIVE_IDLE, max(1, int(seconds)))
            _check_tls(self.url, seconds)
        for option, value in (self.options or {}).items():
            handle.set_option(option, value)
        if self.binddn and self.bindpw:
            try:
                handle.simple_bind_s(self.binddn, self.bindpw)
            except ldap.TIMEOUT as err:
                raise ldap.SERVER_DOWN(*err.args) from err
        return handle


def _check_tls(url: str, seconds: float) -> None:
    """:exc:`ldap.SERVER_DOWN` if URL is one of TLS and nobody there begins a handshake within SECONDS.

    Where libldap is made with GnuTLS, as Debian's is, it waits without end for such a server, using all of a processor.
    """
    parts = urlsplit(url)
    if parts.scheme != "ldaps" or not parts.hostname:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # that is libldap's business
    try:
        with socket.create_connection((parts.hostname, parts.port or LDAPS_PORT), seconds) as plain:
            context.wrap_socket(plain).close()
    except ssl.SSLError:
        return  # which libldap will say better
    except OSError as err:
        raise ldap.SERVER_DOWN({"desc": "Can't contact LDAP server", "info": str(err)}) from err


def _search(handle: Any, query: Any) -> list[Any]:
    """What HANDLE finds for QUERY."""
    scopes = {"sub": ldap.SCOPE_SUBTREE, "one": ldap.SCOPE_ONELEVEL, "base": ldap.SCOPE_BASE}
    if query.scope not in scopes:
        raise ValueError(f"the scope {query.scope!r} is not one of {', '.join(scopes)}")
    found: list[Any] = handle.search_s(query.base, scopes[query.scope], query.filter, query.attrs)
    return found


def _text(err: Exception) -> str:
    """What an error of python-ldap says."""
    detail = err.args[0] if err.args and isinstance(err.args[0], dict) else {}
    return "; ".join(str(detail[key]) for key in ("desc", "info") if detail.get(key)) or str(err)
