"""How semanage names records of the SELinux policy: a kind for each tag of entries, and how its lists read.

A record is a dictionary of the attributes that an entry of the tag has, the name among them; what identifies it is its
name, of file contexts with the kind of file.
"""

import ipaddress
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from bcfg2.client.tools.base import InstallError

Record: TypeAlias = Mapping[str, str]

#: Kind of file -> letter on the command line, words in lists.
FILE_TYPES = {
    "all": ("a", "all files"),
    "regular": ("f", "regular file"),
    "directory": ("d", "directory"),
    "symlink": ("l", "symbolic link"),
    "pipe": ("p", "named pipe"),
    "socket": ("s", "socket"),
    "block": ("b", "block device"),
    "char": ("c", "character device"),
}
_BY_LETTER = {letter: name for name, (letter, _) in FILE_TYPES.items()}
_BY_WORDS = {words: name for name, (_, words) in FILE_TYPES.items()}

_COLUMNS = re.compile(r"\s{2,}")
_BOOLEAN = re.compile(r"(\S+)\s+\(\s*(on|off)\s*,\s*(on|off)\s*\).*")


class Identity(NamedTuple):
    """What tells a record from others of its tag."""

    name: str
    filetype: str = ""


@dataclass(frozen=True)
class Kind:
    """One tag: what semanage calls it, and the attributes that an entry needs besides a name or may have.

    `parse`: the records in a line of ``semanage NOUN -l -n``.
    """

    noun: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    parse: Callable[[str], Iterator[Record]]


def _booleans(line: str) -> Iterator[Record]:
    if match := _BOOLEAN.fullmatch(line.strip()):
        yield {"name": match[1], "value": match[2] if match[2] == match[3] else f"{match[2]} until the next boot"}


def _contexts(line: str) -> Iterator[Record]:
    words = _COLUMNS.split(line.strip())
    if len(words) == 3 and words[1] in _BY_WORDS:
        yield {"name": words[0], "filetype": _BY_WORDS[words[1]], **_context(words[2])}


def _interfaces(line: str) -> Iterator[Record]:
    words = line.split()
    if len(words) == 2:
        yield {"name": words[0], **_context(words[1])}


def _logins(line: str) -> Iterator[Record]:
    words = line.split()
    if len(words) >= 2:
        yield {"name": words[0], "selinuxuser": words[1], **_range(words[2:3])}


def _nodes(line: str) -> Iterator[Record]:
    words = line.split()
    if len(words) == 4:
        yield {"name": f"{words[0]}/{words[1]}", "proto": words[2], **_context(words[3])}


def _permissive(line: str) -> Iterator[Record]:
    words = line.split()
    if len(words) == 1:
        yield {"name": words[0]}


def _ports(line: str) -> Iterator[Record]:
    words = line.replace(",", " ").split()
    for port in words[2:]:
        yield {"name": f"{port}/{words[1]}", "selinuxtype": words[0]}


def _users(line: str) -> Iterator[Record]:
    words = line.split()
    if len(words) >= 5:
        yield {"name": words[0], "prefix": words[1], "mlsrange": words[3], "roles": roles(" ".join(words[4:]))}


KINDS = {
    "SEBoolean": Kind("boolean", ("value",), (), _booleans),
    "SEFcontext": Kind("fcontext", ("selinuxtype",), ("mlsrange",), _contexts),
    "SEInterface": Kind("interface", ("selinuxtype",), ("mlsrange",), _interfaces),
    "SELogin": Kind("login", ("selinuxuser",), ("mlsrange",), _logins),
    "SENode": Kind("node", ("selinuxtype", "proto"), ("mlsrange",), _nodes),
    "SEPermissive": Kind("permissive", (), (), _permissive),
    "SEPort": Kind("port", ("selinuxtype",), (), _ports),
    "SEUser": Kind("user", ("roles", "prefix"), ("mlsrange",), _users),
}
TAGS = {kind.noun: tag for tag, kind in KINDS.items()}


def _context(context: str) -> Record:
    """The type and the range of a CONTEXT, user:role:type:range."""
    parts = context.split(":", 3)
    return {"selinuxtype": parts[2], **_range(parts[3:])} if len(parts) >= 3 else {"selinuxtype": context.lower()}


def _range(words: list[str]) -> Record:
    return {"mlsrange": words[0]} if words and words[0] else {}


