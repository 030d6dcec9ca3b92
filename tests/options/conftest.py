"""Options read from a file of the test's own, and a package of components to load."""

import importlib
import sys
from itertools import count

import pytest

from bcfg2.options import OptionError, OptionParser, Options

_numbers = count()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes an importable package of the given modules (name -> source) and returns its name."""

    def make(**modules: str) -> str:
        name = f"components_{next(_numbers)}"
        folder = tmp_path / "import" / name
        folder.mkdir(parents=True)
        for module, source in {"__init__": "", **modules}.items():
            (folder / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path / "import")
        importlib.invalidate_caches()
        return name

    before = set(sys.modules)
    yield make
    for name in set(sys.modules) - before:
        if name.startswith("components_"):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """No variables from outside, and a working folder and a home of one's own."""
    for name in ("BCFG2_CONFIG_FILE", "BCFG2_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "bcfg2.conf"
    path.write_text("")
    path.chmod(0o600)
    return path


@pytest.fixture
def read(conf):
    """Reads OPTIONS with TEXT in the configuration file and further WORDS on the command line."""

    def read(options, text="", words=(), **kwargs) -> Options:
        conf.write_text(text)
        return OptionParser("prog", "A program", options, **kwargs).parse(["-C", str(conf), *words])

    return read


@pytest.fixture
def error(read):
    """Reads likewise, and gives the text of the error that this has to be."""

    def error(*arguments, **kwargs) -> str:
        with pytest.raises(OptionError) as caught:
            read(*arguments, **kwargs)
        return str(caught.value)

    return error
