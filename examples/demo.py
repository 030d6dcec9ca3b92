"""The example site at work: a real server, two clients that go through a whole run with it, and the real agent.

The repository ``examples/site`` is copied, a certificate is made, and ``bcfg2-server`` is started on the loopback
interface.  Then each client does, over HTTPS, what the agent does: it declares its version, fetches probes, runs them,
uploads their output, fetches decisions and its configuration, and uploads statistics.  What a client was given is
printed in place of being installed.  At last the agent itself looks after a machine that is only a folder (machine.py):
it installs, finds everything as it should be, and repairs what somebody has changed.

    python examples/demo.py             everything, then stop
    python examples/demo.py --serve     leave the server running until Ctrl-C
"""

import argparse
import contextlib
import grp
import os
import pwd
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lxml import etree
from machine import HOST, AgentError, Machine

from bcfg2.rpc import Proxy, RPCError

EXAMPLES = Path(__file__).resolve().parent
#: Name and address of each client, as in site/Metadata/clients.xml.
CLIENTS = {"www1.example.com": "127.0.0.11", "db1.example.com": "127.0.0.12"}
AGENT_VERSION = "1.4.0"
#: Seconds for the server to start, for one probe, and for the server to stop.
START_LIMIT, PROBE_LIMIT, STOP_LIMIT = 60.0, 30.0, 15.0
#: Lines of a file, and of the server's log, that are shown.
CONTENT_LINES, LOG_LINES = 4, 25


class DemoError(Exception):
    """The demonstration cannot go on."""


# The server


@dataclass(frozen=True)
class Site:
    """A copy of the example site in FOLDER, and how to reach its server."""

    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def machine(self) -> Machine:
        return Machine(self.folder)

    @property
    def certificate(self) -> Path:
        return self.folder / "server.crt"

    @property
    def config(self) -> Path:
        return self.folder / "bcfg2.conf"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"


