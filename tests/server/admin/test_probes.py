"""Probe data moved between places, and cleaned up, by ``bcfg2-admin probes``."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bcfg2 import bcfg2_admin
from bcfg2.server.plugins.probes import xmlfile
from tests.support import ServerProcess, Site, write_files

PROBED = """<Probed>
  <Client name="a" timestamp="1700000000">
    <Probe name="empty" value=""/>
    <Probe name="os" value="line&#10;\u00fc"/>
    <Group name="zz"/>
    <Group name="aa"/>
  </Client>
  <Client name="c" timestamp="1700000002">
    <Probe name="os" value="newest"/>
  </Client>
  <Client name="gone" timestamp="1600000000">
    <Probe name="os" value="old"/>
  </Client>
</Probed>
"""
FILES = {
    "repo/Metadata/groups.xml": "<Groups><Group name='g' profile='true' default='true'/></Groups>",
    "repo/Metadata/clients.xml": "<Clients><Client name='a' profile='g'/><Client name='C' profile='g'/></Clients>",
    "repo/Probes/probed.xml": PROBED,
}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a configuration file and a repository whose probe data are in probed.xml."""
    write_files(tmp_path, FILES)
    configure(tmp_path)
    return tmp_path


@pytest.fixture
def probes(site: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``bcfg2-admin probes WORDS``: (exit status, standard output, standard error)."""

    def run(*words: str) -> tuple[int, str, str]:
        status = bcfg2_admin.main(["-C", str(site / "bcfg2.conf"), "probes", *words])
        return status, *capsys.readouterr()

    return run


def configure(site: Path, *options: str) -> None:
    (site / "bcfg2.conf").write_text(
        f"[server]\nrepository = {site}/repo\nplugins = Metadata, Probes, NoSuchPlugin\n"
        f"[database]\nname = {site}/db/bcfg2.sqlite\n[probes]\n" + "\n".join(options)
    )


def xml(site: Path) -> Path:
    return site / "repo/Probes/probed.xml"


def hosts(site: Path) -> list[str]:
    """The clients in the embedded store."""
    connection = sqlite3.connect(site / "repo/etc/probes.sqlite")
    try:
        return [host for (host,) in connection.execute("SELECT host FROM clients ORDER BY host")]
    finally:
        connection.close()


@pytest.mark.parametrize("way", [("sqlite",), ("database",), ("sqlite", "database"), ("database", "sqlite")])
def test_there_and_back_nothing_is_lost(way: tuple[str, ...], site: Path, probes: Run) -> None:
    if "database" in way:
        pytest.importorskip("django", reason="Django is missing: install bcfg2[db]")
    places = ("xml", *way)
    for source, target in zip(places, way, strict=False):
        status, output, error = probes("migrate", source, target)
        assert (status, error) == (0, "")
        assert output == (
            f"The probe data of 3 clients are now in {target}\n"
            f"Set in bcfg2.conf, section [probes]: storage = {target}\n"
        )
    assert xml(site).read_text() == PROBED
    xml(site).unlink()
    configure(site, "storage = xml")
    assert probes("migrate", way[-1], "xml")[:2] == (0, "The probe data of 3 clients are now in xml\n")
    assert xml(site).read_text() == PROBED


def test_what_is_in_the_new_place_is_replaced_only_if_that_is_said(site: Path, probes: Run) -> None:
    assert probes("migrate", "xml", "sqlite")[0] == 0
    xml(site).write_text("<Probed><Client name='new' timestamp='1'/></Probed>")
    status, output, error = probes("migrate", "xml", "sqlite")
    assert (status, output) == (1, "")
    assert "probe data of 3 clients in sqlite already (--replace)" in error
    assert hosts(site) == ["a", "c", "gone"]
    assert probes("migrate", "xml", "sqlite", "--replace")[0] == 0
    assert hosts(site) == ["new"]


def test_a_failed_write_leaves_the_new_place_as_it_was(
    site: Path, probes: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert probes("migrate", "xml", "sqlite")[0] == 0
    xml(site).write_text("<Probed><Client name='new' timestamp='1'/></Probed>")

    def refuse(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(xmlfile, "atomic_write", refuse)
        status, output, error = probes("migrate", "sqlite", "xml", "--replace")
    assert (status, output) == (1, "")
    assert "No space left on device" in error and str(xml(site)) in error
    assert "name='new'" in xml(site).read_text()


def test_what_cannot_be_read_is_not_taken_for_nothing(site: Path, probes: Run) -> None:
    xml(site).write_text("<Probed>")
    status, output, error = probes("migrate", "xml", "sqlite")
    assert (status, output) == (1, "") and str(xml(site)) in error
    assert not (site / "repo/etc/probes.sqlite").exists()
    for source in ("sqlite", "xml"):
        xml(site).unlink(missing_ok=True)
        status, output, error = probes("migrate", source, "xml" if source == "sqlite" else "sqlite")
        assert (status, output) == (1, "") and "there is no" in error
    assert not xml(site).exists()


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("move", "xml", "sqlite"),
        ("migrate",),
        ("migrate", "xml"),
        ("migrate", "xml", "xml"),
        ("migrate", "xml", "ldap"),
        ("migrate", "xml", "sqlite", "-n"),
        ("prune", "xml"),
        ("prune", "--replace"),
    ],
)
def test_words_that_make_no_sense_are_exit_status_2(words: tuple[str, ...], site: Path, probes: Run) -> None:
    try:
        status = probes(*words)[0]
    except SystemExit as err:
        status = err.code  # type: ignore[assignment]
    assert status == 2
    assert xml(site).read_text() == PROBED


@pytest.mark.parametrize("storage", ["xml", "sqlite", "database"])
def test_the_data_of_unknown_clients_are_removed(storage: str, site: Path, probes: Run) -> None:
    if storage == "database":
        pytest.importorskip("django", reason="Django is missing: install bcfg2[db]")
    configure(site, f"storage = {storage}")
    if storage != "xml":
        assert probes("migrate", "xml", storage)[0] == 0
    for _ in range(2):
        assert probes("prune", "-n") == (0, "gone\n", "")
    assert probes("prune") == (0, "gone\n", "")
    assert probes("prune") == (0, "", "")
    if storage != "xml":
        assert probes("migrate", storage, "xml", "--replace")[0] == 0
    begin, end = PROBED.index('  <Client name="gone"'), PROBED.index("</Probed>")
    assert xml(site).read_text() == PROBED[:begin] + PROBED[end:]


@pytest.mark.parametrize("clients", ["<Clients/>", "<Clients>"])
def test_where_no_client_is_known_nothing_is_removed(clients: str, site: Path, probes: Run) -> None:
    (site / "repo/Metadata/clients.xml").write_text(clients)
    status, output, _ = probes("prune")
    assert (status, output) == (1, "")
    assert xml(site).read_text() == PROBED


def test_clients_that_have_come_meanwhile_are_known(site: Path, probes: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    read = xmlfile.ProbedFile.records

    def slow(self: xmlfile.ProbedFile) -> object:
        text = "<Clients><Client name='a' profile='g'/><Client name='gone' profile='g'/></Clients>"
        (site / "repo/Metadata/clients.xml").write_text(text)
        return read(self)

    monkeypatch.setattr(xmlfile.ProbedFile, "records", slow)
    assert probes("prune") == (0, "c\n", "")


def test_while_a_server_runs_nothing_is_moved_but_a_shared_store_is_cleaned_up(
    tmp_path: Path, certificate: object, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {name.removeprefix("repo/"): text for name, text in FILES.items()}

    def run(server: ServerProcess, *words: str) -> tuple[int, str, str]:
        status = bcfg2_admin.main(["-C", str(server.conf), "probes", *words])
        return status, *capsys.readouterr()

    with ServerProcess(tmp_path, certificate, files, plugins="Metadata,Probes") as server:
        for words in (("migrate", "xml", "sqlite"), ("prune",)):
            status, output, error = run(server, *words)
            assert (status, output) == (1, "")
            assert "a server, or another command, is using" in error
    assert not (server.repo / "etc").exists()
    assert run(server, "migrate", "xml", "sqlite")[0] == 0
    with server:
        assert run(server, "prune")[:2] == (0, "gone\n")
        assert run(server, "migrate", "sqlite", "xml", "--replace")[0] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(("source", "target"), [("xml", "sqlite"), ("sqlite", "xml")])
def test_what_root_makes_belongs_to_the_owner_of_the_repository(
    source: str, target: str, site: Path, probes: Run
) -> None:
    if source == "sqlite":
        assert probes("migrate", "xml", "sqlite")[0] == 0
        xml(site).unlink()
    for path in (site / "repo", site / "repo/Probes"):
        os.chown(path, 12345, 12345)
    assert probes("migrate", source, target)[0] == 0
    for path in [xml(site)] if target == "xml" else [site / "repo/etc", site / "repo/etc/probes.sqlite"]:
        assert path.stat().st_uid == 12345


def test_the_server_goes_on_with_what_was_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name.removeprefix("repo/"): text for name, text in FILES.items()}
    site = Site(tmp_path, files, plugins="Metadata,Probes", conf="[probes]")
    site.stop()
    assert bcfg2_admin.main(["-C", str(site.conf), "probes", "migrate", "xml", "sqlite"]) == 0
    site.conf.write_text(site.conf.read_text() + "storage = sqlite\n")
    xml(tmp_path).unlink()
    site.start()
    metadata = site.metadata("a")
    assert {"zz", "aa"} <= metadata.groups and metadata.Probes["os"] == "line\n\u00fc"
    site.stop()
