"""Cheetah templates: their language and variables, and what becomes of errors."""

import sys
import threading

import pytest

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugins.cfg import cfgcheetahgenerator
from tests.server.plugin.small_core import Client
from tests.server.plugins.cfg.conftest import MakeBench

pytest.importorskip("Cheetah", reason="Cheetah 3 (extra cheetah) is not installed")


def test_variables_are_attributes_of_the_template_and_need_no_self(bench: MakeBench) -> None:
    made = bench({"etc/a/a.cheetah": "$self.name|$path|$self.source_path|$repo|$metadata.hostname\n"})
    source = made.path("etc/a/a.cheetah")
    assert made.text("/etc/a", Client("h")) == f"/etc/a|/etc/a|{source}|{made.core.repo}|h\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("## gone\n# stays\n", "# stays\n"),
        (r"\$HOME \#literal", "$HOME #literal"),
        ("#for $i in [1, 2]\n$i ü\n#end for\n", "1 ü\n2 ü\n"),
        ("#set $x = 6\n$($x * 7)", "42"),
        ("#def twice(x)\n$x$x\n#end def\n$twice('ab')", "abab\n"),
        ("[${None}]$metadata.hostname.upper()", "[]HOST"),
        ("#encoding utf-8\nü$name", "ü/a"),
        ("no final newline", "no final newline"),
        ("", None),
    ],
)
def test_the_language_of_cheetah(bench: MakeBench, text: str, expected: str | None) -> None:
    assert bench({"a/a.cheetah": text}).text("/a", Client("host")) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x\nport $no_such\n", r"NotFound: cannot find 'no_such'.* \(line 2\)"),
        ("x\n\n$(1/0)", r"ZeroDivisionError: division by zero \(line 3\)"),
        ("a\n#if 1\nnever", r"ParseError: Some #directives are missing .* if \(line 3\)"),
        ("$x(", r"ParseError: EOF was reached .* \(line 1\)"),
        ("#set $x = = 3\n", "SyntaxError: invalid syntax"),
        ("#raise SystemExit('no')\n", "SystemExit: no"),
        ("#import no_such_module\n", "ModuleNotFoundError"),
    ],
)
def test_an_error_names_the_template_the_exception_and_if_it_can_the_line(
    bench: MakeBench, text: str, reason: str
) -> None:
    made = bench({"a/a.cheetah": text, "b/b": "plain"})
    with pytest.raises(PluginExecutionError, match=rf"Cfg: Error rendering .*/a/a\.cheetah: {reason}") as caught:
        made.bind("/a")
    assert "\n" not in str(caught.value)
    assert made.text("/b") == "plain"


def test_a_template_that_becomes_broken_is_named_at_once_and_serves_nothing_old(
    bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    made = bench({"a/a.cheetah": "good"})
    made.change({"a/a.cheetah": "#if"})
    assert "Error rendering" in caplog.text
    with pytest.raises(PluginExecutionError):
        made.bind("/a")
    made.change({"a/a.cheetah": "good again"})
    assert made.text("/a") == "good again"


def test_compiling_leaves_no_modules_behind(bench: MakeBench) -> None:
    made = bench({"a/a.cheetah": "0"})
    made.text("/a")
    before = len(sys.modules)
    for number in range(1, 5):
        made.change({"a/a.cheetah": f"{number} $name"})
        assert made.text("/a") == f"{number} /a"
    assert len(sys.modules) == before


def test_many_threads_render_one_template_for_their_own_clients(bench: MakeBench) -> None:
    made = bench({"a/a.cheetah": "#for $i in range(50)\n$metadata.hostname\n#end for\n"})
    wrong = []

    def render(host: str) -> None:
        for _ in range(10):
            if made.text("/a", Client(host)) != f"{host}\n" * 50:
                wrong.append(host)

    threads = [threading.Thread(target=render, args=(f"h{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_without_the_library_only_its_own_files_fail(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cfgcheetahgenerator, "Compiler", None)
    made = bench({"a/a.cheetah": "x", "b/b": "plain"})
    with pytest.raises(PluginExecutionError, match=r"install bcfg2\[cheetah\]"):
        made.bind("/a")
    assert made.text("/b") == "plain"
