"""The command bcfg2-server as a process: starting, bad input, reloading, stopping, being a daemon."""

import os
import pwd
import shutil
import signal
import socket
import tempfile
import time
import xmlrpc.client
from pathlib import Path

import pytest

from tests.conftest import Certificate
from tests.support import ServerProcess, await_condition, insecure

BUNDLE = '<Bundle><BoundService name="ntpd" status="on"/></Bundle>'


@pytest.fixture
def make(tmp_path, certificate):
    """Makes a server process, not yet started, that is stopped at the end."""
    made = []

    def maker(**arguments):
        made.append(ServerProcess(tmp_path, certificate, **arguments))
        return made[-1]

    yield maker
    for server in made:
        if server.process is not None:
            server.__exit__()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def service_status(server) -> str | None:
    config = server.call("GetConfig")
    return None if 'name="ntpd"' not in config else config.partition('status="')[2].partition('"')[0]


# what goes wrong at the start


@pytest.mark.parametrize(
    ("settings", "status", "line"),
    [
        ({"communication.key": "/nonexistent/key.pem"}, 1, "/nonexistent/key.pem does not exist (option key of"),
        ({"communication.certificate": "/nonexistent/x.pem"}, 1, "x.pem does not exist (option certificate of"),
        ({"communication.ca": "/nonexistent/ca.pem"}, 1, "ca.pem does not exist (option ca of"),
        ({"server.repository": "/nonexistent/repo"}, 1, "the repository /nonexistent/repo does not exist"),
        ({"server.plugins": "Bundler"}, 1, "no Metadata plugin is loaded"),
        ({"components.bcfg2": "https://localhost"}, 1, "'https://localhost' is no address to listen on"),
        ({"components.bcfg2": "https://[::1"}, 1, "is no address to listen on"),
        ({"components.bcfg2": "http://localhost:6789"}, 1, "the server speaks HTTPS only, not http"),
        ({"server.umask": "9"}, 2, "[server] umask"),
        ({"server.backend": "twisted"}, 2, "[server] backend"),
        ({"server.filemonitor": "dnotify"}, 2, "[server] filemonitor"),
        ({"server.fam_blocking": "perhaps"}, 2, "[server] fam_blocking"),
        ({"server.user": "nobody-of-this-name"}, 2, "[server] user"),
        ({"communication.protocol": "ftp"}, 2, "[communication] protocol"),
        ({"caching.client_metadata": "bogus"}, 2, "[caching] client_metadata"),
    ],
)
def test_a_wrong_option_ends_the_start_with_one_clear_line(make, settings, status, line):
    server = make(settings=settings)
    before = snapshot(server.folder)
    done = server.run()
    assert done.returncode == status, done.stderr
    assert line in done.stderr
    assert "Traceback" not in done.stderr
    assert snapshot(server.folder) == before


