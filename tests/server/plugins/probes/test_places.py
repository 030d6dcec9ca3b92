"""Where probe data are kept: what the options and the files that are there say, and who uses them."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bcfg2.server.plugins.probes import places
from bcfg2.server.plugins.probes.sqlite import ProbesSQLite
from bcfg2.server.plugins.probes.storage import Record, StorageError
from bcfg2.server.plugins.probes.xmlfile import ProbedFile
from tests.support import Site

HOST = "client.example.com"
PROBED = f'<Probed><Client name="{HOST}" timestamp="1"><Group name="basic"/></Client></Probed>'

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    sites: list[Site] = []

    def make(*options: str, **files: str) -> Site:
        named = {"Probes/probed.xml": files["xml"]} if "xml" in files else {}
        conf = "[probes]\n" + "\n".join(options)
        sites.append(Site(tmp_path, named, plugins="Metadata,Probes", conf=conf))
        return sites[-1]

    yield make
    for site in sites:
        site.stop()


def make_sqlite(tmp_path: Path) -> Path:
    path = tmp_path / "repo/etc/probes.sqlite"
    store = ProbesSQLite(str(path), logging.getLogger())
    store.put(HOST, Record(7))
    store.close()
    return path


def test_by_default_it_is_probed_xml(make_site: MakeSite) -> None:
    site = make_site()
    assert isinstance(site.plugin("Probes").storage, ProbedFile)
    assert (site.repo / "Probes/probed.xml").exists() and not (site.repo / "etc").exists()


def test_by_default_an_embedded_store_that_is_there_counts(
    make_site: MakeSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_sqlite(tmp_path)
    site = make_site()
    assert site.plugin("Probes").storage.get(HOST).timestamp == 7
    assert not (site.repo / "Probes/probed.xml").exists()
    assert "are both there" not in caplog.text


def test_of_two_files_the_embedded_store_counts_with_a_warning(
    make_site: MakeSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_sqlite(tmp_path)
    site = make_site(xml=PROBED)
    assert site.plugin("Probes").storage.get(HOST).timestamp == 7
    (line,) = [record.getMessage() for record in caplog.records if "are both there" in record.getMessage()]
    assert str(path) in line and f"{site.repo}/Probes/probed.xml" in line and "[probes] storage" in line


@pytest.mark.parametrize(("chosen", "timestamp"), [("xml", 1), ("sqlite", 7)])
def test_the_option_decides(
    chosen: str, timestamp: int, make_site: MakeSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_sqlite(tmp_path)
    site = make_site(f"storage = {chosen}", "use_database = yes", xml=PROBED)
    assert site.plugin("Probes").storage.get(HOST).timestamp == timestamp
    assert f"use_database = yes has no effect, because of storage = {chosen}" in caplog.text
    assert "are both there" not in caplog.text


def test_who_chooses_the_embedded_store_is_told_of_data_left_behind(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site("storage = sqlite", xml=PROBED)
    assert site.plugin("Probes").storage.get(HOST).timestamp == 0
    assert f"The probe data in {site.repo}/Probes/probed.xml are not used" in caplog.text
    assert "bcfg2-admin probes migrate xml sqlite" in caplog.text
    assert site.repo.joinpath("Probes/probed.xml").read_text() == PROBED


@pytest.mark.parametrize("option", ["storage = database", "use_database = yes"])
def test_both_words_for_the_database(option: str, make_site: MakeSite, tmp_path: Path) -> None:
    pytest.importorskip("django", reason="Django is missing: install bcfg2[db]")
    make_sqlite(tmp_path)
    site = make_site(option, f"[database]\nname = {tmp_path}/db.sqlite")
    assert type(site.plugin("Probes").storage).__name__ == "ProbesDatabase"


def test_a_store_that_cannot_be_opened_leaves_the_plugin_out(
    make_site: MakeSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "repo/etc/probes.sqlite").mkdir(parents=True)
    site = make_site("storage = sqlite")
    assert "Probes" not in site.core.plugins
    assert "etc/probes.sqlite" in caplog.text


def test_what_bcfg2_admin_moves_no_server_uses_and_the_other_way_round(make_site: MakeSite) -> None:
    site = make_site()
    alone = places.Use(str(site.repo / "Probes"))
    with pytest.raises(StorageError, match="a server, or another command, is using .*Probes: stop it"):
        alone.begin(alone=True)
    first = site.core
    assert "Probes" in site.start().plugins  # another one may
    first.shutdown()


def test_the_use_ends_with_the_server(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site()
    site.stop()
    alone = places.Use(str(site.repo / "Probes"))
    alone.begin(alone=True)
    site.start()
    assert "Probes" not in site.core.plugins
    assert "bcfg2-admin is changing the probe data" in caplog.text
    alone.end()
    site.start()
    assert "Probes" in site.core.plugins
