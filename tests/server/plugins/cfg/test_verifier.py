"""``:test``: programs that check contents."""

import os
from pathlib import Path
from typing import Any

import pytest

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugins.cfg import cfgexternalcommandverifier
from tests.server.plugin.small_core import Client
from tests.server.plugins.cfg.conftest import MakeBench

FORBID = "#!/bin/sh\nif grep -q SECRET; then echo 'SECRET is forbidden' >&2; exit 1; fi\n"


def executable(made: Any, name: str) -> None:
    os.chmod(made.path(name), 0o755)


def failure(made: Any, name: str, client: Client | None = None) -> str:
    with pytest.raises(PluginExecutionError) as raised:
        made.bind(name, client)
    return str(raised.value)


@pytest.mark.parametrize("mode", [0o755, 0o644])
def test_contents_are_delivered_only_if_the_check_accepts_them(bench: MakeBench, mode: int) -> None:
    made = bench({"a/a": "fine", "a/a.H_h": "a SECRET", "a/:test": FORBID})
    os.chmod(made.path("a/:test"), mode)
    assert made.text("/a") == "fine"
    assert failure(made, "/a", Client("h")) == "Failed to verify /a for h: SECRET is forbidden (exit status 1)"


def test_the_most_specific_check_runs_alone(bench: MakeBench) -> None:
    made = bench(
        {"a/a": "SECRET", "a/:test": FORBID, "a/:test.G10_g": "#!/bin/sh\n", "a/:test.H_h": "#!/bin/sh\nexit 7\n"}
    )
    assert "exit status 1" in failure(made, "/a")
    assert made.text("/a", Client("x", "g")) == "SECRET"
    assert failure(made, "/a", Client("h", "g")).endswith(": exit status 7")


@pytest.mark.parametrize(
    ("file", "text"), [("a.genshi", "$metadata.hostname \u00fc"), ("a.jinja2", "{{ metadata.hostname }} \u00fc")]
)
@pytest.mark.parametrize("encoding", ["base64", "text"])
def test_the_check_sees_what_the_client_will_have_in_its_file(
    bench: MakeBench, tmp_path: Path, file: str, text: str, encoding: str
) -> None:
    seen = tmp_path / "seen"
    made = bench({f"a/{file}": text, "a/:test": f"#!/bin/sh\ncat > {seen}\n"})
    made.bind("/a", Client("h"), encoding=encoding)
    assert seen.read_bytes() == "h \u00fc".encode()


def test_checks_can_be_switched_off(bench: MakeBench) -> None:
    assert bench({"a/a": "SECRET", "a/:test": FORBID}, cfg_validation=False).text("/a") == "SECRET"


def test_a_removed_check_checks_no_more(bench: MakeBench) -> None:
    made = bench({"a/a": "SECRET", "a/:test": FORBID})
    failure(made, "/a")
    made.delete("a/:test")
    assert made.text("/a") == "SECRET"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("#!/bin/sh\necho out; echo err >&2; exit 2", "err (exit status 2)"),
        ("#!/bin/sh\necho out; exit 2", "out (exit status 2)"),
        ("#!/bin/sh\nkill -9 $$", "killed by signal 9"),
        ("#!/bin/sh -e\nfalse\ntrue", "exit status 1"),
        ("#! '/bin/sh' -e\nfalse\ntrue", "exit status 1"),
        ("no interpreter", "neither executable nor does it begin with #!"),
        ("#!\n", "no interpreter behind #!"),
        ("#!'unclosed\n", "No closing quotation"),
        ("#!/no/such/interpreter\n", "cannot be started"),
        (b"#!/bin/sh\0\n", "cannot be started"),
    ],
)
def test_whatever_goes_wrong_rejects_the_contents_with_the_reason(
    bench: MakeBench, script: str | bytes, reason: str
) -> None:
    message = failure(bench({"a/a": "A", "a/:test": script}), "/a")
    assert message.startswith("Failed to verify /a for host: ")
    assert reason in message


def test_an_executable_that_is_none_rejects_the_contents(bench: MakeBench) -> None:
    made = bench({"a/a": "A", "a/:test": b"\x7fELF nonsense"})
    executable(made, "a/:test")
    assert "cannot be started" in failure(made, "/a")


def test_a_check_that_hangs_rejects_the_contents(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cfgexternalcommandverifier, "LIMIT", 0.3)
    made = bench({"a/a": "A", "a/:test": "#!/bin/sh\nsleep 30"})
    assert failure(made, "/a").endswith(":test: no result within 0.3 seconds, killed")


def test_the_true_name_is_in_the_reason(bench: MakeBench) -> None:
    made = bench({"a/a": "SECRET", "a/:test": FORBID})
    with pytest.raises(PluginExecutionError, match="Failed to verify /true for host"):
        made.bind("/a", realname="/true")
