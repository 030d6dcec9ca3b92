"""XML: hardened parsing, includes, white space, canonical sorting."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from bcfg2 import xml

XI = 'xmlns:xi="http://www.w3.org/2001/XInclude"'


def write(folder: Path, files: dict[str, str]) -> str:
    """Write FILES below FOLDER; the path of the first one."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder / next(iter(files)))


def text_of(document: xml.Document) -> str:
    return xml.tostring(document.root)


# parsing


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>',
        '<!DOCTYPE a [<!ENTITY e "1"><!ENTITY f "&e;&e;">]><a><b>&f;</b></a>',
    ],
)
def test_entities_are_refused_with_their_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(xml.XMLError, match="from a client:1: the entity"):
        xml.parse_string(text, "from a client")
    path = write(tmp_path, {"a.xml": text})
    with pytest.raises(xml.XMLError, match="a.xml:1: the entity"):
        xml.load(path)


def test_entities_that_attributes_may_use_are_refused(tmp_path: Path) -> None:
    text = '<!DOCTYPE a [<!ENTITY e "1">]><a b="&e;"/>'
    with pytest.raises(xml.XMLError, match="from a client: the document type declares the entity e"):
        xml.parse_string(text, "from a client")
    with pytest.raises(xml.XMLError, match="a.xml: the document type declares the entity e"):
        xml.load(write(tmp_path, {"a.xml": text}))


def test_an_external_document_type_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "a.dtd").write_text('<!ELEMENT a ANY><!ATTLIST a from CDATA "the document type">')
    root = xml.parse_string(f'<!DOCTYPE a SYSTEM "{tmp_path}/a.dtd"><a/>', "test")
    assert root.attrib == {}


def test_documents_that_are_nested_without_end_are_refused(tmp_path: Path) -> None:
    text = "<a>" * 5000 + "</a>" * 5000
    with pytest.raises(xml.XMLError):
        xml.parse_string(text, "test")
    with pytest.raises(xml.XMLError):
        xml.load(write(tmp_path, {"a.xml": text}))


@pytest.mark.parametrize("text", ["", "<a>", "no markup", "<a></b>", "<a b=1/>", b"\xff\xfe\xff", "<a/><b/>", "\0<a/>"])
def test_what_is_not_well_formed_is_one_error(text: str | bytes) -> None:
    with pytest.raises(xml.XMLError, match="^probe data: "):
        xml.parse_string(text, "probe data")


def test_an_error_names_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, {"broken.xml": "<a>\n<b>\n</a>"})
    with pytest.raises(xml.XMLError, match="broken.xml: line 3: "):
        xml.parse_file(path)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        xml.load(str(tmp_path / "none.xml"))


def test_an_encoding_declaration_inside_of_a_string_is_ignored() -> None:
    root = xml.parse_string('<?xml version="1.0" encoding="latin-1"?><a>ü€</a>', "test")
    assert root.text == "ü€"


def test_bytes_are_decoded_as_they_declare() -> None:
    root = xml.parse_string('<?xml version="1.0" encoding="iso-8859-1"?><a>ü</a>'.encode("latin-1"), "test")
    assert root.text == "ü"


