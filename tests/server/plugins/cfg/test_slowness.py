"""Templates that take long, or for ever."""

import logging
import threading

import pytest

from bcfg2.server.plugins.cfg import slowness
from tests.server.plugin.small_core import Client
from tests.server.plugins.cfg.conftest import MakeBench
from tests.support import await_condition


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowness, "_IDLE", 0.0)


@pytest.mark.parametrize(
    ("library", "text", "place"),
    [
        ("jinja2", "one\n{{ metadata.wait() }}", ", it is in line 2\n"),
        ("genshi", "one\n${metadata.wait()}", " by now\n"),
    ],
)
def test_a_template_that_does_not_end_is_named_and_others_go_on(
    bench: MakeBench, caplog: pytest.LogCaptureFixture, library: str, text: str, place: str
) -> None:
    pytest.importorskip(library, reason=f"{library} (extra {library}) is not installed")
    caplog.set_level(logging.WARNING)
    released = threading.Event()
    made = bench(
        {f"a/a.{library}": text, f"b/b.{library}": "fine"},
        cfg_slow_template=0.01,
    )
    client = Client("slow", wait=lambda: released.wait(20))
    texts: list[str | None] = []
    thread = threading.Thread(target=lambda: texts.append(made.text("/a", client)))
    thread.start()
    path = made.path(f"a/a.{library}")
    await_condition(lambda: f"{path} has been rendered for slow for" in caplog.text)
    assert place in caplog.text
    assert made.text("/b") == "fine"
    released.set()
    thread.join(20)
    assert texts == ["one\nTrue"]
    assert f"{path} took " in caplog.text
    assert caplog.text.count("has been rendered") == 1


def test_who_looks_on_ends_when_there_is_nothing_to_see_and_comes_back(
    bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("jinja2", reason="Jinja2 (extra jinja2) is not installed")
    made = bench({"b/b.jinja2": "fine"}, cfg_slow_template=0.01)
    for _ in range(2):
        assert made.text("/b") == "fine"
        await_condition(lambda: not made.cfg.slow_templates._watching)
    assert caplog.text == ""


def test_nobody_looks_on_where_there_is_no_limit(bench: MakeBench) -> None:
    pytest.importorskip("jinja2", reason="Jinja2 (extra jinja2) is not installed")
    made = bench({"b/b.jinja2": "fine"}, cfg_slow_template=None)
    assert made.text("/b") == "fine"
    assert not made.cfg.slow_templates._watching
