"""The command bcfg2-admin as a process, against a server that runs."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bcfg2.options import Option
from bcfg2.server.admin import RemoteCommand, commands
from tests.conftest import Certificate
from tests.support import ServerProcess, free_port

CLIENTS = """<Clients>
  <Client name="localhost" profile="basic" address="127.0.0.1"/>
  <Client name="client.example.com" profile="basic" address="127.0.0.2"/>
</Clients>
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[ServerProcess]:
    """A server whose administrator shows a certificate."""
    made = ServerProcess(
        tmp_path_factory.mktemp("server"),
        certificate,
        files={"Metadata/clients.xml": CLIENTS},
        settings={"communication.ca": str(certificate.cert), "communication.retry_delay": "0"},
    )
    made.conf.chmod(0o600)
    with made:
        yield made


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "bcfg2.bcfg2_admin", *words]


def admin(server: ServerProcess, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run bcfg2-admin with the configuration of SERVER."""
    return subprocess.run(
        command("-C", str(server.conf), *words),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


def printed(server: ServerProcess, *words: str, **environment: str) -> str:
    """What a run prints that goes well."""
    done = admin(server, *words, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def failure(server: ServerProcess, *words: str, status: int = 1, **environment: str) -> str:
    """The one line of a run that fails."""
    done = admin(server, *words, **environment)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    (line,) = done.stderr.splitlines()
    return line


# xcmd


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["DeclareVersion", "1.3.3"], "True\n"),
        (["set_core_debug", "false"], "False\n"),
        (["RecvProbeData", "<ProbeData/>"], "True\n"),
        (["Metadata.list_clients"], "['localhost', 'client.example.com']\n"),
        (["system.methodSignature", "ping"], "signatures not supported\n"),
        (["expire_metadata_cache"], ""),
        (["ping"], "[]\n"),
        (["ping", "two words", "größe €", "<&>", ""], "['two words', 'größe €', '<&>', '']\n"),
        (["ping", "--", "-x", "--json"], "['-x', '--json']\n"),
        (["--", "ping", "-5"], "['-5']\n"),
    ],
)
def test_xcmd_prints_the_result(server: ServerProcess, words: list[str], output: str) -> None:
    assert printed(server, "xcmd", *words, PYTHONUTF8="1") == output


@pytest.mark.parametrize("value", [None, True, [1, -2.5, "3"], {"a": {"b": [None, "größe"]}}])
def test_xcmd_passes_and_prints_json(server: ServerProcess, value: Any) -> None:
    assert json.loads(printed(server, "xcmd", "--json", "ping", json.dumps(value), "7", PYTHONUTF8="1")) == [value, 7]


def test_xcmd_prints_null_as_json(server: ServerProcess) -> None:
    assert printed(server, "xcmd", "--json", "expire_metadata_cache", '["localhost"]') == "null\n"


@pytest.mark.parametrize("argument", ["text", "[1", "NaN", "[" * 100_000])
def test_an_argument_that_is_not_json_is_a_usage_error(server: ServerProcess, argument: str) -> None:
    line = failure(server, "xcmd", "--json", "ping", argument, status=2)
    assert line.startswith(f"the argument {argument[:80]} is not JSON: ")


def test_a_result_that_the_terminal_cannot_show_is_escaped(server: ServerProcess) -> None:
    assert printed(server, "xcmd", "ping", "€", PYTHONUTF8="1", PYTHONIOENCODING="ascii") == "['\\u20ac']\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["NoSuchMethod"], r"NoSuchMethod failed: .*NoSuchMethod.* \(fault -32601\)"),
        (["shutdown"], r"shutdown failed: .* \(fault -32601\)"),
        (["RecvProbeData", "no XML"], r"RecvProbeData failed: Critical failure: .* \(fault -32500\)"),
        (["DeclareVersion"], r"DeclareVersion failed: .* \(fault 1\)"),
        (["ping", "a\x01b"], "ping: an argument holds a character that XML cannot carry"),
        (["ping", os.fsdecode(b"\xff")], "ping: an argument holds a character that XML cannot carry"),
        (["--json", "ping", str(2**40)], "ping: an argument cannot be sent: .*"),
        (["--json", "ping", "[" * 500 + "]" * 500], "ping: an argument cannot be sent: .*"),
        (["--json", "-R", "1", "ping", "[" * 100 + "]" * 100], ".*: HTTP status 400 .*"),
        (["<ping/>"], "'<ping/>' cannot be the name of a method"),
        ([""], "'' cannot be the name of a method"),
    ],
)
def test_a_call_that_fails_is_one_line_and_exit_status_1(server: ServerProcess, words: list[str], line: str) -> None:
    assert re.fullmatch(line, failure(server, "xcmd", *words))


# the server that is called


def test_a_wrong_password_is_told_without_showing_one(server: ServerProcess) -> None:
    line = failure(server, "xcmd", "-x", "hunter2", "ping")
    assert "the server refused (401)" in line
    assert "hunter2" not in line


def test_the_password_may_come_from_the_environment(server: ServerProcess) -> None:
    assert printed(server, "xcmd", "ping", BCFG2_PASSWORD="secret") == "[]\n"
    assert "refused (401)" in failure(server, "perf", BCFG2_PASSWORD="other")


def test_nobody_listening_is_named(server: ServerProcess) -> None:
    port = free_port()
    assert failure(server, "perf", "-S", f"localhost:{port}", "-y", "0").startswith(f"localhost:{port}: ")


def test_a_silent_server_is_given_up_after_the_timeout(server: ServerProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        line = failure(server, "expirecache", "-S", url, "-t", "0.2", "-R", "2", "-y", "0")
    assert line.endswith("no answer within 0.2 s")


def test_a_server_with_another_name_is_refused_unless_it_is_one_of_those_given(server: ServerProcess) -> None:
    assert "the server's certificate is for localhost" in failure(server, "xcmd", "--ssl-cns", "a:b", "ping")
    assert printed(server, "xcmd", "--ssl-cns", "a:localhost", "ping") == "[]\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-S", "http://localhost:1"], "must read https://host:port"),
        (["-S", "https://root:secret@localhost:1"], "must read https://host:port"),
        (["--ssl-key", "/nonexistent.pem"], "/nonexistent.pem: cannot be used as certificate and key"),
    ],
)
def test_a_server_or_file_that_cannot_be_used_is_named(server: ServerProcess, words: list[str], line: str) -> None:
    told = failure(server, "perf", *words)
    assert line in told
    assert "secret" not in told


@pytest.mark.parametrize("words", [["-t", "soon"], ["-R", "often"], ["-y", "late"]])
def test_a_value_that_makes_no_sense_is_exit_status_2(server: ServerProcess, words: list[str]) -> None:
    assert words[1] in failure(server, "perf", *words, status=2)


# perf and expirecache


def test_perf_prints_a_table_of_what_was_called(server: ServerProcess) -> None:
    printed(server, "xcmd", "ping")
    lines = printed(server, "perf").splitlines()
    assert lines[1].split() == ["Name", "Min", "Max", "Mean", "Count"]
    assert lines[0] == lines[2]
    assert [len(part) for part in lines[0].split(" ")][-4:] == [8, 8, 8, 5]
    names = [line.split()[0] for line in lines[3:]]
    assert names == sorted(names)
    assert {"ping", "BuiltinCore:resolve_client"} <= set(names)
    for line in lines[3:]:
        assert re.fullmatch(r"\S+ +\d+\.\d{6} +\d+\.\d{6} +\d+\.\d{6} +\d+", line)
        assert len(line) == len(lines[0])


@pytest.mark.parametrize("hosts", [[], ["localhost", "Client.example.com", "nobody.example.com"]])
def test_expirecache_calls_and_prints_nothing(server: ServerProcess, hosts: list[str]) -> None:
    def count() -> int:
        found = server.call("get_statistics", source="127.0.0.1").get("expire_metadata_cache", [0])
        return int(found[-1])

    before = count()
    assert printed(server, "expirecache", *hosts) == ""
    assert count() == before + 1


# the command line


def test_help_lists_the_sub_commands(server: ServerProcess) -> None:
    output = printed(server, "help")
    assert re.findall(r"^  (\w+) {2,}[A-Z]", output, re.MULTILINE) == list(commands())
    assert printed(server, "--help") == output


@pytest.mark.parametrize("name", list(commands()))
def test_help_explains_a_sub_command(server: ServerProcess, name: str) -> None:
    output = printed(server, "help", name)
    assert output.startswith(f"usage: bcfg2-admin {name} ")
    assert ("--retry-delay" in output) == issubclass(commands()[name], RemoteCommand)
    assert printed(server, name, "-h") == output


def test_help_of_an_unknown_sub_command_is_exit_status_1(server: ServerProcess) -> None:
    assert "frobnicate" in failure(server, "help", "frobnicate")


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "COMMAND"), (["frobnicate"], "invalid choice: 'frobnicate'"), (["xcmd"], "METHOD"), (["perf", "x"], "x")],
)
def test_a_command_line_that_makes_no_sense_is_usage_and_exit_status_2(
    server: ServerProcess, words: list[str], message: str
) -> None:
    done = admin(server, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: bcfg2-admin ")
    assert message in done.stderr.splitlines()[-1]


def test_common_options_may_stand_behind_the_sub_command(server: ServerProcess) -> None:
    words = command("xcmd", "-C", str(server.conf), "-E", "UTF-8", "ping")
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
    assert re.match(r"bcfg2-admin xcmd \d.* on Python 3", printed(server, "xcmd", "--version"))


def test_a_missing_configuration_file_is_one_line_and_the_defaults_apply(
    server: ServerProcess, certificate: Certificate, tmp_path: Path
) -> None:
    words = ("-C", str(tmp_path / "none.conf"), "xcmd", "-S", f"127.0.0.1:{server.port}", "-x", "secret", "ping")
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n")
    assert f"could not read {tmp_path / 'none.conf'}" in done.stderr
    assert "is not verified" in done.stderr


def test_the_log_goes_to_a_file_as_well(server: ServerProcess, tmp_path: Path) -> None:
    done = admin(server, "-v", "-o", str(tmp_path / "log"), "xcmd", "NoSuchMethod")
    assert done.returncode == 1
    assert "NoSuchMethod failed" in (tmp_path / "log").read_text()


# the end of the process


def test_output_that_cannot_be_written_is_one_line_and_exit_status_1(server: ServerProcess) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command("-C", str(server.conf), "perf"), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "No space left on device\n")


def test_a_reader_that_has_read_enough_is_no_traceback(server: ServerProcess) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command("-C", str(server.conf), "perf"), stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_without_an_output_the_call_is_made_all_the_same(server: ServerProcess) -> None:
    words = ["sh", "-c", 'exec "$@" >&-', "sh", *command("-C", str(server.conf), "xcmd", "ping")]
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def _heed_ctrl_c() -> None:
    """Shells have what they start in the background ignore Ctrl-C, and so would the command be born."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_a_call_without_a_traceback(server: ServerProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        words = command("-C", str(server.conf), "perf", "-S", f"https://127.0.0.1:{silent.getsockname()[1]}")
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_ctrl_c)
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(1)  # the handshake has begun
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "Interrupted\n")


# the documentation


def test_the_documentation_has_every_sub_command_flag_and_setting() -> None:
    page = (Path(__file__).parents[1] / "docs/operator/administration.rst").read_text()
    for name, sub_command in commands().items():
        assert f"\n{name}\n{'-' * len(name)}\n" in page
        for option in sub_command.options:
            assert isinstance(option, Option)
            for word in (*option.flags, *([f"[{option.section}]", option.key] if option.section else [])):
                assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", page), word
