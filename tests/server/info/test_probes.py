"""What clients are asked, and property files as their templates see them."""

import pytest
from lxml import etree

from tests.server.info.conftest import Place, Run
from tests.support import write_files


@pytest.fixture
def data(place: Place) -> Place:
    place.configure("Metadata,Probes,Properties")
    files = {
        "Probes/cpus": "#!/bin/sh\nnproc\n",
        "Probes/cpus.G10_db": "#!/usr/bin/perl\nprint 1\n",
        "Properties/on.xml": '<P automatch="true"><Group name="db"><a>1</a></Group><b/></P>',
        "Properties/off.xml": '<P><Client name="db1.example.com"><a>2</a></Client></P>',
        "Properties/x.json": "{}",
    }
    write_files(place.repo, files)
    return place


def test_probes_are_shown_as_the_document_that_the_client_gets(info: Run, data: Place) -> None:
    (probe,) = etree.fromstring(info("probes", "db1.example.com")[1])
    assert dict(probe.attrib) == {"name": "cpus", "source": "Probes", "interpreter": "/usr/bin/perl"}
    assert probe.text == "#!/usr/bin/perl\nprint 1\n"


@pytest.mark.parametrize("flag", ["-p", "--pretty"])
def test_pretty_probes_are_scripts_below_their_names(info: Run, data: Place, flag: str) -> None:
    assert info("probes", flag, "www1.example.com") == (0, "======\n cpus\n======\n\n#!/bin/sh\nnproc\n\n\n", "")


def test_automatch_resolves_conditions(info: Run, data: Place) -> None:
    root = etree.fromstring(info("automatch", "on.xml", "db1.example.com")[1])
    assert (dict(root.attrib), [child.tag for child in root]) == ({"automatch": "true"}, ["b", "a"])
    assert info("automatch", "on.xml", "www1.example.com")[1] == '<P automatch="true">\n  <b/>\n</P>\n'


def test_automatch_that_is_off_is_only_said_unless_it_is_forced(info: Run, data: Place) -> None:
    status, output, errors = info("automatch", "off.xml", "db1.example.com")
    assert (status, output) == (0, "")
    assert errors.startswith("Automatch is not enabled for off.xml")
    assert info("automatch", "-f", "off.xml", "db1.example.com") == (0, "<P>\n  <a>2</a>\n</P>\n", "")
    data.configure("Metadata,Properties", "[properties]\nautomatch = true\n")
    assert info("automatch", "off.xml", "db1.example.com")[1] == "<P>\n  <a>2</a>\n</P>\n"


@pytest.mark.parametrize(("file", "reason"), [("no.xml", "no property file no.xml"), ("x.json", "no XML file")])
def test_automatch_of_a_file_that_cannot_be_matched_is_one_line(info: Run, data: Place, file: str, reason: str) -> None:
    status, output, errors = info("automatch", file, "db1.example.com")
    assert (status, output, len(errors.splitlines())) == (1, "", 1)
    assert reason in errors


@pytest.mark.parametrize(("command", "plugin"), [("automatch x.xml", "Properties"), ("buildbundle base", "Bundler")])
def test_without_the_plugin_it_is_one_line(info: Run, place: Place, command: str, plugin: str) -> None:
    place.configure("Metadata,Cfg")
    status, output, errors = info(*command.split(), "db1.example.com")
    assert (status, output, len(errors.splitlines())) == (1, "", 1)
    assert errors.startswith(f"{plugin} plugin not enabled")
