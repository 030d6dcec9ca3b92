"""What the files of a repository may hold, from the list in the specification, and documents made of it.

A :class:`Kind` says of each element which attributes it must and may have and what may stand in it.  :func:`documents`
gives trees of :class:`Node`, which :func:`written` writes with one start tag to a line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from hypothesis import strategies as st

BOOLEAN, INTEGER, MODE, TEXT = "boolean", "integer", "mode", "text"

_VALUES = {
    BOOLEAN: st.sampled_from(["true", "false", "True", "FALSE"]),
    INTEGER: st.integers(-5, 10**6).map(str),
    MODE: st.sampled_from(["0644", "640", "0", "2775", "preserve"]),
    TEXT: st.text("ab-/. äß<&\"'", max_size=6),
}


@dataclass(frozen=True)
class Tag:
    """Attributes, as words ``name`` or ``name:type`` (``a|b``: these values), and tags of what may stand in it."""

    required: str = ""
    optional: str = ""
    children: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of file.  `conditions`: the tags of conditions, which may stand around everything."""

    root: str
    tags: dict[str, Tag]
    conditions: tuple[str, ...] = ()
    genshi: bool = False


_PACKAGE = "type:deb|yum|rpm version release arch file simplefile multiarch srcs verify:boolean pkg_checks:boolean"
_SERVICE = "type:chkconfig|systemd|smf status:on|off|ignore bootstatus:on|off restart:true|false|interactive FMRI"
_ACTION = "timing:pre|post|both when:modified|always status:ignore|check build:boolean"
_PATH = (
    "type:file|directory|symlink|device|vcs|augeas owner group mode:mode secontext important:boolean paranoid:boolean "
    "sensitive:boolean encrypted to prune:boolean recursive:boolean empty:boolean dev_type:block|char|fifo "
    "major:integer minor:integer vcstype:svn|git revision sourceurl lens"
)
_INSIDE = {
    "Instance": Tag("", "arch epoch version release install_missing:boolean fix_version:boolean"),
    "MemberOf": Tag("", "group"),
    "ACL": Tag("type:default|access perms:7|r-x|rwx", "scope:user|group|other user group"),
    "Initial": Tag(),
    "Remove": Tag("path"),
    "Move": Tag("source destination"),
    "Set": Tag("path value"),
    "SetMulti": Tag("base sub value"),
    "Insert": Tag("path label", "where:before|after"),
}
_IN_PATH = "ACL Initial Remove Move Set SetMulti Insert"
_COMPLETE = {
    "Package": Tag("name", _PACKAGE, "Instance"),
    "Service": Tag("name", _SERVICE),
    "Action": Tag("name command", _ACTION),
    "Path": Tag("name", _PATH, _IN_PATH),
    "POSIXUser": Tag("name", "uid:integer group gecos home shell", "MemberOf"),
    "POSIXGroup": Tag("name", "gid:integer"),
    "SEBoolean": Tag("name value:on|off"),
    "SEPort": Tag("name selinuxtype", "mlsrange"),
    "SEFcontext": Tag("name selinuxtype", "filetype:all|regular|char mlsrange"),
    "SENode": Tag("name selinuxtype", "proto:ipv4|ipv6 mlsrange"),
    "SELogin": Tag("name selinuxuser", "mlsrange"),
    "SEUser": Tag("name roles prefix", "mlsrange"),
    "SEInterface": Tag("name selinuxtype", "mlsrange"),
    "SEPermissive": Tag("name"),
    "SEModule": Tag("name", "disabled:boolean"),
}
_ENTRIES = " ".join(_COMPLETE)


def _words(attributes: str) -> list[str]:
    return attributes.split()


_ABSTRACT = {
    tag: Tag("name", f"{entry.optional} {' '.join(_words(entry.required)[1:])} altsrc verify:boolean", entry.children)
    for tag, entry in _COMPLETE.items()
}
_BOUND = {f"Bound{tag}": entry for tag, entry in _COMPLETE.items()}
_KEY = "category perhost:boolean priority:integer lax_decryption:boolean"
_CONDITIONS = ("Group", "Client")
_NEEDED = Tag("name", "", "Package Service Path")

