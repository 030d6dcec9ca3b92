"""Whether credentials are good, and whose they are.

.. code-block:: text

    certificate            -> the client that it names        must call from its address
    user root              -> the client at the address
    user, some uuid        -> the client with this uuid       must call from its address, if it has one
    user, any other name   -> the client of this name, which may be a new one
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bcfg2.server.plugin import MetadataConsistencyError
from bcfg2.server.plugins.metadata.clients import Client, ClientTable
from bcfg2.server.plugins.metadata.reverse import ReverseLookup


class Refused(Exception):
    """The credentials are not good; the text says why, for the log and never for the caller."""


class SelfNamed(str):
    """The name of a client that nobody knew, which nothing but the user name of its connection tells."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """Who somebody says to be.

    `client` is None for a name that nobody knows.  `method`: how it was said, ``cert``, ``address``, ``uuid`` or
    ``name``.
    """

    name: str
    client: Client | None
    method: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """What comes with a connection.  `cert` is as the ssl module describes a certificate, or None."""

    cert: Mapping[str, Any] | None
    user: str
    password: str
    ip: str


class Authenticator:
    """Decides who may speak.  What clients.xml says is passed to each method as a :class:`ClientTable`."""

    def __init__(self, reverse: ReverseLookup) -> None:
        self._reverse = reverse

    def client_at(self, table: ClientTable, ip: str) -> str:
        """The name of the client at the address IP; MetadataConsistencyError if the address does not tell."""
        claimed = table.at(ip)
        if len(claimed) == 1:
            return claimed[0]
        if claimed:
            raise MetadataConsistencyError(f"{len(claimed)} clients have the address {ip}, a uuid must be used")
        name = self._reverse.name_of(ip)
        if name is None:
            raise MetadataConsistencyError(f"no client has the address {ip}, and it has no name")
        return table.canonical(name)

    def authenticate(self, table: ClientTable, default_auth: str, password: str | None, given: Credentials) -> Claim:
        """Who speaks; :exc:`Refused` if it may not.

        DEFAULT_AUTH is for clients whose entry does not say how they are to prove themselves, PASSWORD is the one for
        all clients.
        """
        claim = self._claim(table, given)
        client, method = claim.client, claim.method
        auth = (client.auth if client else None) or default_auth
        if auth == "cert" and method != "cert":
            raise Refused(f"{claim.name} must show a certificate")
        self._check_address(table, claim, given)
        if method != "cert" or auth == "cert+password":
            _check_password(client, password, given.password)
        return claim

    def _claim(self, table: ClientTable, given: Credentials) -> Claim:
        if given.cert is not None:
            method, name = "cert", table.canonical(_common_name(given.cert))
        elif given.user == "root":
            method = "address"
            try:
                name = self.client_at(table, given.ip)
            except MetadataConsistencyError as err:
                raise Refused(str(err)) from err
        elif given.user in table.uuids:
            method, name = "uuid", table.uuids[given.user]
        else:
            method, name = "name", table.canonical(given.user)
        if not name:
            raise Refused("it names no client")
        return Claim(name, table.clients.get(name), method)

    def _check_address(self, table: ClientTable, claim: Claim, given: Credentials) -> None:
        """Refuse a client that calls from another place than its own."""
        client = claim.client
        if claim.method == "name" and client is None:
            return  # a new client, which has no place yet
        if client is not None and client.floating:
            return
        if claim.method == "uuid" and client is not None and not client.addresses:
            return
        claimed = table.at(given.ip)
        if claimed:
            if claim.name not in claimed:
                raise Refused(f"{claim.name} may not call from {given.ip}, the address of {', '.join(claimed)}")
            return
        name = self._reverse.name_of(given.ip)
        if name is None or table.canonical(name) != claim.name:
            raise Refused(f"{claim.name} may not call from {given.ip}, whose name is {name or 'unknown'}")


def _common_name(cert: Mapping[str, Any]) -> str:
    """The one common name of the subject of CERT."""
    names = {str(value) for part in cert.get("subject", ()) for key, value in part if key == "commonName"}
    if len(names) != 1:
        raise Refused(f"the certificate has {len(names)} common names, not one")
    return names.pop()


def _check_password(client: Client | None, common: str | None, given: str) -> None:
    """Refuse GIVEN unless it is the client's own password, or the COMMON one if the client may use that."""
    own = client.password if client else None
    if client is not None and client.secure:
        if not own:
            raise Refused(f"{client.name} is secure but has no password of its own in clients.xml")
        common = None
    matches = [_same(expected, given) for expected in (own, common) if expected]
    if not any(matches):
        raise Refused("the password is wrong" if matches else "there is no password to compare with")


def _same(expected: str, given: str) -> bool:
    """Whether two passwords are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(expected.encode("utf-8", "surrogatepass"), given.encode("utf-8", "surrogatepass"))
