"""Options as plugins of existing sites declare and read them."""

import threading
from pathlib import Path
from typing import Any

import pytest

from bcfg2.options import Option, OptionError, OptionParser
from bcfg2.options.common import BASE_OPTIONS, REPOSITORY
from bcfg2.server import old_options as old
from bcfg2.server.plugin import services
from tests.support import Site


def read(tmp_path: Path, conf: str, *declared: Option, words: tuple[str, ...] = ()) -> Any:
    path = tmp_path / "bcfg2.conf"
    path.write_text(conf)
    parser = OptionParser("test", "", [REPOSITORY, *BASE_OPTIONS, *declared])
    return parser.parse(["-C", str(path), "-Q", "/srv/repo", *words])


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (None, "a, b", "a, b"),
        (int, "7", 7),
        (float, "0.5", 0.5),
        (str.upper, "x", "X"),
        (old.Types.comma_list, "a, b ,c", ["a", "b", "c"]),
        (old.Types.colon_list, "a:b", ["a", "b"]),
        (old.Types.path, "<repository>/x", "/srv/repo/x"),
        (old.Types.boolean, "on", True),
        (old.Types.timeout, "0", None),
        (old.Types.octal, "0640", 0o640),
        (old.Types.size, "2k", 2048),
        (old.Types.username, "root", 0),
        (old.Types.groupname, "0", 0),
    ],
)
def test_the_type_turns_text_into_the_value(tmp_path: Path, kind: Any, text: str, value: object) -> None:
    options = read(tmp_path, f"[mine]\nkey = {text}", old.Option(cf=("mine", "key"), type=kind))
    assert options.mine_key == value
    default = old.Option(cf=("mine", "other"), type=kind, default=text)
    assert read(tmp_path, "", default).mine_other == value


@pytest.mark.parametrize(
    ("arguments", "dest"),
    [
        ({"cf": ("my-section", "a.key")}, "my_section_a_key"),
        ({"cf": ("mine", "key"), "dest": "elsewhere"}, "elsewhere"),
    ],
)
def test_the_attribute_follows_from_section_and_key(arguments: dict[str, Any], dest: str) -> None:
    assert old.Option(**arguments).dest == dest


def test_the_attribute_of_an_option_with_flags_is_the_longest_flag(tmp_path: Path) -> None:
    option = old.Option("-z", "--zeal-level", cf=("mine", "zeal"), type=int, default=1)
    assert read(tmp_path, "[mine]\nzeal = 2", option).zeal_level == 2
    assert read(tmp_path, "", option, words=("-z", "3")).zeal_level == 3


def test_booleans_paths_choices_wildcards_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE_WORD", "two")
    options = read(
        tmp_path,
        "[mine]\noff = no\n[names]\na = 1\nb = 2",
        old.BooleanOption(cf=("mine", "off"), default=True),
        old.BooleanOption("--loud", help="Be loud"),
        old.PathOption(cf=("mine", "folder"), default="<repository>/mine"),
        old.Option(cf=("mine", "word"), env="MINE_WORD", choices=["one", "two"]),
        old.Option(cf=("names", "*"), dest="names"),
        words=("--loud",),
    )
    assert (options.mine_off, options.loud, options.mine_folder, options.mine_word) == (
        False,
        True,
        "/srv/repo/mine",
        "two",
    )
    assert dict(options.names) == {"a": "1", "b": "2"}
    with pytest.raises(OptionError, match="not one of one, two"):
        read(tmp_path, "[mine]\nword = x", old.Option(cf=("mine", "word"), choices=["one", "two"]))


def test_an_option_of_the_server_may_be_declared_again() -> None:
    assert old.PathOption(cf=("server", "repository"), default="/x") is REPOSITORY


def test_values_are_read_while_there_is_a_core_in_all_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "_of_process", [])  # cores that other tests have not shut down
    site = Site(tmp_path)
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(old.setup.server_repository))
    thread.start()
    thread.join()
    assert seen == [str(site.repo)]
    assert old.setup.repository == str(site.repo)
    assert old.setup.encoding == "UTF-8" and old.setup.debug is False and old.setup.password == "secret"
    assert [kind.__name__ for kind in old.setup.plugins] == ["Metadata", "Bundler"]
    with pytest.raises(AttributeError, match="option none_such is declared neither"):
        _ = old.setup.none_such
    with pytest.raises(AttributeError, match="read only"):
        old.setup.repository = "/x"
    site.stop()
    with pytest.raises(AttributeError, match="ask in a method"):
        _ = old.setup.repository
