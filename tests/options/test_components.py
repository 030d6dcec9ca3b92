"""Components found by name, and what is said of those that are not."""

import pytest

from bcfg2.options import ComponentOption, find_in
from bcfg2.options.components import ComponentError, load


def reason(package: str, name: str, **patterns: str) -> str:
    """Why NAME cannot be loaded from PACKAGE."""
    with pytest.raises(ComponentError) as caught:
        load(ComponentOption("a", "b", find=find_in(package, **patterns)), name)
    return str(caught.value)


def test_a_name_is_a_class_in_the_module_of_that_name_in_lower_case(package):
    name = package(metadata="class Metadata: pass")
    assert find_in(name)("Metadata").__name__ == "Metadata"


def test_a_module_that_a_site_has_added_may_be_called_as_its_class(package):
    name = package(SiteFacts="class SiteFacts: pass", sitefacts="class Other: pass")
    assert find_in(name)("SiteFacts").__module__ == f"{name}.SiteFacts"


def test_patterns_say_which_class_of_which_module(package):
    name = package(builtin_core="class BuiltinCore: pass", inotify="class Inotify: pass")
    assert find_in(name, module_name="{lower}_core", class_name="{capital}Core")("builtin").__name__ == "BuiltinCore"
    assert find_in(name, class_name="{capital}")("inotify").__name__ == "Inotify"


def test_a_name_with_dots_is_imported_as_it_is(package):
    name = package(foo="class Bar: pass")
    option = ComponentOption("a", "b", find=find_in("bcfg2.server.plugins"))
    assert load(option, f"{name}.foo.Bar").__name__ == "Bar"


def test_a_dotted_name_that_is_not_there_says_what_is_missing(package):
    name = package(foo="Bar = 1")
    assert reason(name, "no_such_package.foo.Bar") == "there is no module no_such_package"
    assert reason(name, f"{name}.none.Bar") == f"there is no module {name}.none"
    assert reason(name, f"{name}.foo.Bar") == f"there is no class Bar in module {name}.foo"
    assert reason(name, f"{name}.foo.Baz") == f"there is no class Baz in module {name}.foo"


def test_an_unknown_name_comes_with_the_one_that_was_meant(package):
    name = package(metadata="class Metadata: pass", rules="class Rules: pass")
    assert reason(name, "Metdata") == f"there is none of this name in {name}; did you mean Metadata?"
    assert reason(name, "metadata") == f"there is none of this name in {name}; did you mean Metadata?"
    assert reason(name, "Zzz") == f"there is none of this name in {name}"


def test_an_unknown_word_comes_with_the_word_that_was_meant(package):
    name = package(builtin_core="class BuiltinCore: pass", core="class Core: pass")
    patterns = {"module_name": "{lower}_core", "class_name": "{capital}Core"}
    assert reason(name, "buitlin", **patterns) == f"there is none of this name in {name}; did you mean builtin?"


@pytest.mark.parametrize("name", ["../etc", "a b", "", "a-b"])
def test_what_is_no_name_is_not_looked_for(package, name):
    assert reason(package(), name) == "not a name"


def test_a_module_that_needs_another_says_which(package):
    name = package(foo="\nimport no_such_library")
    assert reason(name, "Foo").startswith("needs the Python module no_such_library, which is not installed (")
    assert reason(name, "Foo").endswith(f"{name}/foo.py:2)")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("\n\n1 / 0", "cannot be imported, ZeroDivisionError: division by zero ({folder}/foo.py:3)"),
        ("x = 1\n{}['a']", "cannot be imported, KeyError: 'a' ({folder}/foo.py:2)"),
        ("x = (\n", "cannot be imported, SyntaxError: '(' was never closed"),
        ("from sys import nothing", "cannot be imported, ImportError: cannot import name 'nothing' from 'sys'"),
    ],
)
def test_a_module_that_breaks_is_named_with_file_and_line(package, tmp_path, source, text):
    name = package(foo=source)
    assert reason(name, "Foo").startswith(text.format(folder=tmp_path / "import" / name))
    assert "/foo.py:" in reason(name, "Foo")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (LookupError("no such thing"), "no such thing"),
        (ImportError("install it"), "install it"),
        (RuntimeError("broken"), "cannot be imported, RuntimeError: broken"),
    ],
)
def test_what_a_finder_raises_is_the_reason(error, text):
    def find(name):
        raise error

    with pytest.raises(ComponentError) as caught:
        load(ComponentOption("a", "b", find=find), "Foo")
    assert str(caught.value).startswith(text)
