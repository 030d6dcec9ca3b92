"""``bcfg2-admin client``: the list of clients, changed from the command line."""

import logging
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bcfg2.log import escaped
from bcfg2.options import Argument, Options
from bcfg2.server.admin import ONLY_METADATA, CommandError, CoreCommand

if TYPE_CHECKING:
    from bcfg2.server.plugins.metadata import Metadata

logger = logging.getLogger("bcfg2.admin")

#: Attributes of a client that can be given.
ATTRIBUTES = ("profile", "uuid", "password", "floating", "secure", "address", "auth")


def parse_attributes(words: Iterable[str]) -> dict[str, str]:
    """The attributes that WORDS like ``profile=web`` give; :exc:`CommandError` if one is no such word.

    >>> parse_attributes(["profile=web", "password=a=b"])
    {'profile': 'web', 'password': 'a=b'}
    """
    attributes = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise CommandError(f"{word!r} is not of the form ATTR=VALUE")
        if name not in ATTRIBUTES:
            raise CommandError(f"a client has no attribute {name!r}: use one of {', '.join(ATTRIBUTES)}")
        attributes[name] = value
    return attributes


def _list(metadata: "Metadata", host: str, attributes: dict[str, str]) -> None:
    sys.stdout.write("".join(f"{escaped(name)}\n" for name in metadata.list_clients()))


def _add(metadata: "Metadata", host: str, attributes: dict[str, str]) -> None:
    if not metadata.add_client(host, attributes):
        lost = ", the attributes are not used (client update sets them)" if attributes else ""
        logger.warning("%s is a client already, or the alias of one: nothing is changed%s", host, lost)


def _update(metadata: "Metadata", host: str, attributes: dict[str, str]) -> None:
    metadata.update_client(host, attributes)
    if not attributes:
        logger.warning("No attributes are given, nothing is changed")


def _delete(metadata: "Metadata", host: str, attributes: dict[str, str]) -> None:
    if attributes:
        raise CommandError("a client is deleted as a whole: leave the attributes out", status=2)
    metadata.remove_client(host)


#: Word on the command line -> what is done with the metadata, the host and its attributes.
ACTIONS = {
    "list": _list,
    "add": _add,
    "update": _update,
    "up": _update,
    "del": _delete,
    "delete": _delete,
    "rm": _delete,
    "remove": _delete,
}


class Client(CoreCommand):
    """List, add, update or delete clients in clients.xml; a running server notices."""

    options = (
        *CoreCommand.options,
        ONLY_METADATA,
        Argument(dest="action", help=f"One of {', '.join(ACTIONS)}"),
        Argument(dest="host", nargs="?", help="Name of the client"),
        Argument(dest="attribute", nargs="*", help=f"ATTR=VALUE, where ATTR is one of {', '.join(ATTRIBUTES)}"),
    )

    def run(self, options: Options) -> int:
        action = ACTIONS.get(options.action)
        if action is None:
            raise CommandError(f"unknown action {options.action}: use one of {', '.join(ACTIONS)}", status=2)
        host, attributes = options.host, {}
        if action is _list:
            if host:
                logger.warning("All clients are listed, %s is ignored", host)
        elif host:
            attributes = parse_attributes(options.attribute or ())
        else:
            raise CommandError(f"client {options.action} needs the name of a host", status=2)
        with self.core(options) as core:
            action(core.metadata, host, attributes)
        return 0
