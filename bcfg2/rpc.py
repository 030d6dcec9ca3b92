"""XML-RPC over HTTPS as a client of the server speaks it: the suite's one way out.

.. code-block:: text

    Proxy.GetConfig()  ->  call("GetConfig")  ->  tries, with pauses
                             one try:  connect, TLS, check who the server is, POST, read within limits, decode

Every call is a connection of its own.  A fault that the server sends is :exc:`xmlrpc.client.Fault`; whatever keeps an
answer from arriving is an :exc:`RPCError`, whose text says what happened, to which server, and what to do.
"""

import base64
import http.client
import logging
import random
import re
import ssl
import time
import urllib.parse
import xmlrpc.client
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bcfg2.options import (
    CA,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    PASSWORD,
    PROTOCOL,
    REQUIRE_CA,
    RETRIES,
    RETRY_DELAY,
    SERVER,
    SERVER_COMMON_NAMES,
    TIMEOUT,
    USER,
    Option,
    Options,
)
from bcfg2.unmarshal import unmarshal
from bcfg2.version import __version__
from bcfg2.xml import legal

logger = logging.getLogger("bcfg2.rpc")

#: Bytes of an answer that are read unless a :class:`Proxy` is told otherwise.
SIZE_LIMIT = 256 * 1024 * 1024

#: The options of a command that calls a server; see :meth:`Proxy.from_options`.
OPTIONS: tuple[Option, ...] = (
    SERVER,
    USER,
    PASSWORD,
    PROTOCOL,
    CA,
    REQUIRE_CA,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    SERVER_COMMON_NAMES,
    TIMEOUT,
    RETRIES,
    RETRY_DELAY,
)

#: Seconds, about 24 days: the system cannot wait longer.
_LONGEST = 2_000_000.0
#: What the short words of the TLS library mean, for those that have a common cause.
_TLS_HINTS = {
    "WRONG_VERSION_NUMBER": "; the other side does not speak TLS: a proxy, or another service on this port",
    "HTTP_REQUEST": "; the other side does not speak TLS: a proxy, or another service on this port",
    "UNSUPPORTED_PROTOCOL": "; the server speaks only TLS older than 1.2, which is not safe: renew its TLS library",
    "TLSV1_ALERT_PROTOCOL_VERSION": "; the server does not speak TLS 1.2 or later: renew its TLS library",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "; the server and this client have no cipher in common",
    "DH_KEY_TOO_SMALL": "; the server's key exchange is too weak to be safe: renew its TLS library",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "; the server wants a client certificate: set certificate and key",
}
_METHOD = re.compile(r"[A-Za-z0-9_.:/]+")


class RPCError(Exception):
    """No answer could be had.  The text is for people and holds no secrets."""

    #: Whether the same call may succeed a moment later.
    passing: bool = False


class RPCConnectionError(RPCError):
    """The server could not be reached, took too long, or the connection broke."""

    passing = True


class RPCCertificateError(RPCError):
    """The server is not who it should be, or a certificate, key or CA of ours cannot be used."""


class RPCAuthenticationError(RPCError):
    """The server refused the credentials, or its access rules refused the call (HTTP 401)."""


class RPCStatusError(RPCError):
    """The server answered with another HTTP status than 200; `status` has it."""

    passing = True

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class RPCAnswerError(RPCError):
    """The answer is no XML-RPC, or is too large."""


