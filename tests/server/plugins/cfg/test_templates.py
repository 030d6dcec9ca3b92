"""Templates of both engines: what they yield, what they include, and what becomes of errors."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from bcfg2.server.plugin import Plugin, PluginExecutionError, TemplateDataProvider
from bcfg2.server.versioned import reading
from tests.server.plugin.small_core import Client
from tests.server.plugins.cfg.conftest import MakeBench
from tests.support import Site

VARIABLES = {
    "genshi": "$name|$path|$source_path|$repo|$metadata.hostname",
    "jinja2": "{{ name }}|{{ path }}|{{ source_path }}|{{ repo }}|{{ metadata.hostname }}",
}


class Provider(Plugin, TemplateDataProvider):
    """A plugin that adds variables to templates."""

    def __init__(self, name: str, variables: dict[str, Any]) -> None:  # no core is needed
        self.name = name
        self.variables = variables
        self.asked: list[Any] = []

    def get_template_data(self, entry: Any, metadata: Any, template: str) -> dict[str, Any]:
        self.asked.append((entry.get("name"), metadata.hostname, template))
        return self.variables


# what they yield


@pytest.mark.parametrize("engine", ["genshi", "jinja2"])
def test_the_built_in_variables(bench: MakeBench, engine: str) -> None:
    made = bench({f"etc/a/a.{engine}": VARIABLES[engine]})
    source = made.path(f"etc/a/a.{engine}")
    path = source if engine == "genshi" else "/etc/a"
    assert made.text("/etc/a", Client("h")) == f"/etc/a|{path}|{source}|{made.core.repo}|h"
    entry = etree.Element("Path", name="/etc/a", realname="/etc/true")
    made.cfg.Entries["Path"]["/etc/a"](entry, Client("h"))
    assert str(entry.text).startswith("/etc/true|" + (source if engine == "genshi" else "/etc/true"))


@pytest.mark.parametrize(
    ("engine", "text"), [("genshi", "$name $extra $both"), ("jinja2", "{{ name }} {{ extra }} {{ both }}")]
)
def test_plugins_add_variables_but_replace_none(
    bench: MakeBench, engine: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = bench({f"a/a.{engine}": text})
    first = Provider("First", {"extra": "more", "name": "stolen", "both": 1})
    made.core.plugins += [first, Provider("Second", {"both": 2})]
    assert made.text("/a", Client("h")) == "/a more 1"
    assert first.asked == [("/a", "h", made.path(f"a/a.{engine}"))]
    assert "variable name of plugin First is taken" in caplog.text
    assert "variable both of plugin Second is taken" in caplog.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{% for i in [1, 2] %}\\\n$i\n{% end %}.", "1\n2\n."),
        ("first\n{% if True %}\nkept\n{% end %}\n{# gone #}\nlast", "first\n\nkept\n\n\nlast"),
        (
            "none=[${None}] list=${['a', 'b']} int=${3} float=${1.5} tuple=${(1, 'x')}",
            "none=[] list=ab int=3 float=1.5 tuple=1x",
        ),
        ("$$HOME \\{% not %} \\{# not #} \\\\ $5", "$HOME {% not %} {# not #} \\ $5"),
        ("{% python\n  def twice(x):\n      return x + x\n%}\\\n${twice('ab')}", "abab"),
        ("{% def item(x, y=2) %}$x-$y;{% end %}${item(1)}${item(3, 4)}", "1-2;3-4;"),
        ("{% choose %}{% when False %}a{% end %}{% otherwise %}b{% end %}{% end %}", "b"),
        ("{% with a = 1; b = a + 1 %}$a$b{% end %}", "12"),
        ('<b> & "q" \u00fc \u2603\r\nno newline', '<b> & "q" \u00fc \u2603\r\nno newline'),
        ("start {% if True %}\nnever ends", "start \nnever ends"),
    ],
)
def test_the_language_of_genshi(bench: MakeBench, text: str, expected: str) -> None:
    assert bench({"a/a.genshi": text}).text("/a") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n{% if true %}\nb\n{% endif %}\n  c  {%- if true %} d {%- endif %}\n\n", "a\n\nb\n\n  c d\n\n"),
        ("undefined=[{{ nothing }}] none=[{{ none }}] {{ 'a<b>&' }}", "undefined=[] none=[None] a<b>&"),
        ("no newline", "no newline"),
        ("$HOME $$ ${x}", "$HOME $$ ${x}"),
        ("{% raw %}{{ kept }}{% endraw %}\n", "{{ kept }}\n"),
    ],
)
def test_the_language_of_jinja2(bench: MakeBench, text: str, expected: str) -> None:
    assert bench({"a/a.jinja2": text}).text("/a") == expected


def test_a_template_is_rendered_for_each_request(bench: MakeBench) -> None:
    made = bench({"a/a.genshi": "$metadata.count", "b/b.jinja2": "{{ metadata.count }}"})
    client = Client("h", count=1)
    assert [made.text("/a", client), made.text("/b", client)] == ["1", "1"]
    client.count = 2  # type: ignore[attr-defined]
    assert [made.text("/a", client), made.text("/b", client)] == ["2", "2"]


# includes


def test_genshi_includes_are_relative_to_the_including_file_and_share_its_variables(bench: MakeBench) -> None:
    made = bench(
        {
            "etc/a/a.genshi": "{% include one.genshi_include %}|{% include ${metadata.hostname + '.inc'} %}|"
            "{% include ../shared/two.genshi_include %}|{% with x = 5 %}{% include one.genshi_include %}{% end %}",
            "etc/a/one.genshi_include": "one $name ${value_of('x', 'no x')}",
            "etc/a/h.inc": "host",
            "etc/shared/two.genshi_include": "two {% include three.genshi_include %}",
            "etc/shared/three.genshi_include": "three",
        }
    )
    assert made.text("/etc/a", Client("h")) == "one /etc/a no x|host|two three|one /etc/a 5"
    assert made.text("/etc/a", Client("other")) == "one /etc/a no x||two three|one /etc/a 5"


def test_jinja2_extends_includes_and_imports_relative_to_the_referring_file(bench: MakeBench) -> None:
    made = bench(
        {
            "etc/a/a.jinja2": '{% extends "../base/base.jinja2_include" %}{% block b %}{{ super() }}+'
            "{% import 'sub/m.jinja2_include' as m %}{{ m.hi(metadata.hostname) }}+"
            "{% include 'none.jinja2_include' ignore missing %}{% include ['none', repo ~ '/Cfg/etc/a/x.inc'] %}"
            "{% endblock %}",
            "etc/base/base.jinja2_include": "[{% block b %}{% include 'near.jinja2_include' %}{% endblock %}]\n",
            "etc/base/near.jinja2_include": "near {{ name }}",
            "etc/a/sub/m.jinja2_include": "{% macro hi(who) %}hi {{ who }}{% endmacro %}",
            "etc/a/x.inc": "x",
        }
    )
    assert made.text("/etc/a", Client("h")) == "[near /etc/a+hi h+x]\n"


@pytest.mark.parametrize(
    ("engine", "statement"),
    [("genshi", "{% include {} %}"), ("jinja2", "{% include '{}' %}"), ("jinja2", "{% extends '{}' %}")],
)
@pytest.mark.parametrize("where", ["Cfg/a/part", "elsewhere/part"])
def test_an_edited_include_takes_effect(bench: MakeBench, engine: str, statement: str, where: str) -> None:
    made = bench({"b/b": "B"})
    made.core.change({where: "one"})
    made.change({f"a/a.{engine}": statement.replace("{}", made.core.path(where))})
    assert made.text("/a") == "one"
    made.core.change({where: "two"})
    assert made.text("/a") == "two"
    made.core.change({where: "three"})
    assert made.text("/a") == "three"


def test_an_include_that_appears_disappears_and_comes_again(bench: MakeBench) -> None:
    made = bench({"a/a.genshi": "[{% include part.genshi_include %}]"})
    assert made.text("/a") == "[]"
    made.change({"a/part.genshi_include": "now"})
    assert made.text("/a") == "[now]"
    made.delete("a/part.genshi_include")
    assert made.text("/a") == "[]"
    made.change({"a/part.genshi_include": "again"})
    assert made.text("/a") == "[again]"


def test_a_template_and_its_include_change_as_one(bench: MakeBench) -> None:
    files: dict[str, str | bytes] = {"a/a.genshi": "1{% include i.genshi_include %}", "a/i.genshi_include": "1"}
    made = bench(files)
    assert made.text("/a") == "11"
    with reading():
        assert made.text("/a") == "11"
        thread = threading.Thread(
            target=made.change, args=({name: str(text).replace("1", "2") for name, text in files.items()},)
        )
        thread.start()
        thread.join(10)
        assert made.text("/a") == "11"
    assert made.text("/a") == "22"


def test_a_file_that_is_first_included_in_a_request_does_not_end_its_view(bench: MakeBench) -> None:
    made = bench({"a/a.genshi": "{% include i.genshi_include %}", "a/i.genshi_include": "I", "b/b": "old"})
    with reading():
        assert made.text("/b") == "old"
        thread = threading.Thread(target=made.change, args=({"b/b": "new"},))
        thread.start()
        thread.join(10)
        assert made.text("/a") == "I"
        assert made.text("/b") == "old"


# errors


def failure(made: Any, name: str, client: Client | None = None) -> str:
    with pytest.raises(PluginExecutionError) as raised:
        made.bind(name, client)
    return str(raised.value)


@pytest.mark.parametrize(
    ("suffix", "text", "reason"),
    [
        ("genshi", "port\n${no_such}", 'UndefinedError: "no_such" not defined (line 2, in the expression no_such)'),
        (
            "genshi",
            "\n$metadata.nothing.more",
            "UndefinedError: Client('host', []) has no member named \"nothing\" "
            "(line 2, in the expression metadata.nothing.more)",
        ),
        (
            "genshi",
            "a\n{% python\n  x = {}\n\n  y = x['k']\n%}",
            "KeyError: 'k' (line 3, in the Python block x = {} ...)",
        ),
        (
            "genshi",
            "{% for x in %}\n$x\n{% end %}",
            'TemplateSyntaxError: "in" keyword missing in "for" directive (line 1)',
        ),
        ("genshi", "a\nb ${1 +} c", "TemplateSyntaxError: invalid syntax (line 2)"),
        ("genshi", "{% nonsense %}", 'BadDirectiveError: bad directive "nonsense"'),
        ("genshi", "${1 / 0}", "ZeroDivisionError: division by zero (line 1, in the expression 1 / 0)"),
        ("genshi", "{% python assert False %}", "AssertionError (line 1, in the Python block assert False)"),
        ("genshi", "\n{% python exit(1) %}", "SystemExit: 1 (line 2, in the Python block exit(1))"),
        ("genshi", b"\xff", "UnicodeDecodeError: "),
        ("genshi", "{% include a.genshi %}", "RecursionError: "),
        ("jinja2", "a\n{{ nothing.more }}", "UndefinedError: 'nothing' is undefined (line 2)"),
        ("jinja2", "\n\n{{ 1 // 0 }}", "ZeroDivisionError: integer division or modulo by zero (line 3)"),
        ("jinja2", "\n{{ 1 + }}", "TemplateSyntaxError: unexpected 'end of print statement' (line 2)"),
        ("jinja2", "{% include 'missing' %}", "TemplateNotFound: "),
        ("jinja2", b"\xff", "UnicodeDecodeError: "),
    ],
)
def test_an_error_names_the_template_the_exception_and_the_line(
    bench: MakeBench, suffix: str, text: str | bytes, reason: str
) -> None:
    made = bench({f"a/a.{suffix}": text, "good/good.genshi": "good"})
    for _ in range(2):
        message = failure(made, "/a")
        assert message.startswith(f"Cfg: Error rendering {made.path(f'a/a.{suffix}')}: {reason}")
        assert message.endswith(reason) or reason.endswith(": ")
    assert made.text("/good") == "good"


@pytest.mark.parametrize(
    ("suffix", "text", "broken", "reason"),
    [
        (
            "genshi",
            "{% include i.inc %}",
            "x\n${oops}",
            ': UndefinedError: "oops" not defined ({path}, line 2, in the expression oops)',
        ),
        (
            "genshi",
            "\n{% include i.inc %}${f()}",
            "\n\n{% def f() %}${oops}{% end %}",
            ': UndefinedError: "oops" not defined ({path}, in the expression oops)',
        ),
        ("genshi", "{% include i.inc %}", "x\n${1 +}", ": {path}: TemplateSyntaxError: invalid syntax (line 2)"),
        (
            "jinja2",
            "{% include 'i.inc' %}",
            "x\n{{ oops.x }}",
            ": UndefinedError: 'oops' is undefined ({path}, line 2)",
        ),
        (
            "jinja2",
            "{% include 'i.inc' %}",
            "x\n{{ 1 + }}",
            ": {path}: TemplateSyntaxError: unexpected 'end of print statement' (line 2)",
        ),
    ],
)
def test_an_error_in_an_include_names_that_file(
    bench: MakeBench, suffix: str, text: str, broken: str, reason: str
) -> None:
    made = bench({f"a/a.{suffix}": text, "a/i.inc": broken})
    assert failure(made, "/a").endswith(f"a/a.{suffix}" + reason.replace("{path}", made.path("a/i.inc")))
    made.change({"a/i.inc": "mended" if suffix == "jinja2" else "{% def f() %}{% end %}mended"})
    assert made.text("/a").strip() == "mended"


def test_a_template_may_refuse_one_client(bench: MakeBench) -> None:
    text = """{% python
from genshi.template import TemplateError
if 'rack' not in metadata.groups:
    raise TemplateError('%s is in no rack' % metadata.hostname)
%}\\
racked"""
    made = bench({"a/a.genshi": text})
    assert "TemplateError: loose is in no rack" in failure(made, "/a", Client("loose"))
    assert made.text("/a", Client("h", "rack")) == "racked"


def test_a_broken_template_for_a_group_is_a_matter_of_that_group(bench: MakeBench) -> None:
    made = bench({"a/a": "good", "a/a.G1_g.genshi": "${1 +}"})
    assert made.text("/a", Client("x")) == "good"
    failure(made, "/a", Client("x", "g"))


@pytest.mark.parametrize(("suffix", "broken"), [("genshi", "{% for x in %}{% end %}"), ("jinja2", "{% if %}")])
def test_a_template_that_becomes_broken_is_named_at_once_and_serves_nothing_old(
    bench: MakeBench, suffix: str, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = bench({f"a/a.{suffix}": "good"})
    assert made.text("/a") == "good"
    made.change({f"a/a.{suffix}": broken})
    assert [
        made.path(f"a/a.{suffix}") in record.message for record in caplog.records if record.levelname == "ERROR"
    ] == [True]
    failure(made, "/a")
    made.change({f"a/a.{suffix}": "mended"})
    assert made.text("/a") == "mended"


@pytest.mark.parametrize(
    ("suffix", "module", "flag", "extra"),
    [("genshi", "genshitext", "NewTextTemplate", "genshi"), ("jinja2", "cfgjinja2generator", "JINJA2", "jinja2")],
)
def test_a_missing_library_fails_only_its_own_files(
    bench: MakeBench, suffix: str, module: str, flag: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"bcfg2.server.plugins.cfg.{module}.{flag}", None)
    made = bench({f"a/a.{suffix}": "x", "b/b": "B"})
    assert made.text("/b") == "B"
    assert f"install bcfg2[{extra}]" in failure(made, "/a")


def test_many_threads_render_one_template_that_nobody_has_compiled_yet(bench: MakeBench) -> None:
    text = "{% for i in range(20) %}{% if i %}$i{% end %}{% include part %}{% end %}"
    made = bench({"a/a.genshi": text, "a/part": "{% if True %}.{% end %}", "b/b.jinja2": "{% include '../a/part' %}"})
    results: list[str] = []
    barrier = threading.Barrier(8)

    def render(number: int) -> None:
        barrier.wait(10)
        results.append(made.text("/a", Client(f"h{number}")))

    threads = [threading.Thread(target=render, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == ["." + "".join(f"{i}." for i in range(1, 20))] * 8


@pytest.mark.parametrize(("suffix", "text"), [("genshi", "{% include i %}"), ("jinja2", "{% include 'i' %}")])
def test_an_include_that_does_not_decode_is_named(bench: MakeBench, suffix: str, text: str) -> None:
    made = bench({f"a/a.{suffix}": text, "a/i": b"\xff"})
    assert f"{made.path('a/i')}: 'utf-8' codec can't decode" in failure(made, "/a")


def test_an_include_that_cannot_be_read_is_an_error_not_an_empty_text(bench: MakeBench) -> None:
    made = bench({"a/a.genshi": "{% include fifo %}"})
    os.mkfifo(made.path("a/fifo"))
    assert "not a regular file" in failure(made, "/a")


def test_templates_are_compiled_before_processes_share_them_and_broken_ones_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {"Cfg/good/good.jinja2": "{{ metadata.hostname }}", "Cfg/bad/bad.jinja2": "{% if %}"}
    site = Site(tmp_path, files, "Metadata,Bundler,Cfg")
    cfg = site.plugin("Cfg")
    (good,), (bad,) = (cfg.entries[name].entries.values() for name in ("good", "bad"))
    assert good._template is bad._broken is None
    cfg.before_fork()
    assert good._template is not None and "bad.jinja2" in bad._broken
    assert [record.levelname for record in caplog.records if "bad.jinja2" in record.message] == ["ERROR"]