KINDS: dict[str, Kind] = {
    "bundle": Kind(
        "Bundle",
        {
            "Bundle": Tag(
                "",
                "description independent:boolean version origin revision lax_decryption:boolean",
                f"{_ENTRIES} {' '.join(_BOUND)} RequiredBundle Bundle",
            ),
            "RequiredBundle": Tag("name", "inherit_modification:boolean"),
            **_ABSTRACT,
            **_BOUND,
            **_INSIDE,
        },
        _CONDITIONS,
        genshi=True,
    ),
    "rules": Kind(
        "Rules",
        {"Rules": Tag("priority:integer", "lax_decryption:boolean", _ENTRIES), **_COMPLETE, **_INSIDE},
        _CONDITIONS,
        genshi=True,
    ),
    "defaults": Kind(
        "Defaults",
        {"Defaults": Tag("priority:integer", "lax_decryption:boolean", _ENTRIES), **_ABSTRACT, **_INSIDE},
        _CONDITIONS,
        genshi=True,
    ),
    "deps": Kind(
        "Dependencies",
        {
            "Dependencies": Tag("priority:integer", "", "Package Service Path"),
            "Package": _NEEDED,
            "Service": _NEEDED,
            "Path": _NEEDED,
        },
        _CONDITIONS,
        genshi=True,
    ),
    "decisions": Kind(
        "Decisions",
        {"Decisions": Tag("", "lax_decryption:boolean", "Decision Decisions"), "Decision": Tag("type name")},
        _CONDITIONS,
        genshi=True,
    ),
    "pkglist": Kind(
        "PackageList",
        {
            "PackageList": Tag("priority:integer", "type:yum|rpm uri multiarch srcs", "Package"),
            "Package": Tag("name", _PACKAGE, "Instance"),
            "Instance": _INSIDE["Instance"],
        },
        _CONDITIONS,
    ),
    "info": Kind(
        "FileInfo",
        {
            "FileInfo": Tag("", "lax_decryption:boolean", "Info FileInfo"),
            "Info": Tag(
                "",
                "encoding owner group mode:mode secontext important:boolean paranoid:boolean sensitive:boolean",
                "ACL",
            ),
            "ACL": _INSIDE["ACL"],
        },
        _CONDITIONS,
        genshi=True,
    ),
    "nagiosgen": Kind(
        "NagiosGen",
        {"NagiosGen": Tag("", "lax_decryption:boolean", "Option"), "Option": Tag("name")},
        _CONDITIONS,
        genshi=True,
    ),
    "clients": Kind(
        "Clients",
        {
            "Clients": Tag("", "version", "Client Clients"),
            "Client": Tag(
                "name profile",
                "uuid password address location:fixed|floating floating:boolean secure:boolean "
                "auth:cert|bootstrap|cert+password pingable pingtime version",
                "Alias",
            ),
            "Alias": Tag("name", "address"),
        },
    ),
    "metadata": Kind(
        "Groups",
        {
            "Groups": Tag("", "version origin revision", "Group Client Groups"),
            "Group": Tag(
                "name",
                "profile:true|false public:true|false default:true|false category negate:boolean comment",
                "Group Client Groups Bundle",
            ),
            "Client": Tag("name", "negate:boolean", "Group Client Groups Bundle"),
            "Bundle": Tag("name"),
        },
    ),
    "grouppatterns": Kind(
        "GroupPatterns",
        {
            "GroupPatterns": Tag("", "", "GroupPattern GroupPatterns"),
            "GroupPattern": Tag("", "", "NameRange NamePattern Group"),
            "NameRange": Tag(),
            "NamePattern": Tag(),
            "Group": Tag(),
        },
    ),
    "grouplogic": Kind(
        "GroupLogic",
        {
            "GroupLogic": Tag("", "lax_decryption:boolean", "Group Client GroupLogic"),
            "Group": Tag("name", "negate:boolean category", "Group Client"),
            "Client": Tag("name", "negate:boolean", "Group Client"),
        },
        genshi=True,
    ),
    "awstags": Kind(
        "AWSTags",
        {"AWSTags": Tag("", "", "Tag AWSTags"), "Tag": Tag("name", "value", "Group"), "Group": Tag()},
    ),
    "fileprobes": Kind(
        "FileProbes",
        {
            "FileProbes": Tag("", "lax_decryption:boolean", "FileProbe"),
            "FileProbe": Tag("name", "encoding update:boolean"),
        },
        _CONDITIONS,
        genshi=True,
    ),
    "packages": Kind(
        "Sources",
        {
            "Sources": Tag("", "lax_decryption:boolean", "Source Sources"),
            "Source": Tag(
                "type:yum|apt|pac|pkgng|APT",
                "url rawurl version name pulp_id recommended:boolean essential:boolean debsrc:boolean",
                "Component Arch GPGKey Blacklist Whitelist Options",
            ),
            "Component": Tag("", "encrypted"),
            "Arch": Tag(),
            "GPGKey": Tag(),
            "Blacklist": Tag(),
            "Whitelist": Tag(),
            "Options": Tag("", "serveronly:boolean clientonly:boolean anything"),
        },
        _CONDITIONS,
        genshi=True,
    ),
    "acl-ip": Kind(
        "ACL",
        {
            "ACL": Tag("", "", "Allow Deny Defer ACL"),
            "Allow": Tag("method", "address netmask"),
            "Deny": Tag("method", "address netmask"),
            "Defer": Tag("method", "address netmask"),
        },
    ),
    "acl-metadata": Kind(
        "ACL",
        {
            "ACL": Tag("", "lax_decryption:boolean", "Allow Deny ACL"),
            "Allow": Tag("method"),
            "Deny": Tag("method"),
        },
        _CONDITIONS,
        genshi=True,
    ),
    "privkey": Kind(
        "PrivateKey",
        {
            "PrivateKey": Tag("", _KEY, "Params Passphrase"),
            "Params": Tag("", "bits:integer type:rsa|dsa|ecdsa|ed25519"),
            "Passphrase": Tag("", "encrypted"),
        },
        _CONDITIONS,
        genshi=True,
    ),
    "pubkey": Kind("PublicKey", {"PublicKey": Tag()}),
    "authorizedkeys": Kind(
        "AuthorizedKeys",
        {
            "AuthorizedKeys": Tag("", "lax_decryption:boolean", "Allow AuthorizedKeys"),
            "Allow": Tag("", "from group category host encrypted", "Option"),
            "Option": Tag("name", "value"),
        },
        _CONDITIONS,
        genshi=True,
    ),
    "sslca-cert": Kind(
        "CertInfo",
        {
            "CertInfo": Tag("", "lax_decryption:boolean", "Cert subjectAltName CertInfo"),
            "Cert": Tag("key", "format:pem ca days:integer c l st ou o emailaddress append_chain:boolean"),
            "subjectAltName": Tag(),
        },
        _CONDITIONS,
        genshi=True,
    ),
    "sslca-key": Kind(
        "KeyInfo",
        {"KeyInfo": Tag("", _KEY, "Key KeyInfo"), "Key": Tag("", "type:rsa|dsa bits:integer")},
        _CONDITIONS,
        genshi=True,
    ),
    "report-configuration": Kind(
        "Reports",
        {
            "Reports": Tag("", "", "Report"),
            "Report": Tag("name", "good modified", "Delivery Machine"),
            "Delivery": Tag("mechanism:mail|rss|www", "type:overview-stats|nodes-digest", "Destination"),
            "Destination": Tag("address"),
            "Machine": Tag("name"),
        },
    ),
}


