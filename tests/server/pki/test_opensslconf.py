"""Reading OpenSSL's configuration files."""

from pathlib import Path

import pytest

from bcfg2.server.pki.opensslconf import OpenSSLConfig
from bcfg2.server.plugin import PluginExecutionError


def read(tmp_path: Path, text: str) -> OpenSSLConfig:
    path = tmp_path / "openssl.cnf"
    path.write_text(text)
    return OpenSSLConfig(str(path))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("  blanks inside   ", "blanks inside"),
        ("a # comment", "a"),
        (r"a \# no comment", "a # no comment"),
        ('"a # no comment"', "a # no comment"),
        ("'single $home'", "single $home"),
        (r"tab\there", "tab\there"),
        ("$home/x", "/ca/x"),
        ("${home}x", "/cax"),
        ("$(home)x", "/cax"),
        ("$other::home", "/other"),
        ("${other::home}/x", "/other/x"),
        ("$top", "above"),
        ("goes \\\n on", "goes  on"),
        ("", ""),
    ],
)
def test_values(tmp_path: Path, text: str, value: str) -> None:
    config = read(tmp_path, f"top = above\n[other]\nhome = /other\n[ s ]\nhome = /ca\nwanted = {text}\n")
    assert config.get("s", "wanted") == value


def test_what_stands_before_all_sections_counts_where_a_section_has_nothing(tmp_path: Path) -> None:
    config = read(tmp_path, "a = 1\nb = 2\n[s]\na = 3\n")
    assert (config.get("s", "a"), config.get("s", "b"), config.get("s", "c")) == ("3", "2", None)


def test_the_environment_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "/env")
    assert read(tmp_path, "[s]\na = $ENV::WHERE/x\n").get("s", "a") == "/env/x"


def test_files_and_folders_are_included(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/1.cnf").write_text("[s]\na = 1\n")
    (tmp_path / "more/2.conf").write_text("[s]\nb = 2\n")
    (tmp_path / "more/README").write_text("no configuration")
    (tmp_path / "one").write_text("c = 3\n")
    config = read(tmp_path, "[s]\n.include one\n.include = more\n")
    assert config.section("s") == {"c": "3", "a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[s]\n\nnonsense\n", r"openssl\.cnf:3: neither \[section\] nor name = value"),
        ("[s]\na = $b\n", r"openssl\.cnf:2: \$b has no value"),
        (".include openssl.cnf\n", "files include each other"),
        (".include nowhere\n", "cannot read the OpenSSL configuration .*/nowhere"),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(PluginExecutionError, match=reason):
        read(tmp_path, text)