class Proxy:
    """The server at URL: ``proxy.GetProbes()``, ``proxy.Metadata.list_clients()``.

    `url`
        ``https://host[:port][/path]``; ``https://`` may be left out, and the path is ``/RPC2`` unless given.
    `user`, `password`
        Sent as Basic authentication if both are given.
    `ca`
        Path of the certificates that the server's own must chain to; it must also be issued for the host of the URL,
        or have one of `server_common_names`.  Without `ca` nobody knows who answers, and a warning says so, or with
        `require_ca` no server is called.
    `cert`, `key`
        Paths of the client's own certificate and key.  `cert` may hold both.
    `server_common_names`
        Names of which the server's certificate must have one, as common name or alternative name.  They need `ca`.
    `timeout`
        Seconds that connecting, and each read, may take; None, and zero or less: any time.
    `retries`, `retry_delay`
        How often a call is tried in all, and the seconds in between, which are up to half as many again by chance lest
        all clients of a server that was away come back at once.  What cannot pass by itself (refused credentials, a
        wrong certificate, and a fault unless `retry_faults`) is not tried again.
    `source_address`
        The local IP address to call from.
    `size_limit`
        The largest answer, in bytes.

    Raises :exc:`ValueError` for a URL that cannot be called and :exc:`RPCCertificateError` for files that cannot be
    used.  An object may be shared by threads.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        ca: str | Path | None = None,
        require_ca: bool = False,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        server_common_names: Sequence[str] = (),
        timeout: float | None = 90.0,
        retries: int = 3,
        retry_delay: float = 1.0,
        retry_faults: bool = False,
        source_address: str | None = None,
        size_limit: int = SIZE_LIMIT,
    ) -> None:
        self._host, self._port, self._path = _parts(url)
        self._server = f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"
        self._names = frozenset(server_common_names)
        if require_ca and not ca:
            raise RPCCertificateError(
                f"{self._server}: [communication] require_ca is set, and there is no ca that tells who the server is"
            )
        self._context = _context(self._server, ca, cert, key, self._names)
        self._timeout = min(timeout, _LONGEST) if timeout and timeout > 0 else None
        self._tries = max(1, retries)
        self._retry_delay = min(max(0.0, retry_delay), _LONGEST)
        self._retry_faults = retry_faults
        self._source_address = (source_address, 0) if source_address else None
        self._size_limit = size_limit
        self._headers = {"Content-Type": "text/xml", "User-Agent": f"bcfg2/{__version__}", "Connection": "close"}
        if user is not None and password is not None:
            token = base64.b64encode(f"{user}:{password}".encode("utf-8", "surrogateescape"))
            self._headers["Authorization"] = f"Basic {token.decode('ascii')}"

    @classmethod
    def from_options(cls, options: Options, *, retry_faults: bool = False) -> "Proxy":
        """The server that OPTIONS, those of :data:`OPTIONS`, tell of."""
        return cls(
            options.components_bcfg2,
            user=options.communication_user,
            password=options.communication_password,
            ca=options.communication_ca,
            require_ca=options.communication_require_ca,
            cert=options.communication_certificate,
            key=options.communication_key,
            server_common_names=options.communication_servercommonnames,
            timeout=options.communication_timeout,
            retries=options.communication_retries,
            retry_delay=options.communication_retry_delay,
            retry_faults=retry_faults,
        )

    def __getattr__(self, name: str) -> "RemoteMethod":
        if name.startswith("_"):
            raise AttributeError(name)
        return RemoteMethod(self.call, name)

    def __repr__(self) -> str:
        return f"<Proxy for {self._server}>"

    def call(self, method: str, *args: Any) -> Any:
        """What METHOD answers to ARGS; :exc:`xmlrpc.client.Fault` or :exc:`RPCError` if it does not.

        :exc:`ValueError` if the call cannot be written as XML-RPC.
        """
        body = _encode(method, args)
        for left in range(self._tries - 1, -1, -1):
            try:
                return decode(self._post(body), f"{method} of {self._server}")
            except (RPCError, xmlrpc.client.Fault) as err:
                if not (left and (err.passing if isinstance(err, RPCError) else self._retry_faults)):
                    raise
                pause = self._retry_delay * random.uniform(1.0, 1.5)
                logger.info("%s: %s; trying again in %.1f s (%d left)", method, err, pause, left)
            time.sleep(pause)
        raise AssertionError("unreachable: the last try returns or raises")

    def _post(self, body: bytes) -> bytes:
        """The body of the answer to one request, over a connection of its own."""
        connection = http.client.HTTPSConnection(
            self._host,
            self._port,
            timeout=self._timeout,
            source_address=self._source_address,
            context=self._context,
        )
        try:
            connection.connect()
            self._check_names(connection)
            connection.request("POST", self._path, body, self._headers)
            return self._read(connection.getresponse())
        except ssl.SSLCertVerificationError as err:
            reason = err.verify_message or err.reason
            raise RPCCertificateError(f"{self._server}: the server's certificate is not accepted: {reason}") from None
        except TimeoutError:
            raise RPCConnectionError(f"{self._server}: no answer within {self._timeout} s") from None
        except ssl.SSLError as err:
            reason = err.reason or str(err)
            raise RPCConnectionError(f"{self._server}: TLS failed: {reason}{_TLS_HINTS.get(reason, '')}") from None
        except (OSError, http.client.HTTPException) as err:
            raise RPCConnectionError(f"{self._server}: {_reason(err)}") from None
        finally:
            connection.close()

    def _check_names(self, connection: http.client.HTTPSConnection) -> None:
        if not self._names:
            return
        found = _names_of(connection.sock.getpeercert())
        if self._names.isdisjoint(found):
            raise RPCCertificateError(
                f"{self._server}: the server's certificate is for {', '.join(found) or 'nobody'}, "
                f"which is none of serverCommonNames: {', '.join(sorted(self._names))}"
            )

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        if response.status == 401:
            raise RPCAuthenticationError(
                f"{self._server}: the server refused (401): check user, password, certificate and address of this "
                "client, and the server's access rules; the server's log has the reason"
            )
        if response.status != 200:
            raise RPCStatusError(
                f"{self._server}: HTTP status {response.status} {response.reason}{_proxy_hint(response)}",
                response.status,
            )
        if (response.length or 0) <= self._size_limit:
            # Without a declared length one byte more than allowed tells that there are too many.
            body = response.read() if response.length is not None else response.read(self._size_limit + 1)
            if len(body) <= self._size_limit:
                return body
        raise RPCAnswerError(f"{self._server}: the answer is larger than {self._size_limit} bytes")


class RemoteMethod:
    """A method to be called; an attribute of it is the method of the dotted name."""

    def __init__(self, call: Callable[..., Any], name: str) -> None:
        self._call = call
        self._name = name

    def __getattr__(self, name: str) -> "RemoteMethod":
        if name.startswith("_"):
            raise AttributeError(name)
        return RemoteMethod(self._call, f"{self._name}.{name}")

    def __call__(self, *args: Any) -> Any:
        return self._call(self._name, *args)


def decode(body: bytes, what: str) -> Any:
    """The value that the XML-RPC answer BODY holds; WHAT names its origin in errors.

    Raises :exc:`xmlrpc.client.Fault` if it holds a fault and :exc:`RPCAnswerError` if it is no XML-RPC answer.
    """
    try:
        values, _ = unmarshal(body)
    except ValueError as err:
        raise RPCAnswerError(f"{what}: the answer is no XML-RPC: {err}") from None
    if len(values) != 1:
        raise RPCAnswerError(f"{what}: the answer holds {len(values)} values instead of one")
    return values[0]


def _encode(method: str, args: tuple[Any, ...]) -> bytes:
    """The call of METHOD with ARGS; :exc:`ValueError` if XML-RPC cannot carry it."""
    if not _METHOD.fullmatch(method):
        raise ValueError(f"{method!r} cannot be the name of a method")
    try:
        text = xmlrpc.client.dumps(args, method, allow_none=True)
    except (TypeError, OverflowError, RecursionError) as err:
        raise ValueError(f"{method}: an argument cannot be sent: {err}") from None
    if legal(text) != text:
        raise ValueError(f"{method}: an argument holds a character that XML cannot carry")
    return text.encode("utf-8")


def _parts(url: str) -> tuple[str, int, str]:
    """Host, port and path of URL."""
    parts = urllib.parse.urlsplit(url if "://" in url else f"https://{url}")
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        raise ValueError(f"{shown}: the server's URL must read https://host:port, without user and password")
    path = parts.path if parts.path not in ("", "/") else "/RPC2"
    return parts.hostname, parts.port or http.client.HTTPS_PORT, path


def _context(
    server: str, ca: str | Path | None, cert: str | Path | None, key: str | Path | None, names: frozenset[str]
) -> ssl.SSLContext:
    """How TLS is spoken: version 1.2 or later, the server verified if CA is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca:
        context.check_hostname = not names
        _use(lambda: context.load_verify_locations(ca), "CA", ca)
    elif names:
        raise RPCCertificateError("serverCommonNames needs ca: without it, names in a certificate prove nothing")
    else:
        logger.warning("No ca is configured: %s is not verified, anybody could answer in its place", server)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert:
        try:
            _use(lambda: context.load_cert_chain(cert, key or None, _no_passphrase), "certificate and key", cert, key)
        except RPCCertificateError as err:
            if key:
                raise
            logger.warning("No key is configured for the certificate, which is not used: %s", err)
    elif key:
        logger.warning("The key %s is not used, because no certificate is configured for it", key)
    return context


