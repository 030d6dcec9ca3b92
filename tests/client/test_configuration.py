"""The configuration document."""

import stat
from pathlib import Path

import pytest

from bcfg2.client.configuration import entries_of, keep, parse, title
from bcfg2.client.errors import FatalError


def test_comments_and_instructions_are_no_entries() -> None:
    found = parse(
        "<Configuration><!-- a --><Bundle name='b'><!-- c --><?d e?><Path name='/x'/></Bundle></Configuration>", "x"
    )
    (bundle,) = found.structures
    assert [title(entry) for entry in entries_of(bundle)] == ["Path:/x"]


def test_a_declared_encoding_in_a_text_does_no_harm() -> None:
    found = parse("<?xml version='1.0' encoding='latin-1'?><Configuration revision='é'/>", "x")
    assert found.revision == "é"


def test_a_text_of_many_megabytes_is_accepted() -> None:
    found = parse(f"<Configuration><Bundle><Path>{'x' * 12_000_000}</Path></Bundle></Configuration>", "x")
    assert len(next(iter(found.entries)).text or "") == 12_000_000


@pytest.mark.parametrize(
    ("document", "reason"),
    [("<Configuration>", "line 1"), ("", "empty"), ("<error>no such client</error>", "no such client")],
)
def test_what_is_no_configuration_ends_the_run(document: str, reason: str) -> None:
    with pytest.raises(FatalError, match=reason):
        parse(document, "the answer")


def test_elements_stay_the_same_objects() -> None:
    found = parse("<Configuration><Bundle><Path name='/a/'/><Path name='/b'/></Bundle></Configuration>", "x")
    assert [id(entry) for entry in found.entries] == [id(entry) for entry in found.entries]
    assert found.path_names == {"/a", "/b"}


def test_a_kept_document_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "cache.xml"
    path.write_text("old")
    path.chmod(0o644)
    keep("<Configuration>ü</Configuration>", str(path))
    assert path.read_text("utf-8") == "<Configuration>ü</Configuration>"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_at_the_place_of_the_kept_document_is_replaced_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "cache.xml"
    victim.write_text("precious")
    path.symlink_to(victim)
    keep("<x/>", str(path))
    assert (victim.read_text(), path.read_text()) == ("precious", "<x/>")


def test_a_document_that_cannot_be_kept_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match="missing"):
        keep("<x/>", str(tmp_path / "missing" / "cache.xml"))