@dataclass
class Node:
    """An element; `types`: attribute -> type, of those that have one; `required`: attributes that it must have."""

    tag: str
    attributes: dict[str, str]
    types: dict[str, str]
    required: tuple[str, ...]
    children: list["Node"]
    #: Which line its start tag is on, once it is written.
    line: int = 0

    def all(self) -> Iterator["Node"]:
        """This element and all below it."""
        yield self
        for child in self.children:
            yield from child.all()


def _value(kind: str) -> st.SearchStrategy[str]:
    return _VALUES[kind] if kind in _VALUES else st.sampled_from(kind.split("|"))


@st.composite
def nodes(draw: Any, kind: Kind, tag: str, depth: int) -> Node:
    """An element TAG of a document of KIND, with at most DEPTH levels below it."""
    declared = kind.tags[tag]
    required = _words(declared.required)
    optional = _words(declared.optional)
    chosen = draw(st.lists(st.sampled_from(optional), max_size=4)) if optional else []
    attributes, types = {}, {}
    for word in (*required, *chosen):
        name, _, type_ = word.partition(":")
        attributes[name] = draw(_value(type_ or TEXT))
        types[name] = type_
    names = tuple(word.partition(":")[0] for word in required)
    return Node(tag, attributes, types, names, draw(contents(kind, declared.children.split(), depth)))


@st.composite
def contents(draw: Any, kind: Kind, tags: list[str], depth: int) -> list[Node]:
    """What may stand in an element that holds TAGS, some of it in conditions and in elements of Genshi."""
    result: list[Node] = []
    if not tags or depth <= 0:
        return result
    choices = [*tags, *kind.conditions, *(["py:if"] if kind.genshi else [])]
    for tag in draw(st.lists(st.sampled_from(choices), max_size=3)):
        if tag in kind.conditions:
            attributes = {"name": "g", **draw(st.sampled_from([{}, {"negate": "true"}, {"negate": "False"}]))}
            inner = draw(contents(kind, tags, depth - 1))
            result.append(Node(tag, attributes, {"negate": BOOLEAN}, ("name",), inner))
        elif tag == "py:if":
            result.append(Node(tag, {"test": "True"}, {}, (), draw(contents(kind, tags, depth - 1))))
        else:
            result.append(draw(nodes(kind, tag, depth - 1)))
    return result


@st.composite
def documents(draw: Any) -> tuple[str, Node]:
    """(name of a kind, root element) of a document without faults."""
    name = draw(st.sampled_from(sorted(KINDS)))
    kind = KINDS[name]
    root = draw(nodes(kind, kind.root, 4))
    if any(node.tag == "py:if" for node in root.all()):
        root.attributes["xmlns:py"] = "http://genshi.edgewall.org/"
    return name, root


def written(root: Node) -> str:
    """The document; each start tag is on a line of its own, which its node is told."""
    lines: list[str] = []
    _write(root, lines)
    return "\n".join(lines)


def _write(node: Node, lines: list[str]) -> None:
    attributes = "".join(f" {name}={quoteattr(value)}" for name, value in node.attributes.items())
    lines.append(f"<{node.tag}{attributes}>")
    node.line = len(lines)
    for child in node.children:
        _write(child, lines)
    lines.append(f"</{node.tag}>")