def _use(load: Callable[[], None], what: str, *paths: str | Path | None) -> None:
    try:
        load()
    except (OSError, ValueError) as err:  # an SSLError, for a file that is not PEM, is an OSError
        names = ", ".join(str(path) for path in paths if path)
        reason = err.reason if isinstance(err, ssl.SSLError) and err.reason else _reason(err)
        raise RPCCertificateError(f"{names}: cannot be used as {what}: {reason}") from None


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted; a key without passphrase is needed")


def _names_of(certificate: Any) -> list[str]:
    """Common names and DNS names of a certificate as :meth:`ssl.SSLSocket.getpeercert` describes it."""
    subject = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    alternative = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
    return list(dict.fromkeys([*subject, *alternative]))


def _proxy_hint(response: http.client.HTTPResponse) -> str:
    """Words about a proxy, where what answers does not look like a server of this suite."""
    if response.status in (407, 502, 503, 504) or response.getheader("Via"):
        return "; a proxy between here and the server may have answered in its place"
    return ""


def _reason(err: Exception) -> str:
    """What happened, in words."""
    if isinstance(err, http.client.RemoteDisconnected):
        return "the server closed the connection without an answer"
    if isinstance(err, http.client.IncompleteRead):
        return "the connection broke in the middle of the answer"
    if isinstance(err, OSError) and err.strerror:
        return err.strerror
    return str(err) or type(err).__name__
