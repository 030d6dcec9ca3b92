"""Which handler a file is for, by its name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.server.plugin import Specificity, SpecificityError
from bcfg2.server.plugins.cfg import CfgGenerator
from bcfg2.server.plugins.cfg.lookup import HandlerTable
from tests.server.plugins.cfg.conftest import HANDLERS


class Fixed(CfgGenerator):
    """Two fixed names, for everybody only."""

    __basenames__ = ["keys.xml", "the_keys.xml"]
    __specific__ = False


TABLE = HandlerTable([*HANDLERS, Fixed])


def found(basename: str, filename: str) -> str:
    """The handler, and for whom the file is, in short."""
    result = TABLE.find(basename, filename)
    if result is None:
        return "ignored"
    specific = result.specific
    name = result.handler.__name__.removeprefix("Cfg").removesuffix("Generator").removesuffix("Verifier")
    if specific.hostname is not None:
        return f"{name} H {specific.hostname}"
    return name if specific.group is None else f"{name} G{specific.prio} {specific.group}"


@pytest.mark.parametrize(
    ("basename", "filename", "expected"),
    [
        ("motd", "motd", "Plaintext"),
        ("motd", "motd.H_web1.example.com", "Plaintext H web1.example.com"),
        ("motd", "motd.G007_web", "Plaintext G7 web"),
        ("motd", "motd.genshi", "Genshi"),
        ("motd", "motd.G5_a.genshi", "Genshi G5 a"),
        ("motd", "motd.G5_a.b.genshi", "Genshi G5 a.b"),
        ("motd", "motd.H_a.genshi.jinja2", "Jinja2 H a.genshi"),
        ("motd", "motd.G5_a.genshi.crypt", "EncryptedGenshi G5 a"),
        ("motd", "motd.crypt.genshi", "EncryptedGenshi"),
        ("motd", "motd.H_h.crypt", "Encrypted H h"),
        ("motd", "motd.jinja2.crypt", "EncryptedJinja2"),
        ("motd", "motd.G10_x.cheetah.crypt", "EncryptedCheetah G10 x"),
        ("motd", "motd.H_h.crypt.jinja2", "EncryptedJinja2 H h"),
        ("motd", "motd.cheetah", "Cheetah"),
        # the trap: the suffix is not known, so it is part of the group's name
        ("motd", "motd.G10_web.cat", "Plaintext G10 web.cat"),
        # the whole last component is the base name
        ("page.genshi", "page.genshi", "Plaintext"),
        ("page.genshi", "page.genshi.genshi", "Genshi"),
        ("page.genshi", "page.genshi.G10_dmz.genshi", "Genshi G10 dmz"),
        ("secret.crypt", "secret.crypt", "Plaintext"),
        ("conf.G10_bsd", "conf.G10_bsd", "Plaintext"),
        ("conf.G10_bsd", "conf.G10_bsd.H_h", "Plaintext H h"),
        ("a(b)[c].conf", "a(b)[c].conf.G1_linux", "Plaintext G1 linux"),
        ("g++.conf", "g++.conf", "Plaintext"),
        ("read me.txt", "read me.txt.G10_dmz", "Plaintext G10 dmz"),
        (".bashrc", ".bashrc", "Plaintext"),
        (".bashrc", ".bashrc.genshi", "Genshi"),
        # fixed names
        ("motd", "info.xml", "InfoXML"),
        ("motd", ":test", "ExternalCommand"),
        ("motd", ":test.G10_x", "ExternalCommand G10 x"),
        ("motd", ":test.H_y.z", "ExternalCommand H y.z"),
        ("motd", "the_keys.xml", "Fixed"),
        ("info.xml", "info.xml", "InfoXML"),
        # to be included
        ("motd", "motd.genshi_include", "ignored"),
        ("motd", "anything.jinja2_include", "ignored"),
    ],
)
def test_the_first_handler_that_understands_the_name(basename: str, filename: str, expected: str) -> None:
    assert found(basename, filename) == expected


@pytest.mark.parametrize(
    "filename",
    [
        "README",
        "motdX",
        "motd.cat",
        "motd.diff",
        "info",
        ":info",
        "motd.Gxx_debian",
        "motd.G10_",
        "motd.G50debian",
        "motd.H_",
        "motd.G10_a b",
        "genshi",
        ".genshi",
        "motd.genshi.G10_a",
        "info.xml.G10_a",
        "info.xml.H_h",
        "keys.xml.G1_a",
        ":test.genshi",
        ":testing",
    ],
)
def test_names_that_no_handler_understands(filename: str) -> None:
    with pytest.raises(SpecificityError, match="no handler"):
        TABLE.find("motd", filename)


def test_handlers_are_tried_by_priority_then_by_module() -> None:
    class Late(CfgGenerator):
        __extensions__ = ["x"]
        __priority__ = 20

    class Early(CfgGenerator):
        __extensions__ = ["x"]
        __priority__ = 10

    class Same(CfgGenerator):
        __extensions__ = ["x"]
        __priority__ = 10

    Early.__module__, Same.__module__ = "a.second", "a.first"
    for handlers in ([Late, Early, Same], [Same, Early, Late]):
        result = HandlerTable(handlers).find("f", "f.x")
        assert result is not None
        assert result.handler is Same


def test_without_handlers_nothing_is_understood() -> None:
    with pytest.raises(SpecificityError):
        HandlerTable([]).find("f", "f")


words = st.sampled_from(["a", "b.c", "genshi", "x.genshi", "G1_g", "H_h", "crypt"])


@given(
    words,
    st.sampled_from(["", ".H_", ".G3_"]),
    words,
    st.sampled_from(["", "genshi", "jinja2", "crypt.genshi", "crypt"]),
)
def test_a_name_that_is_built_by_the_rule_is_understood(base: str, kind: str, who: str, suffix: str) -> None:
    name = f"{base}{kind}{who if kind else ''}{suffix and '.'}{suffix}"
    result = TABLE.find(base, name)
    assert result is not None
    # the shortest name of a host or group counts, so known suffixes are never part of it
    known = ["genshi.crypt", "crypt.genshi", "genshi", "jinja2", "crypt"]
    rest = name[len(base) :]
    ending = next((f".{end}" for end in known if rest.endswith(f".{end}") and rest != f"{kind}{end}"), "")
    stem = rest.removesuffix(ending)
    assert result.handler.__extensions__ == [] if not ending else ending[1:] in result.handler.__extensions__
    assert result.specific == (
        Specificity()
        if not stem
        else Specificity(hostname=stem[3:])
        if stem.startswith(".H_")
        else Specificity(group=stem[4:], prio=3)
    )
