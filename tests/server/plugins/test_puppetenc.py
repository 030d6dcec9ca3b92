"""PuppetENC: groups and data from external node classifiers."""

import logging
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugins import puppetenc
from bcfg2.server.plugins.puppetenc import Classification, run
from tests.support import Site, await_condition


def make(tmp_path: Path, conf: str = "", **scripts: str) -> Site:
    """A repository with SCRIPTS, name -> shell commands, in PuppetENC."""
    for name, text in scripts.items():
        put(tmp_path / "repo", name, text)
    return Site(tmp_path, plugins="Metadata,Bundler,PuppetENC", conf=conf)


def put(repo: Path, name: str, text: str, mode: int = 0o755) -> Path:
    path = repo / "PuppetENC" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


def counting(tmp_path: Path, text: str = 'echo "classes: [run-$n]"') -> str:
    """Commands that count their executions in a file, and know the number as n."""
    return f'echo x >>{tmp_path}/count; n=$(wc -l <{tmp_path}/count); echo "parameters: {{n: $n}}"; {text}'


def classified(*documents: Any) -> tuple[list[str], dict[Any, Any]]:
    found = Classification()
    for document in documents:
        found.add(document)
    return found.groups, found.data


@pytest.mark.parametrize(
    ("document", "groups", "data"),
    [
        ({"classes": ["a", "b"]}, ["a", "b"], {}),
        ({"classes": {"a": {"x": 1}, "b": None, "c": {}}}, ["a", "b", "c"], {"x": 1}),
        ({"groups": ["a"]}, ["a"], {}),
        ({"classes": ["a"], "groups": ["b"]}, ["a"], {}),
        ({"classes": None, "groups": ["b"]}, [], {}),
        ({"classes": {"a": {"x": 1, "y": 1}}, "parameters": {"x": 2}}, ["a"], {"x": 2, "y": 1}),
        ({"classes": [7, 1.5]}, ["7", "1.5"], {}),
        ({"classes": {"a": "", "b": []}, "parameters": None, "environment": "live", "other": 1}, ["a", "b"], {}),
        ({}, [], {}),
    ],
)
def test_classes_else_groups_are_groups_and_parameters_are_data(
    document: Any, groups: list[str], data: dict[Any, Any]
) -> None:
    assert classified(document) == (groups, data)


@pytest.mark.parametrize(
    "document",
    [
        ["a"],
        "a",
        7,
        {"classes": "web"},
        {"classes": [None]},
        {"classes": [True]},
        {"classes": [{"a": 1}]},
        {"classes": [""]},
        {"classes": {"a": ["x"]}},
        {"classes": {"a": "x"}},
        {"parameters": ["x"]},
    ],
)
def test_what_is_made_otherwise_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match=r"YAML mapping|no mapping|cannot be the name"):
        classified(document)


_parameters = st.dictionaries(st.sampled_from("abc"), st.integers() | st.dictionaries(st.sampled_from("xy"), st.none()))


@given(st.lists(_parameters, max_size=4))
def test_later_programs_override_earlier_ones_key_by_key_at_the_top_only(documents: list[dict[str, Any]]) -> None:
    expected: dict[str, Any] = {}
    for document in documents:
        expected |= document
    assert classified(*({"parameters": document} for document in documents)) == ([], expected)


def test_programs_run_in_the_order_of_their_paths_with_the_host_name_as_argument(tmp_path: Path) -> None:
    found = make(
        tmp_path,
        **{
            "b/second": 'echo "classes: [second]"; echo "parameters: {who: $#-$1, last: second}"',
            "a": 'echo "classes: {first: {last: first, first: yes}}"',
        },
    )
    metadata = found.metadata()
    assert metadata.groups == {"basic", "first", "second"}
    assert metadata.PuppetENC == {"who": "1-client.example.com", "last": "second", "first": True}


