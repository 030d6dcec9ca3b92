"""Schemas: what is right passes, what is wrong is named with its file, its line and what to do."""

import json
import re
from collections import Counter
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from lxml import etree

from bcfg2 import xml
from bcfg2.server.schema import KINDS, MAX_PROBLEMS, SCHEMAS, Fault, Problem, SchemaError, schema_of, validate
from benchmarks.repository import Shape, write_site
from tests.server import schema_vocabulary as vocabulary

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests/conformance/cases"
PY = 'xmlns:py="http://genshi.edgewall.org/"'
XI = 'xmlns:xi="http://www.w3.org/2001/XInclude"'


def problems(text: str, kind: str) -> list[Problem]:
    return validate(xml.Document("f.xml", xml.tidy(xml.parse_string(text, "f.xml"))), kind)


def texts(text: str, kind: str = "bundle") -> list[str]:
    return [str(problem) for problem in problems(text, kind)]


# the schemas


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.xsd")), ids=lambda path: path.stem)
def test_every_schema_compiles(path: Path) -> None:
    etree.XMLSchema(etree.parse(str(path)))


def test_every_kind_has_a_schema_and_every_schema_is_for_a_kind_or_part_of_others() -> None:
    parts = {"common", "entries", "acl-entry", "genshi", "xinclude"}
    assert {path.stem for path in SCHEMAS.glob("*.xsd")} == {kind for _, kind in KINDS} | parts
    assert set(vocabulary.KINDS) == {kind for _, kind in KINDS}


# made documents

FEW = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@FEW
@given(vocabulary.documents())
def test_documents_of_the_vocabulary_are_valid(made: tuple[str, vocabulary.Node]) -> None:
    kind, root = made
    assert texts(vocabulary.written(root), kind) == []


@FEW
@given(vocabulary.documents(), st.data())
def test_one_slip_in_a_document_is_the_one_problem_and_has_its_line(
    made: tuple[str, vocabulary.Node], data: st.DataObject
) -> None:
    kind, root = made
    slips = [slip for node in root.all() if node.tag != "py:if" for slip in possible_slips(node, root)]
    assume(slips)
    node, fault, change = data.draw(st.sampled_from(slips))
    change()
    found = problems(vocabulary.written(root), kind)
    assert [(problem.line, problem.fault) for problem in found] == [(node.line, fault)], [*map(str, found)]


def possible_slips(node: vocabulary.Node, root: vocabulary.Node) -> list[tuple[vocabulary.Node, Fault, Any]]:
    """(element, what is wrong with it then, what does it) for slips of a hand that writes NODE."""
    slips: list[tuple[vocabulary.Node, Fault, Any]] = []

    def retag() -> None:
        node.tag = f"{node.tag[0]}{node.tag[2:]}x"

    slips.append((node, Fault.ROOT if node is root else Fault.ELEMENT, retag))
    if node.tag != "Options":  # which may have any attribute
        slips.append((node, Fault.ATTRIBUTE, lambda: node.attributes.update(nmae="x")))
    slips += [(node, Fault.MISSING, lambda name=name: node.attributes.pop(name)) for name in node.required]
    for name, type_ in node.types.items():
        if name in node.attributes and type_:
            slips.append((node, Fault.VALUE, lambda name=name: node.attributes.update({name: "rw-q"})))
    return slips


