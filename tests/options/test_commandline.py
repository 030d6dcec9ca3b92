"""What the user of a command sees: help, version, exit status, subcommands."""

import os
import platform
import re
import subprocess
import sys
import textwrap

import pytest

from bcfg2.options import (
    BASE_OPTIONS,
    CONFIG,
    PASSWORD,
    REPOSITORY,
    Argument,
    BooleanOption,
    ChoiceOption,
    ComponentOption,
    ListOption,
    OctalOption,
    Option,
    OptionGroup,
    OptionParser,
    PathOption,
    SectionsOption,
    TimeoutOption,
    UsageError,
    WildcardOption,
    find_in,
)
from bcfg2.version import __version__


@pytest.fixture
def helped(read, capsys):
    """What ``--help`` prints, on one line with single blanks."""

    def helped(options, text="", words=("--help",), **kwargs) -> str:
        with pytest.raises(SystemExit) as caught:
            read(options, text, words, **kwargs)
        assert caught.value.code == 0
        return " ".join(capsys.readouterr().out.split())

    return helped


def test_help_shows_flags_with_place_default_and_purpose(helped):
    text = helped([REPOSITORY, PASSWORD, OptionGroup("output", BooleanOption(flags=("--raw",), help="100% raw"))])
    text = re.sub(r"(-\w) [A-Z]+, --", r"\1, --", text)  # as Python 3.13 and later write it
    assert "-C, --config PATH Configuration file ($BCFG2_CONFIG_FILE; default: /etc/bcfg2.conf)" in text
    assert "-Q, --repository PATH The server's repository ([server] repository; default: /var/lib/bcfg2)" in text
    assert "output: --raw 100% raw (default: no)" in text
    assert "([communication] password; $BCFG2_PASSWORD; default: none)" in text


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        (BooleanOption("a", "x", default=True, help="Try"), "[a] x = yes Try"),
        (ListOption("a", "x", default=["b", "c"], help="Try"), "[a] x = b,c Try"),
        (OctalOption("a", "x", default=0o77, help="Try"), "[a] x = 0077 Try"),
        (TimeoutOption("a", "x", default=300.0, help="Try"), "[a] x = 300 Try"),
        (Option("a", "x", default="hush", secret=True, help="Try"), "[a] x = (not shown) Try"),
        (Option("a", "x", env="X", help="Try"), "[a] x = none Try ($X)"),
        (ChoiceOption("a", "x", choices=("b", "c"), help="Try"), "[a] x = none Try (one of b, c)"),
        (WildcardOption("a", "*", help="Try"), "[a] * Try"),
        (SectionsOption("a_*", options=[PathOption(key="x")], help="Try"), "[a_*] x = none Try"),
    ],
)
def test_help_shows_settings_without_a_flag(helped, option, shown):
    assert shown in helped([option])


def test_help_says_what_a_flag_of_an_option_that_is_on_means(helped):
    text = helped([BooleanOption("a", "x", flags=("--x",), default=True, help="Try")])
    assert "--x, --no-x Try ([a] x; default: yes; the flag means no)" in text


def test_help_shows_what_the_configured_components_offer(helped, package):
    source = "from bcfg2.options import Option\nclass One:\n    options = [Option('one', 'x', flags=('--one',))]\n"
    option = ComponentOption("server", "plugins", find=find_in(package(one=source)), multiple=True)
    assert "--one" not in helped([option])
    assert "options of One: --one TEXT ([one] x; default: none)" in helped([option], "[server]\nplugins = One")


@pytest.mark.parametrize("text", ["nonsense", "[server]\nbackend = none", "[a]\nx = many"])
@pytest.mark.parametrize("words", [["--help"], ["-dh"], ["--bad", "-h"]])
def test_help_is_there_although_the_file_cannot_be_used(helped, text, words):
    options = [*BASE_OPTIONS, ComponentOption("server", "backend", default="x", find=find_in("bcfg2.server"))]
    assert helped(options, text, words).startswith("usage: prog ")


