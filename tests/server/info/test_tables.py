"""Clients, groups, bundles and entries in tables, and questions about them."""

import json
from typing import Any

import pytest

from bcfg2.server.plugin import Plugin
from tests.server.info.conftest import Place, Run
from tests.support import write_files


def rows(output: str) -> list[list[str]]:
    """The cells of a table, without the ruling, which must be there."""
    header, ruling, *lines = output.splitlines()
    assert set(ruling) == {"="} and len(ruling) >= max(map(len, (header, *lines)))
    return [[cell.strip() for cell in line.split(" | ")] for line in (header, *lines)]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["db1", "www1", "www2"]),
        (["*"], ["db1", "www1", "www2"]),
        (["nobody*", "*"], ["db1", "www1", "www2"]),
        (["www*"], ["www1", "www2"]),
        (["WWW*"], []),
        (["www[!2]*"], ["www1"]),
        (["d?1.example.com", "www2.example.com"], ["db1", "www2"]),
        (["www2.example.com"], ["www2"]),
        (["www.example.com"], ["www1"]),
    ],
)
def test_clients_are_chosen_by_name_and_pattern(info: Run, words: list[str], names: list[str]) -> None:
    status, output, errors = info("clients", *words)
    expected = [[f"{name}.example.com", "db" if name == "db1" else "web"] for name in names]
    assert (status, errors, rows(output)) == (0, "", [["Client", "Profile"], *expected])


def test_a_client_that_nobody_knows_is_shown_as_if_it_had_just_turned_up(info: Run) -> None:
    status, output, errors = info("clients", "New.example.com", "db1.example.com")
    assert (status, rows(output)[1:]) == (0, [["new.example.com", "web"], ["db1.example.com", "db"]])
    assert errors == "New.example.com is no client: shown as if it had just turned up\n"


def test_without_a_default_profile_an_unknown_client_is_an_error_and_the_others_are_shown(
    info: Run, place: Place
) -> None:
    groups = place.repo / "Metadata/groups.xml"
    groups.write_text(groups.read_text().replace('default="true" ', ""))
    status, output, errors = info("clients", "new.example.com", "db1.example.com")
    assert (status, rows(output)[1:]) == (1, [["db1.example.com", "db"]])
    assert errors == "new.example.com: cannot add new client; no default group set\n"


def test_groups_have_profile_and_category(info: Run) -> None:
    status, output, _ = info("groups")
    assert status == 0
    assert rows(output) == [
        ["Groups", "Profile", "Category"],
        ["db", "yes", "role"],
        ["linux", "no", "None"],
        ["web", "yes", "role"],
    ]


def test_bundles_are_those_of_the_declaration_in_its_order(info: Run) -> None:
    assert rows(info("bundles", "web", "linux")[1]) == [["Group", "Bundles"], ["linux |"], ["web", "nginx,base"]]


@pytest.mark.parametrize("command", ["groups", "bundles"])
def test_a_group_that_does_not_exist_is_one_line_and_status_1(info: Run, command: str) -> None:
    assert info(command, "nosuch") == (1, "", "there is no group nosuch\n")


def test_a_pattern_that_nothing_matches_is_an_empty_table(info: Run) -> None:
    status, output, errors = info("groups", "x*")
    assert (status, errors, rows(output)) == (0, "", [["Groups", "Profile", "Category"]])


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["-g", "linux"], ["db1", "www1", "www2"]),
        (["-g", "linux , web"], ["www1", "www2"]),
        (["-p", "db, nosuch"], ["db1"]),
        (["--profile", "db,web"], ["db1", "www1", "www2"]),
        (["-b", "base,nginx"], ["www1", "www2"]),
        (["-g", "nosuch"], []),
    ],
)
def test_query_prints_names_and_nothing_else(info: Run, words: list[str], names: list[str]) -> None:
    assert info("query", *words) == (0, "".join(f"{name}.example.com\n" for name in names), "")