def test_what_a_template_does_to_the_data_stays_there(tmp_path: Path) -> None:
    found = make(tmp_path, enc='echo "parameters: {list: [1]}"')
    found.metadata().PuppetENC["list"].append(2)
    assert found.metadata().PuppetENC == {"list": [1]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo no inventory >&2; exit 3", "exit status 3: no inventory"),
        ("kill -9 $$", "killed by signal 9"),
        ("echo '- a'", "no YAML mapping"),
        ("echo 'a: [b'", "expected"),
        ("echo '!!python/object/apply:os.system [\"true\"]'", "could not determine a constructor"),
        ("echo 'parameters: {day: 2024-13-45}'", "month must be in"),
        ("printf '[%.0s' $(seq 1500)", "recursion"),
        ("printf '\\377\\376\\377'", "."),
        ("head -c 3000 /dev/zero | tr '\\0' ' '", r"more than 2048 bytes of output.*\[puppetenc\] max_output"),
        ("head -c 3000 /dev/zero | tr '\\0' ' ' >&2", "more than 2048 bytes"),
        ("sleep 60", r"no result within 2 seconds, killed \(\[puppetenc\] timeout\)"),
    ],
)
def test_a_failing_program_fails_the_client_with_its_name_and_one_line(tmp_path: Path, text: str, reason: str) -> None:
    found = make(tmp_path, "[puppetenc]\ntimeout = 2\nmax_output = 2k", enc=text)
    with pytest.raises(PluginExecutionError, match=f"PuppetENC/enc, run for client.example.com: .*{reason}") as raised:
        found.metadata()
    assert "\n" not in str(raised.value)
    put(found.repo, "enc", "echo 'classes: [a]'")
    found.apply()
    assert "a" in found.metadata().groups


def test_an_interpreter_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    found = make(tmp_path)
    (found.repo / "PuppetENC/enc").write_text("#!/no/such/interpreter\n")
    (found.repo / "PuppetENC/enc").chmod(0o755)
    found.apply()
    with pytest.raises(PluginExecutionError, match="PuppetENC/enc, run for .*No such file"):
        found.metadata()


def test_a_program_that_may_not_be_executed_is_an_error_and_no_program_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = make(tmp_path, enc="echo 'classes: [a]'")
    put(found.repo, "README", "").write_text("Ask the inventory team.\n")
    (found.repo / "PuppetENC/README").chmod(0o644)
    for name in ("enc~", ".#enc", ".enc.swp"):
        put(found.repo, name, "exit 1", 0o644)
    found.apply()
    for _ in range(2):
        assert found.metadata().groups == {"basic", "a"}
        found.plugin("PuppetENC").end_statistics(found.metadata())
    assert [record.message for record in caplog.records if record.name == "bcfg2.Script"] == [
        f"{found.repo}/PuppetENC/README is neither executable nor a program, ignored"
    ]
    put(found.repo, "other", "echo 'classes: [b]'", 0o644)
    found.apply()
    with pytest.raises(PluginExecutionError, match="PuppetENC/other.*not executable: change its mode"):
        found.metadata()
    (found.repo / "PuppetENC/other").chmod(0o755)
    assert found.metadata().groups == {"basic", "a", "b"}


def test_a_program_that_prints_nothing_knows_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = make(tmp_path, silent="true", null="echo ---", enc="echo 'classes: [a]'")
    for _ in range(2):
        assert found.metadata().groups == {"basic", "a"}
        found.plugin("PuppetENC").end_client_run(found.metadata())
    messages = [record.message for record in caplog.records if record.name == "bcfg2.Script"]
    assert sorted(message.split(" ")[0] for message in messages) == [
        f"{found.repo}/PuppetENC/{name}" for name in ("null", "silent")
    ]


def test_a_program_removed_while_a_request_runs_costs_nothing(tmp_path: Path) -> None:
    found = make(tmp_path, enc="echo 'classes: [a]'", old="exit 1")
    with found.core.request():
        found.repo.joinpath("PuppetENC/old").unlink()
        assert found.core.build_metadata("client.example.com").groups == {"basic", "a"}


