"""Changes of a text of clients.xml, against the same changes of an element tree, and how the text looks then."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from bcfg2.server.plugins.metadata.markup import MarkedUpClients

NAMES = ["a", "B", "ü", "c>d"]
VALUES = ["", "1", "1.3.4", "<&>", '"', "'", "\"'", "é\t\n", "a>b"]

# Random texts: everything that XML allows around and in a client

blank = st.sampled_from(["", " ", "\n", "\n  ", "\r\n\t"])
quoted = st.sampled_from(VALUES).flatmap(
    lambda value: st.sampled_from(
        [
            '"{}"'.format(value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")),
            "'{}'".format(value.replace("&", "&#38;").replace("<", "&lt;").replace("'", "&apos;")),
        ]
    )
)
attributes = st.dictionaries(st.sampled_from(["version", "profile", "odd"]), quoted, max_size=3)
name = st.sampled_from(NAMES)


def tag(name, attributes, gap, equals):
    parts = [*attributes.items()]
    parts.insert(len(parts) // 2, ("name", f'"{name}"'))
    return "<Client" + "".join(f" {gap}{key}{equals}{value}" for key, value in parts) + gap


tags = st.builds(tag, name, attributes, blank, st.sampled_from(["=", " = ", "\n="]))
between = st.sampled_from(
    ["", "\n", "\n  ", " text ", "<!-- <Client name='a'> -->", "<?Client name='a'?>", "<![CDATA[<Client name='a'/>]]>"]
)
inner = st.sampled_from(["", "<Alias name='w'/>", "\n<Alias name='Client'></Alias>\n", "<Clientele/>"])
client = st.one_of(
    st.builds("{}/>".format, tags),
    st.builds("{}>{}</Client{}>".format, tags, inner, blank),
    st.just("<Other name='a'/>"),
)
body = st.lists(st.one_of(client, between), max_size=6).map("".join)
nested = st.builds("{}<Clients>{}</Clients>{}".format, body, body, body)
texts = st.builds(
    "{}<Clients{}>{}</Clients >{}".format,
    st.sampled_from(["", "<!-- <Clients> -->\n", "<!DOCTYPE Clients [<!ELEMENT Clients ANY>]>"]),
    st.sampled_from(["", "\n", " version='3>0'"]),
    st.one_of(body, nested),
    st.sampled_from(["", "\n", "<!-- tail -->\n"]),
)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), name, st.dictionaries(st.sampled_from(["profile", "uuid"]), st.sampled_from(VALUES))),
        st.tuples(
            st.just("update"),
            name.map(str.lower),
            st.dictionaries(st.sampled_from(["version", "auth"]), st.sampled_from(VALUES), min_size=1),
        ),
        st.tuples(st.just("remove"), name.map(str.lower)),
    ),
    max_size=5,
)


class Tree:
    """The same, slow and obvious."""

    def __init__(self, text):
        self.root = etree.fromstring(text)

    def elements(self, name):
        return [element for element in self.root.iter("Client") if element.get("name").lower() == name]

    def add(self, attributes):
        etree.SubElement(self.root, "Client", attributes)

    def update(self, name, attributes):
        for element in self.elements(name):
            for key, value in attributes.items():
                element.set(key, value)

    def remove(self, name):
        for element in self.elements(name):
            parent, before = element.getparent(), element.getprevious()
            if before is None:
                parent.text = (parent.text or "") + (element.tail or "")
            else:
                before.tail = (before.tail or "") + (element.tail or "")
            element.tail = None
            parent.remove(element)


def shape(root):
    """The document without the white space between its nodes."""
    for node in root.iter():
        node.tail = "".join((node.tail or "").split())
        if isinstance(node.tag, str):
            node.text = "".join((node.text or "").split())
    nodes = [*reversed([*root.itersiblings(preceding=True)]), root, *root.itersiblings()]
    return b"".join(etree.tostring(node, with_tail=False) for node in nodes)


def do(changes, clients):
    for method, name, *rest in changes:
        if method == "add":
            clients.add({"name": name, **rest[0]})
        else:
            getattr(clients, method)(name, *rest)


@settings(max_examples=400, deadline=None)
@given(texts, changes)
def test_changes_mean_the_same_as_those_of_a_tree(text, changes):
    data = text.encode()
    clients, tree = MarkedUpClients(data), Tree(data)
    do(changes, clients)
    do(changes, tree)
    assert shape(etree.fromstring(bytes(clients))) == shape(tree.root)
    for name in NAMES:
        assert (name.lower() in clients) is bool(tree.elements(name.lower()))


@given(texts)
def test_what_is_not_changed_stays_as_it_was_written(text):
    data = text.encode()
    clients = MarkedUpClients(data)
    assert bytes(clients) == data.rstrip() + b"\n"
    assert clients.update("nobody", {"version": "1"}) is clients.remove("nobody") is False
    assert bytes(clients) == data.rstrip() + b"\n"


def changed(text, *changes):
    clients = MarkedUpClients(text.encode())
    do(changes, clients)
    return bytes(clients).decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<Client name="a" />', '<Client name="a" version="2" />'),
        ("<Client\n\tversion = '1'\n\tname='a'\n></Client>", "<Client\n\tversion = \"2\"\n\tname='a'\n></Client>"),
        ('<Client name="a" version="&#50;"/>', '<Client name="a" version="&#50;"/>'),
        ("<Client x='version=\"1\"' name='a'/>", "<Client x='version=\"1\"' name='a' version=\"2\"/>"),
    ],
)
def test_only_the_attribute_itself_is_written_anew(before, after):
    assert changed(f"<Clients>{before}</Clients>", ("update", "a", {"version": "2"})) == f"<Clients>{after}</Clients>\n"


def test_new_lines_end_as_the_others_do():
    text = '<Clients>\r\n\t<Client name="a"/>\r\n</Clients>\r\n'
    assert changed(text, ("add", "b", {})).startswith(
        '<Clients>\r\n\t<Client name="a"/>\r\n\t<Client name="b"/>\r\n</Clients>'
    )


def test_a_removed_client_takes_its_line_along_only_if_it_stands_alone_there():
    kept = '<Clients>\n  <Client name="a"/> <!-- note -->\n'
    text = kept + '  <Client name="b">\n    <Alias name="w"/>\n  </Client>\n</Clients>\n'
    assert changed(text, ("remove", "b")) == kept + "</Clients>\n"
    assert "\n   <!-- note -->\n" in changed(text, ("remove", "a"))


def test_a_client_in_another_namespace_is_none():
    assert "a" not in MarkedUpClients(b'<Clients><Client xmlns="urn:x" name="a"/></Clients>')