@pytest.mark.parametrize("words", [[], ["-g", "web", "-p", "db"]])
def test_query_wants_exactly_one_question(info: Run, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        info("query", *words)
    assert capsys.readouterr().out == ""


def test_showclient_shows_groups_with_categories_and_bundles(info: Run) -> None:
    assert info("showclient", "www.example.com") == (
        0,
        "Hostname:   www1.example.com\n"
        "Profile:    web\n"
        "Groups:     linux\n"
        "            web                            Category: role\n"
        "Bundles:    base\n"
        "            nginx\n",
        "",
    )


def test_showclient_shows_what_connectors_know(info: Run, place: Place) -> None:
    place.configure("Metadata,Probes,GroupPatterns")
    probed = '<Probed><Client name="db1.example.com" timestamp="1"><Probe name="cpus" value="4"/></Client></Probed>'
    write_files(place.repo, {"Probes/probed.xml": probed, "GroupPatterns/config.xml": "<GroupPatterns/>"})
    output = info("showclient", "db1.example.com")[1]
    heading, _, data = output.partition("Connector data\n")
    assert heading.endswith("Bundles:    base\n")
    assert data == f"{'=' * 80}\nProbes:  {{'cpus': '4'}}\n{'=' * 80}\n"


def test_showclient_goes_on_after_a_client_without_metadata(info: Run, place: Place) -> None:
    groups = place.repo / "Metadata/groups.xml"
    groups.write_text(groups.read_text().replace('default="true" ', ""))
    status, output, errors = info("showclient", "nobody", "db1.example.com")
    assert (status, output.splitlines()[0]) == (1, "Hostname:   db1.example.com")
    assert len(errors.splitlines()) == 1


def test_showentries_lists_what_is_to_be_bound(info: Run) -> None:
    assert rows(info("showentries", "www2.example.com")[1])[1:] == [
        ["BoundPath", "/srv/www"],
        ["Package", "nginx-www2"],
        ["Path", "/etc/motd"],
        ["Path", "/etc/nginx.conf"],
        ["Service", "sshd"],
    ]
    assert [row[0] for row in rows(info("showentries", "www1.example.com", "Path")[1])[1:]] == [
        "BoundPath",
        "Path",
        "Path",
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [["Cfg", "Path", "/etc/motd"], ["Cfg", "Path", "/etc/nginx.conf"], ["Rules", "Service", "sshd"]]),
        (["Service"], [["Rules", "Service", "sshd"]]),
        (["Path", "/etc/motd"], [["Cfg", "Path", "/etc/motd"]]),
        (["Path", "sshd"], []),
    ],
)
def test_mappings_are_restricted_by_type_and_name(info: Run, words: list[str], expected: list[list[str]]) -> None:
    assert rows(info("mappings", *words)[1])[1:] == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("clients db*", [{"client": "db1.example.com", "profile": "db"}]),
        ("groups linux", [{"groups": "linux", "profile": False, "category": None}]),
        ("bundles web", [{"group": "web", "bundles": ["nginx", "base"]}]),
        ("query -p db", ["db1.example.com"]),
        ("showentries db1.example.com Service", [{"entry_type": "Service", "name": "sshd"}]),
        ("mappings Service", [{"plugin": "Rules", "type": "Service", "name": "sshd"}]),
        (
            "showclient db*",
            [
                {
                    "hostname": "db1.example.com",
                    "profile": "db",
                    "groups": ["db", "linux"],
                    "categories": {"role": "db"},
                    "bundles": ["base"],
                    "connectors": {},
                }
            ],
        ),
    ],
)
def test_results_can_be_json(info: Run, words: str, expected: object) -> None:
    status, output, errors = info(*words.split(), "--json")
    assert (status, errors, json.loads(output)) == (0, "", expected)


class Noisy(Plugin):
    """A plugin that tells that it is loaded."""

    create = False

    def __init__(self, core: Any) -> None:
        super().__init__(core)
        self.logger.error("loaded")


@pytest.mark.parametrize(("command", "is_needed"), [("clients", False), ("groups", False), ("mappings", True)])
def test_plugins_that_a_command_does_not_need_are_not_loaded(
    info: Run, place: Place, command: str, is_needed: bool
) -> None:
    place.configure(f"Metadata,{__name__}.Noisy")
    assert info(command)[2] == ("loaded\n" if is_needed else "")