# words


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (
            "bundle",
            "<Bundle>\n<Pth name='/a'/></Bundle>",
            "f.xml:2: <Pth> is not known in <Bundle>, did you mean <Path>?",
        ),
        ("bundle", "<Bundle><Zebra/></Bundle>", "f.xml:1: <Zebra> is not known in <Bundle>, correct or remove it"),
        ("bundle", "<Bundle><Instance/></Bundle>", "<Instance> does not belong in <Bundle>, move or remove it"),
        ("bundle", "<Bundle><Path nmae='/a' name='/b'/></Bundle>", "<Path> has no attribute nmae, did you mean name?"),
        ("bundle", "<Bundle>\n<Path/></Bundle>", "f.xml:2: <Path> lacks the attribute name or glob, add it"),
        ("bundle", "<Bundle><Service/></Bundle>", "<Service> lacks the attribute name, add it"),
        (
            "bundle",
            "<Bundle>loose</Bundle>",
            "there is text in <Bundle>, which holds only elements or nothing: remove it",
        ),
        ("bundle", "<Bundel><Path name='/'/></Bundel>", "the root element is <Bundel>, call it <Bundle>"),
        ("rules", "<Rules priority='high'/>", "priority='high' of <Rules> is not valid, write a whole number"),
        ("rules", "<Rules/>", "<Rules> lacks the attribute priority, add it"),
        ("info", "<FileInfo><Info mode='rw-r'/></FileInfo>", "mode='rw-r' of <Info> is not valid, write octal digits"),
        (
            "clients",
            "<Clients><Client name='a' profile='b' auth='x'/></Clients>",
            "write cert, bootstrap or cert+password",
        ),
        (
            "pkglist",
            "<PackageList priority='1'><Package type='yum'/></PackageList>",
            "lacks the attribute name or file",
        ),
    ],
)
def test_a_problem_is_told_in_plain_words_with_what_to_do(kind: str, text: str, said: str) -> None:
    [line] = texts(text, kind)
    assert said in line


def test_a_boolean_other_than_true_and_false_is_told_of() -> None:
    for value in ("yes", "1", "", "truee"):
        assert len(texts(f'<Bundle independent="{value}"/>')) == 1
    assert texts('<Bundle independent="TRUE"/>') == []


def test_what_follows_a_problem_is_looked_at_too() -> None:
    lines = texts("<Wrong>\n<Zebra/>\n<Zebra><Inner/></Zebra>\n<Path nam='x' name='/'/>\n<Other/>\n<Service/></Wrong>")
    assert [int(line.split(":")[1]) for line in lines] == [1, 2, 3, 4, 5, 6]


def test_the_number_of_problems_is_bounded() -> None:
    assert len(problems(f"<Bundle>{'<Service/>' * 500}{'<Zebra/>' * 500}</Bundle>", "bundle")) <= MAX_PROBLEMS


def test_texts_and_passwords_are_not_shown() -> None:
    lines = texts("<PrivateKey>s3cret<Passphrase><x>s3cret</x></Passphrase></PrivateKey>", "privkey")
    lines += texts('<Clients><Client name="a" password="s3cret" passwrd="s3cret"/></Clients>', "clients")
    assert len(lines) == 4
    assert "s3cret" not in "".join(lines)


# templates


def test_the_content_of_genshi_elements_has_to_be_right_for_their_place() -> None:
    text = f"""<Bundle {PY}>
    <py:for each="x in y"><py:if test="x">
      <Path name="/etc/${{x}}" mode="${{x.mode}}"/>
      <Pth name="/etc/x"/>
    </py:if></py:for></Bundle>"""
    assert texts(text) == ["f.xml:4: <Pth> is not known in <Bundle>, did you mean <Path>?"]


@pytest.mark.parametrize(
    "inner",
    [
        '<Path py:attrs="x"/>',
        '<Service py:attrs="x" py:if="y"/>',
        '<greeting/><py:match path="greeting"><Path name="/"/></py:match>',
        '<py:def function="f"><Instance/></py:def>',
        '<Instance py:def="f"/>',
        '${f("x")}',
        '<py:replace value="x">anything <x/></py:replace>',
        '<Path name="/" important="$x"/>',
        f'<xi:include {XI} href="${{x}}.xml"><xi:fallback><x/></xi:fallback></xi:include>',
        '<py:choose test="1"><py:when test="1"><Path name="/"/></py:when><py:otherwise/></py:choose>',
    ],
)
def test_what_a_template_makes_is_no_problem(inner: str) -> None:
    assert texts(f"<Bundle {PY}>{inner}</Bundle>") == []


