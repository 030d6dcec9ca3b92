"""Lines of templates as an editor counts them, told by Genshi's own numbers."""

import pytest
from genshi.template import NewTextTemplate, TemplateError
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugins.cfg.genshitext import GenshiTextEngine
from tests.server.plugin.small_core import SmallCore

PIECES = [
    "text\n",
    "text ",
    "\n",
    "\n\n",
    "${1}\n",
    "$known ",
    "swallowed \\\n",
    "\\\\\n",
    "\\{% not one %}\n",
    "{% if True %}{% end %}",
    "{% if True %}\\\nx{% end %}\\\n",
    "{% if (True or\n False)\n %}$known\n{% end %}\n",
    "{# comment #}\n",
    "{# long\n\ncomment\n#}\\\n",
    "{% python\n  y = 1\n\n  z = 2\n%}\\\n",
    "{% python y = 1 %}\n",
    "$$ ",
]
#: What fails, and how many lines below its beginning the code that is shown stands.
WRONG = [
    ("${missing}", 0),
    ("before ${missing} after", 0),
    ("missing in text $missing;", 0),
    ("$missing_not\n$missing;", 1),
    ("before\n${missing}\nafter", 1),
    ("before\\\n${missing}\\\nafter", 1),
    ("{% if missing %}x{% end %}", 0),
    ("{% if True %}\\\n${missing}{% end %}", 1),
    ("{% for x in missing %}x{% end %}", 0),
    ("{% include ${missing} %}", 0),
    ("{% python missing() %}", 0),
    ("{% python\n  missing()\n%}", 1),
    ("{% python\n\n  a = 1\n\n  missing()\n%}", 2),
]


def failure(engine: GenshiTextEngine, text: str) -> str:
    with pytest.raises(PluginExecutionError) as raised:
        engine.render(engine.compile("/t", text), {"known": 1, "missing_not": 1})
    return str(raised.value)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> GenshiTextEngine:
    return GenshiTextEngine(SmallCore(tmp_path_factory.mktemp("repo")))


pieces = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@given(before=pieces, wrong=st.sampled_from(WRONG), after=pieces)
def test_the_line_of_what_fails_is_told(
    engine: GenshiTextEngine, before: str, wrong: tuple[str, int], after: str
) -> None:
    message = failure(engine, before + wrong[0] + after)
    line = before.count("\n") + wrong[1] + 1
    assert f"(line {line}, " in message
    assert '"missing" not defined' in message


@given(before=pieces, after=pieces)
def test_the_line_of_a_syntax_error_is_told(engine: GenshiTextEngine, before: str, after: str) -> None:
    message = failure(engine, f"{before}{{% for x of y %}}{after}{{% end %}}")
    assert message.endswith(f"(line {before.count(chr(10)) + 1})")


def test_genshi_still_counts_as_it_did() -> None:
    """If this fails, `genshilines` is no longer needed."""
    with pytest.raises(TemplateError) as raised:
        NewTextTemplate("a{% if True %}b{% end %}c{% for x of y %}{% end %}", filepath="/t", filename="/t").stream
    assert raised.value.lineno > 1