def test_results_are_kept_until_the_end_of_any_clients_run(tmp_path: Path) -> None:
    found = make(tmp_path, enc=counting(tmp_path))
    plugin = found.plugin("PuppetENC")
    for expected in (1, 2, 3):
        for _ in range(3):
            metadata = found.metadata()
            assert metadata.PuppetENC == {"n": expected}
            assert metadata.groups == {"basic", f"run-{expected}"}
        hook = plugin.end_client_run if expected == 1 else plugin.end_statistics
        hook(SimpleNamespace(hostname="other.example.com"))


def test_getconfig_ends_a_run(tmp_path: Path) -> None:
    found = make(tmp_path, enc=counting(tmp_path))
    found.config()
    assert found.metadata().PuppetENC == {"n": 2}


def test_groups_and_data_of_a_request_are_of_one_execution(tmp_path: Path) -> None:
    found = make(tmp_path, enc=counting(tmp_path))
    plugin = found.plugin("PuppetENC")
    client = SimpleNamespace(hostname="client.example.com")
    with found.core.request():
        assert plugin.get_additional_groups(client) == ["run-1"]
        plugin.end_client_run(client)  # another client's run, meanwhile
        assert plugin.get_additional_data(client) == {"n": 1}
    with found.core.request():
        assert plugin.get_additional_data(client) == {"n": 2}


def test_a_changed_program_runs_again(tmp_path: Path) -> None:
    found = make(tmp_path, "[caching]\nclient_metadata = cautious", enc="echo 'classes: [a]'")
    assert found.metadata().groups == {"basic", "a"}
    put(found.repo, "enc", "echo 'classes: [b]'")
    found.apply()
    assert found.metadata().groups == {"basic", "b"}
    put(found.repo, "sub/more", "echo 'classes: [c]'")
    found.apply()
    assert found.metadata().groups == {"basic", "b", "c"}
    found.delete("PuppetENC/sub")
    assert found.metadata().groups == {"basic", "b"}


@pytest.mark.parametrize(("mode", "dropped"), [("aggressive", True), ("cautious", False), ("initial", True)])
def test_aggressive_caching_is_warned_of_once_and_drops_the_client_at_each_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str, dropped: bool
) -> None:
    found = make(tmp_path, f"[caching]\nclient_metadata = {mode}", enc=counting(tmp_path))
    found.config()
    found.config()
    assert found.metadata().PuppetENC == {"n": 3 if dropped else 1}
    warnings = [record for record in caplog.records if "= aggressive" in record.message]
    assert len(warnings) == (1 if mode == "aggressive" else 0)
    assert all(record.levelno == logging.WARNING for record in warnings)


def test_a_program_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    script = put(tmp_path, "enc", f"sleep 300 & echo $! >{tmp_path}/child; wait")
    begun = time.monotonic()
    with pytest.raises(ValueError, match=r"no result within 0\.5 seconds"):
        run([str(script), "host"], 0.5, 1000)
    assert time.monotonic() - begun < 20
    child = int((tmp_path / "child").read_text())
    await_condition(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_that_outlives_the_program_does_not_hold_it_up(tmp_path: Path) -> None:
    script = put(tmp_path, "enc", f"sleep 300 & echo $! >{tmp_path}/child; echo 'classes: [a]'")
    assert run([str(script), "host"], None, 1000) == b"classes: [a]\n"
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_a_program_that_is_just_being_written_is_waited_for(tmp_path: Path) -> None:
    script = put(tmp_path, "enc", "echo done")
    with script.open("a"), pytest.raises(OSError, match="Text file busy"):
        run([str(script), "host"], 0.2, 1000)
    assert run([str(script), "host"], 0.2, 1000) == b"done\n"


def test_the_environment_is_named_only_when_debugging(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = make(tmp_path, enc="echo 'environment: live'")
    found.plugin("PuppetENC").set_debug(True)
    with caplog.at_level(logging.DEBUG):
        found.metadata()
    assert "the environment live of client.example.com is ignored" in caplog.text


def test_without_the_library_the_plugin_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(puppetenc, "yaml", None)
    found = make(tmp_path)
    assert "PuppetENC" not in found.core.plugins
    assert "Plugin PuppetENC is not loaded: PuppetENC needs PyYAML: install bcfg2[yaml]" in caplog.text
