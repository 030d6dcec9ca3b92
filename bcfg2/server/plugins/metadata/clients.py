"""What clients.xml says: clients, their other names and their addresses, as one immutable snapshot."""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from bcfg2.xml import Element, is_true

#: Ways in which a client may prove who it is.
AUTH_TYPES = ("cert", "bootstrap", "cert+password")

#: Attributes of a client that :meth:`ClientTable.replaced` may change.
REPLACEABLE = frozenset({"profile", "version", "auth"})


@dataclass(frozen=True, slots=True)
class Client:
    """One client, as all ``Client`` elements of its name together describe it.

    `addresses` has the client's own and those of its aliases.  `secure`: only its own password is accepted.
    `floating`: it may connect from any address.  `auth`: one of :data:`AUTH_TYPES`, or None for the server's default.
    """

    name: str
    profiles: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    uuid: str | None = None
    password: str | None = None
    version: str | None = None
    auth: str | None = None
    floating: bool = False
    secure: bool = False

    def with_attributes(self, attributes: Mapping[str, str]) -> "Client":
        """The client after ATTRIBUTES, of those in :data:`REPLACEABLE`, have been set on its elements."""
        profile = attributes.get("profile")
        return replace(
            self,
            profiles=(profile,) if profile else self.profiles,
            version=attributes.get("version", self.version) or None,
            auth=attributes.get("auth", self.auth) or None,
        )


def client_of(get: Callable[[str], str | None], aliases: Iterable[Element] = ()) -> Client:
    """The client whose ``Client`` element has the attributes that GET tells, and these ``Alias`` elements."""
    names: list[str] = []
    addresses = [get("address")]
    for alias in aliases:
        if name := alias.get("name"):
            names.append(name.lower())
            addresses.append(alias.get("address"))
    profile, auth = get("profile"), get("auth") or None
    return Client(
        (get("name") or "").lower(),
        (profile,) if profile else (),
        tuple(names),
        tuple(dict.fromkeys(address for address in addresses if address)),
        get("uuid") or None,
        get("password") or None,
        get("version") or None,
        auth if auth is None or auth in AUTH_TYPES else "cert",
        is_true(get("floating")) or get("location") == "floating",
        is_true(get("secure")),
    )


def _combined(earlier: Client, later: Client) -> Client:
    """What two elements of one name say together: lists add up, of all else the last one that says it counts."""
    return replace(
        later,
        profiles=tuple(dict.fromkeys(earlier.profiles + later.profiles)),
        aliases=tuple(dict.fromkeys(earlier.aliases + later.aliases)),
        addresses=tuple(dict.fromkeys(earlier.addresses + later.addresses)),
        uuid=later.uuid or earlier.uuid,
        password=later.password or earlier.password,
        version=later.version or earlier.version,
        auth=later.auth or earlier.auth,
        floating=later.floating or earlier.floating,
        secure=later.secure or earlier.secure,
    )


@dataclass(frozen=True)
class ClientTable:
    """All clients.

    `clients`: canonical name -> client, in the order of the file.  `aliases`: other name -> canonical name.
    `addresses`: address, in its canonical form -> names of those who claim it.  `uuids`: user name -> canonical name.
    """

    clients: Mapping[str, Client]
    aliases: Mapping[str, str]
    addresses: Mapping[str, tuple[str, ...]]
    uuids: Mapping[str, str]

    @classmethod
    def of(cls, root: Element) -> "ClientTable":
        """What the document ROOT says."""
        clients: dict[str, Client] = {}
        for element in root.iter("Client"):
            if element.get("name"):
                client = client_of(element.get, element.iterchildren("Alias") if len(element) else ())
                earlier = clients.get(client.name)
                clients[client.name] = client if earlier is None else _combined(earlier, client)
        return cls.of_clients(clients)

    @classmethod
    def of_clients(cls, clients: Mapping[str, Client]) -> "ClientTable":
        """The table of CLIENTS, name -> client."""
        aliases: dict[str, str] = {}
        addresses: dict[str, tuple[str, ...]] = {}
        uuids: dict[str, str] = {}
        for client in clients.values():
            _index(client, aliases, addresses, uuids)
        return cls(clients, aliases, addresses, uuids)

    def canonical(self, name: str) -> str:
        """The name under which the client NAME, or with the alias NAME, is known; an unknown name in lower case."""
        name = name.lower()
        return self.aliases.get(name, name)

    def get(self, name: str) -> Client | None:
        """The client with this name or alias."""
        return self.clients.get(self.canonical(name))

    def at(self, address: str) -> tuple[str, ...]:
        """The names of all clients that claim ADDRESS."""
        return self.addresses.get(canonical_address(address), ())

    @cached_property
    def profiles(self) -> frozenset[str]:
        """All groups that are named as profiles."""
        return frozenset(profile for client in self.clients.values() for profile in client.profiles)

    def replaced(self, changes: Mapping[str, Client]) -> "ClientTable":
        """The table with CHANGES, name -> client.

        Of a client that is in the table already, only what :data:`REPLACEABLE` names may differ.
        """
        new = [client for name, client in changes.items() if name not in self.clients]
        clients = dict(self.clients)  # much faster than {**...}
        clients.update(changes)
        if not any(client.aliases or client.addresses or client.uuid for client in new):
            return ClientTable(clients, self.aliases, self.addresses, self.uuids)
        aliases, addresses, uuids = dict(self.aliases), dict(self.addresses), dict(self.uuids)
        for client in new:
            _index(client, aliases, addresses, uuids)
        return ClientTable(clients, aliases, addresses, uuids)


def _index(
    client: Client, aliases: dict[str, str], addresses: dict[str, tuple[str, ...]], uuids: dict[str, str]
) -> None:
    for alias in client.aliases:
        aliases[alias] = client.name
    for address in map(canonical_address, client.addresses):
        claimed = addresses.get(address, ())
        if client.name not in claimed:
            addresses[address] = (*claimed, client.name)
    if client.uuid is not None:
        uuids[client.uuid] = client.name


def canonical_address(address: str) -> str:
    """ADDRESS as it is compared: there are many ways to write an IPv6 address."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Address(address.partition("%")[0]))
    except ValueError:
        return address