def test_the_version_names_command_and_python(read, capsys):
    with pytest.raises(SystemExit) as caught:
        read([], words=["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"prog {__version__} on Python {platform.python_version()}\n"


# as a process


@pytest.fixture
def run(tmp_path, conf):
    """Runs a command with an option [a] x, a number; its exit status, standard output and standard error."""
    script = tmp_path / "command.py"
    script.write_text(
        textwrap.dedent("""
            from bcfg2.options import IntOption, OptionParser
            parser = OptionParser("command", "A command", [IntOption("a", "x", flags=("-x",), default=1)])
            print(parser.parse_or_exit().a_x)
        """)
    )

    def run(*words, text="") -> tuple[int, str, str]:
        conf.write_text(text)
        environment = {**os.environ, "PYTHONPATH": os.getcwd(), "BCFG2_CONFIG_FILE": str(conf)}
        command = [sys.executable, str(script), *words]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def environment(request, environment, monkeypatch):
    """The working folder is the project's: processes find the package there."""
    monkeypatch.chdir(request.config.rootpath)


def test_a_value_that_can_be_used_is_no_error(run):
    assert run(text="[a]\nx = 3") == (0, "3\n", "")


def test_a_wrong_value_is_one_line_and_exit_status_2(run, conf):
    line = f"command: error: {conf}:2: [a] x = many: not a whole number\n"
    assert run(text="[a]\nx = many") == (2, "", line)
    assert run("-x", "many") == (2, "", "command: error: -x = many: not a whole number\n")


def test_an_unknown_word_is_usage_and_exit_status_2(run):
    status, output, errors = run("--no-such-option")
    assert (status, output) == (2, "")
    assert errors.startswith("usage: command ")
    assert errors.endswith("\ncommand: error: unrecognized arguments: --no-such-option\n")


def test_help_and_version_are_exit_status_0(run):
    for flag in ("-h", "--help", "--version"):
        status, output, errors = run(flag)
        assert (status, errors) == (0, "")
        assert output


# arguments and subcommands


@pytest.mark.parametrize(
    ("words", "host", "names"),
    [(["a"], "a", None), (["a", "b", "c"], "a", ("b", "c")), (["a", "--", "-b"], "a", ("-b",))],
)
def test_arguments_are_words_without_a_flag(read, words, host, names):
    options = read([Argument(dest="host"), Argument(dest="names", nargs="*")], words=words)
    assert (options.host, options.names) == (host, names)


def test_a_missing_argument_is_a_usage_error(read):
    with pytest.raises(UsageError, match="the following arguments are required: HOST"):
        read([Argument(dest="host")])


class Build:
    """Build a configuration.

    And so on.
    """

    options = [
        Option("build", "x", flags=("-f", "--outfile")),
        Argument(dest="host", help="Client"),
        ComponentOption("build", "tool", find=find_in("no_such_package_at_all"), on_missing="warn", multiple=True),
    ]


class Query:
    """Ask for clients."""

    options = [BooleanOption(flags=("-f",), dest="force")]


COMMANDS = {"build": Build, "query": Query}


@pytest.fixture
def parser(conf) -> OptionParser:
    return OptionParser("prog", "A program", [*BASE_OPTIONS, CONFIG], commands=COMMANDS)


def test_words_behind_a_subcommand_are_its_own(parser, conf):
    conf.write_text("[build]\nx = file\n")
    options = parser.parse(["-C", str(conf), "-d", "build", "-f", "out", "host"])
    assert (options.subcommand, options.logging_debug, options.build_x, options.host) == ("build", True, "out", "host")
    assert parser.parse(["-C", str(conf), "build", "host"]).build_x == "file"
    options = parser.parse(["-C", str(conf), "query", "-f"])
    assert (options.subcommand, options.force) == ("query", True)
    assert not hasattr(options, "build_x")


def test_a_subcommand_loads_components(parser, conf, package):
    source = "from bcfg2.options import Option\nclass One:\n    options = [Option('one', 'x', flags=('--one',))]\n"
    name = package(one=source)
    conf.write_text(f"[build]\ntool = {name}.one.One\n")
    options = parser.parse(["-C", str(conf), "build", "--one", "word", "host"])
    assert options.one_x == "word"
    assert [component.__name__ for component in options.build_tool] == ["One"]


def test_a_component_of_command_and_subcommand_is_known_to_both(conf, package):
    source = "from bcfg2.options import Option\nclass One:\n    options = [Option('one', 'x', flags=('--one',))]\n"
    option = ComponentOption("a", "tool", find=find_in(package(one=source)), default=["One"], multiple=True)
    command = type("Command", (), {"options": [option]})
    parser = OptionParser("prog", "A program", [option], commands={"do": command})
    assert parser.parse(["-C", str(conf), "--one", "main", "do"]).one_x == "main"
    assert parser.parse(["-C", str(conf), "--one", "main", "do", "--one", "own"]).one_x == "own"


@pytest.mark.parametrize(
    ("words", "message", "usage"),
    [
        ([], "the following arguments are required: COMMAND", "usage: prog ["),
        (["frobnicate"], "invalid choice: 'frobnicate'", "usage: prog ["),
        (["build"], "the following arguments are required: HOST", "usage: prog build ["),
        (["build", "-d", "host"], "unrecognized arguments: -d", "usage: prog build ["),
        (["-f", "query"], "unrecognized arguments: -f", "usage: prog ["),
    ],
)
def test_words_that_make_no_sense_with_subcommands_are_a_usage_error(parser, conf, words, message, usage):
    with pytest.raises(UsageError) as caught:
        parser.parse(["-C", str(conf), *words])
    assert message in str(caught.value)
    assert caught.value.usage.startswith(usage)


def test_another_subcommand_is_read_on_top_of_the_words_given_at_start(parser, conf):
    parser.parse(["-d", "-C", str(conf), "build", "-f", "out", "host"])
    options = parser.parse_command(["query", "-f"])
    assert (options.subcommand, options.force, options.logging_debug, options.config) == (
        "query",
        True,
        True,
        str(conf),
    )
    with pytest.raises(UsageError):
        parser.parse_command(["nothing"])
    assert parser.reread().subcommand == "build"


@pytest.mark.parametrize(
    ("words", "status", "output", "errors"),
    [
        (["help"], 0, ["usage: prog [", "build           Build a configuration.", "query           Ask for"], ""),
        (["--help"], 0, ["usage: prog [", "build           Build a configuration."], ""),
        (["help", "build"], 0, ["usage: prog build [", "Build a configuration.", "--outfile", "[build] tool"], ""),
        (["build", "-h"], 0, ["usage: prog build [", "Build a configuration.", "--outfile", "[build] tool"], ""),
        (["help", "none"], 1, [], "prog: there is no command none; prog help lists them\n"),
    ],
)
def test_help_lists_and_explains_subcommands(parser, conf, capsys, words, status, output, errors):
    with pytest.raises(SystemExit) as caught:
        parser.parse(["-C", str(conf), *words])
    assert caught.value.code == status
    printed = capsys.readouterr()
    assert printed.err == errors
    for part in output:
        assert part in printed.out