def prepare(folder: Path, port: int) -> Site:
    """Put repository, certificate and configuration file into FOLDER, in place of what was there."""
    site = Site(folder, port or free_port(), secrets.token_urlsafe(12))
    if folder.exists():
        if not site.config.exists():
            raise DemoError(f"{folder} exists and is no folder of this demonstration; choose another with --folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, mode=0o700)
    shutil.copytree(EXAMPLES / "site", folder / "repository")
    text = (EXAMPLES / "site.conf").read_text()
    for name, value in {"FOLDER": folder, "PORT": site.port, "PASSWORD": site.password}.items():
        text = text.replace(f"@{name}@", str(value))
    site.config.touch(mode=0o600)
    if os.geteuid():  # files of the agent cannot be root's
        text += (
            f"\n[mdata]\nowner = {pwd.getpwuid(os.geteuid()).pw_name}\ngroup = {grp.getgrgid(os.getegid()).gr_name}\n"
        )
    site.config.write_text(text)
    make_certificate(site)
    site.machine.join(folder / "repository", site.url, site.password, site.certificate)
    return site


def make_certificate(site: Site) -> None:
    """A certificate that is its own authority, for this machine."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "365", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(site.folder / "server.key"), "-out", str(site.certificate)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DemoError("the command openssl is needed to make a certificate, install it") from None
    if done.returncode:
        raise DemoError(f"openssl could not make a certificate:\n{done.stderr}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(site: Site) -> Iterator[subprocess.Popen[bytes]]:
    """The server, ready to serve; stopped at the end whatever happens."""
    command = [sys.executable, "-m", "bcfg2.bcfg2_server", "-C", str(site.config)]
    with site.log.open("wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until_ready(site, server)
        yield server
    finally:
        server.terminate()
        try:
            server.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_until_ready(site: Site, server: subprocess.Popen[bytes]) -> None:
    """Return as soon as the server speaks TLS."""
    context = ssl.create_default_context(cafile=site.certificate)
    limit = time.monotonic() + START_LIMIT
    while True:
        try:
            with (
                socket.create_connection(("127.0.0.1", site.port), timeout=1.0) as connection,
                context.wrap_socket(connection, server_hostname="127.0.0.1"),
            ):
                return
        except OSError as err:
            if time.monotonic() > limit:
                raise DemoError(f"the server did not answer within {START_LIMIT:.0f} s: {err}") from None
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise DemoError(f"the server ended with exit status {server.wait(0.05)}")


# The clients


@dataclass
class Run:
    """What a client learnt and was given."""

    host: str
    address: str
    answers: dict[str, str] = field(default_factory=dict)
    blacklist: list[list[str]] = field(default_factory=list)
    config: etree._Element = field(default_factory=lambda: etree.Element("Configuration"))

    @property
    def groups(self) -> list[str]:
        """The groups that the output of the probes asks for."""
        lines = [line for output in self.answers.values() for line in output.splitlines()]
        return [line.removeprefix("group:").strip() for line in lines if line.startswith("group:")]

    @property
    def entries(self) -> list[etree._Element]:
        return [entry for bundle in self.config for entry in bundle]

    @property
    def failures(self) -> list[etree._Element]:
        return [entry for entry in self.entries if entry.get("failure")]


def converse(site: Site, host: str, address: str) -> Run:
    """One run of the agent on HOST, in the order of its calls."""
    server = Proxy(
        site.url, user="root", password=site.password, ca=site.certificate, source_address=address, timeout=30.0
    )
    run = Run(host, address)
    server.DeclareVersion(AGENT_VERSION)
    probes = etree.fromstring(server.GetProbes())
    data = etree.Element("ProbeData")
    for probe in probes.iter("probe"):
        name, source = probe.get("name", ""), probe.get("source", "")
        run.answers[name] = output = run_probe(probe)
        etree.SubElement(data, "probe-data", name=name, source=source).text = output
    if len(data):
        server.RecvProbeData(etree.tostring(data, encoding="unicode"))
    run.blacklist = server.GetDecisionList("blacklist")
    run.config = etree.fromstring(server.GetConfig())
    if run.config.tag == "error":
        raise DemoError(f"{host} got an error in place of a configuration: {run.config.text}")
    server.RecvStats(etree.tostring(statistics(run), encoding="unicode"))
    return run


def run_probe(probe: etree._Element) -> str:
    """Run the script of PROBE in a folder of its own, and return what it prints."""
    with tempfile.TemporaryDirectory(prefix="bcfg2-probe-") as folder:
        script = Path(folder, "probe")
        script.write_text(f"#!{probe.get('interpreter', '/bin/sh')}\n{probe.text or ''}")
        script.chmod(0o700)
        done = subprocess.run(
            [script], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_LIMIT, check=False
        )
    if done.returncode:
        raise DemoError(f"probe {probe.get('name')} failed with status {done.returncode}: {done.stderr.decode()}")
    return done.stdout.decode("utf-8", "replace")


def statistics(run: Run) -> etree._Element:
    """The report of a dry run: no entry is as it should be yet."""
    total = str(len(run.entries))
    document = etree.Element("upload-statistics")
    facts = {"total": total, "good": "0", "bad": total, "state": "dirty", "version": "2.0"}
    facts |= {"revision": run.config.get("revision", "-1"), "client_version": AGENT_VERSION}
    report = etree.SubElement(document, "Statistics", facts)
    etree.SubElement(report, "Flags", dry_run="True")
    bad = etree.SubElement(report, "Bad")
    for entry in run.entries:
        etree.SubElement(bad, str(entry.tag), name=entry.get("name", ""))
    return document


# The agent


def look_after(machine: Machine, screen: "Screen") -> None:
    """Have the agent run three times: on an empty machine, at once again, and after somebody has changed a file."""
    print()
    print(screen.bold(HOST), screen.faint(f"the agent at work in {machine.root}"))
    screen.show_report("first run", machine.run_agent())
    second = machine.run_agent()
    screen.show_report("second run", second)
    if second["modified"] or second["bad"]:
        raise AgentError("the second run has found something to do")
    motd = machine.root / "etc/motd"
    text = motd.read_text()
    motd.write_text(f"{text}Free beer at 6.\n")
    screen.fact("by hand", f"a line is added to {motd}")
    screen.show_report("dry run", machine.run_agent("-n"))
    screen.show_report("third run", machine.run_agent())
    if motd.read_text() != text:
        raise AgentError(f"{motd} is not what it was")


# What people see


class Screen:
    """Lines of text, coloured on a terminal."""

    def __init__(self, colours: bool) -> None:
        self.colours = colours

    def style(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours else text

    def bold(self, text: str) -> str:
        return self.style("1", text)

    def faint(self, text: str) -> str:
        return self.style("2", text)

    def alarm(self, text: str) -> str:
        return self.style("1;31", text)

    def show(self, run: Run) -> None:
        """Print a run."""
        print()
        print(self.bold(run.host), self.faint(f"calls from {run.address}"))
        for name, output in run.answers.items():
            lines = [line for line in output.splitlines() if not line.startswith("group:")]
            self.fact(f"probe {name}", "; ".join(lines) or "no data")
        self.fact("groups learnt", ", ".join(run.groups) or "none")
        self.fact("never touch", ", ".join(f"{tag} {name}" for tag, name in run.blacklist) or "nothing is listed")
        for bundle in run.config:
            print()
            kind = self.faint(" independent") if bundle.tag == "Independent" else ""
            print(f"  {self.bold(bundle.get('name', ''))}{kind}")
            for entry in sorted(bundle, key=lambda entry: (str(entry.tag).lower(), entry.get("name", ""))):
                self.show_entry(entry)

    def show_report(self, label: str, report: Any) -> None:
        """Print what the agent tells of a run."""
        state = f"{report['state']}, {report['good']} of {report['total']} entries are right"
        self.fact(label, f"{state}, {len(report['modified'])} changed")
        for item in report["modified"]:
            print(f"    changed     {item['tag']} {item['name']}")
        for item in report["bad"]:
            print(f"    wrong       {item['tag']} {item['name']}")
            for line in item["why"]:
                print(self.faint(f"                  | {line}"))

    def fact(self, label: str, text: str) -> None:
        print(f"  {label:<15}{text}")

    def show_entry(self, entry: etree._Element) -> None:
        """Print how ENTRY is to be, and the first lines of a file."""
        tag, name = str(entry.tag), entry.get("name", "")
        if entry.get("failure"):
            print(self.alarm(f"    {tag:<11} {name}  {entry.get('failure')}"))
            return
        print(f"    {tag:<11} {name:<38} {self.faint(describe(entry))}")
        lines = [line for line in (entry.text or "").splitlines() if line.strip()] if tag == "Path" else []
        for line in lines[:CONTENT_LINES]:
            print(self.faint(f"                  | {line}"))
        if more := len(lines[CONTENT_LINES:]):
            print(self.faint(f"                  | ... {more} more line{'s' if more > 1 else ''}"))


def describe(entry: etree._Element) -> str:
    """The attributes of ENTRY that matter most, in a few words."""
    get = entry.attrib.get
    match entry.tag:
        case "Path" if get("type") == "symlink":
            return f"-> {get('to')}"
        case "Path":
            kind = "" if get("type") == "file" else f"{get('type')} "
            return f"{kind}{get('mode', '').rjust(4, '0')} {get('owner')}:{get('group')}"
        case "Package":
            return f"{get('type')}, version {get('version')}"
        case "Service":
            return f"{get('type')}, {get('status')}" + (", not restarted" if get("restart") == "false" else "")
        case "Action":
            return f"{get('timing')}, when {get('when')}: {get('command')}"
        case _:
            return " ".join(f"{key!s}={value!s}" for key, value in entry.attrib.items() if key not in ("name", "type"))


# All together


def play(site: Site, screen: Screen) -> bool:
    """Let all clients go through a run; whether every entry could be bound."""
    print(f"The server is ready at {site.url}, with the repository {site.folder / 'repository'}.", flush=True)
    runs = [converse(site, host, address) for host, address in CLIENTS.items()]
    for run in runs:
        screen.show(run)
    look_after(site.machine, screen)
    print()
    failures = sum(len(run.failures) for run in runs)
    for run in runs:
        verdict = screen.alarm(f"{len(run.failures)} failed") if run.failures else "all complete"
        print(f"{run.host:<20} {len(run.config)} bundles, {len(run.entries)} entries, {verdict}")
    return not failures


def leave_running(site: Site, server: subprocess.Popen[bytes]) -> None:
    """Tell how to reach the server, and wait until it or the user ends it."""
    print(f"\nThe server listens on {site.url} until you press Ctrl-C.")
    print(f"  repository     {site.folder / 'repository'} (changes take effect within seconds)")
    print(f"  configuration  {site.config}, with the password")
    print(f"  log            {site.log}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        raise DemoError(f"the server ended with exit status {server.wait()}")
    print()


def show_log(site: Site, screen: Screen) -> None:
    if site.log.exists():
        lines = site.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        print(screen.bold(f"\nThe end of {site.log}:"), *lines, sep="\n", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description="Serve the example site and let two clients go through a run.")
    parser.add_argument("--serve", action="store_true", help="leave the server running until Ctrl-C")
    parser.add_argument("--port", type=int, help="port on 127.0.0.1 (default: a free one, 6789 with --serve)")
    parser.add_argument(
        "--folder", type=Path, help="where everything is put (default: var/demo, var/serve with --serve)"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped, too
    name, port = ("serve", 6789) if arguments.serve else ("demo", 0)
    screen = Screen(sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    site = None
    try:
        folder = (arguments.folder or EXAMPLES.parent / "var" / name).resolve()
        site = prepare(folder, arguments.port or port)
        with running(site) as server:
            complete = play(site, screen)
            if arguments.serve:
                leave_running(site, server)
    except (AgentError, DemoError, RPCError, xmlrpc.client.Fault, OSError, subprocess.TimeoutExpired) as err:
        print(screen.alarm(f"The demonstration failed: {err}"), file=sys.stderr)
        complete = False
    except KeyboardInterrupt:
        return 130
    if site and not complete:
        show_log(site, screen)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