def roles(text: str) -> str:
    """ROLES, which commas or blanks separate, in the order of the alphabet."""
    return " ".join(sorted(text.replace(",", " ").split()))


def identity(tag: str, record: Record) -> Identity:
    """What identifies RECORD, an entry's attributes or a record of a list; :exc:`InstallError` if its name is wrong."""
    name = record.get("name", "")
    if tag == "SEFcontext":
        return Identity(name, record.get("filetype") or "all")
    if tag == "SENode":
        return Identity("/".join(node(name)))
    return Identity(name)


def node(name: str) -> tuple[str, str]:
    """The address and the mask of a node, which may be given by its length.

    >>> node("10.0.0.0/8")
    ('10.0.0.0', '255.0.0.0')
    """
    try:
        network = ipaddress.ip_network(name, strict=False)
    except ValueError:
        address, slash, mask = name.partition("/")
        if not slash or ":" not in mask:
            raise InstallError(f"{name} is not ADDRESS/MASK") from None
        return address, mask  # masks of IPv6 written out, which the library does not read
    return str(network.network_address), str(network.netmask)


def parse_list(tag: str, output: str) -> dict[Identity, Record]:
    """The records in the OUTPUT of ``semanage NOUN -l -n``.

    >>> parse_list("SEPort", "http_port_t                    tcp      80, 443\\n")[Identity("443/tcp")]
    {'name': '443/tcp', 'selinuxtype': 'http_port_t'}
    """
    records = (record for line in output.splitlines() for record in KINDS[tag].parse(line))
    return {identity(tag, record): record for record in records}


def parse_export(output: str) -> list[tuple[str, Identity]]:
    """The records that are customised here, tag and identity, by the OUTPUT of ``semanage export``.

    >>> parse_export("port -D\\nport -a -t http_port_t -r 's0' -p tcp 8888\\nfcontext -a -f f -t etc_t '/srv/x'\\n")
    [('SEPort', Identity(name='8888/tcp', filetype='')), ('SEFcontext', Identity(name='/srv/x', filetype='regular'))]
    """
    found = []
    for line in output.splitlines():
        words = _words(line)
        if len(words) > 2 and words[0] in TAGS and words[1] in ("-a", "-m"):
            tag, name = TAGS[words[0]], words[-1]
            options = dict(pairwise(words))
            if tag == "SEPort":
                name = f"{name}/{options.get('-p')}"
            elif tag == "SENode":
                name = f"{name}/{options.get('-M')}"
            record = {"name": name, "filetype": _BY_LETTER.get(options.get("-f", "a"), "all")}
            found.append((tag, identity(tag, record)))
    return found


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return []


def set_words(tag: str, record: Record, *, exists: bool) -> list[str]:
    """The words that make semanage add RECORD, or modify it if it EXISTS."""
    ranged = ["-r", record["mlsrange"]] if record.get("mlsrange") else []
    verb = "-m" if exists else "-a"
    match tag:
        case "SEBoolean":
            return ["boolean", "-m", f"--{record['value']}", record["name"]]
        case "SELogin":
            values = ["-s", record["selinuxuser"], *ranged]
        case "SEUser":
            values = ["-R", roles(record["roles"]), "-P", record["prefix"], *ranged]
        case "SEPermissive":
            values = []
        case _:
            values = ["-t", record["selinuxtype"], *ranged]
    return [KINDS[tag].noun, verb, *values, *_target(tag, record)]


def delete_words(tag: str, record: Record) -> list[str]:
    """The words that make semanage delete RECORD."""
    return [KINDS[tag].noun, "-d", *_target(tag, record)]


def _target(tag: str, record: Record) -> list[str]:
    """The words that identify RECORD."""
    name = record.get("name", "")
    match tag:
        case "SEFcontext":
            filetype = record.get("filetype") or "all"
            if filetype not in FILE_TYPES:
                raise InstallError(f'filetype="{filetype}" is not one of {", ".join(FILE_TYPES)}')
            return ["-f", FILE_TYPES[filetype][0], name]
        case "SENode":
            address, mask = node(name)
            return ["-M", mask, "-p", record.get("proto") or ("ipv6" if ":" in address else "ipv4"), address]
        case "SEPort":
            port, slash, proto = name.partition("/")
            if not slash:
                raise InstallError(f"{name} is not PORT/PROTOCOL")
            return ["-p", proto, port]
    return [name]
