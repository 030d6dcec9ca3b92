"""Reading options: sources, precedence, components, errors, and reading again."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcfg2.options import (
    CONFIG,
    PASSWORD,
    REPOSITORY,
    BooleanOption,
    ChoiceOption,
    ColonListOption,
    ConfigFileOption,
    DictOption,
    ExclusiveGroup,
    IntOption,
    MacroOption,
    OctalOption,
    Option,
    OptionError,
    OptionGroup,
    OptionParser,
    PathOption,
    TimeoutOption,
    UsageError,
    UserOption,
)

# values and their sources


def test_a_value_is_an_attribute_named_after_section_and_key(read):
    text = "[communication]\nserverCommonNames = a:b\n[packages:yum]\nGPG-key = x\n"
    options = read([ColonListOption("communication", "serverCommonNames"), Option("packages:yum", "gpg-key")], text)
    assert options.communication_servercommonnames == ("a", "b")
    assert options.packages_yum_gpg_key == "x"


def test_options_without_a_key_are_named_after_their_longest_flag_or_as_declared(read):
    options = read([BooleanOption(flags=("-n", "--dry-run")), Option(flags=("-b",), dest="bundle")], words=["-n"])
    assert options.dry_run is True
    assert options.bundle is None


def test_an_option_without_any_name_is_a_mistake():
    with pytest.raises(ValueError, match="needs a key, a flag or a dest"):
        Option(help="nothing")


@given(
    default=st.integers(0, 9),
    first=st.none() | st.integers(10, 19),
    second=st.none() | st.integers(20, 29),
    variable=st.none() | st.integers(30, 39),
    word=st.none() | st.integers(40, 49),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_first_source_that_has_a_value_counts(monkeypatch, tmp_path, default, first, second, variable, word):
    files = [tmp_path / "one.conf", tmp_path / "two.conf"]
    for path, value in zip(files, (first, second), strict=True):
        path.write_text("[a]\n" if value is None else f"[a]\nx = {value}\n")
    monkeypatch.setenv("X", str(variable))
    if variable is None:
        monkeypatch.delenv("X")
    option = IntOption("a", "x", flags=("-x",), env="X", default=default)
    further = ConfigFileOption(flags=("--further",))
    words = ["-C", str(files[0]), "--further", str(files[1]), *(() if word is None else ("-x", str(word)))]
    options = OptionParser("prog", "A program", [option, further]).parse(words)
    expected = next(value for value in (word, variable, second, first, default) if value is not None)
    assert options.a_x == expected
    assert OptionParser("prog", "A program", [further, option]).parse(words) == options


@pytest.mark.parametrize(("default", "value"), [(False, True), (True, False)])
@pytest.mark.parametrize("text", ["", "[a]\nx = yes", "[a]\nx = no"])
def test_a_boolean_flag_means_the_opposite_of_the_default_whatever_the_file_says(read, default, value, text):
    assert read([BooleanOption("a", "x", flags=("-x",), default=default)], text, ["-x"]).a_x is value


@pytest.mark.parametrize("flag", ["--cfg-validation", "--no-cfg-validation"])
def test_a_flag_that_switches_off_has_a_twin_that_says_so(read, flag):
    option = BooleanOption("cfg", "validation", flags=("--cfg-validation",), default=True)
    assert read([option]).cfg_validation is True
    assert read([option], words=[flag]).cfg_validation is False


@pytest.mark.parametrize("flag", ["--no-no-wait", "--no-listen"])
def test_other_flags_have_no_twin(error, flag):
    wait = BooleanOption("a", "wait", flags=("--no-wait",), default=True)
    listen = BooleanOption("a", "listen", flags=("--listen",))
    assert error([wait, listen], words=[flag]) == f"unrecognized arguments: {flag}"


def test_an_empty_text_is_a_value_but_an_empty_path_is_none(read):
    options = [Option("a", "x", default="d"), PathOption("a", "y", default="/d"), PathOption("a", "z")]
    result = read(options, "[a]\nx =\ny =\nz =\n")
    assert (result.a_x, result.a_y, result.a_z) == ("", "/d", None)


def test_a_choice_may_be_folded_before_it_is_checked(read, error):
    option = ChoiceOption("a", "x", choices=("aes_256_cbc",), parse=lambda text: text.lower().replace("-", "_"))
    assert read([option], "[a]\nx = AES-256-cbc").a_x == "aes_256_cbc"
    assert error([option], "[a]\nx = des").endswith("[a] x = des: not one of aes_256_cbc")


def test_macros_and_home_are_replaced_in_values_of_every_source(read, monkeypatch, tmp_path):
    monkeypatch.setenv("P", "<repository>/env")
    options = [
        REPOSITORY,
        PathOption("a", "word", flags=("--word",)),
        PathOption("a", "env", env="P"),
        PathOption("a", "file"),
        PathOption("a", "default", default="<repository>/default"),
        MacroOption("a", "macro", default="<repository>/x.sqlite"),
        MacroOption("a", "home"),
    ]
    text = "[server]\nrepository = ~/repo\n[a]\nfile = <repository>/../file\nhome = ~/db\n"
    result = read(options, text, ["--word", "<repository>"])
    home = tmp_path / "home"
    assert result.server_repository == f"{home}/repo"
    assert result.a_word == f"{home}/repo"
    assert result.a_env == f"{home}/repo/env"
    assert result.a_file == f"{home}/file"
    assert result.a_default == f"{home}/repo/default"
    assert result.a_macro == f"{home}/repo/x.sqlite"
    assert result.a_home == f"{home}/db"


def test_the_repository_of_a_later_source_is_what_the_macro_means(read, tmp_path):
    (tmp_path / "two.conf").write_text("[server]\nrepository = /two\n")
    options = [REPOSITORY, PathOption("a", "x", default="<repository>/x"), ConfigFileOption("a", "further")]
    text = f"[server]\nrepository = /one\n[a]\nfurther = {tmp_path}/two.conf\n"
    assert read(options, text).a_x == "/two/x"
    assert read(options, text, ["-Q", "/three"]).a_x == "/three/x"


# which files


def test_the_main_file_comes_from_the_flag_or_else_the_variable(monkeypatch, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"[a]\nx = {name}\n")
    parser = OptionParser("prog", "A program", [Option("a", "x")])
    monkeypatch.setenv("BCFG2_CONFIG_FILE", str(tmp_path / "two"))
    assert parser.parse([]).a_x == "two"
    assert parser.parse(["-C", "one"]).a_x == "one"
    assert parser.parse(["--config=~/../one"]).config == str(tmp_path / "one")
    monkeypatch.delenv("BCFG2_CONFIG_FILE")
    assert parser.parse([]).config == CONFIG.default == "/etc/bcfg2.conf"


def test_a_missing_main_file_is_a_warning_and_defaults_count(tmp_path):
    options = OptionParser("prog", "A program", [Option("a", "x", default="d")]).parse(["-C", "none.conf"])
    assert options.a_x == "d"
    assert options.warnings == (f"could not read {tmp_path}/none.conf, there is no such file; defaults are used",)


def test_a_missing_further_file_is_passed_over(read):
    assert read([ConfigFileOption("a", "b", default="/nonexistent/web.conf")]).warnings == ()


def test_macros_are_replaced_in_the_name_of_a_further_file(read, tmp_path):
    (tmp_path / "web.conf").write_text("[b]\nx = web\n")
    options = [REPOSITORY, ConfigFileOption("a", "further"), Option("b", "x")]
    assert read(options, f"[server]\nrepository = {tmp_path}\n[a]\nfurther = <repository>/web.conf").b_x == "web"
    assert read(options, "[a]\nfurther = ~/../web.conf").b_x == "web"


# errors


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        (BooleanOption("server", "x"), "maybe", "not a boolean, say yes or no"),
        (IntOption("server", "x"), "3.5", "not a whole number"),
        (OctalOption("server", "x"), "9z", "not an octal number"),
        (TimeoutOption("server", "x"), "soon", "not a number"),
        (UserOption("server", "x"), "nobody-of-this-name", "no such user"),
        (ChoiceOption("server", "x", choices=("off", "on")), "bogus", "not one of off, on"),
        (DictOption("server", "x"), "[]", "not a Python dictionary of literals"),
    ],
)
def test_a_wrong_value_is_named_with_file_line_section_and_key(error, conf, option, value, reason):
    assert error([option], f"[server]\n\nX = {value}\n") == f"{conf}:3: [server] X = {value}: {reason}"


def test_a_wrong_value_of_another_source_is_named_with_it(error, monkeypatch):
    option = IntOption("a", "x", flags=("-s", "--size"), env="SIZE")
    assert error([option], words=["-s", "big"]) == "--size = big: not a whole number"
    monkeypatch.setenv("SIZE", "large")
    assert error([option]) == "$SIZE = large: not a whole number"
    default = UserOption("a", "x", default="nobody-of-this-name")
    assert error([default]) == "default of [a] x = nobody-of-this-name: no such user"


def test_a_long_wrong_value_is_shown_on_one_line_of_limited_length(error):
    text = error([IntOption("a", "x")], "[a]\nx = 1\n  2\n  " + "3" * 10000)
    assert "[a] x = 1 2 333" in text
    assert "\n" not in text
    assert len(text) < 500


def test_an_error_in_a_further_file_is_named_with_that_file(error, tmp_path):
    (tmp_path / "web.conf").write_text("[a]\nx = many\n")
    options = [ConfigFileOption("a", "further", default=str(tmp_path / "web.conf")), IntOption("a", "x")]
    assert error(options, "[a]\nx = 1\n") == f"{tmp_path}/web.conf:2: [a] x = many: not a whole number"


def test_what_is_wrong_with_the_file_comes_before_unknown_words(error, conf):
    assert error([], "nonsense", ["--word"]) == f"{conf}:1: text before the first [section]"


@pytest.mark.parametrize("words", [["--nope"], ["word"], ["--name"], ["-n"], ["--na", "x"]])
def test_words_that_make_no_sense_are_a_usage_error(read, words):
    with pytest.raises(UsageError) as caught:
        read([Option("a", "name", flags=("-n", "--name"))], words=words)
    assert caught.value.usage.startswith("usage: prog ")


def test_a_group_may_hold_options_that_are_known_already(read):
    known = BooleanOption(flags=("--one",))
    group = ExclusiveGroup(known, BooleanOption(flags=("--two",)))
    options = read(
        [known, group, OptionGroup("more", known, Option(flags=("--three",)))], words=["--one", "--three", "x"]
    )
    assert (options.one, options.two, options.three) == (True, False, "x")


def test_flags_that_exclude_one_another_are_a_usage_error(read, error):
    group = ExclusiveGroup(BooleanOption(flags=("--one",)), BooleanOption(flags=("--two",)), required=True)
    assert read([group], words=["--two"]).two is True
    assert "not allowed with" in error([group], words=["--one", "--two"])
    assert "one of the arguments --one --two is required" in error([group])


# reading again


def test_reading_again_sees_files_and_environment_as_they_are_now(conf, monkeypatch):
    options = [Option("a", "x"), Option("a", "y", env="Y"), Option("a", "z", flags=("-z",)), PASSWORD]
    parser = OptionParser("prog", "A program", options)
    conf.write_text("[a]\nx = 1\nz = 1\n")
    before = parser.parse(["-C", str(conf), "-z", "word"])
    assert (before.a_x, before.a_y, before.a_z) == ("1", None, "word")
    conf.write_text("[a]\nx = 2\nz = 2\n")
    monkeypatch.setenv("Y", "3")
    after = parser.reread()
    assert (after.a_x, after.a_y, after.a_z) == ("2", "3", "word")
    assert before.a_x == "1"


def test_reading_again_is_not_confused_by_what_a_daemon_changes(conf, monkeypatch, tmp_path):
    parser = OptionParser(
        "prog", "A program", [PathOption("a", "x", default="log"), PathOption("a", "y", default="~/y")]
    )
    before = parser.parse(["-C", "bcfg2.conf"])
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", "/root")
    assert parser.reread() == before
    assert before.a_x == str(tmp_path / "log")
    assert before.config == str(conf)


def test_reading_again_refuses_a_broken_or_vanished_file(conf):
    parser = OptionParser("prog", "A program", [IntOption("a", "x", default=1)])
    parser.parse(["-C", str(conf)])
    conf.write_text("[a]\nx = many\n")
    with pytest.raises(OptionError, match="not a whole number"):
        parser.reread()
    conf.unlink()
    with pytest.raises(OptionError, match=f"^could not read {conf}, which is gone; the options stay as they are$"):
        parser.reread()
    conf.write_text("[a]\nx = 2\n")
    assert parser.reread().a_x == 2


def test_a_working_folder_that_is_gone_is_an_error(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(OptionError, match="^the working folder does not exist any more"):
        OptionParser("prog", "A program", []).parse([])
    os.chdir(tmp_path)


def test_a_further_file_does_not_stand_in_for_a_main_file_that_vanished(conf, tmp_path):
    (tmp_path / "web.conf").write_text("[a]\nx = 2\n")
    options = [ConfigFileOption(flags=("-W",)), IntOption("a", "x", default=1)]
    parser = OptionParser("prog", "A program", options)
    words = ["-C", str(conf), "-W", "web.conf"]
    parser.parse(words)
    conf.unlink()
    with pytest.raises(OptionError, match="which is gone"):
        parser.reread()
    missing = parser.parse(words)
    assert missing.a_x == 2
    assert missing.warnings == (f"could not read {conf}, there is no such file; defaults are used",)


def test_a_file_that_cannot_be_read_again_is_named_with_the_reason(conf):
    parser = OptionParser("prog", "A program", [])
    parser.parse(["-C", str(conf)])
    conf.unlink()
    conf.mkdir()
    with pytest.raises(OptionError, match=f"^{conf}: cannot read the configuration file: Is a directory$"):
        parser.reread()
