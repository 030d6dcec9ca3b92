"""Running the commands of this tree: where they are, free ports, certificates, and one server with its log."""

import contextlib
import functools
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Seconds within which a server must accept TLS, and within which it must end after SIGTERM.
START_LIMIT = 40.0
STOP_LIMIT = 15.0


class ServerFailed(AssertionError):
    """A server did not start, did not stay, or did not stop as it should; the text ends with its log."""


def find_commands(scratch: Path) -> Path:
    """The folder of the suite's commands: this environment's if all are installed, otherwise made in SCRATCH."""
    installed = Path(sys.executable).parent
    modules = {module.stem.replace("_", "-"): module for module in (ROOT / "bcfg2").glob("bcfg2_*.py")}
    modules["bcfg2"] = modules.pop("bcfg2-client")
    if all((installed / name).exists() for name in modules):
        return installed
    scratch.mkdir(parents=True, exist_ok=True)
    for name, module in modules.items():
        command = scratch / name
        command.write_text(
            f'#!/bin/sh\nPYTHONPATH="{ROOT}:$PYTHONPATH" exec "{sys.executable}" -m bcfg2.{module.stem} "$@"\n'
        )
        command.chmod(0o755)
    return scratch


def free_port() -> int:
    """A loopback port that nobody uses, outside of the range from which the system takes ports by itself."""
    for port in random.sample(range(10_000, 32_000), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port between 10000 and 32000 on 127.0.0.1")


class Authority:
    """A certificate for ``localhost`` that also signs client certificates; FOLDER keeps them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.certificate = folder / "key.pem", folder / "cert.pem"
        folder.mkdir(parents=True, exist_ok=True)
        self._openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"),
        )

    def client_certificate(self, name: str) -> Path:
        """Certificate and key, in one file, for a client whose common name is NAME."""
        path = self.folder / f"client-{name}.pem"
        if not path.exists():
            key, request, signed = (f"{name}.{suffix}" for suffix in ("key", "csr", "crt"))
            self._openssl(
                *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
            )
            self._openssl(
                *("x509", "-req", "-in", request, "-CA", "cert.pem", "-CAkey", "key.pem", "-days", "30"),
                *("-set_serial", str(random.getrandbits(64)), "-out", signed),
            )
            path.write_bytes((self.folder / key).read_bytes() + (self.folder / signed).read_bytes())
        return path

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


@functools.cache
def tls_context(certificate: Path | None = None) -> ssl.SSLContext:
    """How a test connects: any server certificate will do; CERTIFICATE is the client's own."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


class Server:
    """One server process: COMMAND, run in FOLDER, that has to listen on PORT of 127.0.0.1."""

    def __init__(self, command: list[str], port: int, folder: Path, env: dict[str, str] | None = None) -> None:
        self.command = command
        self.port = port
        self.folder = folder
        self.env = env
        self.log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start, and return when the server accepts TLS connections."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_LIMIT
        while not self._accepts():
            if self._process.poll() is not None:
                raise ServerFailed(f"the server ended with status {self._process.returncode}{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerFailed(f"the server did not accept TLS within {START_LIMIT:.0f} s{self.log_tail()}")
            time.sleep(0.05)

    def _accepts(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                tls_context().wrap_socket(connection).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End the server as an administrator does; it has to end by itself, with status 0."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_LIMIT)
        self.kill()
        if process.returncode != 0:
            raise ServerFailed(f"the server ended with status {process.returncode}{self.log_tail()}")

    def kill(self) -> None:
        """End the server and what it started, at once."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def log_tail(self) -> str:
        """The end of what the server wrote, to be appended to a message; empty if it was never started."""
        if not self.log.exists():
            return ""
        return f"\n--- end of {self.log}:\n{self.log.read_text(errors='replace')[-3000:]}"