def test_attributes_of_other_namespaces_are_no_problem() -> None:
    assert texts('<Bundle xml:base="x" xmlns:m="urn:mine"><Path name="/" m:note="x"/></Bundle>') == []


def test_a_namespace_of_its_own_does_not_hide_where_an_element_is() -> None:
    [line] = texts(f'<Bundle {PY}>\n<a:b xmlns:a="urn:a"/>\n<c xmlns="urn:c"/></Bundle>')[:1]
    assert line.startswith("f.xml:2: <b> is not known")


# includes


def test_problems_of_included_files_have_the_file_and_line_of_these(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    main, first, second = tmp_path / "a.xml", tmp_path / "in/b.xml", tmp_path / "in/c.xml"
    main.write_text(f'<Bundle {XI}>\n<xi:include href="in/b.xml"/>\n\n\n<Bad1/></Bundle>')
    first.write_text(f'<Bundle {XI}>\n\n<Bad2/>\n<Group name="g"><xi:include href="c.xml"/></Group><Service/></Bundle>')
    second.write_text('<Bundle>\n<Path name="/" nmae=""/></Bundle>')
    found = validate(xml.load(str(main)), "bundle")
    places = [(problem.file, problem.line, problem.fault) for problem in found]
    assert places == [
        (str(main), 5, Fault.ELEMENT),
        (str(first), 3, Fault.ELEMENT),
        (str(first), 4, Fault.MISSING),
        (str(second), 2, Fault.ATTRIBUTE),
    ]


# other people's schemas


def test_a_schema_is_named_by_its_full_path_too(tmp_path: Path) -> None:
    (tmp_path / "racks.xsd").write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Racks"><xs:complexType>'
        '<xs:sequence><xs:element name="Rack" maxOccurs="unbounded"><xs:complexType>'
        '<xs:attribute name="units" type="xs:int"/></xs:complexType></xs:element></xs:sequence>'
        "</xs:complexType></xs:element></xs:schema>"
    )
    kind = str(tmp_path / "racks.xsd")
    assert texts("<Racks><Rack units='3'/></Racks>", kind) == []
    assert "units='x' of <Rack>" in texts("<Racks><Rack units='x'/></Racks>", kind)[0]
    assert "<Racks> is not valid: Missing child element" in texts("<Racks/>", kind)[0]


@pytest.mark.parametrize(
    "content", [None, "<broken", "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema'><x/></xs:schema>"]
)
def test_a_schema_that_cannot_be_used_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "bad.xsd"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SchemaError, match=re.escape(str(path))):
        schema_of(str(path)).errors(etree.Element("x"))


# repositories that the old server used without complaint

