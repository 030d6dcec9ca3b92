"""Fixtures for all tests."""

import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.databases import databases, mariadb, postgresql
from tests.support import VERIFY

__all__ = ["databases", "mariadb", "postgresql"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot pass with ``[caching] verify``, see :data:`tests.support.VERIFY`."""
    if VERIFY:
        for item in items:
            if item.get_closest_marker("builds_once"):
                item.add_marker(pytest.mark.skip("configurations are built twice (BCFG2_TEST_VERIFY)"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that chooses who serves the recorded cases."""
    parser.addoption(
        "--backend",
        choices=("builtin", "multiprocessing", "cherrypy"),
        default="builtin",
        help="the core that plays the recorded cases whose bcfg2.conf names none (default: %(default)s)",
    )


class Certificate(NamedTuple):
    """Paths of a certificate (which is its own authority) and of its key."""

    cert: Path
    key: Path

    def sign(self, name: str) -> Path:
        """A file with key and certificate of the client NAME, signed by this one."""
        folder = self.cert.parent
        path = folder / f"client-{name}.pem"
        if not path.exists():
            key, request, cert = (folder / f"client-{name}.{ending}" for ending in ("key", "csr", "crt"))
            openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
            openssl(
                *("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key),
                *("-CAcreateserial", "-days", "2", "-out", cert),
            )
            path.write_text(key.read_text() + cert.read_text())
        return path


def openssl(*arguments: object) -> None:
    """Run the openssl command."""
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_certificate(folder: Path) -> Certificate:
    """A certificate for localhost in FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", made.key, "-out", made.cert),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
    )
    return made


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for localhost, the same for all tests."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))