def test_a_port_in_use_is_exit_status_1(make):
    server = make()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        done = server.run()
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {server.port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_words_on_the_command_line_are_exit_status_2(make):
    done = make().run("--no-such-option")
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr


def test_an_unknown_plugin_is_named_and_the_server_starts(make):
    server = make(plugins="Metadata,Bundler,Bundlr", files={"Bundler/base.xml": BUNDLE}).start()
    assert service_status(server) == "on"
    assert "Bundlr" in server.log.read_text()


def test_without_a_password_nobody_gets_in_and_the_log_says_why(make):
    server = make(files={"Bundler/base.xml": BUNDLE})
    server.conf.write_text(server.conf.read_text().replace("password = secret\n", ""))
    server.start()
    assert server.call("GetConfig") == 401
    assert server.call("GetConfig", password="") == 401
    assert "password" in server.log.read_text()


# files that are broken


def test_a_broken_file_at_the_start_costs_itself_only_and_is_named_with_its_line(make):
    server = make(
        files={
            "Bundler/base.xml": BUNDLE,
            "Bundler/broken.xml": "<Bundle>\n<Service\n</Bundle>",
            "Rules/broken.xml": "<Rules",
            "Rules/good.xml": '<Rules priority="1"/>',
        },
        plugins="Metadata,Bundler,Rules",
    )
    before = snapshot(server.repo)
    server.start()
    assert service_status(server) == "on"
    log = server.log.read_text()
    assert "Bundler/broken.xml: line 3" in log
    assert "Rules/broken.xml: line 1" in log
    assert snapshot(server.repo) == before


def test_a_file_that_breaks_while_the_server_runs_stays_in_force_as_it_was(make):
    server = make(files={"Bundler/base.xml": BUNDLE}).start()
    bundle = server.repo / "Bundler/base.xml"
    bundle.write_text("<Bundle><Service")
    await_condition(lambda: "base.xml: line 1" in server.log.read_text())
    assert service_status(server) == "on"
    bundle.write_text(BUNDLE.replace('"on"', '"off"'))
    await_condition(lambda: service_status(server) == "off")


def test_clients_are_served_while_groups_xml_is_broken_and_mended(make):
    server = make(files={"Bundler/base.xml": BUNDLE}).start()
    groups = server.repo / "Metadata/groups.xml"
    good = groups.read_text()
    groups.write_text("<Groups><Group")
    await_condition(lambda: "groups.xml: line 1" in server.log.read_text())
    assert service_status(server) == "on"
    groups.write_text(good.replace("</Group>", '<Bundle name="more"/></Group>'))
    (server.repo / "Bundler/more.xml").write_text('<Bundle><BoundService name="more" status="on"/></Bundle>')
    await_condition(lambda: 'name="more"' in server.call("GetConfig"))


def test_no_request_fails_or_sees_half_a_change_while_the_repository_changes(make):
    def files(number):
        return {
            f"Bundler/{name}.xml": f'<Bundle><BoundService name="{name}" status="{number}"/></Bundle>'
            for name in ("base", "one", "two")
        }

    groups = '<Groups><Group name="basic" profile="true">{}</Group></Groups>'.format(
        "".join(f'<Bundle name="{name}"/>' for name in ("base", "one", "two"))
    )
    server = make(files={**files(0), "Metadata/groups.xml": groups}, settings={"server.settle_time": "0.1"}).start()
    seen = set()
    for number in range(1, 4):
        for name, text in files(number).items():
            (server.repo / name).write_text(text)
        deadline = time.monotonic() + 15
        while number not in seen:
            assert time.monotonic() < deadline
            config = server.call("GetConfig")
            found = {part.partition('"')[0] for part in config.split('status="')[1:]}
            assert len(found) == 1, config
            seen.add(int(found.pop()))


def test_a_changed_configuration_file_is_read_again(make):
    server = make(files={"Bundler/base.xml": BUNDLE}).start()
    text = server.conf.read_text()
    server.conf.write_text(text.replace("password = secret", "password = changed"))
    await_condition(lambda: server.call("DeclareVersion", "1.4.0", password="changed") is True)
    assert server.call("GetConfig") == 401
    server.conf.write_text(text + "[caching]\nclient_metadata = bogus\n")
    await_condition(lambda: "keeping the options in force" in server.log.read_text())
    assert server.call("DeclareVersion", "1.4.0", password="changed") is True


# what clients send


def test_a_client_holds_its_whole_conversation(make):
    server = make(files={"Bundler/base.xml": BUNDLE}).start()
    assert server.call("DeclareVersion", "1.3.4") is True
    assert server.call("GetProbes") == "<probes/>"
    assert server.call("GetDecisionList", "whitelist") == []
    assert service_status(server) == "on"
    assert server.call("RecvStats", '<upload-statistics><Statistics version="2.0" state="clean"/></upload-statistics>')
    assert 'version="1.3.4"' in (server.repo / "Metadata/clients.xml").read_text()


def test_calls_are_refused_by_default_to_all_but_localhost(make):
    server = make().start()
    assert server.call("get_statistics") == 401
    assert server.call("toggle_debug") == 401
    assert server.call("Metadata.list_clients") == 401
    with pytest.raises(xmlrpc.client.Fault) as caught:
        server.call("NoSuchMethod")
    assert caught.value.faultCode == -32601


def test_administrators_on_localhost_may_call_everything(make):
    clients = '<Clients><Client name="localhost" profile="basic" address="127.0.0.1"/></Clients>'
    server = make(files={"Metadata/clients.xml": clients}).start()
    assert server.call("Metadata.list_clients", source="127.0.0.1") == ["localhost"]
    statistics = server.call("get_statistics", source="127.0.0.1")
    low, high, mean, count = statistics["Metadata.list_clients"]
    assert 0 < low <= mean <= high
    assert count == 1
    methods = server.call("listMethods", source="127.0.0.1")
    assert "GetConfig" in methods
    assert "Metadata.remove_client" in methods
    assert "BuildConfiguration" not in methods
    assert server.call("ping", "a", 1, source="127.0.0.1") == ["a", 1]
    assert "probes" in server.call("methodHelp", "GetProbes", source="127.0.0.1")


def test_documents_with_entities_are_refused(make):
    server = make().start()
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><ProbeData>&b;</ProbeData>'
    with pytest.raises(xmlrpc.client.Fault):
        server.call("RecvProbeData", bomb)
    with pytest.raises(xmlrpc.client.Fault):
        server.call("RecvStats", bomb)


# stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_within_a_second_with_status_0(make, number):
    server = make().start()
    with socket.create_connection(("127.0.0.1", server.port)) as idle, insecure().wrap_socket(idle):
        begun = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
        assert time.monotonic() - begun < 1.5
    assert "Traceback" not in server.log.read_text()


# as a daemon


@pytest.fixture
def daemon(make, tmp_path):
    server = make(files={"Bundler/base.xml": BUNDLE})
    pidfile = tmp_path / "run" / "deep" / "bcfg2.pid"
    yield server, pidfile
    if pidfile.exists() and pidfile.read_text().strip().isdigit():
        os.kill(int(pidfile.read_text()), signal.SIGKILL)


def start_daemon(server, pidfile):
    return server.run("-D", str(pidfile), "-o", str(server.log))


def test_a_daemon_serves_when_its_parent_has_ended_and_stops_when_told(daemon):
    server, pidfile = daemon
    done = start_daemon(server, pidfile)
    assert (done.returncode, done.stderr) == (0, "")
    assert service_status(server) == "on"
    pid = int(pidfile.read_text())
    assert pidfile.read_text() == f"{pid}\n"
    assert pidfile.stat().st_mode & 0o777 == 0o600
    assert pidfile.parent.stat().st_mode & 0o777 == 0o755
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    os.kill(pid, signal.SIGTERM)
    await_condition(lambda: not pidfile.exists())
    await_condition(lambda: not os.path.exists(f"/proc/{pid}"))


def test_a_daemon_notices_changes(daemon):
    server, pidfile = daemon
    start_daemon(server, pidfile)
    assert service_status(server) == "on"
    (server.repo / "Bundler" / "base.xml").write_text(BUNDLE.replace('status="on"', 'status="off"'))
    await_condition(lambda: service_status(server) == "off")


def test_a_second_daemon_leaves_the_first_alone(daemon):
    server, pidfile = daemon
    start_daemon(server, pidfile)
    pid = pidfile.read_text()
    second = start_daemon(server, pidfile)
    assert second.returncode == 1
    assert f"process {pid.strip()} is running with the pid file" in second.stderr
    assert pidfile.read_text() == pid
    assert service_status(server) == "on"


@pytest.mark.parametrize("stale", ["3999999\n", "nonsense\n", ""])
def test_a_stale_pid_file_is_taken_over(daemon, stale):
    server, pidfile = daemon
    pidfile.parent.mkdir(parents=True)
    pidfile.write_text(stale)
    assert start_daemon(server, pidfile).returncode == 0
    assert Path(f"/proc/{int(pidfile.read_text())}").exists()


def test_a_daemon_that_cannot_start_says_so_and_leaves_no_pid_file(daemon):
    server, pidfile = daemon
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        done = start_daemon(server, pidfile)
    assert done.returncode == 1
    assert "Address already in use" in done.stderr
    await_condition(lambda: not pidfile.exists())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up privileges")
@pytest.mark.parametrize("background", [False, True])
def test_privileges_are_given_up(certificate, background):
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders keep other users out
        folder = Path(name)
        copy = Certificate(folder / "cert.pem", folder / "key.pem")
        for source, target in zip(certificate, copy, strict=True):
            shutil.copy(source, target)
        settings = {"server.user": "nobody", "server.group": "nogroup"}
        server = ServerProcess(folder, copy, files={"Bundler/base.xml": BUNDLE}, settings=settings)
        server.log.touch()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        pidfile = folder / "run" / "bcfg2.pid"
        if background:
            assert start_daemon(server, pidfile).returncode == 0
            pid = int(pidfile.read_text())
        else:
            pid = server.start().process.pid
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            assert f"\nUid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}\n" in status
            assert "\nUmask:\t0077\n" in status
            assert service_status(server) == "on"
        finally:
            os.kill(pid, signal.SIGTERM)
            if server.process is not None:
                server.process.wait(20)
            await_condition(lambda: not os.path.exists(f"/proc/{pid}"))