def test_comments_and_instructions_go_and_the_text_around_them_stays(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.xml": "<a><b>one<!-- x -->two<?pi y?>three</b></a>"})
    assert text_of(xml.load(path)) == "<a><b>onetwothree</b></a>"
    assert b"<!-- x -->" in etree.tostring(xml.load(path, comments=True).root)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff")))
def test_any_text_survives_writing_and_reading(text: str) -> None:
    element = etree.Element("a", name=text)
    element.text = text
    written = xml.tostring(element)
    assert written.isascii()
    again = xml.parse_string(written, "test")
    assert (again.text or "", again.get("name")) == (text, text)


def test_white_space_goes_between_elements_and_stays_in_them(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.xml": "<a>\n  <b>\n text </b>\n  <c> </c> kept <d/>\n</a>"})
    assert text_of(xml.load(path)) == "<a><b>\n text </b><c> </c> kept <d/></a>"


def test_white_space_beside_a_comment_that_is_kept_stays(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.xml": "<a>\n <b>\n<!-- c --> text</b>\n</a>"})
    assert text_of(xml.load(path, comments=True)) == "<a><b>\n<!-- c --> text</b></a>"


# includes


def test_an_included_root_takes_the_place_of_the_include_at_the_end_of_its_parent(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.xml": f'<a {XI}><xi:include href="sub/b.xml"/><z/></a>', "sub/b.xml": '<b n="1"/>'})
    document = xml.load(path)
    assert [child.tag for child in document.root] == ["z", "b"]
    assert dict(document.root[1].attrib) == {"n": "1"}
    assert document.files == (path, str(tmp_path / "sub/b.xml"))


def test_includes_of_included_files_are_relative_to_them_and_stay_in_place(tmp_path: Path) -> None:
    files = {
        "a.xml": f'<a {XI}><g><xi:include href="sub/b.xml"/></g></a>',
        "sub/b.xml": f'<b {XI}><xi:include href="../c.xml"/><y/></b>',
        "c.xml": "<c/>",
    }
    document = xml.load(write(tmp_path, files))
    assert [node.tag for node in document.root.iter()] == ["a", "g", "b", "c", "y"]


def test_a_wildcard_includes_all_matches_in_order_but_never_the_file_itself(tmp_path: Path) -> None:
    files = {"b.xml": f'<r {XI}><xi:include href="*.xml"/></r>', "c.xml": "<c/>", "a.xml": "<a/>", "d.txt": "<d/>"}
    document = xml.load(write(tmp_path, files))
    assert [child.tag for child in document.root] == ["a", "c"]
    assert str(tmp_path) in document.watch


def test_a_wildcard_in_a_folder_watches_the_folders_that_decide(tmp_path: Path) -> None:
    path = write(tmp_path, {"r.xml": f'<r {XI}><xi:include href="d/*/x.xml"/></r>', "d/1/x.xml": "<x/>"})
    (tmp_path / "d/2").mkdir()
    document = xml.load(path)
    assert len(document.root) == 1
    assert str(tmp_path / "d") in document.watch


def test_two_files_that_include_each_other_end(tmp_path: Path) -> None:
    files = {
        "a.xml": f'<a {XI}><xi:include href="b.xml"/></a>',
        "b.xml": f'<b {XI}><xi:include href="a.xml"><xi:fallback/></xi:include></b>',
    }
    assert [node.tag for node in xml.load(write(tmp_path, files)).root.iter()] == ["a", "b"]


def test_a_missing_include_is_noted_watched_and_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.xml": f'<a {XI}>\n<xi:include href="none.xml"/><b/></a>'})
    document = xml.load(path)
    assert [child.tag for child in document.root] == ["b"]
    assert document.watch == (str(tmp_path / "none.xml"),)
    (problem,) = document.problems
    assert problem == f"{path}:2: nothing to include for none.xml"


def test_fallback_content_takes_the_place_of_a_missing_include(tmp_path: Path) -> None:
    files = {
        "a.xml": f'<a {XI}><xi:include href="none.xml"><xi:fallback><f/><xi:include href="b.xml"/></xi:fallback>'
        "</xi:include></a>",
        "b.xml": "<b/>",
    }
    document = xml.load(write(tmp_path, files))
    assert [child.tag for child in document.root] == ["f", "b"]
    assert document.problems == ()


def test_fallback_content_keeps_its_order_and_its_text(tmp_path: Path) -> None:
    files = {
        "a.xml": f'<a {XI}><b><xi:include href="none.xml"><xi:fallback>text<xi:include href="b.xml"/><f/></xi:fallback>'
        "</xi:include></b></a>",
        "b.xml": "<i/>",
    }
    document = xml.load(write(tmp_path, files))
    assert document.root[0].text == "text"
    assert [child.tag for child in document.root[0]] == ["i", "f"]


def test_the_fallback_of_an_include_that_is_found_is_not_looked_at(tmp_path: Path) -> None:
    files = {
        "a.xml": f'<a {XI}><xi:include href="b.xml"><xi:fallback><xi:include href="none.xml"/></xi:fallback>'
        "</xi:include></a>",
        "b.xml": "<b/>",
    }
    document = xml.load(write(tmp_path, files))
    assert [child.tag for child in document.root] == ["b"]
    assert document.problems == ()


def test_text_can_be_included(tmp_path: Path) -> None:
    files = {
        "a.xml": f'<a {XI}><b>[<xi:include href="t.txt" parse="text"/>]</b></a>',
        "t.txt": "1 < 2 & ü",
    }
    document = xml.load(write(tmp_path, files))
    assert document.root[0].text == "[1 < 2 & ü]"
    assert str(tmp_path / "t.txt") in document.files


def test_included_text_joins_the_text_in_front_of_it(tmp_path: Path) -> None:
    include = '<xi:include href="t.txt" parse="text"/>'
    files = {"a.xml": f"<a {XI}><b>1{include}2<c/>3{include}4<d/>{include}</b></a>", "t.txt": "T"}
    (element,) = xml.load(write(tmp_path, files)).root
    assert (element.text, [child.tail for child in element]) == ("1T2", ["3T4", "T"])


def test_an_included_root_brings_no_base_along(tmp_path: Path) -> None:
    files = {"a.xml": f'<a {XI}><xi:include href="b.xml"/></a>', "b.xml": '<b xml:base="/elsewhere" n="1"/>'}
    assert dict(xml.load(write(tmp_path, files)).root[0].attrib) == {"n": "1"}


def test_a_folder_that_a_wildcard_looks_into_is_watched_although_it_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.xml": f'<a {XI}><xi:include href="none/*.xml"/></a>'})
    assert str(tmp_path / "none") in xml.load(path).watch


def test_text_behind_an_include_stays(tmp_path: Path) -> None:
    files = {"a.xml": f'<a {XI}><b>x<xi:include href="c.xml"/>y</b></a>', "c.xml": "<c/>"}
    document = xml.load(write(tmp_path, files))
    assert "".join(document.root.itertext()) == "xy"


def test_an_error_in_an_included_file_names_both_and_what_to_watch(tmp_path: Path) -> None:
    files = {"a.xml": f'<a {XI}>\n<xi:include href="b.xml"/></a>', "b.xml": "<b>\n<c></b>"}
    path = write(tmp_path, files)
    with pytest.raises(xml.XMLError) as caught:
        xml.load(path)
    assert "b.xml: line 2: " in str(caught.value)
    assert f"included from {path}:2" in str(caught.value)
    assert set(caught.value.watch) == {path, str(tmp_path / "b.xml")}


@pytest.mark.parametrize(
    "include", ["<xi:include/>", '<xi:include href=""/>', '<xi:include href="b.xml" xpointer="x"/>']
)
def test_an_include_without_a_usable_href_is_an_error(tmp_path: Path, include: str) -> None:
    with pytest.raises(xml.XMLError, match="needs an href"):
        xml.load(write(tmp_path, {"a.xml": f"<a {XI}>{include}</a>", "b.xml": "<b/>"}))


def test_the_root_cannot_be_an_include(tmp_path: Path) -> None:
    with pytest.raises(xml.XMLError, match="root element"):
        xml.load(write(tmp_path, {"a.xml": f'<xi:include {XI} href="b.xml"/>', "b.xml": "<b/>"}))


def test_names_that_only_a_template_can_tell_are_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.xml": f'<a {XI}><xi:include href="${{name}}.xml"/></a>'})
    document = xml.load(path)
    assert document.root[0].tag == xml.XI_NAMESPACE + "include"
    assert document.problems == ()


def test_without_xinclude_nothing_is_expanded(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.xml": f'<a {XI}><xi:include href="b.xml"/></a>', "b.xml": "<b/>"})
    document = xml.load(path, xinclude=False)
    assert document.root[0].tag == xml.XI_NAMESPACE + "include"
    assert document.files == (path,)


@st.composite
def include_trees(draw: st.DrawFn) -> dict[str, list[str]]:
    """File name -> the names of its children: plain elements, or files that are included (never a circle)."""
    count = draw(st.integers(1, 6))
    files: dict[str, list[str]] = {}
    for number in range(count):
        names = [f"f{later}" for later in range(number + 1, count)] + ["x", "y"]
        files[f"f{number}"] = draw(st.lists(st.sampled_from(names), max_size=4))
    return files


@settings(deadline=None)  # it writes files
@given(include_trees())
def test_a_tree_of_includes_reads_as_if_written_in_one_file(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, list[str]]
) -> None:
    def written(name: str) -> str:
        children = "".join(
            f'<xi:include href="{child}.xml"/>' if child in tree else f"<{child}/>" for child in tree[name]
        )
        return f"<{name} {XI}>{children}</{name}>"

    def expected(name: str, top: bool) -> list[object]:
        children = [(child, expected(child, False) if child in tree else []) for child in tree[name]]
        if top:  # what the file itself includes comes last
            children.sort(key=lambda child: child[0] in tree)
        return children

    def shape(node: etree._Element) -> list[object]:
        return [(child.tag, shape(child)) for child in node]

    folder = tmp_path_factory.mktemp("includes")
    path = write(folder, {f"{name}.xml": written(name) for name in tree})
    document = xml.load(path)
    assert shape(document.root) == expected("f0", True)

    def reachable(name: str) -> set[str]:
        return {name}.union(*(reachable(child) for child in tree[name] if child in tree))

    assert set(document.files) == {str(folder / f"{name}.xml") for name in reachable("f0")}


# sorting


def test_siblings_are_sorted_by_name_at_every_level() -> None:
    root = xml.parse_string('<a><b name="2"><c name="y"/><c name="x"/></b><b name="1"/></a>', "test")
    xml.sort_xml(root)
    assert xml.tostring(root) == '<a><b name="1"/><b name="2"><c name="x"/><c name="y"/></b></a>'


def test_siblings_without_a_name_keep_the_order_of_all() -> None:
    root = xml.parse_string('<a><b name="2"/><c/><b name="1"><d name="2"/><d name="1"/></b></a>', "test")
    xml.sort_xml(root)
    assert [child.get("name") for child in root] == ["2", None, "1"]
    assert [child.get("name") for child in root[2]] == ["1", "2"]


def test_a_tree_can_be_sorted_by_another_key() -> None:
    tree = etree.ElementTree(xml.parse_string('<a><b n="2"/><b n="10"/></a>', "test"))
    xml.sort_xml(tree, key=lambda node: int(node.get("n", "0")))
    assert [child.get("n") for child in tree.getroot()] == ["2", "10"]


elements = st.recursive(
    st.tuples(st.sampled_from("ab"), st.one_of(st.none(), st.sampled_from("123")), st.just(())),
    lambda children: st.tuples(
        st.sampled_from("ab"), st.one_of(st.none(), st.sampled_from("123")), st.lists(children, max_size=4).map(tuple)
    ),
    max_leaves=12,
)


@given(elements)
def test_sorting_agrees_with_a_naive_sort_and_is_stable(spec: tuple[str, str | None, tuple]) -> None:
    def build(spec: tuple[str, str | None, tuple]) -> etree._Element:
        tag, name, children = spec
        node = etree.Element(tag, {"name": name} if name is not None else {})
        node.extend(build(child) for child in children)
        return node

    def naive(spec: tuple[str, str | None, tuple]) -> tuple[str, str | None, tuple]:
        tag, name, children = spec
        if all(child[1] is not None for child in children):
            children = tuple(sorted(children, key=lambda child: child[1]))
        return tag, name, tuple(naive(child) for child in children)

    root = build(spec)
    xml.sort_xml(root)
    assert xml.tostring(root) == xml.tostring(build(naive(spec)))


# small helpers


@pytest.mark.parametrize(
    ("value", "truth"),
    [("true", True), ("TRUE", True), ("True", True), ("yes", False), ("1", False), ("", False), (None, False)],
)
def test_only_the_word_true_is_true(value: str | None, truth: bool) -> None:
    assert xml.is_true(value) is truth


def test_a_template_binds_the_prefix_py_to_genshi() -> None:
    assert xml.is_template(xml.parse_string('<a xmlns:py="http://genshi.edgewall.org/"/>', "test"))
    assert not xml.is_template(xml.parse_string('<a xmlns:py="http://example.com/"/>', "test"))
    assert not xml.is_template(xml.parse_string('<a xmlns:g="http://genshi.edgewall.org/"/>', "test"))


@given(st.text())
def test_legal_text_can_always_be_written_and_read_and_nothing_else_is_replaced(text: str) -> None:
    legal = xml.legal(text)
    element = etree.Element("a")
    element.text = legal
    assert (xml.parse_string(xml.tostring(element), "test").text or "") == legal
    assert len(legal) == len(text)
    for before, after in zip(text, legal, strict=True):
        if before != after:
            assert after == "\ufffd"
            with pytest.raises(ValueError):
                element.text = before


def test_comments_and_instructions_are_no_elements() -> None:
    assert [xml.is_element(node) for node in etree.fromstring("<a><b/><!--x--><?y z?></a>")] == [True, False, False]


def test_the_attributes_of_an_element_are_a_copy() -> None:
    element = etree.Element("a", b="c")
    copy = xml.attributes(element)
    element.set("b", "d")
    assert copy == {"b": "c"}


@pytest.mark.parametrize("text", ["a" * 1_000_000, "<&>\r\n \u00e9 \u20ac \U0001f512" * 100_000, "short"])
def test_a_document_with_large_texts_is_written_out_like_any_other(text):
    root = etree.Element("Configuration")
    for _ in range(2):
        entry = etree.SubElement(root, "Path", name="/a")
        entry.text, entry.tail = text, "&"
    root.append(etree.Comment(text.replace("-", " ")))
    wanted = xml.tostring(root)
    assert xml.written_out(root) == wanted
