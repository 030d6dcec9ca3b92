"""Components that are named by options and bring options of their own."""

import pytest

from bcfg2.options import (
    ComponentOption,
    IntOption,
    Option,
    find_in,
)


def plugins(package: str, **kwargs) -> ComponentOption:
    return ComponentOption("server", "plugins", find=find_in(package), multiple=True, on_missing="warn", **kwargs)


OPTION = "from bcfg2.options import *\nclass {name}:\n    options = [{options}]\n"


def test_components_bring_their_options_until_nothing_new_appears(read, package, tmp_path):
    more = "ComponentOption('one', 'more', default='two', find=find_in(__package__, class_name='{capital}'))"
    name = package(
        one=OPTION.format(name="One", options=more),
        two=OPTION.format(name="Two", options="Option('two', 'x', flags=('--two',)), ConfigFileOption('two', 'file')"),
        three=OPTION.format(name="Three", options="IntOption('three', 'x', default=3)"),
    )
    text = "[server]\nplugins = One\n[two]\nfile = two.conf\nx = file\n"
    (tmp_path / "two.conf").write_text("[server]\nplugins = One,Three\n")
    options = read([plugins(name)], text, ["--two", "word"])
    assert [component.__name__ for component in options.server_plugins] == ["One", "Three"]
    assert options.one_more.__name__ == "Two"
    assert options.two_x == "word"
    assert options.three_x == 3


def test_blanks_and_repetitions_among_names_do_not_count(read, package):
    name = package(one="class One: pass", two="class Two: pass")
    loaded = read([plugins(name)], "[server]\nplugins = Two, ,One,\n  Two,").server_plugins
    assert [component.__name__ for component in loaded] == ["Two", "One"]


def test_the_default_names_count_where_none_are_given(read, package):
    name = package(one="class One: pass")
    assert [component.__name__ for component in read([plugins(name, default=["One"])]).server_plugins] == ["One"]
    assert read([plugins(name, default=["One"])], "[server]\nplugins =").server_plugins == ()
    assert read([ComponentOption("a", "b", find=find_in(name))]).a_b is None


def test_a_component_that_may_be_missing_is_left_out_with_a_warning(read, conf, package):
    name = package(one="class One: pass", broken="1 / 0")
    options = read([plugins(name)], "[server]\nplugins = Oen,One,Broken\n")
    assert [component.__name__ for component in options.server_plugins] == ["One"]
    unknown, broken = options.warnings
    assert unknown == (
        f"{conf}:2: [server] plugins = Oen, which is left out: there is none of this name in {name}; did you mean One?"
    )
    assert broken.startswith(
        f"{conf}:2: [server] plugins = Broken, which is left out: cannot be imported, ZeroDivision"
    )


def test_a_component_that_has_to_be_there_is_an_error(conf, package, error):
    option = ComponentOption("server", "backend", default="one", flags=("--backend",), find=find_in(package()))
    assert error([option], "[server]\nbackend = two").startswith(f"{conf}:2: [server] backend = two: there is none")
    assert error([option], words=["--backend", "x"]).startswith("--backend = x: there is none")
    assert error([option]).startswith("default of [server] backend = one: there is none")
    assert error([option], "[server]\nbackend =") == f"{conf}:2: [server] backend: a name is missing"


def test_a_missing_component_comes_before_the_words_that_it_would_know(error, package):
    option = ComponentOption("server", "backend", default="one", find=find_in(package()))
    assert error([option], words=["--children", "3"]).startswith("default of [server] backend = one: there is none")


def test_the_same_option_may_be_declared_by_several(read, package):
    name = package(
        one=OPTION.format(name="One", options="IntOption('a', 'x', flags=('-x',), default=1)"),
        two=OPTION.format(name="Two", options="IntOption('a', 'x', flags=('-x',), default=1)"),
    )
    assert read([plugins(name)], "[server]\nplugins = One,Two", ["-x", "2"]).a_x == 2


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("IntOption('a', 'x')", "there is another option a_x"),
        ("Option('a', 'y', flags=('-x',))", "option a_y claims -x, which belongs to a_x"),
        ("Option('a', 'y', flags=('-h',))", "option a_y claims -h, which belongs to this flag"),
        ("Option('a', 'y', env='X')", "option a_y claims ('variable', 'X'), which belongs to a_x"),
        ("Option('a', 'X', dest='y')", "option y claims ('setting', 'a', 'x'), which belongs to a_x"),
        ("Option(dest='warnings')", "there is another option warnings"),
        ("'word'", "'word' is no option"),
    ],
)
def test_a_component_whose_options_clash_with_others_is_left_out(read, package, options, reason):
    name = package(one=OPTION.format(name="One", options=f"Option('a', 'fine', default='d'), {options}"))
    base = [Option("a", "x", flags=("-x",), env="X"), plugins(name)]
    result = read(base, "[server]\nplugins = One")
    assert result.server_plugins == ()
    assert not hasattr(result, "a_fine")
    assert result.warnings[0].endswith(f"[server] plugins = One, which is left out: {reason}")


def test_options_of_the_command_itself_that_clash_are_a_mistake(read):
    with pytest.raises(ValueError, match="there is another option a_x"):
        read([Option("a", "x"), IntOption("a", "x")])


def test_components_may_be_given_as_classes(read, package):
    class Core:
        options = [Option("a", "x", default="d")]

    assert read([], components=[Core]).a_x == "d"