#: What is wrong in the recorded repositories, on purpose: (file below the cases, how many problems) and why.
WRONG = {
    "cfg-info/repo/Cfg/etc/unusual.conf/info.xml": (2, "attributes that clients do not know, passed on to them"),
    "cfg-precedence/repo/Bundler/base.xml": (1, "an attribute that clients do not know, passed on"),
    "cfg-sshkeys/repo/Cfg/root/.ssh/id_bad/privkey.xml": (1, "a type of key that nothing can make"),
    "core-bind/repo/Bundler/postfix.xml": (2, "entries of a kind that nobody knows"),
    "core-bind/repo/Rules/services.xml": (1, "a restart that clients do not know"),
    "core-daemon/repo/Rules/php.xml": (1, "an attribute that clients do not know"),
    "core-options/repo/Rules/php.xml": (1, "an attribute that clients do not know"),
    "packages-apt-recommends/repo/Bundler/odd.xml": (2, "booleans that are none"),
    "packages-binding/repo/Bundler/app.xml": (1, "a kind of package that clients do not know"),
    "packages-binding/repo/Defaults/packages.xml": (1, "no priority: the file is not used"),
    "packages-no-resolver/repo/Bundler/web.xml": (3, "a Bound group of packages, which nobody resolves"),
    "packages-source-selection/repo/Packages/sources.xml": (2, "sources of no type and of an unknown one"),
    "probes-lint-files/bad/Bundler/base.xml": (7, "for bcfg2-lint to find"),
    "probes-lint-files/broken/Bundler/odd.xml": (1, "for bcfg2-lint to find"),
    "probes-test-tool/repo/Rules/r.xml": (1, "a kind of package that clients do not know"),
    "structures-altsrc/repo/Bundler/unbound.xml": (1, "an entry of a kind that nobody knows"),
    "structures-bundles/repo/Bundler/baseline.xml": (1, "a boolean that is none"),
    "structures-bundles/repo/Bundler/munge.xml": (1, "a required bundle without a name"),
    "structures-groups/repo/Bundler/ntp.xml": (1, "a boolean that is none"),
    "structures-nagios/repo/NagiosGen/config.xml": (1, "an element that is none, to be ignored"),
    "structures-oldclients/repo/Bundler/mixed.xml": (1, "a mode for an action, which ServiceCompat must leave alone"),
    "structures-pkgmgr/repo/Pkgmgr/centos-4.xml": (1, "an element that clients ignore"),
    "structures-rules/repo/Rules/lowest.xml": (2, "kinds that show that a rule was used that should not be"),
}


def kind_of(path: PurePath) -> str | None:
    """The kind of the file PATH, relative to a repository; None for files that the server passes over."""
    if any(part.startswith(".") and part != ".ssh" for part in path.parts):
        return None
    for pattern, kind in KINDS:
        expected = PurePath(pattern)
        fits = path.match(expected.name) and path.parts[0] == expected.parts[0]
        if fits and ("**" in expected.parts or path == expected):
            return kind
    return None


def found_in(repository: Path) -> Counter[str]:
    """File -> number of problems, of all files of REPOSITORY that can be read."""
    found: Counter[str] = Counter()
    for path in sorted(repository.rglob("*")):
        kind = kind_of(path.relative_to(repository)) if path.is_file() else None
        if kind is None:
            continue
        try:
            document = xml.load(str(path), xinclude=kind != "pkglist")
        except xml.XMLError:
            continue
        found[str(path)] += len(validate(document, kind))
    return found


def test_the_recorded_repositories_are_valid_but_for_what_is_wrong_on_purpose() -> None:
    repositories = sorted({path.parent.parent for path in CASES.glob("*/*/Metadata/*.xml")})
    assert len(repositories) > 100
    found: Counter[str] = Counter()
    for repository in repositories:
        found.update(found_in(repository))
    assert len(found) > 450
    wrong = {str(PurePath(path).relative_to(CASES)): number for path, number in found.items() if number}
    assert wrong == {path: number for path, (number, _why) in WRONG.items()}


def test_what_the_recorded_conversations_write_is_valid() -> None:
    checked = 0
    for case in sorted(CASES.glob("*/case.json")):
        for step in json.loads(case.read_text())["steps"]:
            kind = kind_of(PurePath(step["path"].partition("/")[2])) if step["do"] == "write" else None
            try:
                root = xml.parse_string(step["text"], step["path"]) if kind else None
            except xml.XMLError:
                continue
            if kind and root is not None:
                assert validate(xml.Document(f"{case.parent.name}/{step['path']}", root), kind) == []
                checked += 1
    assert checked > 50


def test_the_example_site_is_valid() -> None:
    found = found_in(ROOT / "examples/site")
    assert found and not +found


def test_the_sites_of_benchmarks_are_valid(tmp_path: Path) -> None:
    write_site(tmp_path, Shape(), 1)
    found = found_in(tmp_path / "repo")
    assert found and not +found
